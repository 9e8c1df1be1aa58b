//! Until when a level may run, and its workers: `deadline_secs`.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::{
    config::{LimitKind, Plan, Stage},
    llm::{LlmError, LlmErrorKind},
    workflow::{
        context::RunContext,
        step::{Step, Steps, at},
    },
};

/// A moment at which everything below has to be over, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::workflow) struct Deadline {
    at: Instant,
    /// `deadline_secs`, for messages.
    whole: Duration,
}

impl Deadline {
    /// The deadline after this time from now; none when that is beyond all time.
    pub(in crate::workflow) fn after(whole: Duration) -> Option<Self> {
        let at = Instant::now().checked_add(whole)?;
        Some(Self { at, whole })
    }

    pub(in crate::workflow) fn is_over(&self) -> bool {
        self.at <= Instant::now()
    }

    /// What this comes to by then; nothing when it takes longer.
    pub(in crate::workflow) async fn within<T>(self, work: impl Future<Output = T>) -> Option<T> {
        timeout_at(self.at, work).await.ok()
    }

    /// A step that comes when it is over.
    pub(super) fn then(self, step: Step) -> Steps {
        at(self.at, step)
    }

    /// The error of a model's call that this deadline ended.
    pub(in crate::workflow) fn error(&self, model: &str) -> LlmError {
        LlmError {
            kind: LlmErrorKind::Timeout,
            model: model.to_owned(),
            endpoint: None,
            message: self.words(),
        }
    }

    pub(super) fn words(&self) -> String {
        format!("ended by the workflow's deadline of {} s", self.whole.as_secs_f64())
    }
}

/// The time a level has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    /// The end of it all.
    pub(super) end: Option<Deadline>,
    /// When the workers have to be done, so that judge and writer can still work.
    pub(super) workers: Option<Deadline>,
    /// When the analysis has to be there: half of the workers' time is left then to those who
    /// waited for it, since an analyzer that hangs must not stop the run.
    pub(super) analysis: Option<Deadline>,
}

impl Window {
    /// The window of a level that starts now. `parent` is until when the level above waits for it.
    pub(super) fn open(run: &RunContext, plan: &Plan, parent: Option<Deadline>) -> Self {
        let now = Instant::now();
        let own = plan.policy.deadline.and_then(Deadline::after);
        let end = match (own, parent) {
            (Some(own), Some(parent)) => Some(if own.at < parent.at { own } else { parent }),
            (own, parent) => own.or(parent),
        };
        let workers = end.map(|end| {
            let whole = end.at.saturating_duration_since(now);
            let kept = reserve(whole, limits(run, plan));
            Deadline { at: end.at.checked_sub(kept).unwrap_or(now).max(now), ..end }
        });
        let analysis = workers.map(|workers| {
            let half = workers.at.saturating_duration_since(now) / 2;
            Deadline { at: now.checked_add(half).unwrap_or(now), ..workers }
        });
        Self { end, workers, analysis }
    }
}

/// What the stages after the workers may take in all, by their own limits.
fn limits(run: &RunContext, plan: &Plan) -> Duration {
    let limit = |kind, stage: &Stage| {
        let model = run.models(stage).into_iter().next();
        model.map_or(Duration::ZERO, |model| run.limit(kind, &model, stage))
    };
    let reranker = plan.reranker.as_ref().map(|one| limit(LimitKind::Selector, &one.stage));
    let selector = plan.selector.as_ref().map(|stage| limit(LimitKind::Selector, stage));
    let synthesizer = plan.synthesizer.as_ref().map(|stage| limit(LimitKind::Synthesizer, stage));
    let each = [reranker, selector, synthesizer].into_iter().flatten();
    each.fold(Duration::ZERO, Duration::saturating_add)
}

/// How much of the whole window is kept for what comes after the workers.
fn reserve(whole: Duration, limits: Duration) -> Duration {
    limits.min(whole.mul_f64(0.4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_what_the_later_stages_may_take_and_at_most_two_fifths() {
        let secs = Duration::from_secs_f64;
        for (whole, limits, want) in
            [(100.0, 3.0, 3.0), (100.0, 120.0, 40.0), (10.0, 4.0, 4.0), (10.0, 0.0, 0.0)]
        {
            assert_eq!(reserve(secs(whole), secs(limits)), secs(want), "{whole} {limits}");
        }
    }
}
