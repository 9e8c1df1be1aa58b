//! The circuit breaker of one endpoint: a pure state machine, which gets the time as an argument.
//!
//! Closed, every call is let through. After too many failures it is open: nobody is let through
//! until its time is up, then one call alone may try (half-open), and how that ends decides. An
//! endpoint that refuses our key or does not know the model is down, which is the same but longer.
//! Beside that it can rest: it asked to be left alone for a while, and is passed over where another
//! endpoint can be used.
//!
//! A request that makes a server fail is no proof that the server does: failures of one prompt, and
//! of the conversation that goes on from it, count once. And where no other endpoint is left, being out is no reason not to ask: see
//! [`Breaker::admit_last`].

pub(in crate::llm) mod report;
#[cfg(test)]
mod tests;

pub use report::{Cause, Offer, Phase, Report, Standing, Ticket};
use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use crate::config::Health;
use report::Right;

/// How many of the latest calls the failure ratio looks at.
pub const WINDOW: u32 = 20;
/// How many calls the failure ratio needs to mean anything.
pub const WINDOW_LEAST: u32 = 10;
/// An endpoint that is down and asked for its model list is left to that for this many times
/// `open_secs`; then a call may try, since a key may be good for answers and not for lists.
const PATIENCE: u32 = 10;
/// How many prompts that failed are remembered, by their hashes, and for how long: a client that
/// sends the same again is not another failure.
const MOST_PROMPTS: usize = 32;
const PROMPT_AGE: Duration = Duration::from_secs(10 * 60);
/// No `Retry-After` puts an endpoint to rest for longer.
const LONGEST_REST: Duration = Duration::from_secs(60 * 60);

/// The breaker of one endpoint.
#[derive(Clone, Debug)]
pub struct Breaker {
    rules: Health,
    state: State,
    since: Instant,
    why: Option<&'static str>,
    /// The generation of the tickets that count; older ones are from before a change of state.
    generation: u64,
    consecutive: u32,
    latest: Window,
    /// The prompts of the latest failures.
    blamed: VecDeque<(u64, Instant)>,
    rest_until: Option<Instant>,
    /// The rest it asked for last.
    asked: Option<Duration>,
    /// Somebody asks for the model list while it is out.
    is_watched: bool,
    watched_at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    /// Nobody but one probe is let through, and that not before `until`.
    Out {
        is_down: bool,
        /// Its failures take long.
        is_slow: bool,
        until: Instant,
        is_probing: bool,
    },
}

impl Breaker {
    /// Closed.
    #[must_use]
    pub fn new(rules: Health, now: Instant) -> Self {
        Self {
            rules,
            state: State::Closed,
            since: now,
            why: None,
            generation: 0,
            consecutive: 0,
            latest: Window::default(),
            blamed: VecDeque::new(),
            rest_until: None,
            asked: None,
            is_watched: false,
            watched_at: now,
        }
    }

    /// Replaces the rules; what it knows stays. Whatever is out is tried again when the
    /// new rules say so, counted from when it left.
    pub fn set_rules(&mut self, rules: Health, now: Instant) {
        self.rules = rules;
        self.wait_anew(now);
    }

    /// What it can do for a call that would begin now.
    #[must_use]
    pub fn offer(&self, now: Instant) -> Offer {
        match (self.state, self.rest_until) {
            (State::Closed, Some(until)) if now < until => Offer::Resting(until),
            (State::Closed, _) => Offer::Free,
            (State::Out { until, is_probing: false, .. }, _) if until <= now => Offer::Probe,
            (State::Out { .. }, _) => Offer::Nothing,
        }
    }

    /// Whether it needs no looking at: in service, and not resting at the time it was last given.
    #[must_use]
    pub fn is_clear(&self, now: Instant) -> bool {
        self.offer(now) == Offer::Free
    }

    /// Lets a call through, or not.
    pub fn admit(&mut self, now: Instant) -> Option<Ticket> {
        let is_probe = match self.offer(now) {
            Offer::Nothing => return None,
            Offer::Free | Offer::Resting(_) => false,
            Offer::Probe => true,
        };
        if is_probe {
            self.generation += 1;
            self.set_probing(true);
        }
        let right = if is_probe { Right::Probe } else { Right::InService };
        Some(Ticket { generation: self.generation, right })
    }

    /// Whether [`Breaker::admit_last`] would let a call through.
    #[must_use]
    pub fn can_be_last(&self) -> bool {
        match self.state {
            State::Closed => false,
            State::Out { is_down: true, .. } => false,
            State::Out { is_slow, is_probing, .. } => !(is_slow && is_probing),
        }
    }

    /// Lets a call through that no other endpoint can take, though this one is out of service: it
    /// may answer all the same, and if not, its failure is the better answer. Not so one that
    /// refuses our key or does not know the model; and one that is slow to fail only by one call at
    /// a time, so that not every caller waits.
    pub fn admit_last(&mut self) -> Option<Ticket> {
        if !self.can_be_last() {
            return None;
        }
        if self.is_slow() {
            self.set_probing(true);
        }
        Some(Ticket { generation: self.generation, right: Right::Last })
    }

    fn is_slow(&self) -> bool {
        matches!(self.state, State::Out { is_slow: true, .. })
    }

    fn set_probing(&mut self, now: bool) {
        if let State::Out { is_probing, .. } = &mut self.state {
            *is_probing = now;
        }
    }

    /// A call that was let through has ended. What began before the last change of state is not
    /// news any more.
    pub fn report(&mut self, ticket: &Ticket, report: Report, now: Instant) {
        self.report_of(ticket, report, Cause::default(), now);
    }

    /// [`Breaker::report`] of a failure of which more is known.
    pub fn report_of(&mut self, ticket: &Ticket, report: Report, cause: Cause, now: Instant) {
        self.rest(report, now);
        if ticket.generation != self.generation {
            return;
        }
        match (self.state, report) {
            (State::Closed, Report::Failed { code, .. }) => {
                if self.blames_again(&cause.prompt, now) {
                    return;
                }
                self.consecutive = self.consecutive.saturating_add(1);
                self.latest.push(false);
                let too_many = self.consecutive >= self.rules.failure_threshold;
                if too_many || self.latest.fails_at(self.rules.failure_ratio) {
                    self.leave((code, false, cause.is_slow), now);
                }
            }
            // Nothing that was not known; nobody waits longer because of it.
            (State::Out { .. }, Report::Failed { .. }) if ticket.right == Right::Last => {
                self.consecutive = self.consecutive.saturating_add(1);
                self.release(ticket);
            }
            (State::Closed, Report::Answered | Report::Limited { .. } | Report::Exhausted) => {
                self.consecutive = 0;
                self.latest.push(true);
            }
            (State::Out { .. }, Report::Failed { code, .. }) => {
                self.consecutive = self.consecutive.saturating_add(1);
                self.leave((code, false, cause.is_slow), now);
            }
            (State::Out { .. }, Report::Answered | Report::Limited { .. } | Report::Exhausted) => {
                self.consecutive = 0;
                self.come_back(now);
            }
            (_, Report::Unusable { code }) => self.leave((code, true, false), now),
        }
    }

    /// Whether this prompt, or one that it goes on from, has failed here a short while ago; if not,
    /// it is known from now on.
    fn blames_again(&mut self, prompt: &[u64], now: Instant) -> bool {
        self.blamed.retain(|(_, at)| now.saturating_duration_since(*at) < PROMPT_AGE);
        if self.blamed.iter().any(|(known, _)| prompt.contains(known)) {
            return true;
        }
        if let Some(whole) = prompt.last() {
            if self.blamed.len() >= MOST_PROMPTS {
                self.blamed.pop_front();
            }
            self.blamed.push_back((*whole, now));
        }
        false
    }

    /// The call has its first words. A probe's decide that it is back: whole answers take minutes,
    /// and nobody else is let through meanwhile. That they end well is still to be seen, so the
    /// failures before are not forgiven: one more opens it again.
    pub fn spoke(&mut self, ticket: &mut Ticket, now: Instant) {
        if ticket.right != Right::InService && ticket.generation == self.generation {
            self.come_back_on_probation(now);
            *ticket = Ticket { generation: self.generation, right: Right::InService };
        }
    }

    /// A call that was let through ended without saying anything of the endpoint: its client left,
    /// or another call was faster. A probe's place is free again.
    pub fn release(&mut self, ticket: &Ticket) {
        let has_its_place = match ticket.right {
            Right::InService => false,
            Right::Probe => true,
            Right::Last => self.is_slow(),
        };
        if has_its_place && ticket.generation == self.generation {
            self.set_probing(false);
        }
    }

    /// Whether somebody asks for its model list every `probe_interval` while it is out.
    pub fn set_watched(&mut self, is_watched: bool, now: Instant) {
        self.is_watched = is_watched;
        self.wait_anew(now);
    }

    fn wait_anew(&mut self, now: Instant) {
        if let State::Out { is_down, is_slow, is_probing, .. } = self.state {
            let until = after(self.since, self.patience(is_down)).max(now);
            self.state = State::Out { is_down, is_slow, until, is_probing };
        }
    }

    /// Whether it is out of service.
    #[must_use]
    pub fn is_out(&self) -> bool {
        self.state != State::Closed
    }

    /// The endpoint was asked for its model list; `is_well` when it gave any answer but 401, 403
    /// and 5xx. That does not prove that it answers questions, so the failures before are not
    /// forgiven: one more opens it again.
    pub fn listed(&mut self, is_well: bool, now: Instant) {
        self.watched_at = now;
        if is_well && self.state != State::Closed {
            self.come_back_on_probation(now);
        }
    }

    /// The state it is in now.
    #[must_use]
    pub fn standing(&self, now: Instant) -> Standing {
        let (phase, next_try) = match self.state {
            State::Closed => (Phase::Closed, None),
            State::Out { is_probing: true, .. } => (Phase::HalfOpen, Some(now)),
            State::Out { is_down, until, .. } => {
                let next = self.next_listing().map_or(until, |listing| listing.min(until));
                (if is_down { Phase::Down } else { Phase::Open }, Some(next.max(now)))
            }
        };
        Standing {
            phase,
            since: self.since,
            why: self.why,
            consecutive: self.consecutive,
            rest_until: self.rest_until.filter(|until| now < *until),
            asked: self.asked.filter(|_| self.rest_until.is_some_and(|until| now < until)),
            next_try,
        }
    }

    /// When it is asked for its model list next; `None` when nobody does.
    pub(super) fn next_listing(&self) -> Option<Instant> {
        let every = self.rules.probe_interval.filter(|_| self.is_watched)?;
        Some(after(self.since.max(self.watched_at), every))
    }

    fn leave(&mut self, (code, is_down, is_slow): (&'static str, bool, bool), now: Instant) {
        let until = after(now, self.patience(is_down));
        let state = State::Out { is_down, is_slow, until, is_probing: false };
        self.change(state, Some(code), now);
    }

    fn come_back_on_probation(&mut self, now: Instant) {
        self.consecutive = self.consecutive.min(self.rules.failure_threshold.saturating_sub(1));
        self.come_back(now);
    }

    fn come_back(&mut self, now: Instant) {
        self.latest = Window::default();
        self.change(State::Closed, None, now);
    }

    fn change(&mut self, state: State, why: Option<&'static str>, now: Instant) {
        self.generation += 1;
        self.state = state;
        self.why = why;
        self.since = now;
    }

    /// How long until a call may try.
    fn patience(&self, is_down: bool) -> Duration {
        let is_watched = self.is_watched && self.rules.probe_interval.is_some();
        if is_down && is_watched {
            self.rules.open.saturating_mul(PATIENCE)
        } else {
            self.rules.open
        }
    }

    fn rest(&mut self, report: Report, now: Instant) {
        let asked = match report {
            Report::Failed { rest, .. } | Report::Limited { rest } => rest,
            Report::Exhausted => Some(self.rules.open),
            Report::Answered | Report::Unusable { .. } => None,
        };
        if let Some(asked) = asked {
            let until = after(now, asked.min(LONGEST_REST));
            self.asked = Some(asked);
            self.rest_until = Some(self.rest_until.map_or(until, |known| known.max(until)));
        }
    }
}

/// How the latest calls ended, the last one in the lowest bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Window {
    failures: u32,
    seen: u32,
}

impl Window {
    fn push(&mut self, is_success: bool) {
        let mask = (1 << WINDOW) - 1;
        self.failures = (self.failures << 1 | u32::from(!is_success)) & mask;
        self.seen = (self.seen + 1).min(WINDOW);
    }

    fn fails_at(self, ratio: f64) -> bool {
        let failures = f64::from(self.failures.count_ones());
        self.seen >= WINDOW_LEAST && failures >= ratio * f64::from(self.seen)
    }
}

/// `now + wait`, or the end of time.
fn after(now: Instant, wait: Duration) -> Instant {
    now.checked_add(wait).unwrap_or(now)
}
