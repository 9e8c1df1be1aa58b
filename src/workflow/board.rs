//! What a level knows so far: its members' answers, the ranking, and the records they leave.

use std::sync::Arc;

use super::{
    Event, StageKind, analyzer,
    consensus::{Consensus, consensus},
    context::{Cost, RunContext},
    selector,
    step::{
        Advice, Answered, Candidate, Failure, FailureKind, LevelOutcome, MemberOutcome, Selection,
        report,
    },
    synthesizer,
    trace::{
        AnalyzerRecord, CallRecord, ErrorRecord, LevelRecord, RunStatus, SelectorRecord,
        StageStatus, SynthesizerRecord, UsageRecord, Warning, WorkerRecord,
    },
};
use crate::{
    config::{Member, Plan, Stage},
    llm::{LlmError, LlmErrorKind},
    types::Usage,
};

/// What a level does once every member has ended.
pub(super) enum Judging {
    /// Too few succeeded.
    Failed(Failure),
    /// A nested level without selector and synthesizer.
    AllGoUp,
    /// No judge is needed.
    Known(Box<Selection>),
    /// The judge is.
    Ask(Stage),
}

/// Candidates with what they have in common, as the judge takes them.
pub(super) struct Shortlist {
    pub(super) candidates: Vec<Candidate>,
    pub(super) consensus: Consensus,
}

/// The state of one level.
pub(super) struct Board {
    run: Arc<RunContext>,
    plan: Arc<Plan>,
    top: bool,
    started_ms: u64,
    waiting: usize,
    analyzer: Option<AnalyzerRecord>,
    members: Vec<Option<MemberOutcome>>,
    /// In plan order.
    candidates: Vec<Candidate>,
    consensus: Option<Consensus>,
    /// Index into `candidates`.
    best: usize,
    selector: Option<SelectorRecord>,
    synthesizer: Option<SynthesizerRecord>,
    degraded: bool,
}

impl Board {
    pub(super) fn new(run: Arc<RunContext>, plan: Arc<Plan>, top: bool) -> Self {
        let count = plan.members.len();
        Self {
            started_ms: run.elapsed_ms(),
            run,
            top,
            waiting: count,
            analyzer: None,
            members: std::iter::repeat_with(|| None).take(count).collect(),
            candidates: Vec::new(),
            consensus: None,
            best: 0,
            selector: None,
            synthesizer: None,
            degraded: false,
            plan,
        }
    }

    pub(super) fn analyzed(
        &mut self,
        record: AnalyzerRecord,
        failure: Option<ErrorRecord>,
        overcome: &[(String, ErrorRecord)],
        advice: &Advice,
    ) -> Event {
        let (status, ms) = (record.call.status, record.call.duration_ms);
        let name = record.call.model.clone();
        let detail = match &failure {
            Some(failure) => Some(failure.code.to_owned()),
            None => advice_line(advice),
        };
        for (model, error) in overcome {
            self.warn(StageKind::Analyzer, model, error);
        }
        if let Some(failure) = &failure {
            self.warn(StageKind::Analyzer, &name, failure);
        }
        self.analyzer = Some(record);
        let degrades = failure.is_some() || !overcome.is_empty();
        report(StageKind::Analyzer, &name, status, ms, detail, degrades)
    }

    pub(super) fn member_ended(&mut self, seat: usize, outcome: MemberOutcome) -> Event {
        let name = outcome.record.name.clone();
        let call = &outcome.record.call;
        let (status, ms) = (call.status, call.duration_ms);
        let mut detail = None;
        let mut degrades = false;
        // A model that cannot take the input was left out, which is no failure.
        let failed = |error: &&LlmError| error.kind != LlmErrorKind::UnsupportedInput;
        for error in outcome.overcome.iter().filter(failed) {
            self.warn(StageKind::Worker, &name, &ErrorRecord::from(error));
            degrades = true;
        }
        let nested = outcome.record.nested.as_ref();
        self.degraded |= nested.is_some_and(|level| level.status == RunStatus::Degraded);
        if let Err(failure) = &outcome.result {
            detail = Some(failure.code.to_owned());
            if status != StageStatus::Skipped {
                let shown = ErrorRecord { code: failure.code, message: failure.message.clone() };
                self.warn(StageKind::Worker, &name, &shown);
                degrades = true;
            }
        }
        if let Some(place) = self.members.get_mut(seat) {
            *place = Some(outcome);
            self.waiting = self.waiting.saturating_sub(1);
        }
        report(StageKind::Worker, &name, status, ms, detail, degrades)
    }

    pub(super) fn all_members_ended(&self) -> bool {
        self.waiting == 0
    }

    /// Closes the drafting and says how the best candidate is found.
    pub(super) fn judge_next(&mut self) -> Judging {
        let ended = self.members.iter().flatten();
        let successes = ended.filter(|outcome| outcome.result.is_ok()).count();
        if successes < self.needed() {
            return Judging::Failed(self.members_failure());
        }
        for outcome in self.members.iter().flatten() {
            if let Ok(candidates) = &outcome.result {
                self.candidates.extend(candidates.iter().cloned());
            }
        }
        if !self.top && self.plan.selector.is_none() && self.plan.synthesizer.is_none() {
            return Judging::AllGoUp;
        }
        let texts: Vec<&str> = self.candidates.iter().map(|one| one.text.as_str()).collect();
        let found = consensus(&texts).unwrap_or(Consensus { best: 0, agreement: 1.0 });
        self.consensus = Some(found);
        let reason = match &self.plan.selector {
            None => Some("the plan has no selector: consensus"),
            Some(_) => selector::skip_reason(self.candidates.len(), found),
        };
        match (reason, &self.plan.selector, self.candidates.get(found.best)) {
            (None, Some(stage), _) => Judging::Ask(stage.clone()),
            (reason, _, Some(best)) => {
                let reason = reason.unwrap_or("consensus");
                Judging::Known(Box::new(selector::skipped(&self.run, best, found.best, reason)))
            }
            (_, _, None) => Judging::Failed(self.members_failure()),
        }
    }

    /// What the judge takes.
    pub(super) fn shortlist(&self) -> Shortlist {
        let consensus = self.consensus.unwrap_or(Consensus { best: 0, agreement: 1.0 });
        Shortlist { candidates: self.candidates.clone(), consensus }
    }

    /// Takes the selection in; events only when a judge was asked.
    pub(super) fn selected(&mut self, selection: Selection) -> Vec<Event> {
        let Selection { best, record, failure, overcome, .. } = selection;
        self.best = best;
        let mut events = Vec::new();
        if record.call.status != StageStatus::Skipped {
            let name = record.call.model.clone();
            for (model, error) in &overcome {
                self.warn(StageKind::Selector, model, error);
            }
            if let Some(failure) = &failure {
                self.warn(StageKind::Selector, &name, failure);
            }
            let (status, ms) = (record.call.status, record.call.duration_ms);
            let detail = record.selected_worker.clone();
            let degrades = failure.is_some() || !overcome.is_empty();
            events.push(report(StageKind::Selector, &name, status, ms, detail, degrades));
        }
        // Without a selector in the plan there is no selector's record, except at the top, where
        // the reader of the trace wants to know whose answer it was.
        if self.plan.selector.is_some() || self.plan.synthesizer.is_none() {
            self.selector = Some(record);
        }
        events
    }

    /// The candidates, the best first, the others in plan order.
    pub(super) fn ranked(&self) -> Vec<Candidate> {
        let best = self.candidates.get(self.best);
        let others = self.candidates.iter().enumerate().filter(|(index, _)| *index != self.best);
        best.into_iter().chain(others.map(|(_, one)| one)).cloned().collect()
    }

    /// The best candidate's text as it is sent when it is the answer.
    pub(super) fn best_in_pieces(&self) -> Vec<String> {
        let text = self.candidates.get(self.best).map_or("", |best| &best.text);
        synthesizer::pieces(text)
    }

    pub(super) fn failed(&mut self, failure: Failure) -> LevelOutcome {
        self.outcome(Err(failure), RunStatus::Failed)
    }

    pub(super) fn all_go_up(&mut self) -> LevelOutcome {
        let candidates = std::mem::take(&mut self.candidates);
        let status = self.good_status();
        self.outcome(Ok(candidates), status)
    }

    pub(super) fn best_goes_up(&mut self) -> LevelOutcome {
        let best = self.candidates.get(self.best).cloned();
        let named = best.map(|best| if self.top { best } else { self.renamed(best) });
        let usage = named.as_ref().map(|best| best.usage).unwrap_or_default();
        let status = self.good_status();
        let outcome = self.outcome(Ok(named.into_iter().collect()), status);
        LevelOutcome { answer_usage: usage, ..outcome }
    }

    /// Takes the synthesizer's ending in.
    pub(super) fn answered(&mut self, answered: Answered) -> (Event, LevelOutcome) {
        let Answered { record, result, text, usage, overcome } = answered;
        let name = record.call.model.clone();
        for error in &overcome {
            let named = if error.model.is_empty() { &name } else { &error.model };
            self.warn(StageKind::Synthesizer, named, &ErrorRecord::from(error));
        }
        let (status, ms) = (record.call.status, record.call.duration_ms);
        let degrades = !overcome.is_empty();
        let event = report(StageKind::Synthesizer, &name, status, ms, None, degrades);
        self.synthesizer = Some(record);
        let mut outcome = match result {
            Ok(reason) => {
                let best = self.candidates.get(self.best);
                let seat = best.map_or(0, |best| best.seat);
                let name = self.plan.name.clone();
                let status = self.good_status();
                self.outcome(Ok(vec![Candidate { seat, name, text, reason, usage }]), status)
            }
            Err(error) => self.outcome(Err(Failure::of(&error)), RunStatus::Failed),
        };
        outcome.answer_usage = usage;
        (event, outcome)
    }

    fn needed(&self) -> usize {
        self.plan.policy.min_success.max(1)
    }

    fn renamed(&self, candidate: Candidate) -> Candidate {
        Candidate { name: self.plan.name.clone(), ..candidate }
    }

    fn good_status(&self) -> RunStatus {
        if self.degraded { RunStatus::Degraded } else { RunStatus::Ok }
    }

    fn warn(&mut self, stage: StageKind, name: &str, error: &ErrorRecord) {
        self.degraded = true;
        let warning = Warning { stage: stage.as_str(), name: name.to_owned(), code: error.code };
        self.run.warn(warning, &error.message);
    }

    fn members_failure(&self) -> Failure {
        let failures: Vec<(String, Failure)> = self
            .members
            .iter()
            .flatten()
            .filter_map(|outcome| {
                let failure = outcome.result.as_ref().err()?;
                Some((outcome.record.name.clone(), failure.clone()))
            })
            .collect();
        let each: Vec<String> =
            failures.iter().map(|(name, failure)| format!("{name}: {}", failure.message)).collect();
        let succeeded = self.members.iter().flatten().count().saturating_sub(failures.len());
        let kind = FailureKind::Members { members: failures, succeeded, needed: self.needed() };
        let failure = Failure { kind, code: "all_workers_failed", message: each.join("; ") };
        if failure.is_wholly(|kind| kind == LlmErrorKind::UnsupportedInput) {
            return Failure { code: LlmErrorKind::UnsupportedInput.code(), ..failure };
        }
        failure
    }

    fn outcome(
        &mut self,
        result: Result<Vec<Candidate>, Failure>,
        status: RunStatus,
    ) -> LevelOutcome {
        let workers = self.worker_records();
        let analyzer = self.analyzer.take().or_else(|| self.unfinished_analyzer());
        let mut record = LevelRecord {
            name: self.plan.name.clone(),
            status,
            total_ms: self.run.elapsed_ms().saturating_sub(self.started_ms),
            first_token_ms: None,
            usage: UsageRecord::default(),
            analyzer,
            workers,
            selector: self.selector.take(),
            synthesizer: self.synthesizer.take(),
            note: None,
        };
        record.usage = sum(&record);
        LevelOutcome { record, result, answer_usage: Usage::default() }
    }

    fn worker_records(&mut self) -> Vec<WorkerRecord> {
        let names = self.plan.members.iter().map(Member::name);
        self.members
            .iter_mut()
            .zip(names)
            .map(|(outcome, name)| match outcome.take() {
                Some(outcome) => outcome.record,
                None => WorkerRecord {
                    name: name.to_owned(),
                    call: CallRecord::default(),
                    response: None,
                    nested: None,
                },
            })
            .collect()
    }

    /// The analyzer was still reading when the level could do without it.
    fn unfinished_analyzer(&self) -> Option<AnalyzerRecord> {
        let stage = self.plan.analyzer.as_ref()?;
        let model = self.run.models(stage).into_iter().next()?;
        let usage = analyzer::unanswered(&self.run, stage, model.config().context_tokens);
        let price = model.config().price;
        self.run.spend(&usage, price);
        let call = CallRecord {
            model: stage.model.clone(),
            status: StageStatus::Cut,
            usage: UsageRecord::new(&usage, Cost::of(&usage, price).known()),
            started_ms: self.started_ms,
            duration_ms: self.run.elapsed_ms().saturating_sub(self.started_ms),
            ..CallRecord::default()
        };
        Some(AnalyzerRecord { call, task_type: None, language: None })
    }
}

fn advice_line(advice: &Advice) -> Option<String> {
    let task = advice.task_type.clone();
    let temperature = advice.temperature.map(|value| format!("temperature {value}"));
    let parts: Vec<String> = task.into_iter().chain(temperature).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// Everything spent at a level and below.
fn sum(level: &LevelRecord) -> UsageRecord {
    let stages = [
        level.analyzer.as_ref().map(|record| &record.call),
        level.selector.as_ref().map(|record| &record.call),
        level.synthesizer.as_ref().map(|record| &record.call),
    ];
    let calls = stages.into_iter().flatten().chain(level.workers.iter().map(|one| &one.call));
    calls.fold(UsageRecord::default(), |sum, call| sum.plus(&call.usage))
}
