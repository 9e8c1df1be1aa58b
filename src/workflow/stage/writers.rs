//! The models that may write the answer, in the order in which they are tried, and those that failed.

use std::{collections::VecDeque, sync::Arc};

use super::{
    fallback::{Reader, may_call},
    recorder::Tracker,
    temperature::Chosen,
};
use crate::{
    llm::{LlmError, LlmErrorKind, Model},
    workflow::{Fallback, Successor, context::RunContext, step::Candidate},
};

/// One model about to be asked.
#[derive(Clone)]
pub(super) struct Attempt {
    pub(super) model: Arc<Model>,
    pub(super) chosen: Chosen,
    /// Its context turned out smaller than configured: half as much of the drafts.
    pub(super) halved: bool,
    /// Whether it was asked with a second call already.
    pub(super) hedged: bool,
}

impl Attempt {
    pub(super) fn model_name(&self) -> &str {
        &self.model.config().name
    }
}

/// The models of a stage and, where no draft may be the answer since a tool may have to be called,
/// those of the drafts.
pub(super) struct Writers {
    own: VecDeque<Attempt>,
    /// The models of the drafts, best first; only one that can take the request is asked.
    drafters: VecDeque<Attempt>,
    is_drafter: bool,
    overcome: Overcome,
}

impl Writers {
    /// These models, and those of the drafts; `attempt` is how one is asked.
    pub(super) fn of(
        run: &RunContext,
        reader: Reader,
        own: Vec<Arc<Model>>,
        drafts: &[Candidate],
        attempt: impl Fn(Arc<Model>) -> Attempt,
    ) -> Self {
        let mut drafters: Vec<Arc<Model>> = Vec::new();
        if may_call(run, reader) {
            for draft in drafts {
                let model = run.engine.llm.model(&draft.model);
                let is_new = |model: &&Arc<Model>| {
                    !own.iter().chain(&drafters).any(|known| Arc::ptr_eq(known, model))
                };
                drafters.extend(model.filter(is_new).cloned());
            }
        }
        let attempts = |models: Vec<Arc<Model>>| models.into_iter().map(&attempt).collect();
        Self {
            own: attempts(own),
            drafters: attempts(drafters),
            is_drafter: false,
            overcome: Overcome::default(),
        }
    }

    /// The attempt that is made next, unless none is left or the deadline came.
    pub(super) fn next(&mut self, tracker: &Tracker) -> Option<Attempt> {
        let next = self.own.pop_front().or_else(|| {
            self.is_drafter = true;
            self.drafters.pop_front()
        })?;
        let is_first = self.overcome.errors.is_empty() || next.halved;
        (is_first || !tracker.is_over()).then_some(next)
    }

    /// The models that may be asked beside one that is late: the stage's own.
    pub(super) fn spare(&mut self) -> &mut VecDeque<Attempt> {
        &mut self.own
    }

    /// A context that is too small gets half of the drafts, once; other failures are for good.
    pub(super) fn failed(&mut self, failed: Vec<(Attempt, LlmError)>, hedged: bool) {
        for (attempt, error) in failed {
            if error.kind == LlmErrorKind::ContextLength && !attempt.halved {
                self.own.push_front(Attempt { halved: true, hedged, ..attempt });
                continue;
            }
            if self.is_drafter && error.kind != LlmErrorKind::UnsupportedInput {
                self.drafters.clear();
            }
            self.overcome.errors.push(error);
        }
    }

    /// What is reported once, when this model follows on others that failed.
    pub(super) fn successor(&mut self, model: &str) -> Option<Fallback> {
        self.falls_to(Successor::Model(model.to_owned()))
    }

    /// What is reported once, when this follows on models that failed.
    pub(super) fn falls_to(&mut self, to: Successor) -> Option<Fallback> {
        self.overcome.falls_to(to)
    }

    /// Everything that failed so far.
    pub(super) fn overcome(&mut self) -> Vec<LlmError> {
        std::mem::take(&mut self.overcome.errors)
    }
}

/// Models that failed before another one was asked.
#[derive(Default)]
pub(super) struct Overcome {
    pub(super) errors: Vec<LlmError>,
    /// How many of those were reported.
    reported: usize,
}

impl Overcome {
    /// What is reported once, when this follows on them.
    pub(super) fn falls_to(&mut self, to: Successor) -> Option<Fallback> {
        let fresh = self.errors.get(self.reported..)?;
        let failed: Vec<_> =
            fresh.iter().map(|error| (error.model.clone(), error.kind.code())).collect();
        self.reported = self.errors.len();
        (!failed.is_empty()).then_some(Fallback { failed, to })
    }
}

/// The failure that says why there is no answer: the last one, but not that of a model which could
/// not take the request anyway.
pub(super) fn to_report(failures: &[LlmError]) -> Option<usize> {
    let failed = |error: &LlmError| error.kind != LlmErrorKind::UnsupportedInput;
    failures.iter().rposition(failed).or(failures.len().checked_sub(1))
}
