//! What is reported to a breaker, and what it says of an endpoint.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::Instant;

/// A failure that took so long is slow: whoever asks in vain waits as long.
const SLOW: Duration = Duration::from_secs(2);

/// A breaker's state as operators see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The endpoint is in service.
    Closed,
    /// Out of service after failures.
    Open,
    /// One call is trying whether it is back.
    HalfOpen,
    /// Out of service because it refuses our key or does not know the model.
    Down,
}

/// What a breaker can do for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// The endpoint can be used.
    Free,
    /// It can be used, and asked not to be before this.
    Resting(Instant),
    /// One call may try whether it is back.
    Probe,
    /// The endpoint cannot be used.
    Nothing,
}

/// The right to one call. It is given back by [`super::Breaker::report`] or [`super::Breaker::release`].
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket {
    pub(super) generation: u64,
    pub(super) right: Right,
}

/// Why a call was let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    InService,
    /// It alone tries whether the endpoint is back.
    Probe,
    /// There is no other endpoint.
    Last,
}

/// What is known of a failure beside its report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    /// Hashes of the conversation that was sent and of its beginnings, itself last; empty when it
    /// had no part in the failure.
    pub prompt: Vec<u64>,
    /// It took long to fail, so that whoever asks next would wait for as long.
    pub is_slow: bool,
}

impl Cause {
    /// The cause of an attempt with this prompt, which took so long.
    pub(in crate::llm) fn new(prompt: Vec<u64>, took: Duration) -> Self {
        Self { prompt, is_slow: took >= SLOW }
    }
}

impl Ticket {
    /// Whether the call decides if the endpoint is back.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.right == Right::Probe
    }

    /// Whether the endpoint was in service.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.right == Right::InService
    }
}

/// How a call ended, as far as that is about the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// It works: an answer, or an error that is the caller's.
    Answered,
    /// It does not: no connection, no answer in time, 5xx, a broken answer.
    Failed {
        /// The error's code.
        code: &'static str,
        /// How long it asked to be left alone.
        rest: Option<Duration>,
    },
    /// It works, and wants fewer calls (429).
    Limited {
        /// How long it asked to be left alone.
        rest: Option<Duration>,
    },
    /// Its quota or credit is used up.
    Exhausted,
    /// It refuses our key or does not know the model.
    Unusable {
        /// The error's code.
        code: &'static str,
    },
}

/// A breaker at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The breaker's state.
    pub phase: Phase,
    /// When it came into this state.
    pub since: Instant,
    /// The code of the error that put it out of service; `None` in service.
    pub why: Option<&'static str>,
    /// Failures since the last success.
    pub consecutive: u32,
    /// It asked to be left alone until then.
    pub rest_until: Option<Instant>,
    /// How long it asked to be left alone, while it rests.
    pub asked: Option<Duration>,
    /// When it is tried again, by a call or by its model list; `None` in service.
    pub next_try: Option<Instant>,
}
