//! Bodies to requests, as tables.

use serde_json::json;

use super::*;
use crate::types::{ToolChoice, growth::assert_linear};

fn read(more: Value) -> Result<Parsed<()>, AppError> {
    let mut body = json!({"model": "m", "max_tokens": 9,
        "messages": [{"role": "user", "content": "hi"}]});
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    let Parted { known, rest } =
        serde_json::from_value::<Parted<MessagesRequest>>(body).expect("a body");
    known.read(rest)
}

fn param_of(more: Value) -> Option<String> {
    match read(more) {
        Err(AppError::Invalid { param, .. }) => param,
        Err(other) => panic!("{other}"),
        Ok(_) => None,
    }
}

#[test]
fn fields_are_read_and_the_others_kept() {
    let parsed = read(json!({"temperature": 1.0, "top_p": 0.5, "top_k": 5, "stream": true,
        "stop_sequences": ["", "END"], "metadata": {"user_id": "u"}, "include_workflow": true,
        "context_management": {"edits": []}}))
    .unwrap();
    let prompt = &parsed.request.prompt;
    assert!(parsed.stream && parsed.include_workflow && !parsed.reasoning);
    assert_eq!((parsed.request.model.as_str(), prompt.max_tokens), ("m", Some(9)));
    assert_eq!(prompt.stop, ["END"]);
    assert_eq!(prompt.sampling.temperature, Some(1.0));
    assert_eq!((prompt.sampling.top_p, prompt.sampling.top_k), (Some(0.5), Some(5)));
    let extra = prompt.extra.as_ref().unwrap();
    assert_eq!(extra.fields.keys().collect::<Vec<_>>(), ["metadata", "context_management"]);
    assert_eq!(extra.protocol, Protocol::Anthropic);
}

#[test]
fn thinking_is_an_effort_and_whether_it_is_shown() {
    use Effort::{High, Low, Max, Medium, None as Off, On};
    let (enabled, adaptive) =
        (|tokens| json!({"type": "enabled", "budget_tokens": tokens}), json!({"type": "adaptive"}));
    for (more, effort, shown) in [
        (json!({}), None, false),
        (json!({"thinking": {"type": "disabled"}}), Some(Off), false),
        (
            json!({"thinking": {"type": "disabled"}, "output_config": {"effort": "max"}}),
            Some(Off),
            false,
        ),
        (json!({"thinking": adaptive}), Some(On), true),
        (json!({"thinking": {"type": "adaptive", "display": "omitted"}}), Some(On), false),
        (json!({"thinking": adaptive, "output_config": {"effort": "max"}}), Some(Max), true),
        (json!({"output_config": {"effort": "low"}}), Some(Low), false),
        (json!({"thinking": enabled(1024)}), Some(Low), true),
        (json!({"thinking": enabled(4000)}), Some(Medium), true),
        (json!({"thinking": enabled(31_999)}), Some(High), true),
    ] {
        let parsed = read(more.clone()).unwrap();
        assert_eq!((parsed.request.prompt.effort, parsed.reasoning), (effort, shown), "{more}");
    }
    assert_eq!(param_of(json!({"thinking": {"type": "deep"}})).as_deref(), Some("thinking.type"));
    let path = "output_config.effort";
    assert_eq!(param_of(json!({"output_config": {"effort": "x"}})).as_deref(), Some(path));
}

#[test]
fn the_clients_own_tools_are_offered_and_the_servers_kept_apart() {
    let own = json!({"name": "f", "description": "d", "strict": true, "defer_loading": true,
        "input_schema": {"$schema": "s", "type": "object"}});
    let hosted = json!({"type": "web_search_20250305", "name": "web_search", "max_uses": 5});
    let parsed = read(json!({"tools": [own, hosted, {"type": "custom", "name": "g"}]})).unwrap();
    let names: Vec<&str> =
        parsed.request.prompt.tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["f", "g"]);
    let tool = &parsed.request.prompt.tools[0];
    assert_eq!((tool.strict, &tool.unknown["defer_loading"]), (Some(true), &json!(true)));
    assert_eq!(parsed.request.left_out, ["web_search"]);
    let extra = parsed.request.prompt.extra.unwrap();
    assert_eq!(extra.fields["tools"], json!([hosted]));
    assert!(extra.only_there.is_none());
    assert_eq!(
        param_of(json!({"tools": [{"input_schema": {}}]})).as_deref(),
        Some("tools[0].name")
    );
}

#[test]
fn a_choice_is_read_in_all_its_forms() {
    let tools = json!([{"name": "f"}, {"type": "bash_20250124", "name": "bash"}]);
    for (choice, want, parallel) in [
        (json!(null), None, None),
        (json!({"type": "auto"}), Some(ToolChoice::Auto), None),
        (
            json!({"type": "auto", "disable_parallel_tool_use": true}),
            Some(ToolChoice::Auto),
            Some(false),
        ),
        (json!({"type": "any"}), Some(ToolChoice::Required), None),
        (json!({"type": "none"}), Some(ToolChoice::None), None),
        (json!({"type": "tool", "name": "f"}), Some(ToolChoice::Named("f".to_owned())), None),
    ] {
        let parsed = read(json!({"tools": tools, "tool_choice": choice})).unwrap();
        let prompt = parsed.request.prompt;
        assert_eq!((prompt.tool_choice, prompt.parallel_tool_calls), (want, parallel), "{choice}");
    }
    let demanded = json!({"tools": tools, "tool_choice": {"type": "tool", "name": "bash"}});
    let extra = read(demanded).unwrap().request.prompt.extra.unwrap();
    assert_eq!(extra.only_there.unwrap().param, "tool_choice");
    for wrong in [
        json!({"tools": tools, "tool_choice": {"type": "tool", "name": "g"}}),
        json!({"tools": tools, "tool_choice": {"type": "tool"}}),
        json!({"tools": tools, "tool_choice": "auto"}),
        json!({"tools": tools, "tool_choice": {"type": "all"}}),
        json!({"tool_choice": {"type": "any"}}),
    ] {
        assert_eq!(param_of(wrong.clone()).as_deref(), Some("tool_choice"), "{wrong}");
    }
}

#[test]
fn the_form_of_the_answer_is_read_in_both_places() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let format = json!({"type": "json_schema", "schema": schema});
    for more in [json!({"output_config": {"format": format}}), json!({"output_format": format})] {
        let parsed = read(more).unwrap();
        let OutputFormat::Schema { schema: found, .. } = parsed.request.prompt.format else {
            panic!("no schema")
        };
        assert_eq!(**found, schema);
    }
    let unknown = json!({"output_config": {"format": {"type": "xml"}}});
    assert_eq!(param_of(unknown).as_deref(), Some("output_config.format.type"));
}

#[test]
fn what_is_out_of_range_is_named() {
    for (name, value) in [
        ("temperature", json!(2.5)),
        ("temperature", json!(-0.1)),
        ("top_p", json!(1.5)),
        ("max_tokens", json!(0)),
        ("max_tokens", json!(-1)),
    ] {
        assert_eq!(param_of(json!({ name: value })).as_deref(), Some(name), "{name} {value}");
    }
}

#[test]
fn every_list_is_read_in_a_time_that_is_linear_in_it() {
    let call =
        |at: usize| json!({"type": "tool_use", "id": format!("c{at}"), "name": "f", "input": {}});
    let result = |at: usize| json!({"type": "tool_result", "tool_use_id": format!("c{at}"), "content": "ok"});
    let text = |at: usize| json!({"type": "text", "text": format!("t{at}")});
    let tool = |at: usize| json!({"name": format!("f{at}"), "input_schema": {}});
    type Order = fn(usize, usize) -> usize;
    let orders: [(&str, Order); 2] =
        [("in order", |at, _| at), ("in reverse", |at, count| count - 1 - at)];
    for (what, order) in orders {
        assert_linear(
            what,
            |count| {
                let all = |item: &dyn Fn(usize) -> Value| (0..count).map(item).collect::<Value>();
                json!({"system": all(&text), "tools": all(&tool),
                    "stop_sequences": all(&|at| at.to_string().into()),
                    "messages": [{"role": "user", "content": all(&text)},
                        {"role": "assistant", "content": all(&call)},
                        {"role": "user", "content": all(&|at| result(order(at, count)))}]})
            },
            |body| read(body).unwrap(),
        );
    }
    assert_linear(
        "messages",
        |count| {
            let messages = (0..count).map(|_| json!({"role": "user", "content": "hi"}));
            json!({"messages": messages.collect::<Value>()})
        },
        |body| read(body).unwrap(),
    );
}
