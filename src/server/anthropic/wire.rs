//! The answers of `POST /v1/messages` (Anthropic's API reference, "Messages" and "Streaming
//! messages"), field by field.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    server::wire::{Never, Record},
    types::Usage,
};

/// A plain answer, and what a stream begins with.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AnthropicMessage")]
pub(super) struct MessageObject<'a> {
    pub(super) id: &'a str,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) role: &'static str,
    /// The name the client used.
    pub(super) model: &'a str,
    /// Empty where a stream begins.
    pub(super) content: Vec<Block<'a>>,
    /// Null where a stream begins.
    pub(super) stop_reason: Option<&'static str>,
    /// The one that ended the answer.
    pub(super) stop_sequence: Option<&'a str>,
    pub(super) usage: UsageObject,
    #[serde(flatten)]
    pub(super) record: Record<'a>,
}

/// A content block, whole or as it starts.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AnthropicBlock")]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block<'a> {
    /// Progress, and what the writer thought.
    Thinking {
        thinking: &'a str,
        /// Empty for what no model signed.
        signature: &'a str,
    },
    Text {
        text: &'a str,
        /// Always null.
        #[schemars(with = "()")]
        citations: Option<Never>,
    },
    ToolUse {
        id: &'a str,
        name: &'a str,
        /// Empty where it starts.
        input: Map<String, Value>,
    },
}

/// An event: its type is its name, too.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AnthropicEvent")]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Event<'a> {
    MessageStart {
        message: MessageObject<'a>,
    },
    ContentBlockStart {
        index: u32,
        content_block: Block<'a>,
    },
    ContentBlockDelta {
        index: u32,
        delta: Delta<'a>,
    },
    ContentBlockStop {
        index: u32,
    },
    MessageDelta {
        delta: Ending<'a>,
        usage: UsageObject,
        #[serde(flatten)]
        record: Record<'a>,
    },
    MessageStop,
    Ping,
}

impl Event<'_> {
    /// Its type.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::MessageStart { .. } => "message_start",
            Self::ContentBlockStart { .. } => "content_block_start",
            Self::ContentBlockDelta { .. } => "content_block_delta",
            Self::ContentBlockStop { .. } => "content_block_stop",
            Self::MessageDelta { .. } => "message_delta",
            Self::MessageStop => "message_stop",
            Self::Ping => "ping",
        }
    }
}

/// What is added to a block.
#[derive(Clone, Copy, Serialize, JsonSchema)]
#[schemars(rename = "AnthropicDelta")]
#[serde(tag = "type")]
pub(super) enum Delta<'a> {
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: &'a str },
    #[serde(rename = "text_delta")]
    Text { text: &'a str },
    #[serde(rename = "input_json_delta")]
    Input { partial_json: &'a str },
}

/// How the answer ended.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AnthropicEnding")]
pub(super) struct Ending<'a> {
    pub(super) stop_reason: &'static str,
    /// The one that ended the answer.
    pub(super) stop_sequence: Option<&'a str>,
}

/// `usage`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AnthropicUsage")]
pub(super) struct UsageObject {
    /// Without those of the cache.
    input_tokens: u64,
    /// Always 0: nobody says what was written to a cache.
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    output_tokens: u64,
}

impl UsageObject {
    /// What a stream begins with: the prompt as it is estimated.
    pub(super) fn estimated(input_tokens: u64) -> Self {
        Self {
            input_tokens,
            cache_creation_input_tokens: 0,
            cache_read_input_tokens: 0,
            output_tokens: 0,
        }
    }
}

impl From<&Usage> for UsageObject {
    fn from(usage: &Usage) -> Self {
        Self {
            input_tokens: usage.prompt_tokens.saturating_sub(usage.cached_tokens),
            cache_creation_input_tokens: 0,
            cache_read_input_tokens: usage.cached_tokens,
            output_tokens: usage.completion_tokens,
        }
    }
}
