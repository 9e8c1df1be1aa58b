//! Golden answers.

use super::{
    super::super::{
        frames::{Channel, written},
        test_support::*,
    },
    *,
};
use crate::{
    types::FinishReason,
    workflow::{Event, StageStatus},
};
use jiff::Timestamp;

fn streamed(form: Form, dialect: Dialect, events: Vec<Event>) -> String {
    let reply = OllamaReply::new(form, "m".to_owned(), false);
    let shown = Channel::SHOWN;
    without_times(&written(reply, dialect, shown, events))
}

fn whole(form: Form, answer: Answer, finished: &Finished) -> String {
    text_of(OllamaReply::new(form, "m".to_owned(), false).whole(answer, finished).unwrap())
}

fn story() -> Vec<Event> {
    vec![
        worker("b", StageStatus::Ok),
        reasoning("hm"),
        token("Hel"),
        token("lo"),
        worker("late", StageStatus::Ok),
        reasoning("too late"),
        end(finished(FinishReason::Stop)),
    ]
}

#[test]
fn generate_streams_lines() {
    insta::assert_snapshot!(streamed(Form::Generate, Dialect::Ollama, story()), @r#"
    {"model":"m","created_at":"[time]","response":"","thinking":"worker b: ok, 2.0 s⁣\n","done":false}
    {"model":"m","created_at":"[time]","response":"","thinking":"hm","done":false}
    {"model":"m","created_at":"[time]","response":"Hel","done":false}
    {"model":"m","created_at":"[time]","response":"lo","done":false}
    {"model":"m","created_at":"[time]","response":"","done":true,"done_reason":"stop","context":[],"total_duration":1500000000,"load_duration":1000,"prompt_eval_count":26,"prompt_eval_duration":1000000,"eval_count":12,"eval_duration":900000000,"chorus":{"total_usage":{"prompt_tokens":104,"completion_tokens":12,"total_tokens":116},"cost_usd":0.5,"calls":5}}
    "#);
}

#[test]
fn generate_streams_events_for_scripts() {
    insta::assert_snapshot!(streamed(Form::Generate, Dialect::Script, story()), @r#"
    data: {"model":"m","created_at":"[time]","response":"","thinking":"worker b: ok, 2.0 s⁣\n","done":false}

    data: {"model":"m","created_at":"[time]","response":"","thinking":"hm","done":false}

    data: {"model":"m","created_at":"[time]","response":"Hel","done":false}

    data: {"model":"m","created_at":"[time]","response":"lo","done":false}

    data: {"model":"m","created_at":"[time]","response":"","done":true,"done_reason":"stop","context":[],"total_duration":1500000000,"load_duration":1000,"prompt_eval_count":26,"prompt_eval_duration":1000000,"eval_count":12,"eval_duration":900000000,"chorus":{"total_usage":{"prompt_tokens":104,"completion_tokens":12,"total_tokens":116},"cost_usd":0.5,"calls":5}}

    data: [DONE]
    "#);
}

#[test]
fn chat_streams_lines() {
    insta::assert_snapshot!(streamed(Form::Chat, Dialect::Ollama, story()), @r#"
    {"model":"m","created_at":"[time]","message":{"role":"assistant","content":"","thinking":"worker b: ok, 2.0 s⁣\n"},"done":false}
    {"model":"m","created_at":"[time]","message":{"role":"assistant","content":"","thinking":"hm"},"done":false}
    {"model":"m","created_at":"[time]","message":{"role":"assistant","content":"Hel"},"done":false}
    {"model":"m","created_at":"[time]","message":{"role":"assistant","content":"lo"},"done":false}
    {"model":"m","created_at":"[time]","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","total_duration":1500000000,"load_duration":1000,"prompt_eval_count":26,"prompt_eval_duration":1000000,"eval_count":12,"eval_duration":900000000,"chorus":{"total_usage":{"prompt_tokens":104,"completion_tokens":12,"total_tokens":116},"cost_usd":0.5,"calls":5}}
    "#);
}

#[test]
fn chat_repeats_the_text_for_scripts() {
    let events = vec![token("Hi"), end(degraded())];
    insta::assert_snapshot!(streamed(Form::ScriptChat, Dialect::Script, events), @r#"
    data: {"model":"m","created_at":"[time]","response":"Hi","message":{"role":"assistant","content":"Hi"},"done":false}

    data: {"model":"m","created_at":"[time]","response":"","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","total_duration":1500000000,"load_duration":1000,"prompt_eval_count":26,"prompt_eval_duration":1000000,"eval_count":12,"eval_duration":900000000,"warnings":[{"stage":"worker","name":"b","code":"timeout"}],"chorus":{"total_usage":{"prompt_tokens":104,"completion_tokens":12,"total_tokens":116},"cost_usd":0.5,"calls":5}}

    data: [DONE]
    "#);
}

#[test]
fn tool_calls_go_out_whole_in_one_line() {
    let events = vec![
        call(0, Some(("call_1", "weather")), "{\"ci"),
        call(0, None, "ty\":\"Rome\"}"),
        call(1, Some(("call_2", "now")), ""),
        end(finished(FinishReason::ToolCalls)),
    ];
    insta::assert_snapshot!(streamed(Form::Chat, Dialect::Ollama, events), @r#"
    {"model":"m","created_at":"[time]","message":{"role":"assistant","content":"","tool_calls":[{"id":"call_1","function":{"index":0,"name":"weather","arguments":{"city":"Rome"}}},{"id":"call_2","function":{"index":1,"name":"now","arguments":{}}}]},"done":false}
    {"model":"m","created_at":"[time]","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","total_duration":1500000000,"load_duration":1000,"prompt_eval_count":26,"prompt_eval_duration":1000000,"eval_count":12,"eval_duration":900000000,"chorus":{"total_usage":{"prompt_tokens":104,"completion_tokens":12,"total_tokens":116},"cost_usd":0.5,"calls":5}}
    "#);
}

#[test]
fn arguments_that_are_no_object_are_an_error() {
    for arguments in ["[1]", "{\"a\":", "text"] {
        let events = vec![
            call(0, Some(("call_1", "weather")), arguments),
            end(finished(FinishReason::ToolCalls)),
        ];
        let text = streamed(Form::Chat, Dialect::Ollama, events);
        assert_eq!(
            text,
            "{\"error\":\"the model called the tool 'weather' with arguments that are \
            not a JSON object\",\"code\":\"upstream_error\",\"done\":true}\n"
        );
    }
}

#[test]
fn a_plain_answer_is_the_last_object_with_the_text() {
    let answer =
        Answer { text: "Hello".to_owned(), reasoning: "hm".to_owned(), ..Answer::default() };
    let object = whole(Form::Generate, answer, &finished(FinishReason::Length));
    insta::assert_snapshot!(without_times(&object), @r#"{"model":"m","created_at":"[time]","response":"Hello","thinking":"hm","done":true,"done_reason":"length","context":[],"total_duration":1500000000,"load_duration":1000,"prompt_eval_count":26,"prompt_eval_duration":1000000,"eval_count":12,"eval_duration":900000000,"chorus":{"total_usage":{"prompt_tokens":104,"completion_tokens":12,"total_tokens":116},"cost_usd":0.5,"calls":5}}"#);
    let answer = Answer { text: "Hello".to_owned(), ..Answer::default() };
    let object = whole(Form::ScriptChat, answer, &degraded());
    insta::assert_snapshot!(without_times(&object), @r#"{"model":"m","created_at":"[time]","response":"Hello","message":{"role":"assistant","content":"Hello"},"done":true,"done_reason":"stop","total_duration":1500000000,"load_duration":1000,"prompt_eval_count":26,"prompt_eval_duration":1000000,"eval_count":12,"eval_duration":900000000,"warnings":[{"stage":"worker","name":"b","code":"timeout"}],"chorus":{"total_usage":{"prompt_tokens":104,"completion_tokens":12,"total_tokens":116},"cost_usd":0.5,"calls":5}}"#);
}

#[test]
fn the_record_is_sent_only_when_asked() {
    for asked in [false, true] {
        let mut reply = OllamaReply::new(Form::Chat, "m".to_owned(), asked);
        let object = reply.whole(Answer::default(), &finished(FinishReason::Stop)).unwrap();
        let object = json_of(&object);
        assert_eq!(object.get("workflow").is_some(), asked);
        assert_eq!(object.get("warnings"), None);
    }
}

#[test]
fn metrics_are_never_missing_and_time_is_never_zero() {
    let mut finished = finished(FinishReason::Stop);
    finished.usage = crate::types::Usage::default();
    std::sync::Arc::make_mut(&mut finished.trace).level.total_ms = 0;
    let object = json_of(whole(Form::Chat, Answer::default(), &finished).as_bytes());
    for name in [
        "total_duration",
        "load_duration",
        "prompt_eval_count",
        "prompt_eval_duration",
        "eval_count",
        "eval_duration",
    ] {
        assert!(object[name].is_u64(), "{name}");
    }
    assert_eq!(object["eval_duration"], 1);
}

#[test]
fn nothing_asked_is_answered_at_once() {
    let reply = |form| OllamaReply::new(form, "m".to_owned(), false);
    let sent = |form, unloads| without_times(&text_of(reply(form).loaded(unloads).unwrap()));
    insta::assert_snapshot!(sent(Form::Generate, false), @r#"{"model":"m","created_at":"[time]","response":"","done":true,"done_reason":"load"}"#);
    insta::assert_snapshot!(sent(Form::Chat, true), @r#"{"model":"m","created_at":"[time]","message":{"role":"assistant","content":""},"done":true,"done_reason":"unload"}"#);
}

#[test]
fn times_are_in_utc_with_microseconds() {
    let reply = OllamaReply::new(Form::Chat, "m".to_owned(), false);
    let object = json_of(&reply.loaded(false).unwrap());
    let time = object["created_at"].as_str().unwrap();
    assert_eq!(time.len(), "2026-01-02T03:04:05.123456Z".len());
    assert!(time.ends_with('Z') && time.parse::<Timestamp>().is_ok());
}

#[test]
fn generate_sends_no_calls_and_they_are_no_answer() {
    // Arguments that a chat could not send do not matter where none are sent.
    let asks = || call(0, Some(("call_1", "f")), "[1]");
    let ending = || end(finished(FinishReason::ToolCalls));
    for (events, answered) in [
        (vec![asks(), ending()], false),
        (vec![reasoning("hm"), token(" \n"), asks(), ending()], false),
        (vec![token("Hello"), asks(), ending()], true),
        (vec![ending()], true),
    ] {
        let text = streamed(Form::Generate, Dialect::Ollama, events);
        assert_eq!(text.contains(r#""done_reason":"stop""#), answered, "{text}");
        assert_eq!(text.contains(r#""code":"upstream_error","done":true"#), !answered, "{text}");
    }
    let sent = |text: &str| {
        let mut answer = Answer { text: text.to_owned(), ..Answer::default() };
        let Event::Delta(delta) = asks() else { panic!("a call is a delta") };
        answer.push(&delta);
        let mut reply = OllamaReply::new(Form::Generate, "m".to_owned(), false);
        reply.whole(answer, &finished(FinishReason::ToolCalls))
    };
    assert!(matches!(sent(" "), Err(AppError::OnlyToolCalls)));
    assert_eq!(json_of(&sent("Hello").unwrap())["response"], "Hello");
}
