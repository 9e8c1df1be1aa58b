//! Answers of `POST /api/generate` and `POST /api/chat` (Ollama's API documentation).

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::super::{
    dialect::Dialect,
    error::AppError,
    frames::{Encoder, Frames},
};
use crate::{
    llm::ToolCallDelta,
    types::{FinishReason, ToolCall},
    workflow::{Answer, Event, Finished},
};

/// Nothing is ever loaded; clients drop the whole final object when the field is missing.
const LOAD_DURATION: u64 = 1000;

/// Where the text is in an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `response`.
    Generate,
    /// `message.content`.
    Chat,
    /// `message.content`, and `response` too.
    ScriptChat,
}

impl Form {
    /// The form of `/api/chat`.
    pub(super) fn chat(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Script => Self::ScriptChat,
            Dialect::Ollama | Dialect::OpenAi => Self::Chat,
        }
    }
}

/// One answer's form.
#[derive(Debug)]
pub(super) struct OllamaReply {
    form: Form,
    model: String,
    include_workflow: bool,
    /// Collects tool calls, which go out whole. Text and reasoning are not kept.
    calls: Answer,
}

/// What an object says beside model, time and `done`.
#[derive(Default)]
struct Said<'a> {
    text: &'a str,
    thinking: &'a str,
    tool_calls: Option<Value>,
}

impl OllamaReply {
    /// An answer from `model`, the name the client used.
    pub(super) fn new(form: Form, model: String, include_workflow: bool) -> Self {
        Self { form, model, include_workflow, calls: Answer::default() }
    }

    /// The answer to a request that asks nothing.
    pub(super) fn loaded(&self, unloads: bool) -> Value {
        let mut object = self.object(Said::default(), true);
        let reason = if unloads { "unload" } else { "load" };
        object.insert("done_reason".to_owned(), reason.into());
        Value::Object(object)
    }

    fn object(&self, said: Said<'_>, done: bool) -> Map<String, Value> {
        let mut object = Map::new();
        object.insert("model".to_owned(), self.model.as_str().into());
        object.insert("created_at".to_owned(), format!("{:.6}", Timestamp::now()).into());
        let thinking = (!said.thinking.is_empty()).then(|| Value::from(said.thinking));
        if self.form != Form::Chat {
            object.insert("response".to_owned(), said.text.into());
        }
        match self.form {
            Form::Generate => {
                // Absent when there is none: clients look for the key.
                object.extend(thinking.map(|text| ("thinking".to_owned(), text)));
            }
            Form::Chat | Form::ScriptChat => {
                let mut message = Map::new();
                message.insert("role".to_owned(), "assistant".into());
                message.insert("content".to_owned(), said.text.into());
                message.extend(thinking.map(|text| ("thinking".to_owned(), text)));
                message.extend(said.tool_calls.map(|calls| ("tool_calls".to_owned(), calls)));
                object.insert("message".to_owned(), Value::Object(message));
            }
        }
        object.insert("done".to_owned(), done.into());
        object
    }

    fn push(&self, said: Said<'_>, frames: &mut Frames) {
        frames.push(&Value::Object(self.object(said, false)));
    }

    /// The last object: how the answer ended and what it took.
    fn last(&self, said: Said<'_>, finished: &Finished) -> Map<String, Value> {
        let mut object = self.object(said, true);
        let reason = match finished.reason {
            FinishReason::Length => "length",
            FinishReason::Stop | FinishReason::ToolCalls | FinishReason::ContentFilter => "stop",
        };
        object.insert("done_reason".to_owned(), reason.into());
        if self.form == Form::Generate {
            object.insert("context".to_owned(), json!([]));
        }
        let usage = &finished.usage;
        let total = Duration::from_millis(finished.trace.level.total_ms);
        for (name, value) in [
            ("total_duration", nanos(total)),
            ("load_duration", LOAD_DURATION),
            ("prompt_eval_count", usage.prompt_tokens),
            ("prompt_eval_duration", nanos(usage.prompt_time)),
            ("eval_count", usage.completion_tokens),
            // Clients divide by it.
            ("eval_duration", nanos(usage.completion_time).max(1)),
        ] {
            object.insert(name.to_owned(), value.into());
        }
        if !finished.trace.warnings.is_empty() {
            object.insert("warnings".to_owned(), json!(finished.trace.warnings));
        }
        if self.include_workflow {
            let trace = serde_json::to_value(&finished.trace).unwrap_or_default();
            object.insert("workflow".to_owned(), trace);
        }
        object
    }
}

impl Encoder for OllamaReply {
    fn text(&mut self, text: &str, frames: &mut Frames) {
        self.push(Said { text, ..Said::default() }, frames);
    }

    fn reasoning(&mut self, text: &str, frames: &mut Frames) {
        self.push(Said { thinking: text, ..Said::default() }, frames);
    }

    /// Arguments are an object here, so a call can only be told once it is complete.
    fn tool_call(&mut self, delta: &ToolCallDelta, _frames: &mut Frames) {
        self.calls.push(&Event::ToolCallDelta(delta.clone()));
    }

    fn finished(&mut self, finished: &Finished, frames: &mut Frames) -> Result<(), AppError> {
        if let Some(calls) = tool_calls(&self.calls.tool_calls)? {
            self.push(Said { tool_calls: Some(calls), ..Said::default() }, frames);
        }
        frames.push(&Value::Object(self.last(Said::default(), finished)));
        Ok(())
    }

    fn heartbeat(&self) -> Value {
        Value::Object(self.object(Said::default(), false))
    }

    fn whole(&mut self, answer: Answer, finished: &Finished) -> Result<Value, AppError> {
        let tool_calls = tool_calls(&answer.tool_calls)?;
        let said = Said { text: &answer.text, thinking: &answer.reasoning, tool_calls };
        Ok(Value::Object(self.last(said, finished)))
    }
}

/// `None` when there are none: the key is absent then.
fn tool_calls(calls: &[ToolCall]) -> Result<Option<Value>, AppError> {
    if calls.is_empty() {
        return Ok(None);
    }
    let told = calls.iter().enumerate().map(|(index, call)| {
        let arguments = arguments(&call.arguments)
            .ok_or_else(|| AppError::UnusableToolCall { tool: call.name.clone() })?;
        let function = json!({"index": index, "name": call.name, "arguments": arguments});
        Ok(json!({"id": call.id, "function": function}))
    });
    told.collect::<Result<Vec<_>, _>>().map(|calls| Some(Value::Array(calls)))
}

fn arguments(text: &str) -> Option<Map<String, Value>> {
    if text.trim().is_empty() {
        return Some(Map::new());
    }
    serde_json::from_str(text).ok()
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{
        super::super::{
            frames::{Channel, written},
            test_support::*,
        },
        *,
    };
    use crate::workflow::StageStatus;

    fn streamed(form: Form, dialect: Dialect, events: Vec<Event>) -> String {
        let reply = OllamaReply::new(form, "m".to_owned(), false);
        let shown = Channel { reasoning: true, progress: true };
        without_times(&written(reply, dialect, shown, events))
    }

    fn whole(form: Form, answer: Answer, finished: &Finished) -> Value {
        OllamaReply::new(form, "m".to_owned(), false).whole(answer, finished).unwrap()
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
        {"model":"m","created_at":"[time]","response":"","thinking":"worker b: ok, 2.0 s\n","done":false}
        {"model":"m","created_at":"[time]","response":"","thinking":"hm","done":false}
        {"model":"m","created_at":"[time]","response":"Hel","done":false}
        {"model":"m","created_at":"[time]","response":"lo","done":false}
        {"model":"m","created_at":"[time]","response":"","done":true,"done_reason":"stop","context":[],"total_duration":1500000000,"load_duration":1000,"prompt_eval_count":26,"prompt_eval_duration":1000000,"eval_count":12,"eval_duration":900000000}
        "#);
    }

    #[test]
    fn generate_streams_events_for_scripts() {
        insta::assert_snapshot!(streamed(Form::Generate, Dialect::Script, story()), @r#"
        data: {"model":"m","created_at":"[time]","response":"","thinking":"worker b: ok, 2.0 s\n","done":false}

        data: {"model":"m","created_at":"[time]","response":"","thinking":"hm","done":false}

        data: {"model":"m","created_at":"[time]","response":"Hel","done":false}

        data: {"model":"m","created_at":"[time]","response":"lo","done":false}

        data: {"model":"m","created_at":"[time]","response":"","done":true,"done_reason":"stop","context":[],"total_duration":1500000000,"load_duration":1000,"prompt_eval_count":26,"prompt_eval_duration":1000000,"eval_count":12,"eval_duration":900000000}

        data: [DONE]
        "#);
    }

    #[test]
    fn chat_streams_lines() {
        insta::assert_snapshot!(streamed(Form::Chat, Dialect::Ollama, story()), @r#"
        {"model":"m","created_at":"[time]","message":{"role":"assistant","content":"","thinking":"worker b: ok, 2.0 s\n"},"done":false}
        {"model":"m","created_at":"[time]","message":{"role":"assistant","content":"","thinking":"hm"},"done":false}
        {"model":"m","created_at":"[time]","message":{"role":"assistant","content":"Hel"},"done":false}
        {"model":"m","created_at":"[time]","message":{"role":"assistant","content":"lo"},"done":false}
        {"model":"m","created_at":"[time]","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","total_duration":1500000000,"load_duration":1000,"prompt_eval_count":26,"prompt_eval_duration":1000000,"eval_count":12,"eval_duration":900000000}
        "#);
    }

    #[test]
    fn chat_repeats_the_text_for_scripts() {
        let events = vec![token("Hi"), end(degraded())];
        insta::assert_snapshot!(streamed(Form::ScriptChat, Dialect::Script, events), @r#"
        data: {"model":"m","created_at":"[time]","response":"Hi","message":{"role":"assistant","content":"Hi"},"done":false}

        data: {"model":"m","created_at":"[time]","response":"","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","total_duration":1500000000,"load_duration":1000,"prompt_eval_count":26,"prompt_eval_duration":1000000,"eval_count":12,"eval_duration":900000000,"warnings":[{"stage":"worker","name":"b","code":"timeout"}]}

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
        {"model":"m","created_at":"[time]","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","total_duration":1500000000,"load_duration":1000,"prompt_eval_count":26,"prompt_eval_duration":1000000,"eval_count":12,"eval_duration":900000000}
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
            Answer { text: "Hello".to_owned(), reasoning: "hm".to_owned(), tool_calls: Vec::new() };
        let object = whole(Form::Generate, answer, &finished(FinishReason::Length));
        insta::assert_snapshot!(without_times(&object.to_string()), @r#"{"model":"m","created_at":"[time]","response":"Hello","thinking":"hm","done":true,"done_reason":"length","context":[],"total_duration":1500000000,"load_duration":1000,"prompt_eval_count":26,"prompt_eval_duration":1000000,"eval_count":12,"eval_duration":900000000}"#);
        let answer = Answer { text: "Hello".to_owned(), ..Answer::default() };
        let object = whole(Form::ScriptChat, answer, &degraded());
        insta::assert_snapshot!(without_times(&object.to_string()), @r#"{"model":"m","created_at":"[time]","response":"Hello","message":{"role":"assistant","content":"Hello"},"done":true,"done_reason":"stop","total_duration":1500000000,"load_duration":1000,"prompt_eval_count":26,"prompt_eval_duration":1000000,"eval_count":12,"eval_duration":900000000,"warnings":[{"stage":"worker","name":"b","code":"timeout"}]}"#);
    }

    #[test]
    fn the_record_is_told_only_when_asked() {
        for asked in [false, true] {
            let mut reply = OllamaReply::new(Form::Chat, "m".to_owned(), asked);
            let object = reply.whole(Answer::default(), &finished(FinishReason::Stop)).unwrap();
            assert_eq!(object.get("workflow").is_some(), asked);
            assert_eq!(object.get("warnings"), None);
        }
    }

    #[test]
    fn metrics_are_never_missing_and_time_is_never_zero() {
        let mut finished = finished(FinishReason::Stop);
        finished.usage = crate::types::Usage::default();
        finished.trace.level.total_ms = 0;
        let object = whole(Form::Chat, Answer::default(), &finished);
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
        let told = |form, unloads| without_times(&reply(form).loaded(unloads).to_string());
        insta::assert_snapshot!(told(Form::Generate, false), @r#"{"model":"m","created_at":"[time]","response":"","done":true,"done_reason":"load"}"#);
        insta::assert_snapshot!(told(Form::Chat, true), @r#"{"model":"m","created_at":"[time]","message":{"role":"assistant","content":""},"done":true,"done_reason":"unload"}"#);
    }

    #[test]
    fn times_are_in_utc_with_microseconds() {
        let reply = OllamaReply::new(Form::Chat, "m".to_owned(), false);
        let object = reply.heartbeat();
        let time = object["created_at"].as_str().unwrap();
        assert_eq!(time.len(), "2026-01-02T03:04:05.123456Z".len());
        assert!(time.ends_with('Z') && time.parse::<Timestamp>().is_ok());
    }
}
