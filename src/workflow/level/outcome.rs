//! How a level ends, and the record it leaves.

use super::{
    phase::Phase,
    state::{LevelState, MemberState, Running},
};
use crate::{
    llm::LlmErrorKind,
    types::Usage,
    workflow::{
        Event, StageKind,
        error::by_reason,
        step::{Candidate, Failure, FailureKind, LevelOutcome},
        trace::{
            AnalyzerRecord, CallRecord, LevelRecord, RerankerRecord, RunStatus, SelectorRecord,
            StageStatus, SynthesizerRecord, UsageRecord, WorkerRecord, millis,
        },
    },
};

impl LevelState {
    pub(super) fn failed(&mut self, failure: Failure) -> LevelOutcome {
        self.outcome(Err(failure), RunStatus::Failed)
    }

    /// Every candidate goes up, each remembering where it came from.
    pub(super) fn all_go_up(&mut self) -> LevelOutcome {
        let candidates = std::mem::take(&mut self.candidates).into_iter().map(|candidate| {
            let path = format!("{}/{}", self.plan.name, candidate.path);
            Candidate { path, ..candidate }
        });
        let candidates = candidates.collect();
        let status = self.good_status();
        self.outcome(Ok(candidates), status)
    }

    pub(super) fn best_goes_up(&mut self) -> LevelOutcome {
        let best = self.candidates.get(self.best).cloned();
        let named = best.map(|best| match self.reader.is_client() {
            true => best,
            false => {
                let name = self.plan.name.clone();
                Candidate { path: name.clone(), name, ..best }
            }
        });
        if self.agreed && self.plan.synthesizer.is_some() {
            let call = CallRecord {
                status: StageStatus::Skipped,
                started_ms: self.run.elapsed_ms(),
                ..CallRecord::default()
            };
            self.synthesizer =
                Some(SynthesizerRecord { call, fallback: false, fallback_reason: None });
        }
        let usage = named.as_ref().map(|best| best.usage).unwrap_or_default();
        let status = self.good_status();
        let outcome = self.outcome(Ok(named.into_iter().collect()), status);
        LevelOutcome { answer_usage: usage, ..outcome }
    }

    /// The level above can do without this one: everything at work is hung up on, and levels below
    /// are notified.
    pub(super) fn stop(&mut self) -> Vec<Event> {
        self.phase = Phase::Stopping;
        if let Some(running) = self.asking.take() {
            let tracker = running.tracker.clone();
            let call = cancel(running, StageStatus::Cut);
            let stage = self.unfinished();
            self.decides(tracker.chain(stage, &call.model, self.path.as_ref()));
            self.record_unfinished(stage, call);
        }
        self.cancel_stragglers()
    }

    pub(super) fn is_stopping(&self) -> bool {
        matches!(self.phase, Phase::Stopping | Phase::Stopped)
    }

    pub(super) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// A level that was stopped, once everything below has ended.
    pub(super) fn cancelled(&mut self) -> LevelOutcome {
        let message = "cut: the level above has enough answers".to_owned();
        let kind = FailureKind::Members {
            members: Vec::new(),
            succeeded: 0,
            needed: self.plan.policy.min_success,
            by_deadline: false,
        };
        self.outcome(Err(Failure { kind, code: "cut", message }), RunStatus::Cancelled)
    }

    /// The stage that is at work after the members: the first one without a record.
    fn unfinished(&self) -> StageKind {
        if self.plan.reranker.is_some() && self.reranker.is_none() {
            StageKind::Reranker
        } else if self.plan.selector.is_some() && self.selector.is_none() {
            StageKind::Selector
        } else {
            StageKind::Synthesizer
        }
    }

    /// Files the call of that stage.
    fn record_unfinished(&mut self, stage: StageKind, call: CallRecord) {
        if stage == StageKind::Reranker {
            let (scores, kept, order) = Default::default();
            self.reranker = Some(RerankerRecord { call, scores, kept, order, reason: None });
        } else if stage == StageKind::Selector {
            let (scores, order) = Default::default();
            self.selector = Some(SelectorRecord {
                call,
                selected_worker: None,
                selected_index: None,
                reason: None,
                scores,
                order,
                fallback: false,
            });
        } else {
            self.synthesizer =
                Some(SynthesizerRecord { call, fallback: false, fallback_reason: None });
        }
    }

    pub(super) fn members_failure(&self) -> Failure {
        let ended = self.members.iter().filter_map(|member| match member {
            MemberState::Ended(outcome) => Some(outcome),
            MemberState::Empty | MemberState::Running(_) | MemberState::Out(_) => None,
        });
        let failures: Vec<(String, Failure)> = ended
            .filter_map(|outcome| {
                let failure = outcome.result.as_ref().err()?;
                Some((outcome.record.name.clone(), failure.clone()))
            })
            .collect();
        let each = failures.iter().map(|(name, failure)| (name.as_str(), failure.message.as_str()));
        let message = by_reason(each);
        // A level below ends at the same moment; whichever is seen first, the deadline was it.
        let below = failures.iter().any(|(_, failure)| failure.is_by_deadline());
        let kind = FailureKind::Members {
            members: failures,
            succeeded: self.successes(),
            needed: self.plan.policy.min_success.max(1),
            by_deadline: self.overdue || below,
        };
        let failure = Failure { kind, code: "all_workers_failed", message };
        if failure.is_wholly(|kind| kind == LlmErrorKind::UnsupportedInput) {
            return Failure { code: LlmErrorKind::UnsupportedInput.code(), ..failure };
        }
        if failure.is_by_deadline() {
            return Failure { code: LlmErrorKind::Timeout.code(), ..failure };
        }
        failure
    }

    /// Ends the level: whatever still runs in it is hung up on here, not when it is next polled.
    pub(super) fn outcome(
        &mut self,
        result: Result<Vec<Candidate>, Failure>,
        status: RunStatus,
    ) -> LevelOutcome {
        let record = self.record(status, StageStatus::Cut);
        LevelOutcome { record, result, answer_usage: Usage::default(), chain: self.chain.take() }
    }

    /// The level's record, in which whatever still runs is hung up on and ends as `left`.
    fn record(&mut self, status: RunStatus, left: StageStatus) -> LevelRecord {
        self.phase = Phase::Over;
        for attendant in self.attendants.drain(..) {
            attendant.cancel();
        }
        // The analyzer was still reading when the level could do without it.
        if let Some(call) = self.analyzing.take().map(|running| cancel(running, left)) {
            // What it was sent is not what it advised, which is what the trace shows here.
            let call = CallRecord { temperature: None, temperature_source: None, ..call };
            let (task_type, language, overrides) = (None, None, None);
            self.analyzer = Some(AnalyzerRecord { call, task_type, language, overrides });
        }
        let workers = self.worker_records(left);
        let mut record = LevelRecord {
            name: self.plan.name.clone(),
            status,
            total_ms: millis(self.started.elapsed()),
            first_token_ms: None,
            usage: UsageRecord::default(),
            analyzer: self.analyzer.take(),
            workers,
            reranker: self.reranker.take(),
            selector: self.selector.take(),
            synthesizer: self.synthesizer.take(),
            note: self.note.take(),
        };
        record.usage = sum(&record);
        record
    }

    fn worker_records(&mut self, left: StageStatus) -> Vec<WorkerRecord> {
        let members = std::mem::take(&mut self.members).into_iter().enumerate();
        members
            .map(|(index, member)| {
                let call = match member {
                    MemberState::Ended(outcome) => return outcome.record,
                    MemberState::Out(record) => return *record,
                    MemberState::Running(running) => cancel(running, left),
                    MemberState::Empty => CallRecord::default(),
                };
                let name = self.member_name(index);
                let path = nested_path(self.path.as_deref(), &name);
                let nested = self.run.take_abandoned(Some(&path)).map(Box::new);
                WorkerRecord { name, call, response: None, nested }
            })
            .collect()
    }
}

/// Hangs up on a stage or member, and what it did until then.
pub(super) fn cancel(running: Running, status: StageStatus) -> CallRecord {
    running.canceller.cancel();
    running.tracker.end(status, None)
}

/// The nested workflows down to one.
pub(super) fn nested_path(above: Option<&str>, name: &str) -> String {
    match above {
        Some(above) => format!("{above}/{name}"),
        None => name.to_owned(),
    }
}

/// Nobody waits for the level any more: its client left, or it was hung up on.
impl Drop for LevelState {
    fn drop(&mut self) {
        if self.is_over() {
            return;
        }
        if let Some(running) = self.asking.take() {
            let call = cancel(running, StageStatus::Cancelled);
            self.record_unfinished(self.unfinished(), call);
        }
        let record = self.record(RunStatus::Cancelled, StageStatus::Cancelled);
        self.run.abandon(self.path.clone(), record);
    }
}

/// Everything spent at a level and below.
pub(super) fn sum(level: &LevelRecord) -> UsageRecord {
    let stages = [
        level.analyzer.as_ref().map(|record| &record.call),
        level.reranker.as_ref().map(|record| &record.call),
        level.selector.as_ref().map(|record| &record.call),
        level.synthesizer.as_ref().map(|record| &record.call),
    ];
    let calls = stages.into_iter().flatten().chain(level.workers.iter().map(|one| &one.call));
    calls.fold(UsageRecord::default(), |sum, call| sum.plus(&call.usage))
}
