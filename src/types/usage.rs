//! What calls cost, and how answers end.

use std::{ops::AddAssign, time::Duration};

/// Tokens and model time of one call, or summed over several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens read, cached ones included.
    pub prompt_tokens: u64,
    /// Tokens written, reasoning included.
    pub completion_tokens: u64,
    /// Part of `prompt_tokens` that came from the upstream's cache.
    pub cached_tokens: u64,
    /// Part of `completion_tokens` that was reasoning.
    pub reasoning_tokens: u64,
    /// Time until the first output: as the upstream says, else as measured.
    pub prompt_time: Duration,
    /// Time from the first output to the end: as the upstream says, else as measured.
    pub completion_time: Duration,
    /// At least one count was estimated (about four bytes a token), for want of the upstream's own.
    pub estimated: bool,
}

impl Usage {
    /// Prompt and completion tokens together.
    #[must_use]
    pub fn total_tokens(&self) -> u64 {
        self.prompt_tokens.saturating_add(self.completion_tokens)
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.prompt_tokens = self.prompt_tokens.saturating_add(other.prompt_tokens);
        self.completion_tokens = self.completion_tokens.saturating_add(other.completion_tokens);
        self.cached_tokens = self.cached_tokens.saturating_add(other.cached_tokens);
        self.reasoning_tokens = self.reasoning_tokens.saturating_add(other.reasoning_tokens);
        self.prompt_time = self.prompt_time.saturating_add(other.prompt_time);
        self.completion_time = self.completion_time.saturating_add(other.completion_time);
        self.estimated = self.estimated || other.estimated;
    }
}

/// Why a complete answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model was done, or met a stop sequence.
    Stop,
    /// The token limit was reached.
    Length,
    /// The model wants tools called.
    ToolCalls,
    /// The upstream withheld the answer.
    ContentFilter,
}

impl FinishReason {
    /// OpenAI's name for it, which the trace uses too.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
        }
    }
}
