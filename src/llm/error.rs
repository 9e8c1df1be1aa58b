//! What can go wrong with a call.

use std::{fmt, time::Duration};

/// Why a call failed. Knows nothing of our own HTTP: the server maps it.
///
/// The message is for the caller and the trace: it says what failed and where, is cut to 300
/// characters and scrubbed of keys; it never holds a prompt, and an upstream's own words only
/// where they can hold none.
#[derive(Clone, Debug, PartialEq)]
pub struct LlmError {
    /// What happened.
    pub kind: LlmErrorKind,
    /// The model's name in the config.
    pub model: String,
    /// `host` or `host:port`, where one was reached for.
    pub endpoint: Option<String>,
    /// What failed in words, without the model's name.
    pub message: String,
}

/// The kinds of failure that somebody treats differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LlmErrorKind {
    /// No connection: refused, unreachable, DNS, TLS.
    Connect,
    /// The connection broke before or during the answer.
    Transport,
    /// The time limit ran out.
    Timeout,
    /// 401 or 403: the key is not accepted.
    Unauthorized,
    /// 404: no such model or path.
    NotFound,
    /// 402, or a 429 that waiting does not cure.
    Quota,
    /// 429, with what the upstream said of waiting.
    RateLimited {
        /// How long it asked us to wait.
        retry_after: Option<Duration>,
    },
    /// The conversation does not fit the model's context.
    ContextLength,
    /// The server has no room left for all that it is asked at the same time.
    Capacity,
    /// The model cannot take a part of the input: an image, a tool.
    UnsupportedInput,
    /// 3xx: it is somewhere else.
    Redirected,
    /// Another 4xx: the request itself is refused.
    Rejected {
        /// The upstream's status.
        status: u16,
    },
    /// 5xx, 408, 409, 425.
    Upstream {
        /// The upstream's status.
        status: u16,
    },
    /// An error event inside a stream, or an error body under a 200.
    InBand,
    /// Not what the protocol says: no JSON, wrong shape, a line without end.
    Garbled,
    /// The stream ended without finish reason and without terminator.
    Truncated,
    /// An answer that ended without text, without tool calls and without a reason.
    Empty,
    /// An answer without the tool call that was demanded.
    ToolCallMissing,
    /// The upstream withheld the answer.
    ContentFilter,
    /// Every endpoint is out of service, so none was asked.
    CircuitOpen,
    /// The client could not be built (TLS, CA).
    Setup,
    /// This process could not open a connection: no more files, ports or memory.
    OutOfResources,
}

impl LlmErrorKind {
    /// The stable code that traces and warnings show.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Connect => "connect_error",
            Self::Transport => "connection_lost",
            Self::Timeout => "timeout",
            Self::Unauthorized => "upstream_unauthorized",
            Self::NotFound => "upstream_not_found",
            Self::Quota => "quota_exceeded",
            Self::RateLimited { .. } => "rate_limited",
            Self::ContextLength => "context_length_exceeded",
            Self::Capacity => "capacity_exhausted",
            Self::UnsupportedInput => "unsupported_input",
            Self::Redirected => "upstream_redirect",
            Self::Rejected { .. } => "upstream_rejected",
            Self::Upstream { .. } => "upstream_error",
            Self::InBand => "upstream_stream_error",
            Self::Garbled => "garbled_response",
            Self::Truncated => "truncated",
            Self::Empty => "empty_answer",
            Self::ToolCallMissing => "tool_call_missing",
            Self::ContentFilter => "content_filter",
            Self::CircuitOpen => "circuit_open",
            Self::Setup => "client_setup",
            Self::OutOfResources => "out_of_resources",
        }
    }
}

/// The party that caused a failure, and so could do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureClass {
    /// The caller's, who asked for more than the model takes, or for what it does not.
    Request,
    /// Nobody's: the upstream has no more room for now.
    Limited,
    /// The time limit ran out.
    TimedOut,
    /// The model's: it answered well, but not with what was asked for.
    Answer,
    /// The upstream's: it cannot be reached, knows neither key nor model, or breaks down.
    Upstream,
    /// Our own: nothing was asked.
    Ours,
}

impl LlmErrorKind {
    /// The party that caused it.
    #[must_use]
    pub fn class(self) -> FailureClass {
        match self {
            Self::ContextLength | Self::UnsupportedInput | Self::Rejected { .. } => {
                FailureClass::Request
            }
            Self::RateLimited { .. } | Self::Quota | Self::Capacity => FailureClass::Limited,
            Self::Timeout => FailureClass::TimedOut,
            Self::Empty | Self::ToolCallMissing | Self::ContentFilter => FailureClass::Answer,
            Self::Connect
            | Self::Transport
            | Self::Unauthorized
            | Self::NotFound
            | Self::Redirected
            | Self::Upstream { .. }
            | Self::InBand
            | Self::Garbled
            | Self::Truncated => FailureClass::Upstream,
            Self::CircuitOpen | Self::Setup | Self::OutOfResources => FailureClass::Ours,
        }
    }
}

impl fmt::Display for LlmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "model '{}': {}", self.model, self.message)
    }
}

impl std::error::Error for LlmError {}
