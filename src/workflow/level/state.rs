//! What a level knows so far: who is at work, who has answered, and what is due next.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    cancel::{Canceller, cancellable},
    deadline::Window,
    phase::Phase,
    position::Position,
};
use crate::{
    config::{Member, Plan, Progress, Quorum, Stage},
    llm::{LlmError, LlmErrorKind},
    workflow::{
        Event, StageKind,
        context::RunContext,
        critical_path::{Chain, Stopwatch},
        stage::{
            consensus::Consensus,
            fallback::{self, Reader},
            recorder::Tracker,
        },
        step::{
            Advice, Answered, Candidate, Failure, LevelOutcome, MemberOutcome, Reranking,
            Selection, Steps, report,
        },
        trace::{
            AnalyzerRecord, ErrorRecord, RerankerRecord, RunStatus, SelectorRecord, StageStatus,
            SynthesizerRecord, Warning, WorkerRecord,
        },
    },
};

/// A stage or member at work, and what ends it.
pub(super) struct Running {
    pub(super) canceller: Canceller,
    pub(super) tracker: Tracker,
    /// Turned true when nobody waits for a nested level any more.
    pub(super) stop: Option<tokio::sync::watch::Sender<bool>>,
}

/// A member.
pub(super) enum MemberState {
    /// Not started yet; only while the level is set up.
    Empty,
    /// It is at work, or waits for the analysis.
    Running(Running),
    /// It has answered, or failed.
    Ended(Box<MemberOutcome>),
    /// It was cancelled, or left out by the analyzer: neither an answer nor a failure.
    Out(Box<WorkerRecord>),
}

/// The state of one level.
pub(super) struct LevelState {
    pub(super) run: Arc<RunContext>,
    pub(super) plan: Arc<Plan>,
    pub(super) reader: Reader,
    pub(super) window: Window,
    /// The nested workflows it is in; none at the top.
    pub(super) path: Option<Arc<str>>,
    /// The chain of stages that the level began after.
    pub(super) before: Chain,
    /// The chain of stages up to the one that was waited for last.
    pub(super) chain: Chain,
    /// The chain of stages that decided when the analysis ended.
    pub(super) analysis: Chain,
    pub(super) started: Instant,
    /// Timers and the like, which end with the level.
    pub(super) attendants: Vec<Canceller>,
    pub(super) analyzing: Option<Running>,
    pub(super) analyzer: Option<AnalyzerRecord>,
    pub(super) members: Vec<MemberState>,
    /// The analyzer's quorum, where it may lower the plan's.
    pub(super) lowered: Option<Quorum>,
    pub(super) phase: Phase,
    /// The deadline found somebody at work.
    pub(super) overdue: bool,
    /// The reranker, selector or synthesizer at work.
    pub(super) asking: Option<Running>,
    /// The members' answers in plan order; by score once they were reranked.
    pub(super) candidates: Vec<Candidate>,
    /// What the candidates have in common; computed when it is first needed.
    pub(super) consensus: Option<Consensus>,
    /// The candidates are so alike that selector and synthesizer are needless.
    pub(super) agreed: bool,
    /// Index into `candidates`.
    pub(super) best: usize,
    pub(super) reranker: Option<RerankerRecord>,
    pub(super) selector: Option<SelectorRecord>,
    pub(super) synthesizer: Option<SynthesizerRecord>,
    pub(super) note: Option<String>,
    pub(super) degraded: bool,
}

impl LevelState {
    pub(super) fn new(
        run: Arc<RunContext>,
        plan: Arc<Plan>,
        position: &Position,
        window: Window,
    ) -> Self {
        Self {
            path: position.path.clone(),
            before: position.before.clone(),
            chain: None,
            analysis: None,
            started: Instant::now(),
            run,
            reader: position.reader,
            window,
            attendants: Vec::new(),
            analyzing: None,
            analyzer: None,
            members: plan.members.iter().map(|_| MemberState::Empty).collect(),
            lowered: None,
            phase: Phase::Drafting,
            overdue: false,
            asking: None,
            candidates: Vec::new(),
            consensus: None,
            agreed: false,
            best: 0,
            reranker: None,
            selector: None,
            synthesizer: None,
            note: None,
            degraded: false,
            plan,
        }
    }

    /// The same stream, which ends when the level does.
    pub(super) fn ends_with_level(&mut self, steps: Steps) -> Steps {
        let (steps, canceller) = cancellable(steps, Stopwatch::default());
        self.attendants.push(canceller);
        steps
    }

    /// The names an analyzer may choose among; none when it may not.
    pub(super) fn crew(&self) -> Vec<String> {
        let members = self.plan.members.iter().filter(|_| self.plan.policy.overrides);
        members.map(|member| member.name().to_owned()).collect()
    }

    pub(super) fn analyzes(&mut self, running: Running) {
        self.analyzing = Some(running);
    }

    pub(super) fn runs(&mut self, index: usize, running: Running) {
        if let Some(place) = self.members.get_mut(index) {
            *place = MemberState::Running(running);
        }
    }

    /// The reranker, selector or synthesizer is at work.
    pub(super) fn asks(&mut self, running: Running) {
        self.asking = Some(running);
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
        let ended = self.analyzing.take();
        self.analysis = ended.and_then(|one| self.link(StageKind::Analyzer, &name, &one));
        let detail = match &failure {
            Some(failure) => Some(failure.code.to_owned()),
            None => advice_line(advice),
        };
        let degrades = self.warn_all(StageKind::Analyzer, &name, failure.as_ref(), overcome);
        self.analyzer = Some(record);
        let mut event = report(StageKind::Analyzer, &name, status, ms, detail, degrades);
        if let Event::StageFinished(report) = &mut event {
            report.language.clone_from(&advice.language);
        }
        event
    }

    /// The chain of stages that decided when the analysis ended.
    pub(super) fn analysis_chain(&self) -> Chain {
        self.analysis.clone()
    }

    /// The chain of stages up to the one that was waited for last.
    pub(super) fn chain(&self) -> Chain {
        self.chain.clone()
    }

    pub(super) fn link(&self, stage: StageKind, name: &str, ended: &Running) -> Chain {
        ended.tracker.chain(stage, name, self.path.as_ref())
    }

    /// The stage that was asked has ended.
    fn has_asked(&mut self, stage: StageKind, name: &str) {
        if let Some(ended) = self.asking.take() {
            self.decides(self.link(stage, name, &ended));
        }
    }

    /// The drafts of a member that has ended, where they are to be shown. Those of a panel that has no
    /// writer were shown already, each when it was finished.
    pub(super) fn shown_drafts(&self, index: usize, outcome: &MemberOutcome) -> Vec<Event> {
        let shows = self.run.engine.config.server.progress == Progress::Drafts;
        let has_own = match self.plan.members.get(index) {
            Some(Member::Leaf(_)) => true,
            Some(Member::Nested(plan)) => plan.synthesizer.is_some(),
            None => false,
        };
        let drafts = outcome.result.iter().flatten().filter(|_| shows && has_own);
        let draft =
            |one: &Candidate| Event::Draft { name: one.name.clone(), text: one.text.clone() };
        drafts.map(draft).collect()
    }

    pub(super) fn member_ended(&mut self, index: usize, mut outcome: MemberOutcome) -> Event {
        let name = outcome.record.name.clone();
        let (status, ms) = (outcome.record.call.status, outcome.record.call.duration_ms);
        if status != StageStatus::Cut || self.waits_for_stragglers() {
            self.decides(outcome.chain.take());
        }
        let (mut detail, mut degrades) = (None, false);
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
            if !matches!(status, StageStatus::Skipped | StageStatus::Cut) {
                let shown = ErrorRecord { code: failure.code, message: failure.message.clone() };
                self.warn(StageKind::Worker, &name, &shown);
                degrades = true;
            }
        }
        if let Some(place) = self.members.get_mut(index) {
            *place = match status {
                StageStatus::Cut => MemberState::Out(Box::new(outcome.record)),
                _ => MemberState::Ended(Box::new(outcome)),
            };
        }
        report(StageKind::Worker, &name, status, ms, detail, degrades)
    }

    /// Takes the reranking in: only what it kept goes on.
    pub(super) fn reranked(&mut self, reranking: Reranking) -> Event {
        let Reranking { kept, record, failure, overcome, .. } = reranking;
        let name = record.call.model.clone();
        self.has_asked(StageKind::Reranker, &name);
        let degrades = self.warn_all(StageKind::Reranker, &name, failure.as_ref(), &overcome);
        let (status, ms) = (record.call.status, record.call.duration_ms);
        let detail = match &failure {
            Some(failure) => failure.code.to_owned(),
            None => format!("kept {} of {}", kept.len(), self.candidates.len()),
        };
        let kept = kept.iter().filter_map(|index| self.candidates.get(*index).cloned());
        self.candidates = kept.collect();
        self.consensus = None;
        self.reranker = Some(record);
        report(StageKind::Reranker, &name, status, ms, Some(detail), degrades)
    }

    /// Takes the selection in; events only when a judge was asked.
    pub(super) fn selected(&mut self, selection: Selection) -> Vec<Event> {
        let Selection { best, record, failure, overcome, .. } = selection;
        self.has_asked(StageKind::Selector, &record.call.model);
        self.best = best;
        let mut events = Vec::new();
        if record.call.status != StageStatus::Skipped {
            let name = record.call.model.clone();
            let degrades = self.warn_all(StageKind::Selector, &name, failure.as_ref(), &overcome);
            let (status, ms) = (record.call.status, record.call.duration_ms);
            let code = failure.as_ref().map(|failure| failure.code.to_owned());
            let detail = code.or_else(|| record.selected_worker.clone());
            events.push(report(StageKind::Selector, &name, status, ms, detail, degrades));
        }
        // Without a selector in the plan there is no selector's record, except at the top, where
        // the reader of the trace wants to know whose answer it was.
        if self.plan.selector.is_some() || self.plan.synthesizer.is_none() || self.agreed {
            self.selector = Some(record);
        }
        events
    }

    /// The stage that writes the answer, when the best candidate is not it.
    pub(super) fn writer(&self) -> Option<Stage> {
        self.plan.synthesizer.clone().filter(|_| !self.agreed)
    }

    /// The candidates, the best first, the others in plan order.
    pub(super) fn ranked(&self) -> Vec<Candidate> {
        let best = self.candidates.get(self.best);
        let others = self.candidates.iter().enumerate().filter(|(index, _)| *index != self.best);
        best.into_iter().chain(others.map(|(_, one)| one)).cloned().collect()
    }

    /// What the judge said of the best candidate, if one was asked and said something.
    pub(super) fn verdict(&self) -> Option<String> {
        let judged = self.selector.as_ref();
        let judged = judged.filter(|one| one.call.status == StageStatus::Ok && !one.fallback);
        judged.and_then(|record| record.reason.clone())
    }

    /// The best candidate's text as it is sent when it is the client's answer.
    pub(super) fn best_in_pieces(&self) -> Vec<String> {
        let best = self.candidates.get(self.best).filter(|_| self.reader.is_client());
        best.map(|best| fallback::pieces(&best.text)).unwrap_or_default()
    }

    /// Takes the synthesizer's ending in.
    pub(super) fn answered(&mut self, answered: Answered) -> (Event, Box<LevelOutcome>) {
        let Answered { record, result, text, usage, overcome } = answered;
        let name = record.call.model.clone();
        self.has_asked(StageKind::Synthesizer, &name);
        for error in &overcome {
            let named = if error.model.is_empty() { &name } else { &error.model };
            self.warn(StageKind::Synthesizer, named, &ErrorRecord::from(error));
        }
        let (status, ms) = (record.call.status, record.call.duration_ms);
        let degrades = !overcome.is_empty();
        let event = report(StageKind::Synthesizer, &name, status, ms, None, degrades);
        let model = name;
        self.synthesizer = Some(record);
        let mut outcome = match result {
            Ok(reason) => {
                let best = self.candidates.get(self.best);
                let index = best.map_or(0, |best| best.index);
                let name = self.plan.name.clone();
                let status = self.good_status();
                let path = name.clone();
                self.outcome(
                    Ok(vec![Candidate { index, name, path, model, text, reason, usage }]),
                    status,
                )
            }
            Err(error) => self.outcome(Err(Failure::of(&error)), RunStatus::Failed),
        };
        outcome.answer_usage = usage;
        (event, Box::new(outcome))
    }

    pub(super) fn good_status(&self) -> RunStatus {
        if self.degraded { RunStatus::Degraded } else { RunStatus::Ok }
    }

    /// Warns of a stage's failures; whether there were any.
    fn warn_all(
        &mut self,
        stage: StageKind,
        name: &str,
        failure: Option<&ErrorRecord>,
        overcome: &[(String, ErrorRecord)],
    ) -> bool {
        for (model, error) in overcome {
            self.warn(stage, model, error);
        }
        if let Some(failure) = failure {
            self.warn(stage, name, failure);
        }
        failure.is_some() || !overcome.is_empty()
    }

    pub(super) fn warn(&mut self, stage: StageKind, name: &str, error: &ErrorRecord) {
        self.degraded = true;
        let warning = Warning { stage: stage.as_str(), name: name.to_owned(), code: error.code };
        self.run.warn(warning, &error.message);
    }

    pub(super) fn member_name(&self, index: usize) -> String {
        self.plan.members.get(index).map(Member::name).unwrap_or_default().to_owned()
    }
}

fn advice_line(advice: &Advice) -> Option<String> {
    let task = advice.task_type.clone();
    let temperature = advice.temperature.map(|value| format!("temperature {value}"));
    let parts: Vec<String> = task.into_iter().chain(temperature).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}
