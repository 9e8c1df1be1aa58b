//! Golden sequences, each also held against Anthropic's reference by a checker of its own.

use serde_json::{Value, json};

use super::{checker, *};
use crate::{
    llm::LlmErrorKind,
    server::{
        frames::{Channel, written},
        test_support::*,
    },
    workflow::{Event, StageStatus},
};

fn reply(include_workflow: bool) -> MessageReply {
    let stops = vec!["END".to_owned(), "STOP".to_owned()];
    let id = RequestId::fresh();
    let mut reply = MessageReply::new(id, "m".to_owned(), stops, 17, include_workflow);
    reply.id = "msg_1".to_owned();
    reply
}

fn streamed(reply: MessageReply, events: Vec<Event>) -> String {
    written(reply, Dialect::Anthropic, Channel::SHOWN, events)
}

/// The message that a stream is, by the reference.
fn checked(events: Vec<Event>) -> Value {
    let text = streamed(reply(false), events);
    let events = checker::read(&text).unwrap();
    checker::check(&events).unwrap_or_else(|why| panic!("{why}\n{text}"))
}

#[test]
fn a_stream_is_thinking_text_and_an_end() {
    let events = vec![
        worker("b", StageStatus::Ok),
        reasoning("hm"),
        token("Hel"),
        token("lo"),
        end(finished(FinishReason::Stop)),
    ];
    let text = streamed(reply(false), events);
    checker::check(&checker::read(&text).unwrap()).unwrap();
    insta::assert_snapshot!(text, @r#"
    event: message_start
    data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":17,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}}

    event: content_block_start
    data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}

    event: content_block_delta
    data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"worker b: ok, 2.0 s⁣\n"}}

    event: content_block_delta
    data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}

    event: content_block_stop
    data: {"type":"content_block_stop","index":0}

    event: content_block_start
    data: {"type":"content_block_start","index":1,"content_block":{"type":"text","text":"","citations":null}}

    event: content_block_delta
    data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Hel"}}

    event: content_block_delta
    data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"lo"}}

    event: content_block_stop
    data: {"type":"content_block_stop","index":1}

    event: message_delta
    data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"input_tokens":22,"cache_creation_input_tokens":0,"cache_read_input_tokens":4,"output_tokens":12},"chorus":{"total_usage":{"prompt_tokens":104,"completion_tokens":12,"total_tokens":116},"cost_usd":0.5,"calls":5}}

    event: message_stop
    data: {"type":"message_stop"}
    "#);
}

#[test]
fn calls_come_one_after_the_other_whatever_their_pieces_do() {
    let story = vec![
        call(0, Some(("call_1", "weather")), "{\"ci"),
        call(1, Some(("call_2", "now")), ""),
        call(2, Some(("", "later")), "{\"in\":"),
        call(0, None, "ty\":\"Rome\"}"),
        call(2, None, "1}"),
        end(finished(FinishReason::Stop)),
    ];
    let mut message = checked(story);
    let id = message["content"][2]["id"].take();
    assert!(id.as_str().is_some_and(|id| id.starts_with("toolu_")), "{id}");
    let want = json!([
        {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Rome"}},
        {"type": "tool_use", "id": "call_2", "name": "now", "input": {}},
        {"type": "tool_use", "id": null, "name": "later", "input": {"in": 1}},
    ]);
    assert_eq!(message["content"], want);
    assert_eq!(message["stop_reason"], "tool_use");
}

#[test]
fn text_behind_a_call_is_not_lost_and_splits_none() {
    let end = || end(finished(FinishReason::Stop));
    for story in [
        vec![call(0, Some(("c1", "f")), "{\"a\""), token("So."), call(0, None, ":1}"), end()],
        vec![call(0, Some(("c1", "f")), "{\"a\":1}"), token("So."), call(0, None, "\n"), end()],
    ] {
        let want = json!([
            {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}},
            {"type": "text", "text": "So.", "citations": null},
        ]);
        assert_eq!(checked(story)["content"], want);
    }
}

#[test]
fn every_ending_has_its_word() {
    for (reason, calls, word, sequence) in [
        (FinishReason::Stop, false, "end_turn", Value::Null),
        (FinishReason::Stop, true, "tool_use", Value::Null),
        (FinishReason::ToolCalls, true, "tool_use", Value::Null),
        (FinishReason::ToolCalls, false, "end_turn", Value::Null),
        (FinishReason::StopSequence(1), false, "stop_sequence", json!("STOP")),
        (FinishReason::StopSequence(9), false, "end_turn", Value::Null),
        (FinishReason::Length, false, "max_tokens", Value::Null),
        (FinishReason::Length, true, "max_tokens", Value::Null),
        (FinishReason::ContentFilter, false, "refusal", Value::Null),
    ] {
        let called = calls.then(|| call(0, Some(("c1", "f")), "{}"));
        let story = [token("Hi")].into_iter().chain(called).chain([end(finished(reason))]);
        let streamed = checked(story.collect());
        assert_eq!(streamed["stop_reason"], word, "{reason:?}");
        assert_eq!(streamed["stop_sequence"], sequence, "{reason:?}");
        let mut answer = Answer { text: "Hi".to_owned(), ..Answer::default() };
        answer.tool_calls.extend(calls.then(|| ToolCall {
            id: "c1".to_owned(),
            name: "f".to_owned(),
            arguments: "{}".to_owned(),
        }));
        let mut whole = json_of(&reply(false).whole(answer, &finished(reason)).unwrap());
        checker::check_message(&whole).unwrap();
        whole["usage"] = streamed["usage"].clone();
        assert_eq!(whole, streamed, "plain and streamed say the same");
    }
}

/// A half call at the end of a cut answer is no call that can be made.
#[test]
fn of_a_cut_answer_only_whole_calls_are_sent_whole() {
    let story = vec![
        call(0, Some(("c1", "f")), "{}"),
        call(1, Some(("c2", "g")), "{\"a\":"),
        end(finished(FinishReason::Length)),
    ];
    let message = checked(story);
    assert_eq!(message["content"].as_array().map(Vec::len), Some(1), "{message}");
}

#[test]
fn a_broken_stream_ends_in_an_error_and_not_as_a_whole_one() {
    let events = vec![token("Hel"), Event::Failed(failed(upstream(LlmErrorKind::Truncated)))];
    let text = streamed(reply(false), events);
    let events = checker::read(&text).unwrap();
    let (error, before) = events.split_last().unwrap();
    assert!(checker::check(before).is_err());
    assert_eq!(error["type"], "error");
    assert_eq!(error["error"], json!({"type": "api_error", "message": "model 'writer': it broke"}));
    assert!(error["request_id"].is_string(), "{error}");
    assert!(!text.contains("[DONE]"), "{text}");
}

#[test]
fn arguments_that_are_no_object_fail_a_plain_answer() {
    let call = ToolCall { id: "c1".to_owned(), name: "f".to_owned(), arguments: "[1]".to_owned() };
    let answer = Answer { tool_calls: vec![call], ..Answer::default() };
    let error = reply(false).whole(answer, &finished(FinishReason::ToolCalls)).unwrap_err();
    assert!(matches!(error, AppError::UnusableToolCall { tool } if tool == "f"));
}

#[test]
fn the_record_stands_where_the_answer_ends() {
    for asked in [false, true] {
        let text = streamed(reply(asked), vec![token("Hi"), end(degraded())]);
        let with: Vec<&str> = text.lines().filter(|line| line.contains("\"workflow\":{")).collect();
        assert_eq!(with.len(), usize::from(asked));
        assert!(with.iter().all(|line| line.contains("\"message_delta\"")), "{text}");
        let answer = Answer { text: "Hi".to_owned(), ..Answer::default() };
        let whole = json_of(&reply(asked).whole(answer, &degraded()).unwrap());
        assert_eq!(whole.get("workflow").is_some(), asked);
        assert_eq!(whole["warnings"][0]["code"], "timeout");
        assert_eq!(whole["chorus"]["calls"], 5);
    }
}

/// The checker would notice.
#[test]
fn a_damaged_sequence_is_refused() {
    let story = vec![
        reasoning("hm"),
        token("Hi"),
        call(0, Some(("c1", "f")), "{}"),
        end(finished(FinishReason::Stop)),
    ];
    let good = checker::read(&streamed(reply(false), story)).unwrap();
    checker::check(&good).unwrap();
    for place in 0..good.len() {
        let mut without = good.clone();
        let gone = without.remove(place);
        // Without a delta it is a shorter answer.
        if gone["type"] != "content_block_delta" {
            assert!(checker::check(&without).is_err(), "without {gone}");
        }
        for name in gone.as_object().unwrap().keys().filter(|name| **name != "chorus") {
            let mut lacking = good.clone();
            lacking[place].as_object_mut().unwrap().shift_remove(name);
            assert!(checker::check(&lacking).is_err(), "{name} of {gone}");
        }
    }
}
