use proptest::prelude::*;
use serde_json::json;

use super::{super::super::test_support::any_json, *};
use crate::types::{OutputFormat, ToolChoice};

const CLIENT: Client = [0; 32];

fn read_with(mut body: Value, kept: &Store) -> Result<Parsed<Extras>, AppError> {
    let fields = body.as_object_mut().unwrap();
    fields.entry("input").or_insert(json!("hi"));
    serde_json::from_value::<CreateRequest>(body).unwrap().read(CLIENT, kept, &Map::new())
}

fn read(body: Value) -> Result<Parsed<Extras>, AppError> {
    read_with(body, &Store::default())
}

/// The answer's frame.
fn resource_of(parsed: &Parsed<Extras>) -> Value {
    serde_json::to_value(&parsed.extras.resource).unwrap()
}

#[test]
fn an_empty_request_leaves_everything_open() {
    let parsed = read(json!({})).unwrap();
    assert!(!parsed.stream && !parsed.include_workflow && parsed.reasoning && parsed.extras.store);
    assert_eq!(parsed.extras.context.len(), 1);
    let request = parsed.request;
    assert_eq!((request.model.as_str(), request.messages.len()), ("", 1));
    assert_eq!(request.prompt.sampling, Sampling::default());
    assert_eq!(
        (request.prompt.max_tokens, request.prompt.effort, request.prompt.tool_choice),
        (None, None, None)
    );
    assert_eq!(request.prompt.format, OutputFormat::Text);
    assert!(request.prompt.tools.is_empty() && request.prompt.extra.is_none());
}

#[test]
fn every_field_may_be_null() {
    let names = "model instructions messages prompt stream previous_response_id store stop \
        max_output_tokens max_tokens temperature top_p presence_penalty frequency_penalty tools \
        tool_choice parallel_tool_calls max_tool_calls text reasoning metadata user truncation \
        safety_identifier prompt_cache_key top_logprobs background conversation include_workflow";
    let nulls = names.split_whitespace().map(|name| (name.to_owned(), Value::Null));
    let nothing = read(Value::Object(nulls.collect())).unwrap();
    assert_eq!(resource_of(&nothing), resource_of(&read(json!({})).unwrap()));
    for body in [
        json!({"text": {"format": null, "verbosity": null}}),
        json!({"reasoning": {"effort": null, "summary": null}}),
        json!({"background": false, "previous_response_id": ""}),
    ] {
        assert!(read(body.clone()).is_ok(), "{body}");
    }
}

#[test]
fn fields_arrive_where_they_belong_and_are_repeated() {
    let schema = json!({"type": "object"});
    let parsed = read(json!({
        "model": "m", "stream": true, "store": false, "instructions": "be brief",
        "max_output_tokens": 5, "max_tokens": 9, "temperature": 0.7, "top_p": 0.9,
        "presence_penalty": 1, "frequency_penalty": -1.5, "top_logprobs": 2, "max_tool_calls": 3,
        "tools": [
            {"type": "function", "name": "f", "parameters": schema, "strict": true},
            {"type": "function", "function": {"name": "g", "description": "d"}},
        ],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "parallel_tool_calls": false,
        "text": {"format": {"type": "json_schema", "name": "x", "schema": schema},
                 "verbosity": "low"},
        "reasoning": {"effort": "minimal", "summary": "auto"}, "metadata": {"a": "b"},
        "user": "u", "truncation": "auto", "safety_identifier": "s", "prompt_cache_key": "k",
        "stop": ["a", ""], "include": ["x"], "service_tier": "auto", "stream_options": {}, "include_workflow": true,
    }))
    .unwrap();
    assert!(parsed.stream && parsed.include_workflow && parsed.reasoning && !parsed.extras.store);
    let resource = resource_of(&parsed);
    let request = parsed.request;
    assert_eq!((request.model.as_str(), request.prompt.max_tokens), ("m", Some(5)));
    assert_eq!(request.prompt.sampling.temperature, Some(0.7));
    assert_eq!(request.prompt.sampling.top_p, Some(0.9));
    assert_eq!(request.prompt.sampling.presence_penalty, Some(1.0));
    assert_eq!(request.prompt.sampling.frequency_penalty, Some(-1.5));
    assert_eq!(request.prompt.tool_choice, Some(ToolChoice::Named("f".to_owned())));
    assert_eq!(request.prompt.parallel_tool_calls, Some(false));
    assert_eq!(request.prompt.effort, Some(Effort::Minimal));
    assert_eq!(request.prompt.stop, ["a"]);
    assert_eq!(request.messages.len(), 2);
    let OutputFormat::Schema { name, .. } = request.prompt.format else { panic!("no schema") };
    assert_eq!(name, "x");
    insta::assert_snapshot!(resource.to_string(), @r#"{"id":"","object":"response","created_at":0,"completed_at":null,"status":"in_progress","incomplete_details":null,"model":"","previous_response_id":null,"instructions":"be brief","output":[],"error":null,"tools":[{"type":"function","name":"f","description":null,"parameters":{"type":"object"},"strict":true},{"type":"function","name":"g","description":"d","parameters":null,"strict":null}],"tool_choice":{"type":"function","name":"f"},"truncation":"auto","parallel_tool_calls":false,"text":{"format":{"type":"json_schema","name":"x","description":null,"schema":{"type":"object"},"strict":false},"verbosity":"low"},"top_p":0.9,"presence_penalty":1.0,"frequency_penalty":-1.5,"top_logprobs":2,"temperature":0.7,"reasoning":{"effort":"low","summary":"auto"},"user":"u","usage":null,"max_output_tokens":5,"max_tool_calls":3,"store":false,"background":false,"service_tier":"default","metadata":{"a":"b"},"safety_identifier":"s","prompt_cache_key":"k"}"#);
}

#[test]
fn choices_formats_and_efforts_are_shown_in_the_words_of_the_schema() {
    let tools = json!([{"type": "function", "name": "f"}, {"type": "function", "name": "g"}]);
    for (choice, want) in [
        (json!(null), json!("auto")),
        (json!("auto"), json!("auto")),
        (json!("none"), json!("none")),
        (json!("any"), json!("required")),
        (json!({"type": "function", "name": "g"}), json!({"type": "function", "name": "g"})),
        (
            json!({"type": "allowed_tools", "mode": "required",
                   "tools": [{"type": "function", "name": "g"}]}),
            json!({"type": "allowed_tools", "tools": [{"type": "function", "name": "g"}],
                   "mode": "required"}),
        ),
    ] {
        let resource_of =
            resource_of(&read(json!({"tools": tools, "tool_choice": choice})).unwrap());
        assert_eq!(resource_of["tool_choice"], want);
        assert_eq!(
            resource_of["tools"].as_array().unwrap().len(),
            2,
            "{choice}: as they were sent"
        );
    }
    for (effort, want) in [
        ("none", "none"),
        ("minimal", "low"),
        ("low", "low"),
        ("medium", "medium"),
        ("high", "high"),
        ("xhigh", "xhigh"),
        ("max", "xhigh"),
    ] {
        let parsed = read(json!({"reasoning": {"effort": effort}})).unwrap();
        assert_eq!(resource_of(&parsed)["reasoning"], json!({"effort": want, "summary": null}));
        assert_eq!(parsed.reasoning, effort != "none");
    }
    let json_object = read(json!({"text": {"format": {"type": "json_object"}}})).unwrap();
    assert_eq!(json_object.request.prompt.format, OutputFormat::Json);
    assert_eq!(resource_of(&json_object)["text"], json!({"format": {"type": "json_object"}}));
    let unlimited = read(json!({"max_output_tokens": -1})).unwrap();
    assert_eq!(resource_of(&unlimited)["max_output_tokens"], Value::Null);
}

#[test]
fn what_cannot_be_done_names_its_field() {
    for (body, param) in [
        (json!({"background": true}), "background"),
        (json!({"conversation": "conv_1"}), "conversation"),
        (json!({"prompt": {"id": "pmpt_1"}}), "prompt"),
        (json!({"temperature": 2.5}), "temperature"),
        (json!({"top_p": 1e300}), "top_p"),
        (json!({"presence_penalty": 3}), "presence_penalty"),
        (json!({"frequency_penalty": -3}), "frequency_penalty"),
        (json!({"max_output_tokens": 0}), "max_output_tokens"),
        (json!({"max_tokens": -2}), "max_tokens"),
        (json!({"top_logprobs": 21}), "top_logprobs"),
        (json!({"truncation": "never"}), "truncation"),
        (json!({"tools": [{"type": "custom"}]}), "tools[0].name"),
        (
            json!({"tools": [{"type": "web_search"}], "tool_choice": {"type": "web_search"}}),
            "tool_choice",
        ),
        (json!({"tools": [{"type": "web_search"}], "tool_choice": "required"}), "tool_choice"),
        (json!({"tool_choice": "required"}), "tool_choice"),
        (json!({"reasoning": {"effort": "huge"}}), "reasoning.effort"),
        (json!({"reasoning": {"summary": "long"}}), "reasoning.summary"),
        (json!({"text": {"verbosity": "huge"}}), "text.verbosity"),
        (json!({"text": {"format": {"type": "xml"}}}), "text.format.type"),
        (json!({"text": {"format": {"type": "json_schema", "name": "x"}}}), "text.format.schema"),
        (
            json!({"text": {"format": {"type": "json_schema", "name": "a b", "schema": {}}}}),
            "text.format.name",
        ),
    ] {
        let Err(AppError::Invalid { param: got, .. }) = read(body.clone()) else {
            panic!("accepted: {body}");
        };
        assert_eq!(got.as_deref(), Some(param), "{body}");
    }
}

#[tokio::test]
async fn debug_shows_no_text() {
    let body = json!({"input": "SECRET", "instructions": "SECRET", "user": "SECRET"});
    let parsed = read(body).unwrap();
    let kept = Store::default();
    kept.put(CLIENT, "resp_1".to_owned(), parsed.extras.context.clone(), bytes::Bytes::new());
    assert!(!format!("{parsed:?} {kept:?}").contains("SECRET"));
}

#[tokio::test]
async fn an_earlier_response_is_continued_or_named_as_missing() {
    let kept = Store::default();
    let earlier =
        read(json!({"instructions": "old rules", "input": "first"})).unwrap().extras.context;
    kept.put(CLIENT, "resp_1".to_owned(), earlier.clone(), bytes::Bytes::new());
    kept.put([1; 32], "resp_2".to_owned(), earlier, bytes::Bytes::new());
    let parsed = read_with(json!({"previous_response_id": "resp_1"}), &kept).unwrap();
    let texts: Vec<String> =
        parsed.request.messages.iter().map(crate::types::Message::joined_text).collect();
    assert_eq!(texts, ["first", "hi"], "instructions are not carried over");
    assert_eq!(parsed.extras.context.len(), 2);
    assert_eq!(resource_of(&parsed)["previous_response_id"], "resp_1");
    for id in ["resp_2", "resp_3"] {
        let error = read_with(json!({"previous_response_id": id}), &kept).unwrap_err();
        assert_eq!(error.code(), "previous_response_not_found");
        let body = serde_json::to_value(error.body(super::super::super::dialect::Dialect::OpenAi))
            .unwrap();
        assert_eq!(body["error"]["param"], "previous_response_id");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn no_body_is_worse_than_a_bad_request(
        field in "(tools|tool_choice|text|reasoning|metadata|previous_response_id|truncation|\
                  conversation|top_logprobs|temperature|instructions|messages|prompt)",
        value in any_json(), input in any_json(),
    ) {
        let mut body = json!({"input": input});
        body[field] = value;
        let Ok(request) = serde_json::from_value::<CreateRequest>(body) else { return Ok(()) };
        if let Err(error) = request.read(CLIENT, &Store::default(), &Map::new()) {
            prop_assert_eq!(error.status().as_u16(), 400);
        }
    }
}
