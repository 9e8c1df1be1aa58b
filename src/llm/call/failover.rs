//! One call's way over the endpoints of its model: which one is next, when, and with which error it
//! ends. Between endpoints without a pause first, then in time.

#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::time::Instant;

use super::{
    failure::Failure,
    retry::{Advice, Retries},
};
use crate::llm::{
    LlmError, LlmErrorKind, Model,
    endpoint::{
        Endpoint,
        balance::{Lease, Want},
        breaker::Phase,
    },
    redact,
};

/// Whether an endpoint can take what a call needs.
type Takes<'a> = &'a (dyn Fn(&Endpoint) -> bool + Sync);

/// Which endpoints a call has tried, and which it may try next.
pub(super) struct Failover<'a> {
    model: &'a Model,
    takes: Takes<'a>,
    affinity: Option<u64>,
    avoid: Option<usize>,
    /// The pauses that are left.
    retries: Retries,
    /// The attempts that are left, wherever they go.
    left: usize,
    /// Failed since the last pause.
    tried: Vec<usize>,
    /// Will fail again.
    spent: Vec<usize>,
    /// The most hopeful advice since the last pause.
    advice: Advice,
    /// A repaired request goes where it came from.
    stays: Option<usize>,
    /// The last failure, and the shortest wait that any endpoint asked for.
    error: Option<LlmError>,
    shortest: Option<Duration>,
}

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Try another endpoint at once.
    Elsewhere,
    /// Try again after a pause.
    Wait(Duration),
    /// Nothing: the call fails with [`Failover::error`].
    GiveUp,
}

impl<'a> Failover<'a> {
    pub(super) fn new(
        model: &'a Model,
        takes: Takes<'a>,
        affinity: Option<u64>,
        avoid: Option<usize>,
    ) -> Self {
        Self {
            model,
            takes,
            affinity,
            avoid,
            retries: Retries::new(&model.retry),
            left: model.retry.further_attempts(model.endpoint_count()),
            tried: Vec::new(),
            spent: Vec::new(),
            advice: Advice::Never,
            stays: None,
            error: None,
            shortest: None,
        }
    }

    /// An endpoint for the next attempt.
    ///
    /// # Errors
    /// The call's error, when there is none.
    pub(super) fn lease(&mut self) -> Result<Lease<Endpoint>, LlmError> {
        let now = Instant::now();
        let stayed = self.stays.take().and_then(|number| {
            let others: Vec<usize> = self.numbers().filter(|other| *other != number).collect();
            self.model.pool.choose(&self.want(&others, true), now)
        });
        let found =
            stayed.or_else(|| self.model.pool.choose(&self.want(&self.passed(), true), now));
        found.or_else(|| self.last(now)).ok_or_else(|| self.error())
    }

    /// The one that is asked though it is out of service: only by a call that has not asked anybody
    /// and that is nobody's second.
    fn last(&self, now: Instant) -> Option<Lease<Endpoint>> {
        let is_first = self.tried.is_empty() && self.spent.is_empty() && self.error.is_none();
        let may = is_first && self.avoid.is_none();
        may.then(|| self.model.pool.choose_last(&self.want(&[], true), now)).flatten()
    }

    /// Whether another endpoint than this one could be asked instead.
    pub(super) fn has_other(&self, number: usize) -> bool {
        let mut passed = self.passed();
        passed.push(number);
        self.left > 0 && self.can_serve(&passed, false, Instant::now())
    }

    /// The request will be sent again to where it was repaired; that costs no attempt.
    pub(super) fn stay(&mut self, number: usize) {
        self.stays = Some(number);
    }

    /// What follows this failure, which [`Failover::failed`] has taken in.
    pub(super) fn next(&mut self, number: usize, failure: &Failure, remaining: Duration) -> Next {
        match failure.advice {
            Advice::Never => self.spent.push(number),
            advice => {
                self.tried.push(number);
                self.advice = self.advice.or_better(advice);
            }
        }
        if self.left == 0 || remaining.is_zero() {
            return Next::GiveUp;
        }
        let now = Instant::now();
        let elsewhere = failure.may_differ_elsewhere();
        if elsewhere && self.can_serve(&self.passed(), false, now) {
            self.left -= 1;
            return Next::Elsewhere;
        }
        if let Some(pause) = self.retries.next(self.advice, remaining)
            && self.can_serve(&self.without(&self.spent), true, now + pause)
        {
            self.left -= 1;
            self.tried.clear();
            self.advice = Advice::Never;
            return Next::Wait(pause);
        }
        // One that asked to be left alone is better than none.
        if elsewhere && self.can_serve(&self.passed(), true, now) {
            self.left -= 1;
            return Next::Elsewhere;
        }
        Next::GiveUp
    }

    /// Remembers the error of the last attempt.
    pub(super) fn failed(&mut self, error: LlmError) {
        if let LlmErrorKind::RateLimited { retry_after: Some(wait) } = error.kind {
            self.shortest = Some(self.shortest.map_or(wait, |known| known.min(wait)));
        }
        self.error = Some(error);
    }

    /// The error the call fails with: what its last attempt met, or why none could be made.
    pub(super) fn error(&mut self) -> LlmError {
        let Some(mut error) = self.error.take() else { return self.dead_end() };
        if let LlmErrorKind::RateLimited { retry_after } = &mut error.kind {
            *retry_after = self.shortest;
        }
        error
    }

    /// Why no endpoint can be asked.
    fn dead_end(&self) -> LlmError {
        let now = Instant::now();
        let members =
            self.model.pool.members().iter().filter(|member| Some(member.number) != self.avoid);
        let out: Vec<String> = members
            .filter_map(|member| {
                let standing = member.standing(now);
                let why = standing.why?;
                let again = match (standing.phase, standing.next_try) {
                    (Phase::HalfOpen, _) => "being tried now".to_owned(),
                    (_, Some(at)) => {
                        format!("tried again in {} s", (at - now).as_secs_f64().ceil())
                    }
                    (_, None) => "out of service".to_owned(),
                };
                Some(format!("{} ({why}, {again})", member.endpoint.name()))
            })
            .collect();
        let (kind, message) = if out.is_empty() {
            (LlmErrorKind::Setup, "none of its endpoints can be asked".to_owned())
        } else {
            (LlmErrorKind::CircuitOpen, format!("no endpoint is in service: {}", out.join("; ")))
        };
        LlmError {
            kind,
            model: self.model.config.name.clone(),
            endpoint: None,
            message: redact::cut(&message, redact::MESSAGE_LIMIT),
        }
    }

    fn can_serve(&self, passed: &[usize], or_resting: bool, at: Instant) -> bool {
        self.model.pool.can_serve(&self.want(passed, or_resting), at)
    }

    fn want<'b>(&'b self, passed: &'b [usize], or_resting: bool) -> Want<'b, Endpoint> {
        Want { affinity: self.affinity, passed, or_resting, takes: self.takes }
    }

    /// The numbers of the endpoints that the next attempt must not go to.
    fn passed(&self) -> Vec<usize> {
        let mut passed = self.without(&self.spent);
        passed.extend(&self.tried);
        passed
    }

    fn without(&self, these: &[usize]) -> Vec<usize> {
        self.avoid.iter().chain(these).copied().collect()
    }

    fn numbers(&self) -> impl Iterator<Item = usize> {
        0..self.model.endpoint_count()
    }
}
