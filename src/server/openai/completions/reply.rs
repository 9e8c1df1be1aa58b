//! Answers of `POST /v1/completions` (OpenAI's API reference).

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::super::{
    super::{
        error::AppError,
        frames::{Encoder, Frames},
    },
    reply::{random_id, usage},
};
use crate::{
    llm::ToolCallDelta,
    types::{FinishReason, Usage},
    workflow::{Answer, Finished, Warning, WorkflowExecutionDetails},
};

/// A plain answer, and each chunk of a stream.
#[derive(Debug, Serialize)]
struct Completion<'a> {
    /// The same on every chunk.
    id: &'a str,
    object: &'static str,
    /// Unix seconds.
    created: i64,
    /// RFC 3339; Chorus' own.
    created_at: String,
    /// The name the client used.
    model: &'a str,
    choices: &'a [Choice],
    /// Null on the chunks of a stream that ends with a chunk of usage.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Value>,
}

/// The answer to one prompt, or a piece of it.
#[derive(Debug, Serialize)]
struct Choice {
    /// The prompt's place in the list.
    index: usize,
    text: String,
    /// Never told: a fused answer has none.
    logprobs: Option<Value>,
    finish_reason: Option<&'static str>,
    /// Chorus' own: what degraded the choice's run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Warning>,
    /// Chorus' own: the record of the choice's run, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    workflow: Option<WorkflowExecutionDetails>,
}

/// One answer's form: its id and time are the same on every chunk.
#[derive(Debug)]
pub(super) struct CompletionReply {
    id: String,
    created: Timestamp,
    model: String,
    include_usage: bool,
    include_workflow: bool,
    /// How many prompts there are.
    prompts: usize,
    /// The choice that is being told.
    index: usize,
    /// The choices of a plain answer that are complete.
    choices: Vec<Choice>,
    ended: usize,
    /// Of the choices that have ended.
    usage: Usage,
}

impl CompletionReply {
    /// An answer to so many prompts from `model`, the name the client used.
    pub(super) fn new(
        model: String,
        prompts: usize,
        include_usage: bool,
        include_workflow: bool,
    ) -> Self {
        Self {
            id: random_id("cmpl-"),
            created: Timestamp::now(),
            model,
            include_usage,
            include_workflow,
            prompts,
            index: 0,
            choices: Vec::new(),
            ended: 0,
            usage: Usage::default(),
        }
    }

    /// An object; the record of a single run stands at its top, as on every other endpoint.
    fn object(&self, choices: &mut [Choice], usage: Option<Value>) -> Value {
        let mut record = (Vec::new(), None);
        if let (1, [choice]) = (self.prompts, &mut *choices) {
            record = (std::mem::take(&mut choice.warnings), choice.workflow.take());
        }
        let completion = Completion {
            id: &self.id,
            object: "text_completion",
            created: self.created.as_second(),
            created_at: format!("{:.6}", self.created),
            model: &self.model,
            choices,
            usage,
        };
        let mut object = serde_json::to_value(&completion).unwrap_or_default();
        if let Value::Object(fields) = &mut object {
            let (warnings, workflow) = record;
            if !warnings.is_empty() {
                fields.insert("warnings".to_owned(), serde_json::json!(warnings));
            }
            if let Some(workflow) = workflow {
                let workflow = serde_json::to_value(workflow).unwrap_or_default();
                fields.insert("workflow".to_owned(), workflow);
            }
        }
        object
    }

    fn choice(&self, text: String) -> Choice {
        Choice {
            index: self.index,
            text,
            logprobs: None,
            finish_reason: None,
            warnings: Vec::new(),
            workflow: None,
        }
    }

    fn last(&mut self, text: String, finished: &Finished) -> Choice {
        self.ended = self.ended.saturating_add(1);
        self.usage += finished.usage;
        Choice {
            finish_reason: Some(finish_reason(finished.reason)),
            warnings: finished.trace.warnings.clone(),
            workflow: self.include_workflow.then(|| finished.trace.clone()),
            ..self.choice(text)
        }
    }

    fn push(&self, choice: Choice, frames: &mut Frames) {
        let usage = self.include_usage.then_some(Value::Null);
        frames.push(&self.object(&mut [choice], usage));
    }
}

impl Encoder for CompletionReply {
    fn turn_to(&mut self, run: usize) {
        self.index = run;
    }

    fn is_complete(&self) -> bool {
        self.ended >= self.prompts
    }

    fn text(&mut self, text: &str, frames: &mut Frames) {
        self.push(self.choice(text.to_owned()), frames);
    }

    fn reasoning(&mut self, _text: &str, _frames: &mut Frames) {}

    /// No tools are offered; a model that calls one anyway has said nothing.
    fn tool_call(&mut self, _delta: &ToolCallDelta, _frames: &mut Frames) {}

    fn finished(&mut self, finished: &Finished, frames: &mut Frames) -> Result<(), AppError> {
        let last = self.last(String::new(), finished);
        self.push(last, frames);
        if self.include_usage && self.is_complete() {
            frames.push(&self.object(&mut [], Some(usage(&self.usage))));
        }
        Ok(())
    }

    fn heartbeat(&self) -> Value {
        // SSE has comments; this form has no other framing.
        self.object(&mut [self.choice(String::new())], None)
    }

    /// The choices so far: the last of them makes the answer whole.
    fn whole(&mut self, answer: Answer, finished: &Finished) -> Result<Value, AppError> {
        let last = self.last(answer.text, finished);
        self.choices.push(last);
        let mut choices = std::mem::take(&mut self.choices);
        let object = self.object(&mut choices, Some(usage(&self.usage)));
        self.choices = choices;
        Ok(object)
    }
}

fn finish_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::ToolCalls => FinishReason::Stop.as_str(),
        reason => reason.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::super::super::{
            dialect::Dialect,
            frames::{Channel, written, written_of},
            test_support::*,
        },
        *,
    };
    use crate::{llm::LlmErrorKind, workflow::Event};

    const SHOWN: Channel = Channel { reasoning: false, progress: false };

    fn reply(prompts: usize, include_usage: bool, include_workflow: bool) -> CompletionReply {
        let mut reply =
            CompletionReply::new("m".to_owned(), prompts, include_usage, include_workflow);
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

        data: {"id":"cmpl-1","object":"text_completion","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","choices":[{"index":0,"text":"","logprobs":null,"finish_reason":"length"}]}

        data: [DONE]
        "#);
    }

    #[test]
    fn usage_comes_in_a_chunk_of_its_own_when_asked() {
        let events = vec![token("Hi"), end(degraded())];
        insta::assert_snapshot!(streamed(reply(1, true, false), events), @r#"
        data: {"id":"cmpl-1","object":"text_completion","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","choices":[{"index":0,"text":"Hi","logprobs":null,"finish_reason":null}],"usage":null}

        data: {"id":"cmpl-1","object":"text_completion","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","choices":[{"index":0,"text":"","logprobs":null,"finish_reason":"stop"}],"usage":null,"warnings":[{"stage":"worker","name":"b","code":"timeout"}]}

        data: {"id":"cmpl-1","object":"text_completion","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","choices":[],"usage":{"prompt_tokens":26,"completion_tokens":12,"total_tokens":38,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":3}}}

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

        data: {"id":"cmpl-1","object":"text_completion","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","choices":[{"index":1,"text":"","logprobs":null,"finish_reason":"stop","warnings":[{"stage":"worker","name":"b","code":"timeout"}]}],"usage":null}

        data: {"id":"cmpl-1","object":"text_completion","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","choices":[{"index":0,"text":"!","logprobs":null,"finish_reason":null}],"usage":null}

        data: {"id":"cmpl-1","object":"text_completion","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","choices":[{"index":0,"text":"","logprobs":null,"finish_reason":"stop"}],"usage":null}

        data: {"id":"cmpl-1","object":"text_completion","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","choices":[],"usage":{"prompt_tokens":52,"completion_tokens":24,"total_tokens":76,"prompt_tokens_details":{"cached_tokens":8},"completion_tokens_details":{"reasoning_tokens":6}}}

        data: [DONE]
        "#);
    }

    #[test]
    fn a_plain_answer_is_one_object_with_a_choice_for_each_prompt() {
        let answer = |text: &str| Answer { text: text.to_owned(), ..Answer::default() };
        let one = reply(1, false, false).whole(answer("Hello"), &degraded()).unwrap();
        insta::assert_snapshot!(one.to_string(), @r#"{"id":"cmpl-1","object":"text_completion","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","choices":[{"index":0,"text":"Hello","logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":26,"completion_tokens":12,"total_tokens":38,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":3}},"warnings":[{"stage":"worker","name":"b","code":"timeout"}]}"#);
        let mut reply = reply(2, false, false);
        reply.turn_to(0);
        reply.whole(answer("one"), &degraded()).unwrap();
        reply.turn_to(1);
        let two = reply.whole(answer("two"), &finished(FinishReason::ContentFilter)).unwrap();
        insta::assert_snapshot!(two.to_string(), @r#"{"id":"cmpl-1","object":"text_completion","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","choices":[{"index":0,"text":"one","logprobs":null,"finish_reason":"stop","warnings":[{"stage":"worker","name":"b","code":"timeout"}]},{"index":1,"text":"two","logprobs":null,"finish_reason":"content_filter"}],"usage":{"prompt_tokens":52,"completion_tokens":24,"total_tokens":76,"prompt_tokens_details":{"cached_tokens":8},"completion_tokens_details":{"reasoning_tokens":6}}}"#);
    }

    #[test]
    fn the_record_is_at_the_top_for_one_prompt_and_with_the_choice_for_several() {
        for asked in [false, true] {
            let text = streamed(reply(1, true, asked), vec![end(finished(FinishReason::Stop))]);
            assert_eq!(text.matches(r#"],"usage":null,"workflow":{"#).count(), usize::from(asked));
            let ends = vec![
                (0, end(finished(FinishReason::Stop))),
                (1, end(finished(FinishReason::Stop))),
            ];
            let text = written_of(reply(2, true, asked), Dialect::OpenAi, SHOWN, ends);
            let with = text.matches(r#""finish_reason":"stop","workflow":{"#).count();
            assert_eq!(with, 2 * usize::from(asked), "{text}");
        }
    }
}
