//! What of a conversation is read, as tables.

use proptest::prelude::*;

use super::*;
use crate::server::test_support::any_json;

fn read(contents: Value) -> Result<Read, AppError> {
    conversation(None, Some(contents))
}

fn shown(messages: &[Message]) -> String {
    let one = |message: &Message| {
        let calls = message.tool_calls.iter();
        let calls = calls.map(|call| format!("+{}#{}({})", call.name, call.id, call.arguments));
        let id = message.tool_call_id.as_ref().map(|id| format!("#{id}"));
        let said = [message.role.as_str().to_owned(), ":".to_owned(), message.joined_text()];
        said.into_iter().chain(id).chain(calls).collect::<String>()
    };
    messages.iter().map(one).collect::<Vec<_>>().join(" | ")
}

#[test]
fn contents_are_what_they_say() {
    for (contents, want) in [
        (json!("a"), "user:a"),
        (json!({"parts": {"text": "a"}}), "user:a"),
        (json!([{"parts": [{"text": "a"}, {"text": "b"}]}]), "user:a\nb"),
        (
            json!([
                {"role": "user", "parts": [{"text": "go"}]},
                {"role": "model", "parts": [{"text": "so"},
                    {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}},
                    {"function_call": {"name": "g"}}]},
                {"role": "function", "parts": [
                    {"functionResponse": {"id": "c1", "name": "f", "response": {"output": "one"}}},
                    {"functionResponse": {"name": "g", "response": {"x": 2, "y": 3}}},
                    {"text": "and now?"}]},
            ]),
            "user:go | assistant:so+f#c1({\"a\":1})+g#call_1_1({}) | tool:one#c1 | \
             tool:{\"x\":2,\"y\":3}#call_1_1 | user:and now?",
        ),
        (
            json!([{"parts": [
                {"inlineData": {"mimeType": "text/plain", "data": "aGVsbG8="}},
                {"inline_data": {"mime_type": "image/png", "data": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAAB"}},
                {"fileData": {"mimeType": "image/png", "fileUri": "https://a.example/b.png"}},
                {"executableCode": {"language": "PYTHON", "code": "1"}}]}]),
            "user:hello\n```\n1\n```",
        ),
    ] {
        let read = read(contents).unwrap();
        assert_eq!(shown(&read.messages), want);
        assert!(read.left_out.is_empty() && read.only_there.is_none());
    }
}

#[test]
fn thoughts_and_signatures_stand_beside_the_turn() {
    let own = crate::types::marked("worker a: ok, 2.0 s");
    let read =
        read(json!([{"role": "user", "parts": [{"text": "go"}]}, {"role": "model", "parts": [
        {"text": format!("{own}deep"), "thought": true},
        {"text": "so", "thoughtSignature": "one"},
        {"functionCall": {"id": "c1", "name": "f"}, "thoughtSignature": "two"}]}]))
        .unwrap();
    let state = read.messages[1].state().unwrap();
    assert_eq!(state.thoughts, "deep");
    let of = |fields: &Map<String, Value>| {
        fields["extra_content"]["google"]["thought_signature"].clone()
    };
    assert_eq!(of(&state.fields), "one");
    assert_eq!((state.calls[0].0.as_str(), of(&state.calls[0].1)), ("c1", json!("two")));
}

#[test]
fn what_others_cannot_read_is_named() {
    let video = json!({"inlineData": {"mimeType": "video/mp4", "data": "aGk="}});
    let odd = json!({"somethingNew": {"a": 1}});
    let read = read(json!([{"parts": [odd, video]}])).unwrap();
    assert_eq!(read.left_out, ["somethingNew"]);
    assert_eq!(read.only_there.unwrap().param, "contents[0].parts[1].inlineData.mimeType");
    assert_eq!(read.messages[0].parts, [Part::Other(odd), Part::Other(video)]);
}

#[test]
fn errors_name_the_place() {
    for (contents, param) in [
        (json!([5]), "contents[0]"),
        (json!([{"role": "robot", "parts": []}]), "contents[0].role"),
        (json!([{"parts": 5}]), "contents[0].parts"),
        (json!([{"parts": [5]}]), "contents[0].parts[0]"),
        (json!([{"parts": [{"text": 5}]}]), "contents[0].parts[0].text"),
        (json!([{"parts": [{"functionCall": {}}]}]), "contents[0].parts[0].functionCall.name"),
        (json!([{"parts": [{"functionResponse": 5}]}]), "contents[0].parts[0].functionResponse"),
        (
            json!([{"parts": [{"inlineData": {"mimeType": "image/png", "data": "!"}}]}]),
            "contents[0].parts[0].inlineData.data",
        ),
    ] {
        let error = read(contents.clone()).err();
        let Some(AppError::Invalid { param: found, message }) = error else { panic!("{contents}") };
        assert_eq!(found.as_deref(), Some(param), "{contents}");
        assert!(message.starts_with(param), "{message}");
    }
}

proptest! {
    #[test]
    fn no_conversation_makes_it_panic(parts in any_json(), contents in any_json()) {
        let _ = read(json!([{"role": "model", "parts": parts}]));
        let _ = read(contents);
    }
}
