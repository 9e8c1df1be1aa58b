//! What of a conversation is read, as tables.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::server::test_support::any_json;

const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAAB";

fn read(system: Value, messages: Value) -> Result<Read, AppError> {
    conversation(Some(system), serde_json::from_value(messages).unwrap())
}

fn shown(messages: &[Message]) -> String {
    let one = |message: &Message| {
        let calls =
            message.tool_calls.iter().map(|call| format!("+{}({})", call.name, call.arguments));
        let id = message.tool_call_id.as_ref().map(|id| format!("#{id}"));
        let said = [message.role.as_str().to_owned(), ":".to_owned(), message.joined_text()];
        said.into_iter().chain(id).chain(calls).collect::<String>()
    };
    messages.iter().map(one).collect::<Vec<_>>().join(" | ")
}

#[test]
fn messages_are_what_they_say() {
    let text = |text: &str| json!({"type": "text", "text": text});
    for (system, messages, want) in [
        (json!(null), json!([{"role": "user", "content": "a"}]), "user:a"),
        (
            json!("x"),
            json!([{"role": "user", "content": [text("a"), "b"]}]),
            "system:x | user:a\nb",
        ),
        (
            json!([text("x"), text("y")]),
            json!([{"role": "user", "content": "a"}, {"role": "system", "content": "now"},
                {"role": "assistant", "content": null}, {"role": "user", "content": "b"}]),
            "system:x\ny | user:a | system:now | user:b",
        ),
        (
            json!(""),
            json!([
                {"role": "user", "content": "go"},
                {"role": "assistant", "content": [text("so"),
                    {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
                    {"type": "tool_use", "id": "t2", "name": "g", "input": {}}]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": "one"},
                    {"type": "tool_result", "tool_use_id": "t2", "is_error": true,
                        "content": [text("two")]},
                    text("and now?")]},
            ]),
            "user:go | assistant:so+f({\"a\":1})+g({}) | tool:one#t1 | tool:two#t2 | user:and now?",
        ),
        (
            json!(null),
            json!([{"role": "user", "content": [
                {"type": "document", "title": "T", "source": {"type": "text", "data": "words"}},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
                {"type": "image", "source": {"type": "url", "url": "https://a.example/b.png"}}]}]),
            "user:T\nwords",
        ),
    ] {
        let read = read(system, messages).unwrap();
        assert_eq!(shown(&read.messages), want);
        assert!(read.left_out.is_empty() && read.only_there.is_none());
    }
}

#[test]
fn results_have_the_names_of_their_calls() {
    let messages = json!([
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1"}]},
    ]);
    let read = read(Value::Null, messages).unwrap();
    assert_eq!(read.messages[1].tool_name.as_deref(), Some("f"));
}

#[test]
fn what_a_model_signed_stays_whole_and_progress_is_no_thought() {
    let signed = json!({"type": "thinking", "thinking": "deep", "signature": "sig"});
    let redacted = json!({"type": "redacted_thinking", "data": "abc"});
    let own = crate::types::marked("worker a: ok, 2.0 s");
    for (blocks, thoughts, kept) in [
        (json!([signed, redacted]), "", vec![signed.clone(), redacted.clone()]),
        (json!([{"type": "thinking", "thinking": "deep", "signature": ""}]), "deep", vec![]),
        (json!([{"type": "thinking", "thinking": "deep"}]), "deep", vec![]),
        (json!([{"type": "thinking", "thinking": own, "signature": ""}]), "", vec![]),
        (
            json!([{"type": "thinking", "thinking": format!("{own}deep")}, signed]),
            "deep",
            vec![signed.clone()],
        ),
    ] {
        let mut blocks = blocks;
        blocks.as_array_mut().unwrap().push(json!({"type": "text", "text": "so"}));
        let messages = json!([{"role": "user", "content": "a"},
            {"role": "assistant", "content": blocks}]);
        let read = read(Value::Null, messages).unwrap();
        let state = read.messages[1].extras.as_ref().map(|it| it.state.clone()).unwrap_or_default();
        assert_eq!(state.thoughts, thoughts);
        let sorted = |blocks: &[Value]| {
            let mut blocks = blocks.to_vec();
            blocks.iter_mut().for_each(Value::sort_all_objects);
            blocks
        };
        assert_eq!(sorted(&state.blocks), sorted(&kept));
    }
}

#[test]
fn fields_that_only_anthropics_own_know_are_kept_in_their_places() {
    let cached = json!({"type": "ephemeral"});
    let messages = json!([
        {"role": "assistant", "content": [
            {"type": "tool_use", "id": "t1", "name": "f", "input": {}, "cache_control": cached}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": "x", "is_error": true},
            {"type": "text", "text": "a"},
            {"type": "text", "text": "b", "cache_control": cached}]},
    ]);
    let system = json!([{"type": "text", "text": "x", "cache_control": cached}]);
    let read = read(system, messages).unwrap();
    let unknown = |index: usize| &read.messages[index].extras.as_ref().unwrap().unknown;
    assert_eq!(unknown(0).parts[0].1["cache_control"], cached);
    assert_eq!(unknown(1).calls[0].1["cache_control"], cached);
    assert_eq!(unknown(2).message["is_error"], true);
    assert_eq!((unknown(3).parts[0].0, &unknown(3).parts[0].1["cache_control"]), (1, &cached));
}

#[test]
fn what_others_cannot_read_is_named() {
    let server = json!({"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}});
    let pdf = json!({"type": "document", "source": {"type": "base64",
        "media_type": "application/pdf", "data": "aGk="}});
    let messages = json!([{"role": "assistant", "content": [server, {"type": "text", "text": "so"}]},
        {"role": "user", "content": [pdf, {"type": "text", "text": "and?"}]}]);
    let read = read(Value::Null, messages).unwrap();
    assert_eq!(read.left_out, ["server_tool_use"]);
    let only = read.only_there.unwrap();
    assert_eq!(only.param, "messages[1].content[0].source");
    assert!(only.message.starts_with("capability_rejected: "), "{}", only.message);
    assert_eq!(read.messages[0].parts[0], Part::Other(server));
}

#[test]
fn errors_name_the_place() {
    for (messages, param) in [
        (json!([]), "messages"),
        (json!([{"content": "a"}]), "messages[0].role"),
        (json!([{"role": "tool", "content": "a"}]), "messages[0].role"),
        (json!([{"role": "user", "content": 5}]), "messages[0].content"),
        (json!([{"role": "user", "content": [5]}]), "messages[0].content[0]"),
        (json!([{"role": "user", "content": [{}]}]), "messages[0].content[0].type"),
        (json!([{"role": "user", "content": [{"type": "text"}]}]), "messages[0].content[0].text"),
        (
            json!([{"role": "user", "content": [{"type": "image"}]}]),
            "messages[0].content[0].source",
        ),
        (
            json!([{"role": "user", "content": [{"type": "image",
                "source": {"type": "url", "url": "file:///etc/passwd"}}]}]),
            "messages[0].content[0].source.url",
        ),
        (
            json!([{"role": "user", "content": [{"type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": "!"}}]}]),
            "messages[0].content[0].source.data",
        ),
        (
            json!([{"role": "assistant", "content": [{"type": "tool_use", "name": "f"}]}]),
            "messages[0].content[0].id",
        ),
        (
            json!([{"role": "user", "content": [{"type": "tool_result"}]}]),
            "messages[0].content[0].tool_use_id",
        ),
    ] {
        let error = read(Value::Null, messages.clone()).err();
        let Some(AppError::Invalid { param: found, message }) = error else { panic!("{messages}") };
        assert_eq!(found.as_deref(), Some(param), "{messages}");
        assert!(message.starts_with(param), "{message}");
    }
}

proptest! {
    #[test]
    fn no_conversation_makes_it_panic(system in any_json(), content in any_json(), role in 0..3_usize) {
        let role = ["user", "assistant", "system"][role];
        let _ = read(system, json!([{"role": role, "content": content}]));
    }
}
