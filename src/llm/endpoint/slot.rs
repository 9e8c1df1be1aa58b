//! One endpoint's place in its model's pool, and its record: its breaker, and what it is doing.

use std::{
    hash::Hash,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::breaker::{Breaker, Cause, Offer, Report, Standing, Ticket};
use crate::{config::Health, llm::protocol::hash::hash};

/// How large an endpoint's share of the calls is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weighting {
    /// Its share among the endpoints of its priority; at least 1.
    pub weight: u32,
    /// Used only when all endpoints of a lower number are out.
    pub priority: u32,
}

/// Names of the model and its endpoint, for the log.
#[derive(Clone, Debug, Hash)]
pub(super) struct Name {
    pub(super) model: String,
    /// `host` or `host:port`.
    pub(super) endpoint: String,
}

/// An endpoint in its pool.
#[derive(Debug)]
pub(in crate::llm) struct Member<E> {
    pub(in crate::llm) number: usize,
    pub(super) weighting: Weighting,
    name: Name,
    /// Its name as a number, for choices that stay.
    pub(super) hash: u64,
    pub(in crate::llm) endpoint: E,
    record: Arc<Record>,
}

/// What is known of an endpoint. A reload of the config hands it on to the member that the same
/// endpoint is then, while calls that began before still report to it.
#[derive(Debug)]
pub(super) struct Record {
    breaker: Mutex<Breaker>,
    /// Whether it is in service and not resting, to be read without the lock.
    is_clear: AtomicBool,
    in_flight: AtomicUsize,
    /// The moving average in microseconds; 0 before the first.
    first_token: AtomicU64,
    /// Notified when it goes out of service.
    left: Notify,
}

impl Record {
    /// An endpoint in service of which nothing is known.
    pub(super) fn new(rules: Health) -> Self {
        Self {
            breaker: Mutex::new(Breaker::new(rules, Instant::now())),
            is_clear: AtomicBool::new(true),
            in_flight: AtomicUsize::new(0),
            first_token: AtomicU64::new(0),
            left: Notify::new(),
        }
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E> Member<E> {
    /// A member that begins with what its `record` knows, under these rules.
    pub(super) fn new(
        number: usize,
        name: Name,
        weighting: Weighting,
        endpoint: E,
        (rules, record): (Health, Option<Arc<Record>>),
    ) -> Self {
        let now = Instant::now();
        let record = record.unwrap_or_else(|| Arc::new(Record::new(rules)));
        record.breaker().set_rules(rules, now);
        Self {
            number,
            weighting: Weighting { weight: weighting.weight.max(1), ..weighting },
            // Two endpoints may share a host and differ by path or key.
            hash: hash(&(&name, number)),
            name,
            endpoint,
            record,
        }
    }

    /// What is known of its endpoint, for the member that follows it after a reload.
    pub(super) fn record(&self) -> &Arc<Record> {
        &self.record
    }

    /// What it can do for a call.
    pub(super) fn offer(&self, now: Instant) -> Offer {
        if self.record.is_clear.load(Ordering::Acquire) {
            return Offer::Free;
        }
        self.change(now, |breaker| breaker.offer(now))
    }

    /// Takes a call on, or not.
    pub(in crate::llm) fn admit(self: &Arc<Self>, now: Instant) -> Option<Lease<E>> {
        let ticket = self.change(now, |breaker| breaker.admit(now))?;
        Some(self.lease(ticket))
    }

    /// Whether it can be asked though it is out of service, when there is no other.
    pub(super) fn can_be_last(&self) -> bool {
        self.record.breaker().can_be_last()
    }

    /// Takes a call on that no other can take, or not.
    pub(super) fn admit_last(self: &Arc<Self>, now: Instant) -> Option<Lease<E>> {
        let ticket = self.change(now, Breaker::admit_last)?;
        Some(self.lease(ticket))
    }

    fn lease(self: &Arc<Self>, ticket: Ticket) -> Lease<E> {
        self.record.in_flight.fetch_add(1, Ordering::Relaxed);
        Lease { member: Arc::clone(self), ticket, is_settled: false }
    }

    /// Calls it is answering now.
    pub(in crate::llm) fn in_flight(&self) -> usize {
        self.record.in_flight.load(Ordering::Relaxed)
    }

    /// The moving average of the time to the first token.
    pub(super) fn first_token(&self) -> Option<Duration> {
        let micros = self.record.first_token.load(Ordering::Relaxed);
        (micros > 0).then(|| Duration::from_micros(micros))
    }

    pub(in crate::llm) fn standing(&self, now: Instant) -> Standing {
        self.record.breaker().standing(now)
    }

    /// Waits until it is out of service.
    pub(super) async fn leaves(&self) {
        loop {
            let left = self.record.left.notified();
            if self.is_out() {
                return;
            }
            left.await;
        }
    }

    pub(super) fn is_out(&self) -> bool {
        self.record.breaker().is_out()
    }

    /// When it is asked for its model list next, while somebody does.
    pub(super) fn next_listing(&self) -> Option<Instant> {
        self.record.breaker().next_listing()
    }

    /// Takes in that its model list was asked for.
    pub(in crate::llm) fn listed(&self, is_well: bool, now: Instant) {
        self.change(now, |breaker| breaker.listed(is_well, now));
    }

    /// Somebody asks for its model list while it is out, or does so no more.
    pub(super) fn set_watched(&self, is_watched: bool, now: Instant) {
        self.change(now, |breaker| breaker.set_watched(is_watched, now));
    }

    /// Takes a quarter of each new time in. Two at once may lose one of them: an average stays one.
    fn measured(&self, time: Duration) {
        let new = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1);
        let known = self.record.first_token.load(Ordering::Relaxed);
        let average = match known {
            0 => new,
            known => known - known / 4 + new / 4,
        };
        self.record.first_token.store(average.max(1), Ordering::Relaxed);
    }

    fn change<T>(&self, now: Instant, change: impl FnOnce(&mut Breaker) -> T) -> T {
        let mut breaker = self.record.breaker();
        let was_out = breaker.is_out();
        let result = change(&mut breaker);
        let is_out = breaker.is_out();
        self.record.is_clear.store(breaker.is_clear(now), Ordering::Release);
        let standing = (was_out != is_out).then(|| breaker.standing(now));
        drop(breaker);
        if let Some(standing) = standing {
            self.log(standing, now);
        }
        result
    }

    /// Logs that it went out of service, or came back.
    fn log(&self, standing: Standing, now: Instant) {
        let Name { model, endpoint } = &self.name;
        let Some(code) = standing.why else {
            tracing::info!(model, endpoint, "an endpoint is in service again");
            return;
        };
        self.record.left.notify_waiters();
        tracing::warn!(
            model,
            endpoint,
            code,
            consecutive_failures = standing.consecutive,
            next_try_ms = standing.next_try.map(|at| (at - now).as_millis()),
            "an endpoint is out of service"
        );
    }
}

/// One call at an endpoint. What is reported counts once; dropped without a report, the call says
/// nothing of the endpoint.
#[derive(Debug)]
pub struct Lease<E> {
    member: Arc<Member<E>>,
    ticket: Ticket,
    is_settled: bool,
}

impl<E> Lease<E> {
    /// The endpoint.
    #[must_use]
    pub fn endpoint(&self) -> &E {
        &self.member.endpoint
    }

    /// Its number in the order of the file.
    #[must_use]
    pub fn number(&self) -> usize {
        self.member.number
    }

    /// Whether this call decides if the endpoint is back.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.ticket.is_probe()
    }

    /// The first words of the answer have come.
    pub fn spoke(&mut self) {
        if !self.is_settled && !self.ticket.is_plain() {
            let (ticket, now) = (&mut self.ticket, Instant::now());
            self.member.change(now, |breaker| breaker.spoke(ticket, now));
        }
    }

    /// How the call ended, and how long its first token took where there was one. Only the first
    /// report counts.
    pub fn report(&mut self, report: Report, first_token: Option<Duration>) {
        self.report_of(report, Cause::default(), first_token);
    }

    /// [`Lease::report`] of a failure of which more is known.
    pub fn report_of(&mut self, report: Report, cause: Cause, first_token: Option<Duration>) {
        if !self.settle() {
            return;
        }
        let (member, ticket, now) = (&self.member, &self.ticket, Instant::now());
        member.change(now, |breaker| breaker.report_of(ticket, report, cause, now));
        if let Some(time) = first_token {
            member.measured(time);
        }
    }

    /// Whether it was not over before.
    fn settle(&mut self) -> bool {
        if self.is_settled {
            return false;
        }
        self.is_settled = true;
        self.member.record.in_flight.fetch_sub(1, Ordering::Relaxed);
        true
    }
}

impl<E> Drop for Lease<E> {
    fn drop(&mut self) {
        if self.settle() {
            let ticket = &self.ticket;
            self.member.change(Instant::now(), |breaker| breaker.release(ticket));
        }
    }
}
