//! What decided the time of a run: the chain of stages of which each began when the one before it
//! had ended, and how much of it was waiting for upstreams.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};

use tokio::time::Instant;

use super::{StageKind, trace::CriticalStage};

/// The last stage of a chain; none where nothing had to be waited for.
pub(super) type Chain = Option<Arc<Link>>;

/// A stage that others waited for, and what it had waited for itself.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) stage: StageKind,
    pub(super) name: String,
    /// The nested workflows it was in; none at the top.
    pub(super) level: Option<Arc<str>>,
    pub(super) began: Instant,
    pub(super) ended: Instant,
    /// How much of its time its upstreams took.
    pub(super) waited: Duration,
    pub(super) before: Chain,
}

/// The one of two chains that ended later; both had to.
pub(super) fn later(one: Chain, other: Chain) -> Chain {
    match (one, other) {
        (Some(one), Some(other)) => Some(if one.ended < other.ended { other } else { one }),
        (one, other) => one.or(other),
    }
}

/// The stages of a chain from the first to the last, and what their upstreams took in all.
pub(super) fn stages_of(chain: &Chain) -> (Vec<CriticalStage>, Duration) {
    let mut stages = Vec::new();
    let mut waited = Duration::ZERO;
    let mut next = chain.as_deref();
    while let Some(link) = next {
        waited += link.waited;
        stages.push(CriticalStage {
            stage: link.stage,
            name: link.name.clone(),
            level: link.level.as_deref().map(str::to_owned),
            duration: link.ended.saturating_duration_since(link.began),
        });
        next = link.before.as_deref();
    }
    stages.reverse();
    (stages, waited)
}

/// How long a stage had nothing to do but wait. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Stopwatch(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    since: Option<Instant>,
    before: Duration,
}

impl Stopwatch {
    /// Polls, and runs from a poll that found nothing to do until the next one. `waits` is kept
    /// between the polls of one stream, so that those that have something cost nothing.
    pub(super) fn around<T>(&self, waits: &mut bool, poll: impl FnOnce() -> Poll<T>) -> Poll<T> {
        if std::mem::take(waits) {
            let mut waiting = self.waiting();
            if let Some(since) = waiting.since.take() {
                waiting.before += since.elapsed();
            }
        }
        let polled = poll();
        if polled.is_pending() {
            *waits = true;
            self.waiting().since = Some(Instant::now());
        }
        polled
    }

    /// How long it waited since this was asked last.
    pub(super) fn take(&self) -> Duration {
        let mut guard = self.waiting();
        let Waiting { since, before } = &mut *guard;
        if let Some(since) = since {
            let now = Instant::now();
            *before += now.saturating_duration_since(*since);
            *since = now;
        }
        std::mem::take(before)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
