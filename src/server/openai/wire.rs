//! The answers of `POST /v1/chat/completions` (OpenAI's API reference, "The chat completion
//! object" and "The chat completion chunk object"), field by field.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::super::wire::{Microseconds, Never, Record};
use crate::{
    config::ReasoningField,
    types::{ToolCall, Usage},
};

/// A plain answer.
#[derive(Serialize, JsonSchema)]
pub(super) struct ChatCompletion<'a> {
    #[serde(flatten)]
    pub(super) envelope: Envelope<'a>,
    pub(super) choices: [Choice<'a>; 1],
    pub(super) usage: UsageObject,
    #[serde(flatten)]
    pub(super) record: Record<'a>,
}

/// One event of a stream.
#[derive(Serialize, JsonSchema)]
pub(super) struct ChatCompletionChunk<'a> {
    #[serde(flatten)]
    pub(super) envelope: Envelope<'a>,
    /// None on the chunk of usage, else one.
    pub(super) choices: &'a [ChunkChoice<'a>],
    /// Present on every chunk when usage was asked for: null on all but the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) usage: Option<Option<UsageObject>>,
    #[serde(flatten)]
    pub(super) record: Record<'a>,
}

/// What every object begins with; the same on all chunks of a stream but for `object`.
#[derive(Clone, Copy, Serialize, JsonSchema)]
pub(super) struct Envelope<'a> {
    pub(super) id: &'a str,
    /// `chat.completion` or `chat.completion.chunk`.
    pub(super) object: &'static str,
    /// Unix seconds.
    pub(super) created: i64,
    /// Chorus' own.
    pub(super) created_at: Microseconds,
    /// The name the client used.
    pub(super) model: &'a str,
    pub(super) system_fingerprint: &'static str,
}

/// The one answer.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ChatChoice")]
pub(super) struct Choice<'a> {
    pub(super) index: u8,
    pub(super) message: AnswerMessage<'a>,
    /// Always null: a fused answer has none.
    #[schemars(with = "()")]
    pub(super) logprobs: Option<Never>,
    pub(super) finish_reason: &'static str,
}

/// The message of a plain answer.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ChatMessage")]
pub(super) struct AnswerMessage<'a> {
    pub(super) role: &'static str,
    /// Null when there are only calls.
    pub(super) content: Option<&'a str>,
    /// Always null: a refusal is text like any other.
    #[schemars(with = "()")]
    pub(super) refusal: Option<Never>,
    /// Always empty.
    pub(super) annotations: [Never; 0],
    #[serde(flatten)]
    pub(super) reasoning: Reasoning<'a>,
    /// OpenRouter's, which its models want back; absent when there are none.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) reasoning_details: &'a [Value],
    /// Other fields that the model wants back.
    #[serde(flatten)]
    pub(super) beside: &'a Map<String, Value>,
    /// Absent when there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tool_calls: Vec<WholeCall<'a>>,
}

/// A piece of the one answer.
#[derive(Default, Serialize, JsonSchema)]
#[schemars(rename = "ChatChunkChoice")]
pub(super) struct ChunkChoice<'a> {
    pub(super) index: u8,
    pub(super) delta: Delta<'a>,
    /// Always null: a fused answer has none.
    #[schemars(with = "()")]
    pub(super) logprobs: Option<Never>,
    /// Null until the last.
    pub(super) finish_reason: Option<&'static str>,
}

/// What a chunk adds to the message.
#[derive(Default, Serialize, JsonSchema)]
#[schemars(rename = "ChatDelta")]
pub(super) struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content: Option<&'a str>,
    #[serde(flatten)]
    pub(super) reasoning: Reasoning<'a>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) reasoning_details: &'a [Value],
    #[serde(flatten)]
    pub(super) beside: Option<&'a Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_calls: Option<[CallPiece<'a>; 1]>,
}

/// The chain of thought, which OpenAI's reference does not have: DeepSeek's name for it, Ollama's
/// and OpenRouter's name, or both.
#[derive(Default, Serialize, JsonSchema)]
#[schemars(rename = "ChatReasoning")]
pub(super) struct Reasoning<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<&'a str>,
}

impl<'a> Reasoning<'a> {
    /// The text under the configured name; nothing for no text.
    pub(super) fn named(field: ReasoningField, text: &'a str) -> Self {
        let text = (!text.is_empty()).then_some(text);
        match field {
            ReasoningField::ReasoningContent => Self { reasoning_content: text, reasoning: None },
            ReasoningField::Reasoning => Self { reasoning_content: None, reasoning: text },
            ReasoningField::Both => Self { reasoning_content: text, reasoning: text },
        }
    }
}

/// A tool call of a plain answer.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ToolCall")]
pub(super) struct WholeCall<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    function: CalledFunction<'a>,
    /// `extra_content`, which Gemini's endpoint wants back.
    #[serde(flatten)]
    beside: Option<&'a Map<String, Value>>,
}

#[derive(Serialize, JsonSchema)]
struct CalledFunction<'a> {
    name: &'a str,
    /// JSON as text.
    arguments: &'a str,
}

impl<'a> WholeCall<'a> {
    pub(super) fn new(call: &'a ToolCall, beside: Option<&'a Map<String, Value>>) -> Self {
        let function = CalledFunction { name: &call.name, arguments: &call.arguments };
        Self { id: &call.id, kind: "function", function, beside }
    }
}

/// A piece of a tool call: the opener has everything but arguments, the others only those.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ToolCallPiece")]
pub(super) struct CallPiece<'a> {
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    function: FunctionPiece<'a>,
    /// `extra_content`, which Gemini's endpoint wants back.
    #[serde(flatten)]
    beside: Option<&'a Map<String, Value>>,
}

#[derive(Serialize, JsonSchema)]
struct FunctionPiece<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

impl<'a> CallPiece<'a> {
    /// The first piece of a call.
    pub(super) fn opener(
        index: u32,
        id: &'a str,
        name: &'a str,
        beside: Option<&'a Map<String, Value>>,
    ) -> Self {
        let function = FunctionPiece { name: Some(name), arguments: "" };
        Self { index, id: Some(id), kind: Some("function"), function, beside }
    }

    /// A further piece.
    pub(super) fn arguments(index: u32, arguments: &'a str) -> Self {
        let function = FunctionPiece { name: None, arguments };
        Self { index, id: None, kind: None, function, beside: None }
    }

    /// What came beside a call that was sent already.
    pub(super) fn beside(index: u32, fields: &'a Map<String, Value>) -> Self {
        Self { beside: Some(fields), ..Self::arguments(index, "") }
    }
}

/// `usage` of the chat and of the plain completion ("The usage object").
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Usage")]
pub(super) struct UsageObject {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: CompletionDetails,
}

#[derive(Serialize, JsonSchema)]
struct PromptDetails {
    cached_tokens: u64,
}

#[derive(Serialize, JsonSchema)]
struct CompletionDetails {
    reasoning_tokens: u64,
}

impl From<&Usage> for UsageObject {
    fn from(usage: &Usage) -> Self {
        Self {
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            total_tokens: usage.total_tokens(),
            prompt_tokens_details: PromptDetails { cached_tokens: usage.cached_tokens },
            completion_tokens_details: CompletionDetails {
                reasoning_tokens: usage.reasoning_tokens,
            },
        }
    }
}
