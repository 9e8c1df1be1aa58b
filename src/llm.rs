//! Calls of upstream models: one logical call is one stream of [`CallEvent`]s, inside which
//! permits, retries, repairs of refused parameters and the time limit are looked after.
//!
//! Dropping the stream hangs up on the upstream within one poll; nothing here is spawned.

mod call;
pub mod decode;
pub mod endpoint;
mod error;
mod model;
mod protocol;
mod redact;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use futures::stream::BoxStream;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

pub use call::{
    passthrough::{Forwarded, ForwardedReply, Passthrough},
    purpose::Purpose,
};
pub(crate) use decode::think::folded::split_folded;
pub use endpoint::breaker::Phase;
pub use endpoint::health::{EndpointHealth, ModelHealth};
pub use error::{FailureClass, LlmError, LlmErrorKind};
pub use model::{Llm, Model};
pub use protocol::conversation::Conversation;

use crate::types::{FinishReason, Prompt, Usage};

/// What a call asks of a model. Cloning shares the conversation. `Debug` shows no text.
#[derive(Clone)]
pub struct Call {
    /// The conversation, system messages included.
    pub messages: Conversation,
    /// Text behind the conversation that is not the user's: a system turn where the protocol takes
    /// one there, else a user turn, so it has to say what it is. What comes before it stays, byte
    /// for byte, what another call of the conversation sends.
    pub appendix: Option<Arc<str>>,
    /// A context in tokens that the request asks for, where that is more than the model's; only
    /// Ollama lets a request say how much to use.
    pub context_tokens: Option<u32>,
    /// What is asked for. Its temperature is what the temperature rule chose; it is clamped to the
    /// model's range or left out here.
    pub prompt: Prompt,
    /// Whether the upstream is asked to stream.
    pub stream: bool,
    /// Whether all texts are put together anyway: those that come together are one delta then.
    pub folded: bool,
    /// How long it may take, once the call holds its permits.
    pub limit: Limit,
    /// The request's permits; taken after the model's, around each attempt only.
    pub permits: Option<Arc<Semaphore>>,
    /// The number of an endpoint that another call is waiting for already; never chosen.
    pub avoid: Option<usize>,
    /// The same for all calls of a session or conversation, so that they go to one endpoint of a model
    /// that is `sticky`; `None` where there is none.
    pub affinity: Option<u64>,
    /// The same for all calls of a conversation; `None` where there is none.
    pub conversation: Option<u64>,
    /// The same for all calls of a session that begin alike, for upstreams that keep prompts by it
    /// (OpenAI's `prompt_cache_key`); `None` where no session is known.
    pub cache_key: Option<Arc<str>>,
    /// What the call is for, which decides how it may be retried.
    pub purpose: Purpose,
    /// How many times Chorus has asked Chorus before this call; see [`crate::types::HOPS`].
    pub hops: u32,
    /// Whether the model gets back what it left on its earlier turns of the conversation, and what it
    /// leaves now is kept: set for the stage that answers, to the number of who asks.
    pub turns_of: Option<u64>,
}

impl Call {
    /// A streamed call for nobody's request, whose texts are put together.
    #[must_use]
    pub fn new(messages: Conversation, prompt: Prompt, limit: Limit) -> Self {
        Self {
            messages,
            appendix: None,
            context_tokens: None,
            prompt,
            stream: true,
            folded: true,
            limit,
            permits: None,
            avoid: None,
            affinity: None,
            conversation: None,
            cache_key: None,
            purpose: Purpose::default(),
            hops: 0,
            turns_of: None,
        }
    }
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call")
            .field("messages", &self.messages)
            .field("prompt", &self.prompt)
            .field("stream", &self.stream)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// The time limit of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Retries, backoff and the whole answer.
    Total(Duration),
    /// The wait for the first delta (retries and backoff included), then each gap between deltas.
    Gap(Duration),
}

/// What happens during a call, in order: for each attempt `Started`, its deltas, and how it ended
/// (a refusal that is foreseen makes no attempt); then `Finished` or an error, which is the last
/// item.
#[derive(Debug)]
pub enum CallEvent {
    /// The permits are held and an attempt goes out.
    Started {
        /// How long it waited for its permits.
        queued: Duration,
        /// The number of the model's endpoint it goes to, for [`Call::avoid`].
        endpoint: usize,
        /// The temperature that is sent.
        temperature: Option<f32>,
    },
    /// An attempt ended, well or badly. A call that is cancelled reports none for its last attempt.
    Attempt(Attempt),
    /// The next attempt has to wait for so long.
    Waiting {
        /// How long the wait is.
        pause: Duration,
        /// The code of the failure before it.
        code: &'static str,
    },
    /// A piece of output. After the first one no attempt is made again, unless the purpose says so
    /// ([`Purpose::retractable`]): then another `Started` takes back what came before it.
    Delta(Delta),
    /// The upstream said that it is done.
    Finished(Completion),
}

/// One HTTP exchange of a call, for the trace's `calls`.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// `host` or `host:port`.
    pub endpoint: String,
    /// `ok`, or the error's code.
    pub outcome: &'static str,
    /// The time from sending to the end of the answer or the failure.
    pub duration: Duration,
    /// The temperature really sent.
    pub temperature: Option<f32>,
}

/// A piece of output. `Debug` shows kinds and lengths only.
#[derive(Clone, PartialEq)]
pub enum Delta {
    /// Answer text, never empty.
    Text(String),
    /// Chain of thought, never empty.
    Reasoning(String),
    /// A piece of a tool call.
    ToolCall(ToolCallDelta),
    /// Something the model wants back with the turn, for clients that can return it.
    State(StatePiece),
}

/// What a model leaves on its turn for itself beside its thoughts. `Debug` shows no values.
#[derive(Clone, PartialEq)]
pub enum StatePiece {
    /// OpenRouter's `reasoning_details`, a piece of them perhaps; never empty.
    Details(Vec<Value>),
    /// Other fields of the message, a piece of them perhaps; never none.
    Fields(Map<String, Value>),
    /// Fields beside a tool call, never none; as a rule sent before its first piece.
    Call {
        /// Which call, from 0.
        index: u32,
        /// `extra_content` and its like.
        fields: Map<String, Value>,
    },
}

/// A piece of a tool call: the first of an index carries id and name.
#[derive(Clone, PartialEq)]
pub struct ToolCallDelta {
    /// Which call, from 0.
    pub index: u32,
    /// The call's id, on its first piece; made up when the upstream gives none.
    pub id: Option<String>,
    /// The tool's name, on the first piece.
    pub name: Option<String>,
    /// A fragment of the JSON text.
    pub arguments: String,
}

impl std::fmt::Debug for Delta {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Reasoning(text) => write!(f, "Reasoning({} bytes)", text.len()),
            Self::ToolCall(call) => call.fmt(f),
            Self::State(piece) => piece.fmt(f),
        }
    }
}

impl std::fmt::Debug for StatePiece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Details(details) => write!(f, "Details({})", details.len()),
            Self::Fields(fields) => write!(f, "Fields({})", fields.len()),
            Self::Call { index, fields } => write!(f, "Call({index}, {} fields)", fields.len()),
        }
    }
}

impl std::fmt::Debug for ToolCallDelta {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ToolCallDelta({}, {} bytes)", self.index, self.arguments.len())
    }
}

/// How a call ended well.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Completion {
    /// Why the output ended.
    pub reason: FinishReason,
    /// What it cost, estimated where the upstream did not say.
    pub usage: Usage,
}

/// The stream of one call. The first `Err` is its last item; `Ok(Finished)` is the last good one.
///
/// After `Finished` it must be polled on until it ends with `None`: that reads the upstream's body
/// to its end, for at most 250 ms, so that the connection can be used again. The permits are given
/// back before `Finished` is yielded. Dropping the stream at any point hangs up on the upstream.
pub type CallStream = BoxStream<'static, Result<CallEvent, LlmError>>;
