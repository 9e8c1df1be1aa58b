use std::sync::Arc;

use super::*;
use crate::{
    config::{Mode, Model},
    llm::{Call, protocol::parameter::Refused, testing},
    types::{Extra, FinishReason, Prompt, Protocol, Role, ToolCall, ToolChoice},
};

fn config() -> Model {
    testing::model(Protocol::Ollama, "http://127.0.0.1:1")
}

fn body_of(config: &Model, call: &Call, refused: &[Parameter]) -> Value {
    let refused: Refused = refused.iter().copied().collect();
    body(&Ask { config, call, refused: &refused }).into_value()
}

#[test]
fn fields_are_mapped_to_options() {
    let sampling = testing::full_sampling(0.7);
    let call = Call {
        stream: false,
        prompt: Prompt {
            sampling,
            max_tokens: Some(99),
            stop: vec!["a".into()],
            effort: Some(Effort::None),
            ..Prompt::default()
        },
        ..testing::call("hi")
    };
    assert_eq!(
        body_of(&config(), &call, &[]),
        json!({"model": "up", "messages": [{"role": "user", "content": "hi"}], "stream": false,
            "think": false, "options": {"num_ctx": 8192, "num_predict": 99, "temperature": 0.7,
                "top_p": 0.9, "top_k": 40, "min_p": 0.05, "seed": 7, "presence_penalty": 0.1,
                "frequency_penalty": 0.2, "repeat_penalty": 1.1, "stop": ["a"]}})
    );
    let body = body_of(&config(), &call, &[Parameter::Effort]);
    assert_eq!(body.get("think"), None);
}

#[test]
fn unknown_fields_are_merged_deep() {
    let fields = json!({"keep_alive": "5m", "model": "no",
        "options": {"num_ctx": 4096, "mirostat": 1, "temperature": 9}});
    let extra = Extra::new(Protocol::Ollama, fields.as_object().unwrap().clone());
    let mut call = testing::call_of("hi", Prompt { extra: Some(extra), ..Prompt::default() });
    call.prompt.sampling.temperature = Some(0.5);
    let body = body_of(&config(), &call, &[]);
    assert_eq!((&body["keep_alive"], &body["model"]), (&json!("5m"), &json!("up")));
    assert_eq!(body["options"], json!({"num_ctx": 4096, "mirostat": 1, "temperature": 0.5}));
}

#[test]
fn conversations_with_tools_and_images() {
    let mut seeing = Message::text(Role::User, "see");
    let image = Image::Inline { media_type: "image/png".into(), base64: "QQ==".into() };
    seeing.parts.push(Part::Image(image));
    let mut calling = Message::text(Role::Assistant, "");
    calling.tool_calls =
        vec![ToolCall { id: "c".into(), name: "f".into(), arguments: "{\"a\":1}".into() }];
    let mut result = Message::text(Role::Tool, "42");
    result.tool_call_id = Some("c".into());
    let call =
        Call { messages: vec![seeing, calling, result].into(), ..testing::call_with_tools() };
    let body = body_of(&config(), &call, &[]);
    assert_eq!(
        body["messages"],
        json!([
            {"role": "user", "content": "see", "images": ["QQ=="]},
            {"role": "assistant", "content": "",
                "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]},
            {"role": "tool", "content": "42", "tool_name": "f"},
        ])
    );
    assert_eq!(body["tools"][0]["function"]["name"], "f");
    // The protocol has no word for a demanded call, so the model is instructed.
    let call =
        Call { prompt: Prompt { tool_choice: Some(ToolChoice::Required), ..call.prompt }, ..call };
    let message = &body_of(&config(), &call, &[])["messages"][0];
    assert_eq!(
        (&message["role"], &message["content"]),
        (&json!("system"), &json!(super::super::prompt::CALL_A_TOOL))
    );
    // With tool choice `none` there are no tools, and what was called is plain text.
    let call =
        Call { prompt: Prompt { tool_choice: Some(ToolChoice::None), ..call.prompt }, ..call };
    let body = body_of(&config(), &call, &[]);
    assert_eq!(body.get("tools"), None);
    assert_eq!(
        body["messages"][1],
        json!({"role": "assistant", "content": "[called the tool f with {\"a\":1}]"})
    );
    assert_eq!(
        body["messages"][2],
        json!({"role": "user", "content": "[result of the tool f]\n42"})
    );
}

#[test]
fn forms_efforts_and_prompts() {
    let schema = Arc::new(json!({"type": "object"}).into());
    let format = OutputFormat::Schema { name: "o".into(), schema, strict: None, description: None };
    let call = testing::call_of("hi", Prompt { format, ..Prompt::default() });
    assert_eq!(body_of(&config(), &call, &[])["format"], json!({"type": "object"}));
    assert_eq!(body_of(&config(), &call, &[Parameter::Schema])["format"], "json");
    let plain = Model { mode: Mode::Completion, ..config() };
    let body = body_of(&plain, &testing::call("Once"), &[]);
    assert_eq!((&body["prompt"], body.get("raw")), (&json!("Once"), None));
    let raw = testing::call_of("Once", Prompt { raw: true, ..Prompt::default() });
    assert_eq!(body_of(&config(), &raw, &[])["raw"], true);
    for (effort, want) in [
        (Effort::On, json!(true)),
        (Effort::Minimal, json!("low")),
        (Effort::XHigh, json!("high")),
        (Effort::Max, json!("max")),
    ] {
        let call = testing::call_of("hi", Prompt { effort: Some(effort), ..Prompt::default() });
        assert_eq!(body_of(&config(), &call, &[])["think"], want);
    }
}

#[test]
fn what_it_cannot_take_is_known_before_a_call() {
    let unsupported =
        |config: &Model, call: &Call| Ask { config, call, refused: &Refused::new() }.unsupported();
    let mut seeing = testing::call_with_image();
    assert_eq!(unsupported(&config(), &seeing), None);
    let blind = Model { vision: Some(false), ..config() };
    assert!(unsupported(&blind, &seeing).is_some());
    let plain = Model { mode: Mode::Completion, ..config() };
    assert!(unsupported(&plain, &seeing).is_some());
    let toolless = Model { tools: Some(false), ..config() };
    assert!(unsupported(&toolless, &testing::call_with_tools()).is_some());
    let shown =
        testing::tool_call_of(Prompt { tool_choice: Some(ToolChoice::None), ..Prompt::default() });
    assert_eq!(unsupported(&toolless, &shown), None);
    let mut message = seeing.messages[0].clone();
    message.parts.push(Part::Image(Image::Url { url: "https://e.example/a".into(), detail: None }));
    seeing.messages = vec![message].into();
    assert_eq!(
        unsupported(&config(), &seeing).as_deref(),
        Some("image URLs are not supported by model 'm'")
    );
}

#[test]
fn lines_and_replies_are_read() {
    let text = |text: &'static str| Piece::Text(text.into());
    for (value, want) in [
        (
            json!({"message": {"role": "assistant", "content": "你"}, "done": false}),
            vec![text("你")],
        ),
        (json!({"response": "hi", "done": false}), vec![text("hi")]),
        (
            json!({"message": {"content": "", "thinking": "hm"}, "done": false}),
            vec![Piece::Reasoning("hm".into())],
        ),
        (
            json!({"message": {"tool_calls": [{"id": "c", "function": {"index": 0, "name": "f", "arguments": {"a": 1}}}]}}),
            vec![Piece::Tool(ToolPiece {
                index: None,
                id: Some("c".into()),
                name: Some("f".into()),
                arguments: "{\"a\":1}".into(),
                begins: true,
                beside: None,
            })],
        ),
        (
            json!({"message": {"content": "x"}, "done": true, "done_reason": "length",
                "prompt_eval_count": 5, "eval_count": 3, "eval_duration": 1000}),
            vec![
                text("x"),
                Piece::Usage(Counts {
                    prompt: Some(5),
                    completion: Some(3),
                    completion_time: Some(Duration::from_micros(1)),
                    ..Counts::default()
                }),
                Piece::Finish(FinishReason::Length),
                Piece::End,
            ],
        ),
    ] {
        assert_eq!(pieces(&value).ok().unwrap(), want, "{value}");
    }
    assert!(pieces(&json!({"error": "boom"})).is_err());
}
