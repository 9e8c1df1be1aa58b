//! Golden sequences.

use serde_json::json;

use super::*;
use crate::{
    llm::LlmErrorKind,
    server::{
        dialect::Dialect,
        frames::{Channel, written},
        test_support::*,
    },
    workflow::{Event, StageStatus},
};

fn reply(include_workflow: bool) -> GenerateReply {
    let mut reply = GenerateReply::new("m".to_owned(), include_workflow);
    reply.id = "r1".to_owned();
    reply
}

fn streamed(sse: bool, events: Vec<Event>) -> String {
    written(reply(false), Dialect::Gemini { sse }, Channel::SHOWN, events)
}

fn state(piece: StatePiece) -> Event {
    Event::Delta(Delta::State(piece))
}

fn fields(signature: &str) -> Map<String, Value> {
    let google = json!({"google": {"thought_signature": signature}});
    Map::from_iter([("extra_content".to_owned(), google)])
}

#[test]
fn a_stream_is_thoughts_text_and_an_end_in_both_framings() {
    let events = || {
        vec![
            worker("b", StageStatus::Ok),
            reasoning("hm"),
            token("Hel"),
            token("lo"),
            end(finished(FinishReason::Stop)),
        ]
    };
    insta::assert_snapshot!(streamed(true, events()), @r#"
    data: {"modelVersion":"m","responseId":"r1","candidates":[{"content":{"parts":[{"text":"worker b: ok, 2.0 s⁣\n","thought":true}],"role":"model"},"index":0}]}

    data: {"modelVersion":"m","responseId":"r1","candidates":[{"content":{"parts":[{"text":"hm","thought":true}],"role":"model"},"index":0}]}

    data: {"modelVersion":"m","responseId":"r1","candidates":[{"content":{"parts":[{"text":"Hel"}],"role":"model"},"index":0}]}

    data: {"modelVersion":"m","responseId":"r1","candidates":[{"content":{"parts":[{"text":"lo"}],"role":"model"},"index":0}]}

    data: {"modelVersion":"m","responseId":"r1","candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":26,"candidatesTokenCount":9,"totalTokenCount":38,"cachedContentTokenCount":4,"thoughtsTokenCount":3},"chorus":{"total_usage":{"prompt_tokens":104,"completion_tokens":12,"total_tokens":116},"cost_usd":0.5,"calls":5}}
    "#);
    let array = streamed(false, events());
    let objects: Vec<Value> = serde_json::from_str(&array).expect("a JSON array");
    let lines = streamed(true, events());
    let lines = lines.lines().filter_map(|line| line.strip_prefix("data: "));
    let lines: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects, lines);
}

#[test]
fn calls_come_whole_and_with_their_signatures() {
    let story = vec![
        token("So."),
        state(StatePiece::Fields(fields("said"))),
        state(StatePiece::Call { index: 0, fields: fields("called") }),
        call(0, Some(("c1", "f")), "{\"a\""),
        call(1, Some(("c2", "g")), ""),
        call(0, None, ":1}"),
        end(finished(FinishReason::ToolCalls)),
    ];
    let mut answer = Answer::default();
    for event in &story {
        if let Event::Delta(delta) = event {
            answer.push(delta);
        }
    }
    let objects: Vec<Value> = serde_json::from_str(&streamed(false, story)).unwrap();
    let last = &objects.last().unwrap()["candidates"][0];
    let calls = json!([
        {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}, "thoughtSignature": "called"},
        {"functionCall": {"id": "c2", "name": "g", "args": {}}},
    ]);
    assert_eq!(last["content"]["parts"][0], json!({"text": "", "thoughtSignature": "said"}));
    assert_eq!(last["content"]["parts"].as_array().unwrap()[1..], *calls.as_array().unwrap());
    assert_eq!(last["finishReason"], "STOP");
    let whole = json_of(&reply(false).whole(answer, &finished(FinishReason::ToolCalls)).unwrap());
    let parts = &whole["candidates"][0]["content"]["parts"];
    assert_eq!(parts[0], json!({"text": "So.", "thoughtSignature": "said"}));
    assert_eq!(parts.as_array().unwrap()[1..], *calls.as_array().unwrap());
}

#[test]
fn a_plain_answer_is_one_object() {
    let answer =
        Answer { text: "Hello".to_owned(), reasoning: "hm".to_owned(), ..Answer::default() };
    let object = reply(false).whole(answer, &degraded()).unwrap();
    insta::assert_snapshot!(text_of(object), @r#"{"modelVersion":"m","responseId":"r1","candidates":[{"content":{"parts":[{"text":"hm","thought":true},{"text":"Hello"}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":26,"candidatesTokenCount":9,"totalTokenCount":38,"cachedContentTokenCount":4,"thoughtsTokenCount":3},"warnings":[{"stage":"worker","name":"b","code":"timeout"}],"chorus":{"total_usage":{"prompt_tokens":104,"completion_tokens":12,"total_tokens":116},"cost_usd":0.5,"calls":5}}"#);
}

#[test]
fn every_ending_has_its_word() {
    for (reason, word) in [
        (FinishReason::Stop, "STOP"),
        (FinishReason::StopSequence(0), "STOP"),
        (FinishReason::Length, "MAX_TOKENS"),
        (FinishReason::ContentFilter, "SAFETY"),
    ] {
        let text = streamed(true, vec![token("Hi"), end(finished(reason))]);
        assert_eq!(text.matches("\"finishReason\"").count(), 1, "{text}");
        assert!(text.contains(&format!("\"finishReason\":\"{word}\"")), "{text}");
        assert!(!text.contains("[DONE]"), "{text}");
    }
}

#[test]
fn a_broken_stream_ends_in_an_error() {
    let events = || vec![token("Hel"), Event::Failed(failed(upstream(LlmErrorKind::Truncated)))];
    let objects: Vec<Value> = serde_json::from_str(&streamed(false, events())).unwrap();
    let error = &objects.last().unwrap()["error"];
    assert_eq!((&error["code"], &error["status"]), (&json!(502), &json!("INTERNAL")));
    assert!(
        streamed(true, events()).trim_end().lines().last().unwrap().starts_with("data: {\"error\"")
    );
}
