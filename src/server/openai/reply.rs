//! Answers of `POST /v1/chat/completions`: events to the shapes of [`super::wire`].

use std::{
    cell::OnceCell,
    collections::{BTreeMap, HashSet},
};

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::wire::{
    AnswerMessage, CallPiece, ChatCompletion, ChatCompletionChunk, Choice, ChunkChoice, Delta,
    Envelope, Reasoning, UsageObject, WholeCall,
};
use crate::{
    config::ReasoningField,
    llm::{StatePiece, ToolCallDelta},
    server::{
        error::AppError,
        frames::{Encoder, FrameTemplate, Frames, Gap, NUMBER, TEXT, object_bytes},
        wire::{Microseconds, Record},
    },
    types::{FinishReason, random_id},
    workflow::{Answer, Finished},
};

/// One answer's form: its id and time are the same on every chunk.
#[derive(Debug)]
pub(in super::super) struct ChatReply {
    id: String,
    created: Timestamp,
    model: String,
    reasoning_field: ReasoningField,
    include_usage: bool,
    include_workflow: bool,
    /// Tool calls whose opener was sent.
    announced: HashSet<u32>,
    /// What belongs beside calls that were not sent yet.
    beside: BTreeMap<u32, Map<String, Value>>,
    text: OnceCell<FrameTemplate>,
    reasoning: OnceCell<FrameTemplate>,
    arguments: OnceCell<FrameTemplate>,
}

impl ChatReply {
    /// An answer from `model`, the name the client used.
    pub(in super::super) fn new(
        model: String,
        reasoning_field: ReasoningField,
        include_usage: bool,
        include_workflow: bool,
    ) -> Self {
        Self {
            id: random_id("chatcmpl-"),
            created: Timestamp::now(),
            model,
            reasoning_field,
            include_usage,
            include_workflow,
            announced: HashSet::new(),
            beside: BTreeMap::new(),
            text: OnceCell::new(),
            reasoning: OnceCell::new(),
            arguments: OnceCell::new(),
        }
    }

    fn envelope(&self, object: &'static str) -> Envelope<'_> {
        Envelope {
            id: &self.id,
            object,
            created: self.created.as_second(),
            created_at: Microseconds(self.created),
            model: &self.model,
            system_fingerprint: "fp_chorus",
        }
    }

    fn chunk<'a>(&'a self, choices: &'a [ChunkChoice<'a>]) -> ChatCompletionChunk<'a> {
        ChatCompletionChunk {
            envelope: self.envelope("chat.completion.chunk"),
            choices,
            usage: self.include_usage.then_some(None),
            record: Record::default(),
        }
    }

    fn push(&self, delta: Delta<'_>, frames: &mut Frames) {
        frames.push(&self.chunk(&[ChunkChoice { delta, ..ChunkChoice::default() }]));
    }

    fn template(&self, delta: Delta<'_>, marks: &[Gap<'_>], frames: &Frames) -> FrameTemplate {
        let choice = ChunkChoice { delta, ..ChunkChoice::default() };
        frames.template(&self.chunk(&[choice]), marks)
    }
}

impl Encoder for ChatReply {
    /// The role, here only: some clients take a repeated one for text.
    fn opening(&mut self, frames: &mut Frames) {
        let delta = Delta { role: Some("assistant"), content: Some(""), ..Delta::default() };
        self.push(delta, frames);
    }

    fn text(&mut self, text: &str, frames: &mut Frames) {
        let template = self.text.get_or_init(|| {
            let delta = Delta { content: Some(TEXT), ..Delta::default() };
            self.template(delta, &[Gap::Text(TEXT)], frames)
        });
        frames.push_filled(template, &[Gap::Text(text)]);
    }

    fn reasoning(&mut self, text: &str, frames: &mut Frames) {
        let template = self.reasoning.get_or_init(|| {
            let reasoning = Reasoning::named(self.reasoning_field, TEXT);
            let marks: &[Gap<'_>] = match self.reasoning_field {
                ReasoningField::ReasoningContent | ReasoningField::Reasoning => &[Gap::Text(TEXT)],
                ReasoningField::Both => &[Gap::Text(TEXT); 2],
            };
            self.template(Delta { reasoning, ..Delta::default() }, marks, frames)
        });
        frames.push_filled(template, &[Gap::Text(text); 2]);
    }

    fn tool_call(&mut self, delta: &ToolCallDelta, frames: &mut Frames) {
        let index = delta.index;
        if self.announced.insert(index) {
            let id = delta.id.clone().unwrap_or_else(|| random_id("call_"));
            let name = delta.name.as_deref().unwrap_or_default();
            let beside = self.beside.remove(&index);
            let opener = Some([CallPiece::opener(index, &id, name, beside.as_ref())]);
            self.push(Delta { tool_calls: opener, ..Delta::default() }, frames);
        }
        if !delta.arguments.is_empty() {
            let template = self.arguments.get_or_init(|| {
                let piece = Some([CallPiece::arguments(NUMBER, TEXT)]);
                let marks = [Gap::Number(NUMBER.into()), Gap::Text(TEXT)];
                self.template(Delta { tool_calls: piece, ..Delta::default() }, &marks, frames)
            });
            let gaps = [Gap::Number(index.into()), Gap::Text(&delta.arguments)];
            frames.push_filled(template, &gaps);
        }
    }

    fn state(&mut self, piece: &StatePiece, frames: &mut Frames) {
        match piece {
            StatePiece::Details(details) => {
                self.push(Delta { reasoning_details: details, ..Delta::default() }, frames);
            }
            StatePiece::Fields(fields) => {
                self.push(Delta { beside: Some(fields), ..Delta::default() }, frames);
            }
            StatePiece::Call { index, fields } if self.announced.contains(index) => {
                let piece = Some([CallPiece::beside(*index, fields)]);
                self.push(Delta { tool_calls: piece, ..Delta::default() }, frames);
            }
            // Clients look for it on the first piece of a call.
            StatePiece::Call { index, fields } => {
                self.beside.entry(*index).or_default().extend(fields.clone());
            }
        }
    }

    fn finished(&mut self, finished: &Finished, frames: &mut Frames) -> Result<(), AppError> {
        let reason = finish_reason(finished.reason, !self.announced.is_empty());
        let last = ChunkChoice { finish_reason: Some(reason), ..ChunkChoice::default() };
        let record = Record::of(finished, self.include_workflow);
        frames.push(&ChatCompletionChunk { record, ..self.chunk(&[last]) });
        if self.include_usage {
            // Never unasked: careless clients read `choices[0]` of every chunk.
            let usage = Some(Some(UsageObject::from(&finished.usage)));
            let record = Record::spent(&finished.spent);
            frames.push(&ChatCompletionChunk { usage, record, ..self.chunk(&[]) });
        }
        Ok(())
    }

    fn whole(&mut self, answer: Answer, finished: &Finished) -> Result<Bytes, AppError> {
        let tool_calls: Vec<WholeCall<'_>> = answer
            .whole_calls(finished.reason)
            .map(|(number, call)| WholeCall::new(call, answer.state.calls.get(&number)))
            .collect();
        let called = !tool_calls.is_empty();
        let message = AnswerMessage {
            role: "assistant",
            content: (!called || !answer.text.is_empty()).then_some(&answer.text),
            refusal: None,
            annotations: [],
            reasoning: Reasoning::named(self.reasoning_field, &answer.reasoning),
            reasoning_details: &answer.state.details,
            beside: &answer.state.fields,
            tool_calls,
        };
        let finish_reason = finish_reason(finished.reason, called);
        object_bytes(&ChatCompletion {
            envelope: self.envelope("chat.completion"),
            choices: [Choice { index: 0, message, logprobs: None, finish_reason }],
            usage: UsageObject::from(&finished.usage),
            record: Record::of(finished, self.include_workflow),
        })
    }
}

/// Some upstreams say `stop` after tool calls; clients look for `tool_calls`.
fn finish_reason(reason: FinishReason, called: bool) -> &'static str {
    match reason {
        FinishReason::Stop | FinishReason::StopSequence(_) if called => {
            FinishReason::ToolCalls.as_str()
        }
        reason => reason.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::super::{
            dialect::Dialect,
            frames::{Channel, written},
            test_support::*,
        },
        *,
    };
    use crate::{
        llm::LlmErrorKind,
        types::ToolCall,
        workflow::{Event, StageStatus},
    };

    fn reply(include_usage: bool, include_workflow: bool) -> ChatReply {
        let field = ReasoningField::ReasoningContent;
        let mut reply = ChatReply::new("m".to_owned(), field, include_usage, include_workflow);
        reply.id = "chatcmpl-1".to_owned();
        reply.created = Timestamp::from_microsecond(1_767_323_045_123_456).unwrap();
        reply
    }

    fn streamed(reply: ChatReply, events: Vec<Event>) -> String {
        let shown = Channel::SHOWN;
        written(reply, Dialect::OpenAi, shown, events)
    }

    #[test]
    fn identifiers_are_fresh_and_long_enough() {
        let (one, two) = (random_id("chatcmpl-"), random_id("chatcmpl-"));
        assert_ne!(one, two);
        let letters = one.strip_prefix("chatcmpl-").unwrap();
        assert!(letters.len() >= 24 && letters.chars().all(|c| c.is_ascii_alphanumeric()));
    }

    #[test]
    fn a_stream_is_a_role_reasoning_text_an_end_and_done() {
        let events = vec![
            worker("b", StageStatus::Ok),
            reasoning("hm"),
            token("Hel"),
            token("lo"),
            reasoning("too late"),
            end(finished(FinishReason::Stop)),
        ];
        insta::assert_snapshot!(streamed(reply(false, false), events), @r#"
        data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","system_fingerprint":"fp_chorus","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}

        data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","system_fingerprint":"fp_chorus","choices":[{"index":0,"delta":{"reasoning_content":"worker b: ok, 2.0 s⁣\n"},"logprobs":null,"finish_reason":null}]}

        data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","system_fingerprint":"fp_chorus","choices":[{"index":0,"delta":{"reasoning_content":"hm"},"logprobs":null,"finish_reason":null}]}

        data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","system_fingerprint":"fp_chorus","choices":[{"index":0,"delta":{"content":"Hel"},"logprobs":null,"finish_reason":null}]}

        data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","system_fingerprint":"fp_chorus","choices":[{"index":0,"delta":{"content":"lo"},"logprobs":null,"finish_reason":null}]}

        data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","system_fingerprint":"fp_chorus","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}],"chorus":{"total_usage":{"prompt_tokens":104,"completion_tokens":12,"total_tokens":116},"cost_usd":0.5,"calls":5}}

        data: [DONE]
        "#);
    }

    #[test]
    fn usage_comes_in_a_chunk_of_its_own_when_asked() {
        let events = vec![token("Hi"), end(degraded())];
        insta::assert_snapshot!(streamed(reply(true, false), events), @r#"
        data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","system_fingerprint":"fp_chorus","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"usage":null}

        data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","system_fingerprint":"fp_chorus","choices":[{"index":0,"delta":{"content":"Hi"},"logprobs":null,"finish_reason":null}],"usage":null}

        data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","system_fingerprint":"fp_chorus","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}],"usage":null,"warnings":[{"stage":"worker","name":"b","code":"timeout"}],"chorus":{"total_usage":{"prompt_tokens":104,"completion_tokens":12,"total_tokens":116},"cost_usd":0.5,"calls":5}}

        data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","system_fingerprint":"fp_chorus","choices":[],"usage":{"prompt_tokens":26,"completion_tokens":12,"total_tokens":38,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":3}},"chorus":{"total_usage":{"prompt_tokens":104,"completion_tokens":12,"total_tokens":116},"cost_usd":0.5,"calls":5}}

        data: [DONE]
        "#);
    }

    #[test]
    fn tool_calls_come_in_fragments() {
        let events = vec![
            call(0, Some(("call_1", "weather")), "{\"ci"),
            call(0, None, "ty\":\"Rome\"}"),
            call(1, Some(("call_2", "now")), ""),
            end(finished(FinishReason::Stop)),
        ];
        insta::assert_snapshot!(streamed(reply(false, false), events), @r#"
        data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","system_fingerprint":"fp_chorus","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}

        data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","system_fingerprint":"fp_chorus","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"weather","arguments":""}}]},"logprobs":null,"finish_reason":null}]}

        data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","system_fingerprint":"fp_chorus","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"ci"}}]},"logprobs":null,"finish_reason":null}]}

        data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","system_fingerprint":"fp_chorus","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"ty\":\"Rome\"}"}}]},"logprobs":null,"finish_reason":null}]}

        data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","system_fingerprint":"fp_chorus","choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"call_2","type":"function","function":{"name":"now","arguments":""}}]},"logprobs":null,"finish_reason":null}]}

        data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","system_fingerprint":"fp_chorus","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"tool_calls"}],"chorus":{"total_usage":{"prompt_tokens":104,"completion_tokens":12,"total_tokens":116},"cost_usd":0.5,"calls":5}}

        data: [DONE]
        "#);
    }

    #[test]
    fn a_broken_stream_never_ends_like_a_complete_one() {
        let events = vec![token("Hel"), Event::Failed(failed(upstream(LlmErrorKind::Truncated)))];
        insta::assert_snapshot!(streamed(reply(false, false), events), @r#"
        data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","system_fingerprint":"fp_chorus","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}

        data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","system_fingerprint":"fp_chorus","choices":[{"index":0,"delta":{"content":"Hel"},"logprobs":null,"finish_reason":null}]}

        data: {"error":{"message":"model 'writer': it broke","type":"api_error","param":null,"code":"upstream_error"}}

        data: [DONE]
        "#);
    }

    #[test]
    fn a_plain_answer_is_one_object() {
        let answer =
            Answer { text: "Hello".to_owned(), reasoning: "hm".to_owned(), ..Answer::default() };
        let object = reply(false, false).whole(answer, &degraded()).unwrap();
        insta::assert_snapshot!(text_of(object), @r#"{"id":"chatcmpl-1","object":"chat.completion","created":1767323045,"created_at":"2026-01-02T03:04:05.123456Z","model":"m","system_fingerprint":"fp_chorus","choices":[{"index":0,"message":{"role":"assistant","content":"Hello","refusal":null,"annotations":[],"reasoning_content":"hm"},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":26,"completion_tokens":12,"total_tokens":38,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":3}},"warnings":[{"stage":"worker","name":"b","code":"timeout"}],"chorus":{"total_usage":{"prompt_tokens":104,"completion_tokens":12,"total_tokens":116},"cost_usd":0.5,"calls":5}}"#);
    }

    #[test]
    fn a_plain_answer_of_tool_calls_has_no_content() {
        let call = ToolCall {
            id: "call_1".to_owned(),
            name: "weather".to_owned(),
            arguments: "{\"city\":\"Rome\"}".to_owned(),
        };
        let answer = Answer { tool_calls: vec![call], ..Answer::default() };
        let object = reply(false, false).whole(answer, &finished(FinishReason::Stop)).unwrap();
        insta::assert_snapshot!(json_of(&object)["choices"].to_string(), @r#"[{"index":0,"message":{"role":"assistant","content":null,"refusal":null,"annotations":[],"tool_calls":[{"id":"call_1","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Rome\"}"}}]},"logprobs":null,"finish_reason":"tool_calls"}]"#);
    }

    #[test]
    fn the_reasoning_field_is_the_configs() {
        for (field, want) in [
            (ReasoningField::ReasoningContent, r#"{"reasoning_content":"x"}"#),
            (ReasoningField::Reasoning, r#"{"reasoning":"x"}"#),
            (ReasoningField::Both, r#"{"reasoning_content":"x","reasoning":"x"}"#),
        ] {
            let reasoning = Reasoning::named(field, "x");
            assert_eq!(serde_json::to_string(&reasoning).unwrap(), want);
        }
    }

    #[test]
    fn the_record_is_on_the_chunk_that_ends_the_answer() {
        for asked in [false, true] {
            let text = streamed(reply(true, asked), vec![end(finished(FinishReason::Length))]);
            let with: Vec<&str> =
                text.lines().filter(|line| line.contains("\"workflow\":{")).collect();
            assert_eq!(with.len(), usize::from(asked));
            assert!(with.iter().all(|line| line.contains("\"finish_reason\":\"length\"")));
        }
    }
}
