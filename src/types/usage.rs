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

/// What a dollar is in the whole numbers that costs are added up in: the price of a token, in dollars
/// a million with six decimals, is a whole number of them.
pub const PICODOLLARS: f64 = 1e12;

/// What calls take, in whole numbers, so that any number of them adds up exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Calls of upstreams.
    pub calls: u64,
    /// Tokens, read and written.
    pub tokens: u64,
    /// What those calls cost whose price is known, in [`PICODOLLARS`].
    pub picodollars: u64,
}

impl Amount {
    /// The amount without another one, which was added to it before.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_sub(other.calls),
            tokens: self.tokens.saturating_sub(other.tokens),
            picodollars: self.picodollars.saturating_sub(other.picodollars),
        }
    }

    /// So many times the amount.
    #[must_use]
    pub fn times(self, count: u64) -> Self {
        Self {
            calls: self.calls.saturating_mul(count),
            tokens: self.tokens.saturating_mul(count),
            picodollars: self.picodollars.saturating_mul(count),
        }
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.tokens = self.tokens.saturating_add(other.tokens);
        self.picodollars = self.picodollars.saturating_add(other.picodollars);
    }
}

/// Why a complete answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model was done, or met a stop sequence without a word of which.
    Stop,
    /// It met this stop sequence, by its place in the request.
    StopSequence(u16),
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
            Self::Stop | Self::StopSequence(_) => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
        }
    }
}
