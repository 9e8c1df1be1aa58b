//! The endpoints as operators see them: never a key, never a URL.

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::Instant;

use super::{Endpoint, balance::Want, breaker::Phase, slot::Member};
use crate::llm::{Llm, Model, call::retry::in_words};

/// The health of a model.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ModelHealth {
    /// Its name in the config.
    pub model: String,
    /// The endpoints, in the order of the config.
    pub endpoints: Vec<EndpointHealth>,
}

/// The health of an endpoint.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EndpointHealth {
    /// `host` or `host:port`.
    pub endpoint: String,
    /// Its priority number.
    pub priority: u32,
    /// Its weight.
    pub weight: u32,
    /// Whether it is in service.
    pub state: Phase,
    /// When it came into that state.
    pub since: Timestamp,
    /// The code of the error that put it out of service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<&'static str>,
    /// Calls it is answering.
    pub in_flight: usize,
    /// Failures since the last success.
    pub consecutive_failures: u32,
    /// The moving average of the time to the first token, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_token_ms: Option<f64>,
    /// It asked to be left alone until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resting_until: Option<Timestamp>,
    /// How long it asked to be left alone, where that is long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rest: Option<String>,
    /// When it is tried again, out of service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_try: Option<Timestamp>,
}

impl Llm {
    /// The health of every endpoint of every model.
    #[must_use]
    pub fn health(&self) -> Vec<ModelHealth> {
        let clocks = (Instant::now(), Timestamp::now());
        self.models.values().map(|model| model.health(clocks)).collect()
    }
}

impl Model {
    /// Whether a call would find an endpoint that is in service, or may be again.
    #[must_use]
    pub fn is_served(&self) -> bool {
        let anything = |_: &Endpoint| true;
        let want = Want { affinity: None, passed: &[], or_resting: true, takes: &anything };
        self.pool.can_serve(&want, Instant::now())
    }

    fn health(&self, clocks: (Instant, Timestamp)) -> ModelHealth {
        let endpoints = self.pool.members().iter().map(|member| endpoint(member, clocks)).collect();
        ModelHealth { model: self.config.name.clone(), endpoints }
    }
}

fn endpoint(member: &Member<Endpoint>, clocks: (Instant, Timestamp)) -> EndpointHealth {
    let standing = member.standing(clocks.0);
    let of = |at: Instant| wall(at, clocks);
    EndpointHealth {
        endpoint: member.endpoint.name().to_owned(),
        priority: member.weighting.priority,
        weight: member.weighting.weight,
        state: standing.phase,
        since: of(standing.since),
        why: standing.why,
        in_flight: member.in_flight(),
        consecutive_failures: standing.consecutive,
        first_token_ms: member.first_token().map(milliseconds),
        resting_until: standing.rest_until.map(of),
        rest: standing.asked.and_then(in_words),
        next_try: standing.next_try.map(of),
    }
}

/// The time of day of a moment, to the millisecond.
fn wall(at: Instant, (now, today): (Instant, Timestamp)) -> Timestamp {
    let moved = match at.checked_duration_since(now) {
        Some(ahead) => today.checked_add(ahead),
        None => today.checked_sub(now.saturating_duration_since(at)),
    };
    let millis = moved.unwrap_or(today).as_millisecond();
    Timestamp::from_millisecond(millis).unwrap_or(today)
}

/// Milliseconds with one decimal.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}
