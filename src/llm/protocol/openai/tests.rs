//! Bodies and replies as tables.

use std::sync::Arc;

use super::*;
use crate::{
    config::{Mode, Model},
    llm::{
        Call, LlmErrorKind,
        protocol::{counts::Counts, parameter::Refused, piece::ToolPiece},
        testing,
    },
    types::{Extra, FinishReason, Prompt, Protocol, Role, ToolCall},
};

fn plain_model() -> Model {
    testing::model(Protocol::OpenAi, "http://127.0.0.1:1/v1")
}

fn body_of(config: &Model, call: &Call, refused: &[Parameter]) -> Value {
    let refused: Refused = refused.iter().copied().collect();
    body(&Ask { config, call, refused: &refused }).into_value()
}

/// Every field the call can set.
fn full_call() -> Call {
    let sampling = testing::full_sampling(0.7);
    testing::tool_call_of(Prompt {
        sampling,
        max_tokens: Some(99),
        stop: ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec(),
        effort: Some(Effort::Low),
        tool_choice: Some(ToolChoice::Named("f".into())),
        parallel_tool_calls: Some(false),
        ..Prompt::default()
    })
}

#[test]
fn a_simple_call_has_a_simple_body() {
    let body = body_of(&plain_model(), &testing::call("hi"), &[]);
    assert_eq!(
        body,
        json!({"model": "up", "messages": [{"role": "user", "content": "hi"}],
            "stream": true, "stream_options": {"include_usage": true}})
    );
}

#[test]
fn every_field_is_mapped_and_can_be_refused() {
    let mut want = json!({
        "model": "up", "messages": [{"role": "user", "content": "use f"}], "stream": true,
        "stream_options": {"include_usage": true}, "max_tokens": 99, "temperature": 0.7,
        "top_p": 0.9, "top_k": 40, "min_p": 0.05, "seed": 7, "presence_penalty": 0.1,
        "frequency_penalty": 0.2, "repeat_penalty": 1.1, "stop": ["a", "b", "c", "d"],
        "reasoning_effort": "low", "tool_choice": {"type": "function", "function": {"name": "f"}},
        "parallel_tool_calls": false, "tools": [{"type": "function", "function":
            {"name": "f", "description": "does f", "parameters": {"type": "object"}}}],
    });
    let (model, call) = (plain_model(), full_call());
    assert_eq!(body_of(&model, &call, &[]), want);
    let mut refused = vec![];
    for (parameter, field) in [
        (Parameter::Temperature, "temperature"),
        (Parameter::TopP, "top_p"),
        (Parameter::TopK, "top_k"),
        (Parameter::MinP, "min_p"),
        (Parameter::Seed, "seed"),
        (Parameter::PresencePenalty, "presence_penalty"),
        (Parameter::FrequencyPenalty, "frequency_penalty"),
        (Parameter::RepeatPenalty, "repeat_penalty"),
        (Parameter::StreamOptions, "stream_options"),
        (Parameter::Effort, "reasoning_effort"),
        (Parameter::ParallelToolCalls, "parallel_tool_calls"),
        (Parameter::MaxTokens, "max_tokens"),
    ] {
        refused.push(parameter);
        want.as_object_mut().unwrap().remove(field);
        let mut got = body_of(&model, &call, &refused);
        if parameter == Parameter::MaxTokens {
            let renamed = got.as_object_mut().unwrap().remove("max_completion_tokens");
            assert_eq!(renamed, Some(json!(99)));
        }
        assert_eq!(got, want, "without {field}");
    }
    refused.push(Parameter::MaxCompletionTokens);
    assert_eq!(body_of(&model, &call, &refused), want, "neither name");
}

#[test]
fn efforts_are_mapped() {
    for (effort, refused, want) in [
        (Effort::None, vec![], Some("none")),
        (Effort::On, vec![], None),
        (Effort::Max, vec![], Some("xhigh")),
        (Effort::None, vec![Parameter::LeastEffort], Some("low")),
        (Effort::High, vec![Parameter::LeastEffort], Some("high")),
        (Effort::None, vec![Parameter::LeastEffort, Parameter::Effort], None),
    ] {
        let call = testing::call_of("hi", Prompt { effort: Some(effort), ..Prompt::default() });
        let body = body_of(&plain_model(), &call, &refused);
        assert_eq!(body.get("reasoning_effort").and_then(Value::as_str), want, "{effort:?}");
    }
}

#[test]
fn temperature_is_clamped_or_left_out() {
    let mut call = testing::call("hi");
    call.prompt.sampling.temperature = Some(1.4);
    let clamped = Model { max_temperature: 1.0, ..plain_model() };
    assert_eq!(body_of(&clamped, &call, &[])["temperature"], json!(1.0));
    let silent = Model { send_temperature: false, ..plain_model() };
    assert_eq!(body_of(&silent, &call, &[]).get("temperature"), None);
}

#[test]
fn conversations_are_mapped() {
    let mut seeing = Message::text(Role::User, "see");
    seeing
        .parts
        .push(Part::Image(Image::Inline { media_type: "image/png".into(), base64: "QQ==".into() }));
    seeing.parts.push(Part::Image(Image::Url {
        url: "https://e.example/a.png".into(),
        detail: Some("low".into()),
    }));
    let mut calling = Message::text(Role::Assistant, "");
    calling.tool_calls =
        vec![ToolCall { id: String::new(), name: "f".into(), arguments: "{}".into() }];
    let mut result = Message::text(Role::Tool, "42");
    result.tool_name = Some("f".into());
    let messages = vec![Message::text(Role::System, "be"), seeing, calling, result];
    let call = Call { messages: messages.into(), ..testing::call_with_tools() };
    assert_eq!(
        body_of(&plain_model(), &call, &[])["messages"],
        json!([
            {"role": "system", "content": "be"},
            {"role": "user", "content": [
                {"type": "text", "text": "see"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ=="}},
                {"type": "image_url", "image_url": {"url": "https://e.example/a.png", "detail": "low"}},
            ]},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "call_2_0", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "content": "42", "tool_call_id": "call_2_0"},
        ])
    );
}

#[test]
fn output_forms_step_down_into_the_prompt() {
    let schema = || OutputFormat::Schema {
        name: "out".into(),
        schema: Arc::new(json!({"type": "object"}).into()),
        strict: Some(true),
        description: None,
    };
    let as_schema = json!({"type": "json_schema", "json_schema":
        {"name": "out", "schema": {"type": "object"}, "strict": true}});
    let as_json = json!({"type": "json_object"});
    let (by_schema, by_json) = (vec![Parameter::Schema], vec![Parameter::Schema, Parameter::Json]);
    for (format, refused, want, instructed) in [
        (OutputFormat::Text, vec![], None, false),
        (schema(), vec![], Some(&as_schema), true),
        (schema(), by_schema.clone(), Some(&as_json), true),
        (schema(), by_json.clone(), None, true),
        (OutputFormat::Json, by_schema, Some(&as_json), true),
        (OutputFormat::Json, by_json, None, true),
    ] {
        let call = testing::call_of("hi", Prompt { format: format.clone(), ..Prompt::default() });
        let body = body_of(&plain_model(), &call, &refused);
        assert_eq!(body.get("response_format"), want, "{format:?} {refused:?}");
        let first = &body["messages"][0];
        let has_instruction =
            first["role"] == "system" && first["content"].as_str().unwrap().contains("JSON");
        assert_eq!(has_instruction, instructed, "{format:?} {refused:?}");
    }
    let call = testing::call_of(
        "give me json",
        Prompt { format: OutputFormat::Json, ..Prompt::default() },
    );
    assert_eq!(body_of(&plain_model(), &call, &[])["messages"].as_array().unwrap().len(), 1);
    // The schema is put into its place alone, whatever the client has beside it.
    let mut extra = Extra::new(Protocol::OpenAi, Map::new());
    extra.within = Map::from_iter([(
        "response_format".to_owned(),
        json!({"schema": null, "json_schema": {"note": null}}),
    )]);
    let call = testing::call_of(
        "hi",
        Prompt { format: schema(), extra: Some(extra), ..Prompt::default() },
    );
    let form = &body_of(&plain_model(), &call, &[])["response_format"];
    let inner = json!({"name": "out", "schema": {"type": "object"}, "strict": true, "note": null});
    assert_eq!(*form, json!({"type": "json_schema", "json_schema": inner, "schema": null}));
}

#[test]
fn plain_completion_takes_a_prompt() {
    let config = Model { mode: Mode::Completion, ..plain_model() };
    let turns = vec![Message::text(Role::System, "be"), Message::text(Role::User, "hi")];
    let call = Call {
        messages: turns.into(),
        prompt: Prompt { max_tokens: Some(5), ..Prompt::default() },
        ..testing::call("")
    };
    let body = body_of(&config, &call, &[Parameter::MaxTokens]);
    assert_eq!(body["prompt"], "be\n\nUser: hi\n\nAssistant:");
    assert_eq!(body["stop"], json!(["\nUser:"]));
    assert_eq!(body.get("messages"), None);
    assert_eq!(body.get("max_completion_tokens"), None);
    let raw = testing::call_of("Once upon", Prompt { raw: true, ..Prompt::default() });
    let body = body_of(&plain_model(), &raw, &[]);
    assert_eq!((body["prompt"].as_str(), body.get("stop")), (Some("Once upon"), None));
}

#[test]
fn unknown_fields_reach_only_their_own_protocol() {
    let fields = json!({"logit_bias": {"5": 1}, "model": "no", "stream": false});
    for (protocol, want) in
        [(Protocol::OpenAi, Some(&fields["logit_bias"])), (Protocol::Ollama, None)]
    {
        let extra = Some(Extra::new(protocol, fields.as_object().unwrap().clone()));
        let body = body_of(
            &plain_model(),
            &testing::call_of("hi", Prompt { extra, ..Prompt::default() }),
            &[],
        );
        assert_eq!(body.get("logit_bias"), want);
        assert_eq!((&body["model"], &body["stream"]), (&json!("up"), &json!(true)));
    }
}

#[test]
fn what_was_refused_is_not_put_back() {
    let fields = json!({"top_k": 5, "repetition_penalty": 1.1, "reasoning": {"max_tokens": 9}});
    let extra = Some(Extra::new(Protocol::OpenAi, fields.as_object().unwrap().clone()));
    let call = testing::call_of("hi", Prompt { extra, ..Prompt::default() });
    for (refused, name) in [
        (Parameter::TopK, "top_k"),
        (Parameter::RepeatPenalty, "repetition_penalty"),
        (Parameter::Effort, "reasoning"),
    ] {
        assert_eq!(body_of(&plain_model(), &call, &[])[name], fields[name]);
        assert_eq!(body_of(&plain_model(), &call, &[refused]).get(name), None, "{name}");
    }
}

#[test]
fn tools_are_hidden_from_a_model_without_them() {
    let config = Model { tools: Some(false), ..plain_model() };
    let call =
        testing::tool_call_of(Prompt { tool_choice: Some(ToolChoice::None), ..Prompt::default() });
    assert_eq!(body_of(&plain_model(), &call, &[])["tool_choice"], "none");
    let body = body_of(&config, &call, &[]);
    assert_eq!((body.get("tools"), body.get("tool_choice")), (None, None));
}

#[test]
fn chunks_and_replies_are_read() {
    let details = |list: Value| {
        Piece::Kept(crate::llm::protocol::state::Kept::Details(list.as_array().unwrap().clone()))
    };
    let text = |text: &'static str| Piece::Text(text.into());
    let thought = |text: &'static str| Piece::Reasoning(text.into());
    let delta =
        |delta: Value| json!({"choices": [{"index": 0, "delta": delta, "finish_reason": null}]});
    for (value, want) in [
        (delta(json!({"role": "assistant", "content": ""})), vec![]),
        (delta(json!({"content": "你"})), vec![text("你")]),
        (delta(json!({"content": null, "reasoning_content": "hm"})), vec![thought("hm")]),
        (
            delta(json!({"reasoning": "a", "reasoning_details": [{"text": "a"}]})),
            vec![details(json!([{"text": "a"}])), thought("a")],
        ),
        (
            delta(json!({"reasoning_details": [{"text": "a"}, {"text": "b"}]})),
            vec![details(json!([{"text": "a"}, {"text": "b"}])), thought("ab")],
        ),
        (delta(json!({"content": [{"type": "text", "text": "a"}]})), vec![text("a")]),
        (
            delta(
                json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "a"}]}]}),
            ),
            vec![thought("a")],
        ),
        (
            delta(
                json!({"tool_calls": [{"index": 1, "id": "c", "function": {"name": "f", "arguments": "{"}}]}),
            ),
            vec![Piece::Tool(ToolPiece {
                index: Some(1),
                id: Some("c".into()),
                name: Some("f".into()),
                arguments: "{".into(),
                begins: false,
                beside: None,
            })],
        ),
        (json!({"choices": []}), vec![]),
        (json!({}), vec![]),
        (
            json!({"choices": [{"text": "hi", "finish_reason": "length"}]}),
            vec![text("hi"), Piece::Finish(FinishReason::Length)],
        ),
        (
            json!({"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 3, "completion_tokens": 2,
                    "prompt_tokens_details": {"cached_tokens": 1},
                    "completion_tokens_details": {"reasoning_tokens": 1}}}),
            vec![
                Piece::Usage(Counts {
                    prompt: Some(3),
                    completion: Some(2),
                    cached: Some(1),
                    reasoning: Some(1),
                    ..Counts::default()
                }),
                text("hi"),
                Piece::Finish(FinishReason::Stop),
            ],
        ),
    ] {
        assert_eq!(pieces(&value).ok().unwrap(), want, "{value}");
    }
    // Some servers say that there is no reason yet, instead of null.
    for none in ["", "null"] {
        let chunk = json!({"choices": [{"delta": {"content": "hi"}, "finish_reason": none}]});
        assert_eq!(pieces(&chunk).ok(), Some(vec![Piece::Text("hi".into())]), "{none:?}");
    }
    let chunk = json!({"choices": [{"delta": {}, "finish_reason": "error"}]});
    assert_eq!(pieces(&chunk).err().unwrap().error_kind(None), LlmErrorKind::InBand);
}
