//! Bodies and replies as tables.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::{
    config::Model,
    llm::{
        Call, LlmErrorKind,
        protocol::{
            anthropic::read::finish, counts::Counts, parameter::Refused, piece::ToolPiece,
            state::Kept,
        },
        testing,
    },
    types::{FinishReason, Image, Prompt, Protocol, Sampling, ToolCall},
};

fn model() -> Model {
    Model {
        max_temperature: 1.0,
        ..testing::model(Protocol::Anthropic, "https://api.anthropic.com")
    }
}

fn body_of(call: &Call, refused: &[Parameter]) -> Value {
    let refused: Refused = refused.iter().copied().collect();
    body(&Ask { config: &model(), call, refused: &refused }).into_value()
}

/// Every field that the call can set.
fn full_call() -> Call {
    let sampling = testing::full_sampling(1.4);
    testing::tool_call_of(Prompt {
        sampling,
        max_tokens: Some(99),
        stop: ["a", " \n", "b"].map(str::to_owned).to_vec(),
        tool_choice: Some(ToolChoice::Auto),
        parallel_tool_calls: Some(false),
        ..Prompt::default()
    })
}

#[test]
fn every_field_is_mapped_and_can_be_refused() {
    let mut want = json!({
        "model": "up", "max_tokens": 99, "stream": true, "temperature": 1.0, "top_p": 0.9,
        "top_k": 40, "stop_sequences": ["a", "b"],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "use f"}]}],
        "tools": [{"name": "f", "description": "does f", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": true},
    });
    assert_eq!(body_of(&full_call(), &[]), want);
    let mut refused = Vec::new();
    for (parameter, field) in [
        (Parameter::Temperature, "temperature"),
        (Parameter::TopP, "top_p"),
        (Parameter::TopK, "top_k"),
    ] {
        refused.push(parameter);
        want.as_object_mut().unwrap().remove(field);
        assert_eq!(body_of(&full_call(), &refused), want, "without {field}");
    }
    refused.push(Parameter::ParallelToolCalls);
    want["tool_choice"] = json!({"type": "auto"});
    assert_eq!(body_of(&full_call(), &refused), want);
    let plain = json!({"model": "up", "max_tokens": 4096, "stream": true, "messages": [
        {"role": "user", "content": [{"type": "text", "text": "hi"}]}]});
    assert_eq!(body_of(&testing::call("hi"), &[]), plain, "a limit is demanded");
}

#[test]
fn tool_choices_are_mapped() {
    let named = || Some(ToolChoice::Named("f".into()));
    for (choice, parallel, want) in [
        (None, None, Value::Null),
        (None, Some(true), Value::Null),
        (None, Some(false), json!({"type": "auto", "disable_parallel_tool_use": true})),
        (Some(ToolChoice::None), Some(false), json!({"type": "none"})),
        (Some(ToolChoice::Required), None, json!({"type": "any"})),
        (named(), None, json!({"type": "tool", "name": "f"})),
        (
            named(),
            Some(false),
            json!({"type": "tool", "name": "f", "disable_parallel_tool_use": true}),
        ),
    ] {
        let call = testing::tool_call_of(Prompt {
            tool_choice: choice.clone(),
            parallel_tool_calls: parallel,
            ..Prompt::default()
        });
        assert_eq!(body_of(&call, &[])["tool_choice"], want, "{choice:?} {parallel:?}");
    }
    let bare = ToolDefinition {
        name: "g".into(),
        description: None,
        parameters: None,
        strict: None,
        unknown: Default::default(),
    };
    assert_eq!(tool(&bare), json!({"name": "g", "input_schema": {"type": "object"}}));
}

#[test]
fn conversations_are_mapped() {
    let mut seeing = Message::text(Role::User, "see");
    let image = Image::Inline { media_type: "image/png".into(), base64: "QQ==".into() };
    seeing.parts.push(Part::Image(image));
    let url = Image::Url { url: "https://e.example/a".into(), detail: None };
    seeing.parts.push(Part::Image(url));
    let mut calling = Message::text(Role::Assistant, "I look");
    let call = |id: &str, arguments: &str| ToolCall {
        id: id.into(),
        name: "f".into(),
        arguments: arguments.into(),
    };
    calling.tool_calls = vec![call("functions.f:0", "{\"a\":1}"), call("two", "")];
    let result = |id: &str, text: &str| {
        let mut result = Message::text(Role::Tool, text);
        result.tool_call_id = Some(id.into());
        result
    };
    let messages = vec![
        Message::text(Role::System, "be"),
        seeing,
        Message::text(Role::User, "please"),
        calling,
        Message::text(Role::User, "well?"),
        result("two", ""),
        result("functions.f:0", "42"),
        Message::text(Role::System, "brief"),
        Message::text(Role::Assistant, "It is \n"),
    ];
    let call = Call { messages: messages.into(), ..testing::call_with_tools() };
    let body = body_of(&call, &[]);
    let text = |text: &str| json!({"type": "text", "text": text});
    assert_eq!(body["system"], "be\n\nbrief");
    assert_eq!(
        body["messages"],
        json!([
            {"role": "user", "content": [text("see"),
                {"type": "image", "source":
                    {"type": "base64", "media_type": "image/png", "data": "QQ=="}},
                {"type": "image", "source": {"type": "url", "url": "https://e.example/a"}},
                text("please")]},
            {"role": "assistant", "content": [text("I look"),
                {"type": "tool_use", "id": "functions_f_0", "name": "f", "input": {"a": 1}},
                {"type": "tool_use", "id": "two", "name": "f", "input": {}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "two"},
                {"type": "tool_result", "tool_use_id": "functions_f_0", "content": [text("42")]},
                text("well?")]},
            {"role": "assistant", "content": [text("It is")]},
        ])
    );
    // Without tools in the request, old calls would be refused: they become text.
    let call = Call { prompt: Prompt { tools: Arc::from([]), ..call.prompt }, ..call };
    let said = body_of(&call, &[])["messages"].to_string();
    assert!(said.contains("[called the tool f with") && !said.contains("tool_use"), "{said}");
}

#[test]
fn a_schema_is_enforced_and_some_json_asked_for() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string", "maxLength": 3}}});
    let format = |schema: &Value| OutputFormat::Schema {
        name: "o".into(),
        schema: Arc::new(schema.clone().into()),
        strict: None,
        description: None,
    };
    let open = json!({"type": "object"});
    for (format, refused, enforced) in [
        (OutputFormat::Text, vec![], false),
        (OutputFormat::Json, vec![], false),
        (format(&schema), vec![], true),
        (format(&schema), vec![Parameter::Schema], false),
        (format(&open), vec![], false),
    ] {
        let call = testing::call_of(
            "give me json",
            Prompt { format: format.clone(), ..Prompt::default() },
        );
        let body = body_of(&call, &refused);
        let want = enforced.then(|| {
            json!({"format": {"type": "json_schema", "schema":
            {"type": "object", "properties": {"a": {"type": "string"}},
                "additionalProperties": false}}})
        });
        assert_eq!(body.get("output_config"), want.as_ref(), "{format:?}");
        let instructed = body["system"].as_str().is_some_and(|system| system.contains("JSON"));
        assert_eq!(instructed, format != OutputFormat::Text, "{format:?}");
        let found = Anthropic.format_field(body.as_object().unwrap());
        assert_eq!(found, enforced.then_some(("output_config.format", true)));
    }
}

#[test]
fn thoughts_are_asked_for_in_the_way_that_is_understood() {
    let adaptive = |effort: &str| (json!({"type": "adaptive"}), json!({"effort": effort}));
    let budget = |tokens: u32| (json!({"type": "enabled", "budget_tokens": tokens}), Value::Null);
    let none = || (Value::Null, Value::Null);
    let by_budget = || vec![Parameter::EffortName];
    for (effort, refused, limit, (thinking, output), max_tokens) in [
        (Effort::None, vec![], None, none(), 4096),
        (Effort::Minimal, vec![], None, adaptive("low"), 20_480),
        (Effort::Medium, vec![], None, adaptive("medium"), 20_480),
        (Effort::On, vec![], None, adaptive("high"), 20_480),
        (Effort::Max, vec![], Some(100), adaptive("max"), 100),
        (Effort::Low, by_budget(), None, budget(1024), 5120),
        (Effort::High, by_budget(), None, budget(8192), 12_288),
        (Effort::Max, by_budget(), Some(2000), budget(1999), 2000),
        (Effort::Max, by_budget(), Some(1024), none(), 1024),
        (Effort::High, vec![Parameter::EffortName, Parameter::Effort], None, none(), 4096),
    ] {
        let mut call = testing::call_of(
            "why is it so?",
            Prompt { effort: Some(effort), max_tokens: limit, ..Prompt::default() },
        );
        call.prompt.sampling =
            Sampling { temperature: Some(0.5), top_p: Some(0.9), ..Sampling::default() };
        call.prompt.sampling.top_k = Some(3);
        let body = body_of(&call, &refused);
        let shown = format!("{effort:?} {refused:?} {limit:?}: {body}");
        assert_eq!((&body["thinking"], &body["output_config"]), (&thinking, &output), "{shown}");
        assert_eq!(body["max_tokens"], max_tokens, "{shown}");
        // What does not go together with thoughts is left out, and that is recorded.
        let config = model();
        let refused: Refused = refused.iter().copied().collect();
        let sent = Anthropic.temperature(&Ask { config: &config, call: &call, refused: &refused });
        let thinks = !thinking.is_null();
        assert_eq!(sent, (!thinks).then_some(0.5), "{shown}");
        for field in ["temperature", "top_p", "top_k"] {
            assert_eq!(body.get(field).is_none(), thinks, "{field} {shown}");
        }
    }
    // Signed thoughts are not kept, and a demanded call leaves no room for any.
    let mut calling = Message::text(Role::Assistant, "");
    calling.tool_calls =
        vec![ToolCall { id: "c".into(), name: "f".into(), arguments: String::new() }];
    let mut result = Message::text(Role::Tool, "42");
    result.tool_call_id = Some("c".into());
    let messages = vec![Message::text(Role::User, "go"), calling, result];
    for call in [
        Call { messages: messages.into(), ..testing::call_with_tools() },
        testing::tool_call_of(Prompt {
            tool_choice: Some(ToolChoice::Required),
            ..Prompt::default()
        }),
    ] {
        let body = body_of(
            &Call { prompt: Prompt { effort: Some(Effort::High), ..call.prompt }, ..call },
            &[],
        );
        assert_eq!(body.get("thinking"), None);
    }
}

#[test]
fn addresses_and_headers() {
    let (config, call, refused) = (model(), testing::call("hi"), Refused::new());
    let ask = Ask { config: &config, call: &call, refused: &refused };
    for (base, want) in [
        ("https://api.anthropic.com", "https://api.anthropic.com/v1/messages"),
        ("https://api.anthropic.com/v1", "https://api.anthropic.com/v1/messages"),
        ("https://h.example/anthropic/", "https://h.example/anthropic/v1/messages"),
    ] {
        let base = base.parse().unwrap();
        assert_eq!(Anthropic.address(&base, &ask).unwrap().as_str(), want);
        let list = Anthropic.model_list(&base, &config).unwrap();
        assert_eq!(list.as_str(), want.replace("/messages", "/models"));
    }
    for (version, want) in [(None, "2023-06-01"), (Some("2024-01-01"), "2024-01-01")] {
        let config = Model { api_version: version.map(str::to_owned), ..model() };
        let mut headers = HeaderMap::new();
        Anthropic.authenticate("sk-test", &mut headers).unwrap();
        Anthropic.headers(&config, &mut headers).unwrap();
        assert_eq!(headers["anthropic-version"], want);
        assert!(headers["x-api-key"].is_sensitive() && headers["x-api-key"] == "sk-test");
        assert!(!headers.contains_key("authorization"));
    }
}

#[test]
fn events_and_replies_are_read() {
    let text = |text: &'static str| Piece::Text(text.into());
    let tool = |index, id: Option<&str>, name: Option<&str>, arguments: &str| {
        let (id, name) = (id.map(str::to_owned), name.map(str::to_owned));
        let (begins, arguments) = (id.is_some(), arguments.into());
        Piece::Tool(ToolPiece { index: Some(index), id, name, arguments, begins, beside: None })
    };
    let counts = |prompt, completion, cached| {
        Piece::Usage(Counts { prompt, completion, cached, ..Counts::default() })
    };
    for (value, want) in [
        (
            json!({"type": "message_start", "message": {"content": [], "usage": {"input_tokens": 5,
                "cache_read_input_tokens": 3, "cache_creation_input_tokens": 2, "output_tokens": 1}}}),
            vec![counts(Some(10), None, Some(3))], // one token is the beginning only
        ),
        (
            json!({"type": "content_block_start", "index": 0,
                "content_block": {"type": "text", "text": ""}}),
            vec![text("")],
        ),
        (
            json!({"type": "content_block_start", "index": 1, "content_block":
                {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}}),
            vec![tool(1, Some("toolu_1"), Some("f"), "")],
        ),
        (
            json!({"type": "content_block_delta", "index": 0,
                "delta": {"type": "text_delta", "text": "你"}}),
            vec![text("你")],
        ),
        (
            json!({"type": "content_block_delta", "index": 0,
                "delta": {"type": "thinking_delta", "thinking": "hm"}}),
            vec![Piece::Reasoning("hm".into())],
        ),
        (
            json!({"type": "content_block_delta", "index": 1,
                "delta": {"type": "input_json_delta", "partial_json": "{\"a\""}}),
            vec![tool(1, None, None, "{\"a\"")],
        ),
        (
            json!({"type": "content_block_delta", "index": 0,
                "delta": {"type": "signature_delta", "signature": "x"}}),
            vec![Piece::Kept(Kept::Signature("x".into()))],
        ),
        (json!({"type": "content_block_stop", "index": 0}), vec![]),
        (json!({"type": "ping"}), vec![]),
        (json!({"type": "something_new", "content": [{"type": "text", "text": "x"}]}), vec![]),
        (
            json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"},
                "usage": {"output_tokens": 15}}),
            vec![counts(None, Some(15), None), Piece::Finish(FinishReason::ToolCalls)],
        ),
        (json!({"type": "message_delta", "delta": {"stop_reason": null}}), vec![]),
        (json!({"type": "message_stop"}), vec![Piece::End]),
        (
            json!({"type": "message", "content": [{"type": "thinking", "thinking": "hm"},
                {"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": "hi"},
                {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}],
                "stop_reason": "max_tokens", "usage": {"input_tokens": 4, "output_tokens": 2}}),
            vec![
                counts(Some(4), Some(2), None),
                Piece::Kept(Kept::Block(json!({"type": "thinking", "thinking": ""}))),
                Piece::Reasoning("hm".into()),
                Piece::Kept(Kept::Block(json!({"type": "redacted_thinking", "data": "x"}))),
                text("hi"),
                tool(3, Some("t"), Some("f"), "{\"a\":1}"),
                Piece::Finish(FinishReason::Length),
            ],
        ),
    ] {
        assert_eq!(pieces(&value).ok().unwrap(), want, "{value}");
    }
    for (reason, want) in [
        ("end_turn", FinishReason::Stop),
        ("stop_sequence", FinishReason::Stop),
        ("pause_turn", FinishReason::Stop),
        ("max_tokens", FinishReason::Length),
        ("model_context_window_exceeded", FinishReason::Length),
        ("tool_use", FinishReason::ToolCalls),
        ("refusal", FinishReason::ContentFilter),
    ] {
        let got = finish(Some(&json!(reason))).ok().flatten();
        assert_eq!(got, Some(Piece::Finish(want)), "{reason}");
    }
}

#[test]
fn errors_inside_a_stream_are_classified() {
    for (kind, want, is_final) in [
        ("overloaded_error", LlmErrorKind::InBand, false),
        ("api_error", LlmErrorKind::InBand, false),
        ("rate_limit_error", LlmErrorKind::RateLimited { retry_after: None }, false),
        ("billing_error", LlmErrorKind::Quota, false),
        ("invalid_request_error", LlmErrorKind::InBand, true),
        ("not_found_error", LlmErrorKind::NotFound, false),
    ] {
        let event = json!({"type": "error", "error": {"type": kind, "message": "no"}});
        let refusal = pieces(&event).err().unwrap();
        assert_eq!((refusal.error_kind(None), refusal.is_final()), (want, is_final), "{kind}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_json_panics(value in testing::any_json()) {
        let _ = pieces(&value);
        let _ = Anthropic.is_reply(&value);
    }
}
