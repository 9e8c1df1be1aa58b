//! Messages in every spelling.

use proptest::prelude::*;
use serde_json::json;

use super::{super::test_support::any_json, *};

fn read(messages: Value) -> Result<Vec<Message>, AppError> {
    conversation(serde_json::from_value(messages).unwrap())
}

fn one(message: Value) -> Message {
    read(json!([message])).unwrap().remove(0)
}

#[test]
fn content_is_read_in_every_spelling() {
    let png = "iVBORw0KGgoAAAANSUhEUgAA";
    let picture =
        Part::Image(Image::Inline { media_type: "image/png".to_owned(), base64: png.to_owned() });
    let words = |text: &str| Part::Text(text.to_owned());
    let linked = |detail: Option<&str>| {
        Part::Image(Image::Url {
            url: "https://a.example/b.png".to_owned(),
            detail: detail.map(str::to_owned),
        })
    };
    let data = format!("data:image/png;base64,{png}");
    for (content, want) in [
        (json!("hi"), vec![words("hi")]),
        (json!(null), vec![]),
        (json!(["a", {"type": "text", "text": "b"}]), vec![words("a"), words("b")]),
        (json!([{"type": "input_text", "text": "a"}]), vec![words("a")]),
        (json!([{"type": "output_text", "text": "a"}]), vec![words("a")]),
        (json!([{"type": "refusal", "refusal": "no"}]), vec![words("no")]),
        (
            json!([{"type": "image_url", "image_url": {"url": data}}, "x"]),
            vec![picture.clone(), words("x")],
        ),
        (json!([{"type": "image_url", "image_url": data}]), vec![picture]),
        (
            json!([{"type": "image_url",
                    "image_url": {"url": "https://a.example/b.png", "detail": "low"}}]),
            vec![linked(Some("low"))],
        ),
        (
            json!([{"type": "input_image", "image_url": "https://a.example/b.png"}]),
            vec![linked(None)],
        ),
    ] {
        assert_eq!(one(json!({"role": "user", "content": content})).parts, want, "{content}");
    }
}

#[test]
fn roles_are_read_in_every_spelling() {
    for (name, want) in [
        ("system", Role::System),
        ("developer", Role::System),
        ("User", Role::User),
        ("ASSISTANT", Role::Assistant),
        ("tool", Role::Tool),
        ("function", Role::Tool),
    ] {
        assert_eq!(one(json!({"role": name, "content": ""})).role, want);
    }
}

#[test]
fn what_cannot_be_understood_is_named() {
    for (message, param, words) in [
        (json!({"content": "x"}), "messages[0].role", "messages[0].role: missing"),
        (
            json!({"role": "robot"}),
            "messages[0].role",
            "messages[0].role: expected system, developer, user, assistant, tool or function",
        ),
        (
            json!({"role": "user", "content": 5}),
            "messages[0].content",
            "messages[0].content: expected text or an array of parts",
        ),
        (
            json!({"role": "user", "content": ["a", {"text": "b"}]}),
            "messages[0].content[1].type",
            "messages[0].content[1].type: missing",
        ),
        (
            json!({"role": "user", "content": [{"type": "text", "text": 1}]}),
            "messages[0].content[0].text",
            "messages[0].content[0].text: expected text",
        ),
        (
            json!({"role": "user", "content": [{"type": "image_url"}]}),
            "messages[0].content[0].image_url",
            "messages[0].content[0].image_url: expected a URL",
        ),
        (
            json!({"role": "user", "content": [{"type": "image_url", "image_url": "ftp://a"}]}),
            "messages[0].content[0].image_url",
            "messages[0].content[0].image_url: expected a data, http or https URL",
        ),
        (
            json!({"role": "assistant", "tool_calls": [{"function": {}}]}),
            "messages[0].tool_calls[0].function.name",
            "messages[0].tool_calls[0].function.name: missing",
        ),
    ] {
        let Err(AppError::Invalid { message: got, param: at }) = read(json!([message])) else {
            panic!("accepted: {message}");
        };
        assert_eq!((at.as_deref(), got.as_str()), (Some(param), words));
    }
}

#[test]
fn tool_results_find_their_calls() {
    let call = |name: &str| json!({"function": {"name": name, "arguments": {"a": 1}}});
    let messages = read(json!([
        {"role": "assistant", "tool_calls": [call("f"), call("g"), call("f")]},
        {"role": "tool", "tool_name": "g", "content": "1"},
        {"role": "tool", "content": "2"},
        {"role": "tool", "tool_name": "f", "content": "3"},
        {"role": "assistant", "content": null,
         "tool_calls": [{"id": "x", "type": "function",
                         "function": {"name": "h", "arguments": "{\"b\":2}"}}]},
        {"role": "tool", "tool_call_id": "x", "content": "4"},
        {"role": "tool", "tool_call_id": "unknown", "content": "5"},
    ]))
    .unwrap();
    let links: Vec<_> = messages
        .iter()
        .filter(|message| message.role == Role::Tool)
        .map(|m| (m.tool_call_id.as_deref().unwrap(), m.tool_name.as_deref()))
        .collect();
    assert_eq!(
        links,
        [
            ("call_0_1", Some("g")),
            ("call_0_0", Some("f")),
            ("call_0_2", Some("f")),
            ("x", Some("h")),
            ("unknown", None),
        ]
    );
    assert_eq!(messages[0].tool_calls[0].arguments, r#"{"a":1}"#);
    assert_eq!(messages[4].tool_calls[0].arguments, r#"{"b":2}"#);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn no_content_makes_it_panic(content in any_json(), calls in any_json()) {
        let message = json!({"role": "user", "content": content, "tool_calls": calls});
        if let Ok(message) = serde_json::from_value::<Parted<RawMessage>>(message) {
            let _ = super::read(message, 0, "messages[0]");
        }
    }
}

#[test]
fn what_nobody_knows_is_kept_where_it_stood() {
    let message = one(json!({
        "role": "assistant", "name": "bo", "prefix": true, "refusal": null, "annotations": [],
        "content": [
            {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": "b"},
            {"type": "video_url", "video_url": {"url": "https://a.example/v"}},
            {"type": "image_url", "image_url": {"url": "https://a.example/i", "max": 3}, "y": 1},
        ],
        "tool_calls": [{"id": "c", "type": "function", "index": 0, "x": 2,
            "function": {"name": "f", "arguments": "", "z": 3}}],
    }));
    let unknown = &message.extras.as_ref().unwrap().unknown;
    assert_eq!(json!(unknown.message), json!({"name": "bo", "prefix": true}));
    assert_eq!(
        json!(unknown.parts),
        json!([[0, {"cache_control": {"type": "ephemeral"}}], [3, {"image_url": {"max": 3}, "y": 1}]])
    );
    assert_eq!(json!(unknown.calls), json!([[0, {"x": 2, "function": {"z": 3}}]]));
    assert_eq!(message.tool_calls[0].arguments, "{}");
    let only = unknown_part(&[message]).unwrap();
    assert_eq!(only.param, "messages[0].content[2].type");
}

#[test]
fn thoughts_are_their_models_and_progress_is_nobodys() {
    let state = |message: Value| one(message).extras.map(|extras| extras.state);
    for (name, text, want) in [
        ("reasoning_content", "hm", "hm"),
        ("reasoning", "worker a: ok, 1.0 s\nhm", "hm"),
        ("reasoning_text", "hm", "hm"),
        ("thinking", "hm", "hm"),
    ] {
        let state = state(json!({"role": "assistant", "content": "x", name: text})).unwrap();
        // So Ollama's clients call those of any model.
        let field = Some(name).filter(|name| *name != "thinking");
        assert_eq!((state.thoughts.as_str(), state.field.as_deref()), (want, field));
    }
    let progress =
        json!({"role": "assistant", "content": "x", "thinking": "worker a: ok, 1.0 s\n"});
    assert_eq!(state(progress), None);
    let asked = json!({"role": "user", "content": "x", "reasoning_content": "hm"});
    assert_eq!(state(asked), None);
    let kept = state(json!({"role": "assistant", "reasoning_details": [{"text": "hm"}],
        "tool_calls": [{"id": "c", "function": {"name": "f"}, "extra_content": {"g": 1}}]}));
    let kept = kept.unwrap();
    assert_eq!(kept.details, [json!({"text": "hm"})]);
    assert_eq!(json!(kept.calls), json!([["c", {"extra_content": {"g": 1}}]]));
    let blocks = json!({"thinking_blocks": [{"type": "thinking"}], "reasoning_opaque": "x"});
    let mut message = blocks.clone();
    (message["role"], message["content"]) = (json!("assistant"), json!("x"));
    assert_eq!(Value::Object(state(message).unwrap().fields), blocks);
}
