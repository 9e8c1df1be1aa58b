//! The time limit of a call.

use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures::{FutureExt, future::poll_fn};
use tokio::{
    task::unconstrained,
    time::{Instant, Sleep, sleep_until},
};

use super::failure::Failure;
use crate::llm::{Limit, LlmErrorKind};

/// Runs from the moment the call holds its permits.
#[derive(Debug)]
pub(super) struct Clock {
    limit: Limit,
    deadline: Instant,
    /// A delta has come: a gap is being waited for, not the beginning.
    speaking: bool,
    /// An attempt that others could make instead has only until then to begin.
    patience: Option<Instant>,
    /// Rings when the limit ends or sooner, never later: deadlines that move on with each delta do
    /// not touch it.
    alarm: Option<Pin<Box<Sleep>>>,
    /// The task that is woken when the time is over.
    sleeper: Option<Waker>,
}

impl Clock {
    pub(super) fn start(limit: Limit) -> Self {
        Self {
            limit,
            deadline: after(length(limit)),
            speaking: false,
            patience: None,
            alarm: None,
            sleeper: None,
        }
    }

    /// Time spent waiting for permits does not count.
    pub(super) fn extend(&mut self, waited: Duration) {
        self.deadline = self.deadline.checked_add(waited).unwrap_or(self.deadline);
    }

    /// The wait for the next delta begins: with [`Limit::Gap`] it has the whole limit.
    pub(super) fn next_gap(&mut self) {
        self.speaking = true;
        self.patience = None;
        if let Limit::Gap(gap) = self.limit {
            self.deadline = after(gap);
        }
    }

    /// An attempt begins. One that may well fail, while another endpoint could answer, has half of
    /// what is left to its first delta, so that the call does not fail with it.
    pub(super) fn attempt_begins(&mut self, may_fail: bool) {
        self.patience = may_fail.then(|| after(self.remaining() / 2));
    }

    /// Whether an attempt that began then had most of the limit.
    pub(super) fn had_most(&self, begun: Instant) -> bool {
        begun.elapsed() >= length(self.limit) / 2
    }

    /// What is left of the limit.
    pub(super) fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// A part of the call, which fails when the limit ends before it.
    pub(super) async fn bound<T>(
        &mut self,
        part: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        // A part that is always ready would never see the alarm.
        if self.remaining().is_zero() {
            return Err(self.over());
        }
        let until = self.patience.map_or(self.deadline, |patience| patience.min(self.deadline));
        let mut part = pin!(part);
        let bounded = poll_fn(|context| match part.as_mut().poll(context) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending => self.poll_alarm(until, context).map(|()| None),
        });
        match bounded.await {
            Some(result) => result,
            None => Err(self.over()),
        }
    }

    fn poll_alarm(&mut self, until: Instant, context: &mut Context<'_>) -> Poll<()> {
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if until < alarm.deadline() {
            alarm.as_mut().reset(until);
            self.sleeper = None;
        }
        // Set and silent: asking it again for each delta would be a good part of what one costs.
        let is_set = self.sleeper.as_ref().is_some_and(|waker| waker.will_wake(context.waker()));
        if is_set && !alarm.is_elapsed() {
            return Poll::Pending;
        }
        self.sleeper = Some(context.waker().clone());
        // Unconstrained: a task that has used up its turn would be told `Pending` and not be woken.
        while unconstrained(alarm.as_mut()).poll_unpin(context).is_ready() {
            if until <= alarm.deadline() {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(until);
        }
        Poll::Pending
    }

    fn over(&self) -> Failure {
        let seconds = length(self.limit).as_secs_f64();
        let words = match (self.limit, self.speaking) {
            (Limit::Total(_), false) | (Limit::Gap(_), false) => {
                format!("no answer in {seconds} s")
            }
            (Limit::Total(_), true) => format!("no complete answer in {seconds} s"),
            (Limit::Gap(_), true) => format!("the answer stopped for {seconds} s"),
        };
        Failure::new(LlmErrorKind::Timeout, words)
    }
}

fn length(limit: Limit) -> Duration {
    match limit {
        Limit::Total(length) | Limit::Gap(length) => length,
    }
}

/// A limit too long to be added to the clock is as good as a year.
fn after(length: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(length).unwrap_or_else(|| now + Duration::from_secs(365 * 24 * 60 * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    async fn takes(seconds: u32) -> Result<(), Failure> {
        tokio::time::sleep(SECOND * seconds).await;
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn a_total_limit_bounds_everything() {
        let mut clock = Clock::start(Limit::Total(SECOND * 10));
        assert!(clock.bound(takes(6)).await.is_ok());
        clock.next_gap();
        assert_eq!(clock.remaining(), SECOND * 4);
        clock.extend(SECOND * 2);
        assert!(clock.bound(takes(5)).await.is_ok());
        let failure = clock.bound(takes(5)).await.err().unwrap();
        assert_eq!(failure.kind, LlmErrorKind::Timeout);
        assert!(clock.bound(takes(0)).await.is_err(), "even a part that is ready");
    }

    #[tokio::test(start_paused = true)]
    async fn a_gap_limit_starts_again_with_each_delta() {
        let mut clock = Clock::start(Limit::Gap(SECOND * 10));
        for _ in 0..5 {
            assert!(clock.bound(takes(9)).await.is_ok());
            clock.next_gap();
        }
        assert!(clock.bound(takes(11)).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_may_fail_has_half_of_what_is_left() {
        let mut clock = Clock::start(Limit::Total(SECOND * 10));
        let began = Instant::now();
        assert!(clock.bound(takes(2)).await.is_ok());
        clock.attempt_begins(true);
        assert!(clock.bound(takes(5)).await.is_err());
        assert_eq!(began.elapsed(), SECOND * 6, "after half of the eight seconds");
        clock.attempt_begins(false);
        assert!(clock.bound(takes(3)).await.is_ok());
        assert!(clock.bound(takes(3)).await.is_err());
        assert_eq!(began.elapsed(), SECOND * 10, "and never later than the limit");
    }

    /// A task that had much to do is not woken by what it asks then, only asked again.
    #[tokio::test(start_paused = true)]
    async fn a_limit_rings_for_a_task_that_has_used_up_its_turn() {
        let mut clock = Clock::start(Limit::Total(SECOND * 10));
        let mut is_first = true;
        let busy = poll_fn(|context| {
            if std::mem::take(&mut is_first) {
                while tokio::task::coop::has_budget_remaining() {
                    let mut spends = pin!(tokio::task::coop::consume_budget());
                    let _spent = spends.as_mut().poll(context);
                }
            }
            Poll::Pending
        });
        let began = Instant::now();
        let rung = tokio::time::timeout(SECOND * 60, clock.bound::<()>(busy)).await;
        assert!(rung.is_ok_and(|limit| limit.is_err()), "it never rang");
        assert_eq!(began.elapsed(), SECOND * 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_without_end_does_not_overflow() {
        assert!(Clock::start(Limit::Total(Duration::MAX)).bound(takes(1000)).await.is_ok());
    }
}
