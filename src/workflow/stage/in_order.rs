//! The models of a stage that asks a question of the engine's own (analyzer, reranker, selector):
//! one after the other is asked until one gives an answer that can be used.

use std::collections::VecDeque;

use super::recorder::Tracker;
use crate::{
    llm::{LlmError, Model},
    workflow::trace::{CallRecord, ErrorRecord, StageStatus},
};

/// Why a model gave no answer.
pub(super) enum Failure {
    Upstream(LlmError),
    /// It gave one that cannot be used.
    Unusable,
}

/// The models that a stage may still ask, and why those it has asked gave no answer.
pub(super) struct InOrder<'a, T> {
    pub(super) left: VecDeque<T>,
    tracker: &'a Tracker,
    failures: Vec<(String, Failure)>,
    /// What is said of an answer that cannot be used.
    unusable: &'static str,
}

impl<'a, T> InOrder<'a, T> {
    pub(super) fn new(left: VecDeque<T>, tracker: &'a Tracker, unusable: &'static str) -> Self {
        Self { left, tracker, failures: Vec::new(), unusable }
    }

    /// The next one to ask: `None` when none is left, or when the deadline came after the first.
    pub(super) fn next(&mut self) -> Option<T> {
        if !self.failures.is_empty() && self.tracker.is_over() {
            return None;
        }
        self.left.pop_front()
    }

    pub(super) fn failed(&mut self, model: &Model, failure: Failure) {
        self.failures.push((model.config().name.clone(), failure));
    }

    /// Nobody gave an answer: what is recorded of the stage's call, and why the last one gave none.
    pub(super) fn give_up(&mut self) -> (CallRecord, ErrorRecord) {
        let failure = self.failures.pop().map_or(Failure::Unusable, |(_, failure)| failure);
        let shown = self.shown(&failure);
        let call = match &failure {
            Failure::Upstream(error) => self.tracker.failed(error),
            Failure::Unusable => self.tracker.end(StageStatus::Failed, Some(shown.clone())),
        };
        (call, shown)
    }

    /// The models that failed before another one was asked, and why.
    pub(super) fn overcome(&self) -> Vec<(String, ErrorRecord)> {
        self.failures.iter().map(|(name, failure)| (name.clone(), self.shown(failure))).collect()
    }

    fn shown(&self, failure: &Failure) -> ErrorRecord {
        match failure {
            Failure::Upstream(error) => ErrorRecord::from(error),
            Failure::Unusable => {
                ErrorRecord { code: "unusable_answer", message: self.unusable.to_owned() }
            }
        }
    }
}
