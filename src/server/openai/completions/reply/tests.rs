//! Golden answers.

use super::{
    super::super::super::{
        dialect::Dialect,
        frames::{Channel, written, written_of},
        test_support::*,
    },
    *,
};
use crate::{llm::LlmErrorKind, workflow::Event};

const SHOWN: Channel = Channel::QUIET;

fn reply(prompts: usize, include_usage: bool, include_workflow: bool) -> CompletionReply {
    let mut reply = CompletionReply::new("m".to_owned(), prompts, include_usage, include_workflow);
    reply.id = "cmpl-1".to_owned();
    reply.created = Timestamp::from_microsecond(1_767_323_045_123_456).unwrap();
    reply
}

fn streamed(reply: CompletionReply, events: Vec<Event>) -> String {
    written(reply, Dialect::OpenAi, SHOWN, events)
}

#[test]
fn a_stream_is_text_an_end_and_done() {
    let events =
        vec![reasoning("hm"), token("Hel"), token("lo"), end(finished(FinishReason::Length))];
    insta::assert_snapshot!(streamed(reply(1, false, false), events), @r#"
    data: {"id":"cmpl-1","object":"text_completion","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","choices":[{"index":0,"text":"Hel","logprobs":null,"finish_reason":null}]}

    data: {"id":"cmpl-1","object":"text_completion","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","choices":[{"index":0,"text":"lo","logprobs":null,"finish_reason":null}]}

    data: {"id":"cmpl-1","object":"text_completion","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","choices":[{"index":0,"text":"","logprobs":null,"finish_reason":"length"}],"chorus":{"total_usage":{"prompt_tokens":104,"completion_tokens":12,"total_tokens":116},"cost_usd":0.5,"calls":5}}

    data: [DONE]
    "#);
}

#[test]
fn usage_comes_in_a_chunk_of_its_own_when_asked() {
    let events = vec![token("Hi"), end(degraded())];
    insta::assert_snapshot!(streamed(reply(1, true, false), events), @r#"
    data: {"id":"cmpl-1","object":"text_completion","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","choices":[{"index":0,"text":"Hi","logprobs":null,"finish_reason":null}],"usage":null}

    data: {"id":"cmpl-1","object":"text_completion","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","choices":[{"index":0,"text":"","logprobs":null,"finish_reason":"stop"}],"usage":null,"warnings":[{"stage":"worker","name":"b","code":"timeout"}],"chorus":{"total_usage":{"prompt_tokens":104,"completion_tokens":12,"total_tokens":116},"cost_usd":0.5,"calls":5}}

    data: {"id":"cmpl-1","object":"text_completion","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","choices":[],"usage":{"prompt_tokens":26,"completion_tokens":12,"total_tokens":38,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":3}},"chorus":{"total_usage":{"prompt_tokens":104,"completion_tokens":12,"total_tokens":116},"cost_usd":0.5,"calls":5}}

    data: [DONE]
    "#);
}

#[test]
fn a_broken_stream_never_ends_like_a_complete_one() {
    let events = vec![token("Hel"), Event::Failed(failed(upstream(LlmErrorKind::Truncated)))];
    insta::assert_snapshot!(streamed(reply(1, false, false), events), @r#"
    data: {"id":"cmpl-1","object":"text_completion","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","choices":[{"index":0,"text":"Hel","logprobs":null,"finish_reason":null}]}

    data: {"error":{"message":"model 'writer': it broke","type":"api_error","param":null,"code":"upstream_error"}}

    data: [DONE]
    "#);
}

#[test]
fn several_prompts_end_one_after_the_other_and_their_usage_is_summed() {
    let events = vec![
        (1, token("two")),
        (0, token("one")),
        (1, end(degraded())),
        (0, token("!")),
        (0, end(finished(FinishReason::ToolCalls))),
    ];
    let text = written_of(reply(2, true, false), Dialect::OpenAi, SHOWN, events);
    insta::assert_snapshot!(text, @r#"
    data: {"id":"cmpl-1","object":"text_completion","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","choices":[{"index":1,"text":"two","logprobs":null,"finish_reason":null}],"usage":null}

    data: {"id":"cmpl-1","object":"text_completion","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","choices":[{"index":0,"text":"one","logprobs":null,"finish_reason":null}],"usage":null}

    data: {"id":"cmpl-1","object":"text_completion","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","choices":[{"index":1,"text":"","logprobs":null,"finish_reason":"stop","warnings":[{"stage":"worker","name":"b","code":"timeout"}],"chorus":{"total_usage":{"prompt_tokens":104,"completion_tokens":12,"total_tokens":116},"cost_usd":0.5,"calls":5}}],"usage":null}

    data: {"id":"cmpl-1","object":"text_completion","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","choices":[{"index":0,"text":"!","logprobs":null,"finish_reason":null}],"usage":null}

    data: {"id":"cmpl-1","object":"text_completion","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","choices":[{"index":0,"text":"","logprobs":null,"finish_reason":"stop","chorus":{"total_usage":{"prompt_tokens":104,"completion_tokens":12,"total_tokens":116},"cost_usd":0.5,"calls":5}}],"usage":null,"chorus":{"total_usage":{"prompt_tokens":208,"completion_tokens":24,"total_tokens":232},"cost_usd":1.0,"calls":10}}

    data: {"id":"cmpl-1","object":"text_completion","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","choices":[],"usage":{"prompt_tokens":52,"completion_tokens":24,"total_tokens":76,"prompt_tokens_details":{"cached_tokens":8},"completion_tokens_details":{"reasoning_tokens":6}},"chorus":{"total_usage":{"prompt_tokens":208,"completion_tokens":24,"total_tokens":232},"cost_usd":1.0,"calls":10}}

    data: [DONE]
    "#);
}

#[test]
fn a_plain_answer_is_one_object_with_a_choice_for_each_prompt() {
    let answer = |text: &str| Answer { text: text.to_owned(), ..Answer::default() };
    let one = reply(1, false, false).whole(answer("Hello"), &degraded()).unwrap();
    insta::assert_snapshot!(text_of(one), @r#"{"id":"cmpl-1","object":"text_completion","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","choices":[{"index":0,"text":"Hello","logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":26,"completion_tokens":12,"total_tokens":38,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":3}},"warnings":[{"stage":"worker","name":"b","code":"timeout"}],"chorus":{"total_usage":{"prompt_tokens":104,"completion_tokens":12,"total_tokens":116},"cost_usd":0.5,"calls":5}}"#);
    let mut reply = reply(2, false, false);
    reply.turn_to(0);
    reply.whole(answer("one"), &degraded()).unwrap();
    reply.turn_to(1);
    let two = reply.whole(answer("two"), &finished(FinishReason::ContentFilter)).unwrap();
    insta::assert_snapshot!(text_of(two), @r#"{"id":"cmpl-1","object":"text_completion","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","choices":[{"index":0,"text":"one","logprobs":null,"finish_reason":"stop","warnings":[{"stage":"worker","name":"b","code":"timeout"}],"chorus":{"total_usage":{"prompt_tokens":104,"completion_tokens":12,"total_tokens":116},"cost_usd":0.5,"calls":5}},{"index":1,"text":"two","logprobs":null,"finish_reason":"content_filter","chorus":{"total_usage":{"prompt_tokens":104,"completion_tokens":12,"total_tokens":116},"cost_usd":0.5,"calls":5}}],"usage":{"prompt_tokens":52,"completion_tokens":24,"total_tokens":76,"prompt_tokens_details":{"cached_tokens":8},"completion_tokens_details":{"reasoning_tokens":6}},"chorus":{"total_usage":{"prompt_tokens":208,"completion_tokens":24,"total_tokens":232},"cost_usd":1.0,"calls":10}}"#);
}

#[test]
fn the_record_is_at_the_top_for_one_prompt_and_with_the_choice_for_several() {
    for asked in [false, true] {
        let text = streamed(reply(1, true, asked), vec![end(finished(FinishReason::Stop))]);
        assert_eq!(text.matches(r#"],"usage":null,"workflow":{"#).count(), usize::from(asked));
        let ends =
            vec![(0, end(finished(FinishReason::Stop))), (1, end(finished(FinishReason::Stop)))];
        let text = written_of(reply(2, true, asked), Dialect::OpenAi, SHOWN, ends);
        let with = text.matches(r#""finish_reason":"stop","workflow":{"#).count();
        assert_eq!(with, 2 * usize::from(asked), "{text}");
    }
}

#[test]
fn calls_are_no_answer_and_text_beside_them_is() {
    let asks = || call(0, Some(("call_1", "f")), "{}");
    let ending = || end(finished(FinishReason::ToolCalls));
    for (events, answered) in [
        (vec![asks(), ending()], false),
        (vec![token(" \n"), asks(), ending()], false),
        (vec![token("Hello"), asks(), ending()], true),
        (vec![ending()], true),
    ] {
        let text = streamed(reply(1, false, false), events);
        assert_eq!(text.contains(r#""finish_reason":"stop""#), answered, "{text}");
        assert_eq!(text.contains(r#""code":"upstream_error""#), !answered, "{text}");
    }
    // One prompt's text does not stand for another's.
    let events = vec![(0, token("Hello")), (1, asks()), (0, ending()), (1, ending())];
    let text = written_of(reply(2, false, false), Dialect::OpenAi, SHOWN, events);
    assert!(text.contains(r#""code":"upstream_error""#), "{text}");

    let calls = crate::types::ToolCall {
        id: "call_1".to_owned(),
        name: "f".to_owned(),
        arguments: "{}".to_owned(),
    };
    for (text, answered) in [("", false), ("\n", false), ("Hello", true)] {
        let answer =
            Answer { text: text.to_owned(), tool_calls: vec![calls.clone()], ..Answer::default() };
        let whole = reply(1, false, false).whole(answer, &finished(FinishReason::ToolCalls));
        assert_eq!(whole.is_ok(), answered, "{text:?}");
    }
}
