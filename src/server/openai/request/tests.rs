use proptest::prelude::*;
use serde_json::json;

use super::{super::super::test_support::any_json, *};
use crate::types::{Role, ToolChoice, growth::assert_linear};

fn read(mut body: Value) -> Result<Parsed<Extras>, AppError> {
    let fields = body.as_object_mut().unwrap();
    fields.entry("messages").or_insert(json!([{"role": "user", "content": "hi"}]));
    let request: ChatRequest = serde_json::from_value(body).unwrap();
    request.read(Map::new())
}

#[test]
fn an_empty_request_leaves_everything_open() {
    let parsed = read(json!({})).unwrap();
    assert!(!parsed.stream && !parsed.extras.include_usage && !parsed.include_workflow);
    assert!(parsed.reasoning);
    let request = parsed.request;
    assert_eq!(request.model, "");
    assert_eq!(request.messages.len(), 1);
    assert_eq!(request.prompt.sampling, Sampling::default());
    assert_eq!(
        (request.prompt.max_tokens, request.prompt.effort, request.prompt.tool_choice),
        (None, None, None)
    );
    assert_eq!(request.prompt.format, OutputFormat::Text);
    assert!(request.prompt.stop.is_empty() && request.prompt.tools.is_empty());
    assert!(request.prompt.extra.is_some_and(|extra| extra.fields.is_empty()));
}

#[test]
fn every_field_may_be_null() {
    let names = [
        "model",
        "stream",
        "stream_options",
        "max_completion_tokens",
        "max_tokens",
        "temperature",
        "top_p",
        "presence_penalty",
        "frequency_penalty",
        "seed",
        "stop",
        "n",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "functions",
        "function_call",
        "response_format",
        "reasoning_effort",
        "reasoning",
        "include_workflow",
    ];
    let body: Map<String, Value> =
        names.into_iter().map(|name| (name.to_owned(), Value::Null)).collect();
    assert!(read(Value::Object(body)).is_ok());
}

#[test]
fn fields_arrive_where_they_belong() {
    let parsed = read(json!({
        "model": "m", "stream": true, "stream_options": {"include_usage": true},
        "max_completion_tokens": 5, "max_tokens": 9, "temperature": 0.5, "top_p": 0.9,
        "presence_penalty": 1, "frequency_penalty": -1, "seed": 7, "stop": ["a", ""], "n": 1,
        "tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "required",
        "parallel_tool_calls": false, "reasoning_effort": "none", "include_workflow": true,
        "response_format": {"type": "json_schema", "json_schema":
            {"name": "x", "schema": {"type": "object"}, "strict": true}},
        "messages": [{"role": "developer", "content": "a"}, {"role": "user", "content": "b"}],
    }))
    .unwrap();
    assert!(parsed.stream && parsed.extras.include_usage && parsed.include_workflow);
    assert!(!parsed.reasoning);
    let request = parsed.request;
    assert_eq!(request.model, "m");
    assert_eq!(request.messages[0].role, Role::System);
    assert_eq!(request.prompt.sampling.temperature, Some(0.5));
    assert_eq!(request.prompt.sampling.top_p, Some(0.9));
    assert_eq!(request.prompt.sampling.presence_penalty, Some(1.0));
    assert_eq!(request.prompt.sampling.frequency_penalty, Some(-1.0));
    assert_eq!(request.prompt.sampling.seed, Some(7));
    assert_eq!(request.prompt.max_tokens, Some(5));
    assert_eq!(request.prompt.stop, ["a"]);
    assert_eq!(request.prompt.tool_choice, Some(ToolChoice::Required));
    assert_eq!(request.prompt.parallel_tool_calls, Some(false));
    assert_eq!(request.prompt.effort, Some(Effort::None));
    let OutputFormat::Schema { name, strict, .. } = request.prompt.format else {
        panic!("no schema")
    };
    assert_eq!((name.as_str(), strict), ("x", Some(true)));
}

#[test]
fn small_spellings_are_understood() {
    for (body, want) in
        [(json!({"stop": "x"}), vec!["x".to_owned()]), (json!({"stop": []}), vec![])]
    {
        assert_eq!(read(body).unwrap().request.prompt.stop, want);
    }
    assert_eq!(read(json!({"max_tokens": -1})).unwrap().request.prompt.max_tokens, None);
    let effort = read(json!({"reasoning": {"effort": "high"}})).unwrap().request.prompt.effort;
    assert_eq!(effort, Some(Effort::High));
    let legacy = json!({"functions": [{"name": "f"}], "function_call": {"name": "f"}});
    let legacy = read(legacy).unwrap().request;
    assert_eq!((legacy.prompt.tools.len(), legacy.prompt.tools[0].name.as_str()), (1, "f"));
    assert_eq!(legacy.prompt.tool_choice, Some(ToolChoice::Named("f".to_owned())));
    let format = read(json!({"response_format": {"type": "json_object"}})).unwrap();
    assert_eq!(format.request.prompt.format, OutputFormat::Json);
}

#[test]
fn what_cannot_be_done_names_its_field() {
    for (body, param) in [
        (json!({"messages": null}), "messages"),
        (json!({"messages": []}), "messages"),
        (json!({"n": 2}), "n"),
        (json!({"n": 0}), "n"),
        (json!({"temperature": 2.1}), "temperature"),
        (json!({"temperature": -0.1}), "temperature"),
        (json!({"max_tokens": 0}), "max_tokens"),
        (json!({"max_completion_tokens": -5}), "max_completion_tokens"),
        (json!({"top_p": 1e39}), "top_p"),
        (json!({"presence_penalty": -1e39}), "presence_penalty"),
        (json!({"frequency_penalty": 1e39}), "frequency_penalty"),
        (json!({"functions": [{}]}), "functions[0].name"),
        (json!({"function_call": {"name": "f"}}), "function_call"),
        (json!({"tool_choice": "required"}), "tool_choice"),
        (json!({"reasoning_effort": "huge"}), "reasoning_effort"),
        (json!({"reasoning": {"effort": "huge"}}), "reasoning.effort"),
        (json!({"response_format": {"type": "json_schema"}}), "response_format.json_schema.schema"),
        (
            json!({"response_format": {"type": "json_schema",
                                       "json_schema": {"name": "a b", "schema": {}}}}),
            "response_format.json_schema.name",
        ),
    ] {
        let Err(AppError::Invalid { param: got, .. }) = read(body.clone()) else {
            panic!("accepted: {body}");
        };
        assert_eq!(got.as_deref(), Some(param), "{body}");
    }
}

#[test]
fn unknown_fields_are_kept_in_their_protocol() {
    let rest = Map::from_iter([("logprobs".to_owned(), json!(true))]);
    let message = json!({"messages": [{"role": "user", "content": "x"}]});
    let request: ChatRequest = serde_json::from_value(message).unwrap();
    let extra = request.read(rest).unwrap().request.prompt.extra.unwrap();
    assert_eq!(extra.protocol, Protocol::OpenAi);
    assert_eq!(extra.fields["logprobs"], true);
}

#[test]
fn sampling_that_others_have_is_read_and_kept_as_it_is() {
    let rest = json!({"top_k": 5, "min_p": 0.1, "repetition_penalty": 1.25});
    let message = json!({"messages": [{"role": "user", "content": "x"}]});
    let read = |rest: &Value| {
        let request: ChatRequest = serde_json::from_value(message.clone()).unwrap();
        request.read(rest.as_object().unwrap().clone()).unwrap().request
    };
    let request = read(&rest);
    let want = Sampling {
        top_k: Some(5),
        min_p: Some(0.1),
        repetition_penalty: Some(1.25),
        ..Sampling::default()
    };
    assert_eq!(
        (request.prompt.sampling, request.prompt.extra.map(|it| it.fields.into())),
        (want, Some(rest))
    );
    let rest = json!({"top_k": -1, "min_p": null, "repeat_penalty": "much"});
    let request = read(&rest);
    assert_eq!(request.prompt.sampling, Sampling::default());
    assert_eq!(Value::Object(request.prompt.extra.unwrap().fields), rest);
}

#[test]
fn tools_that_are_no_functions_are_for_the_same_protocol() {
    let tools = json!([{"type": "mcp", "server_label": "x"}]);
    let request = read(json!({"tools": tools})).unwrap().request;
    let extra = request.prompt.extra.unwrap();
    assert_eq!(extra.only_there.unwrap().param, "tools[0].type");
    assert!(extra.fields["tools"] == tools && request.prompt.tools.is_empty());
}

#[test]
fn a_form_that_nobody_knows_is_for_the_same_protocol() {
    let form = json!({"type": "grammar", "grammar": "root ::= x"});
    let request = read(json!({"response_format": form})).unwrap().request;
    let extra = request.prompt.extra.unwrap();
    assert_eq!(extra.only_there.unwrap().param, "response_format.type");
    assert_eq!(
        (&extra.fields["response_format"], request.prompt.format),
        (&form, OutputFormat::Text)
    );
}

#[test]
fn reasoning_that_says_more_goes_on_as_it_is() {
    let reasoning = json!({"max_tokens": 2000, "effort": "low"});
    let request = read(json!({"reasoning": reasoning})).unwrap().request;
    assert_eq!(request.prompt.effort, Some(Effort::Low));
    assert_eq!(request.prompt.extra.unwrap().fields["reasoning"], reasoning);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn no_body_makes_it_panic(field in "(messages|tools|tool_choice|functions|function_call|stop|response_format|reasoning|n|seed)",
                              value in any_json(), messages in any_json()) {
        let mut body = json!({"messages": messages});
        body[field] = value;
        if let Ok(request) = serde_json::from_value::<ChatRequest>(body) {
            let _ = request.read(Map::new());
        }
    }
}

fn list(count: usize, item: impl Fn(usize) -> Value) -> Value {
    (0..count).map(item).collect()
}

#[test]
fn tool_turns_are_read_in_a_time_that_is_linear_in_their_number() {
    let call = |at: usize| json!({"id": format!("c{at}"), "function": {"name": "f"}});
    type Id = fn(usize, usize) -> Value;
    let results: [(&str, Id); 3] = [
        ("in order", |at, _| format!("c{at}").into()),
        ("in reverse", |at, count| format!("c{}", count - 1 - at).into()),
        ("of nothing", |_, _| Value::Null),
    ];
    for (what, id) in results {
        assert_linear(
            what,
            |count| {
                let turn = json!({"role": "assistant", "tool_calls": list(count, call)});
                let result =
                    |at| json!({"role": "tool", "content": "ok", "tool_call_id": id(at, count)});
                let messages = std::iter::once(turn).chain((0..count).map(result));
                json!({"messages": messages.collect::<Value>()})
            },
            |body| read(body).unwrap(),
        );
    }
}

#[test]
fn every_other_list_is_read_in_a_time_that_is_linear_in_it() {
    let tool = |at: usize| json!({"type": "function", "function": {"name": format!("f{at}")}});
    assert_linear(
        "tools of which some are allowed",
        |count| {
            let allowed = json!({"mode": "auto", "tools": list(count, |at| tool(count - at))});
            json!({"tools": list(count, tool),
                "tool_choice": {"type": "allowed_tools", "allowed_tools": allowed}})
        },
        |body| read(body).unwrap(),
    );
    assert_linear(
        "parts, details, fields and stops",
        |count| {
            let parts = list(count, |_| json!({"type": "text", "text": "word", "x": 1}));
            let details = list(count, |at| json!({"type": "reasoning.text", "index": at}));
            let mut turn =
                json!({"role": "assistant", "content": parts, "reasoning_details": details});
            let fields = turn.as_object_mut().unwrap();
            fields.extend((0..count).map(|at| (format!("x{at}"), json!(at))));
            json!({"messages": [turn], "stop": list(count, |at| at.to_string().into())})
        },
        |body| read(body).unwrap(),
    );
}
