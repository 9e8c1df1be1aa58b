//! What a level knows so far: who is at work, who has answered, and what is due next.

mod books;
mod counting;

use std::sync::Arc;

use super::{
    Event, StageKind,
    consensus::{Consensus, consensus},
    context::RunContext,
    cut::{Cutter, cuttable},
    reranker, selector,
    step::{
        Advice, Answered, Candidate, Failure, LevelOutcome, MemberOutcome, Reranking, Selection,
        Steps, report,
    },
    synthesizer::{self, Reader},
    trace::{
        AnalyzerRecord, ErrorRecord, RerankerRecord, RunStatus, SelectorRecord, StageStatus,
        SynthesizerRecord, Warning, WorkerRecord,
    },
    tracker::Tracker,
    window::Window,
};
use crate::{
    config::{Member, Plan, Quorum, Reranker, Stage},
    llm::{LlmError, LlmErrorKind},
};

/// A stage or member at work, and what ends it.
pub(super) struct Running {
    pub(super) cutter: Cutter,
    pub(super) tracker: Tracker,
    /// Tells a nested level that nobody waits for it.
    pub(super) stop: Option<tokio::sync::watch::Sender<bool>>,
}

/// A member.
enum Seat {
    /// Not started yet; only while the level is set up.
    Empty,
    /// At work, or waiting for the analysis.
    Running(Running),
    /// It has answered, or failed.
    Ended(Box<MemberOutcome>),
    /// It was cut, or left out by the analyzer: neither an answer nor a failure.
    Out(Box<WorkerRecord>),
}

/// What is due when every member has ended.
pub(super) enum Judging {
    /// The level above can do without this one.
    Nothing,
    /// Too few succeeded.
    Failed(Failure),
    /// There are more candidates than are to be judged.
    Rerank(Reranker),
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
    reader: Reader,
    window: Window,
    started_ms: u64,
    /// Timers and the like, which end with the level.
    attendants: Vec<Cutter>,
    analyzing: Option<Running>,
    analyzer: Option<AnalyzerRecord>,
    members: Vec<Seat>,
    /// The analyzer's quorum, where it may lower the plan's.
    lowered: Option<Quorum>,
    /// The quorum has answered: the grace runs.
    grace: bool,
    /// The deadline found somebody at work.
    overdue: bool,
    /// Nobody drafts any more.
    drafted: bool,
    /// The level above can do without this one.
    stopping: bool,
    /// The level has ended.
    over: bool,
    /// The reranker, selector or synthesizer at work.
    asking: Option<Running>,
    /// In plan order; by score once they were reranked.
    candidates: Vec<Candidate>,
    consensus: Option<Consensus>,
    /// How alike the candidates are, when that made selector and synthesizer needless.
    agreed: bool,
    /// Index into `candidates`.
    best: usize,
    reranker: Option<RerankerRecord>,
    selector: Option<SelectorRecord>,
    synthesizer: Option<SynthesizerRecord>,
    note: Option<String>,
    degraded: bool,
}

impl Board {
    pub(super) fn new(
        run: Arc<RunContext>,
        plan: Arc<Plan>,
        reader: Reader,
        window: Window,
    ) -> Self {
        Self {
            started_ms: run.elapsed_ms(),
            run,
            reader,
            window,
            attendants: Vec::new(),
            analyzing: None,
            analyzer: None,
            members: plan.members.iter().map(|_| Seat::Empty).collect(),
            lowered: None,
            grace: false,
            overdue: false,
            drafted: false,
            stopping: false,
            over: false,
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
        let (steps, cutter) = cuttable(steps);
        self.attendants.push(cutter);
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

    pub(super) fn runs(&mut self, seat: usize, running: Running) {
        if let Some(place) = self.members.get_mut(seat) {
            *place = Seat::Running(running);
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
        self.analyzing = None;
        let (status, ms) = (record.call.status, record.call.duration_ms);
        let name = record.call.model.clone();
        let detail = match &failure {
            Some(failure) => Some(failure.code.to_owned()),
            None => advice_line(advice),
        };
        let degrades = self.warn_all(StageKind::Analyzer, &name, failure.as_ref(), overcome);
        self.analyzer = Some(record);
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
            if !matches!(status, StageStatus::Skipped | StageStatus::Cut) {
                let shown = ErrorRecord { code: failure.code, message: failure.message.clone() };
                self.warn(StageKind::Worker, &name, &shown);
                degrades = true;
            }
        }
        if let Some(place) = self.members.get_mut(seat) {
            *place = match status {
                StageStatus::Cut => Seat::Out(Box::new(outcome.record)),
                _ => Seat::Ended(Box::new(outcome)),
            };
        }
        report(StageKind::Worker, &name, status, ms, detail, degrades)
    }

    /// The drafting is over, or the reranking: says how the best candidate is found.
    pub(super) fn judge_next(&mut self) -> Judging {
        if self.stopping {
            return Judging::Nothing;
        }
        if self.candidates.is_empty() {
            if self.successes() < self.plan.policy.min_success.max(1) {
                return Judging::Failed(self.members_failure());
            }
            self.gather();
        }
        self.compare();
        if self.agrees() {
            return self.known("the candidates agree");
        }
        if let Some(reranker) = &self.plan.reranker
            && self.reranker.is_none()
        {
            if self.candidates.len() > reranker.top_k {
                return Judging::Rerank(reranker.clone());
            }
            let reason = "there are no more candidates than are kept";
            self.reranker = Some(reranker::skipped(&self.run, reason));
        }
        let top = self.reader.is_client();
        let consensus = self.common();
        match &self.plan.selector {
            None if !top && self.plan.synthesizer.is_none() => Judging::AllGoUp,
            None => self.known("the plan has no selector: consensus"),
            Some(stage) => match selector::skip_reason(self.candidates.len(), consensus) {
                Some(reason) => self.known(reason),
                None => Judging::Ask(stage.clone()),
            },
        }
    }

    /// The consensus candidate is the best one.
    fn known(&self, reason: &str) -> Judging {
        let best = self.common().best;
        match self.candidates.get(best) {
            Some(chosen) => {
                Judging::Known(Box::new(selector::skipped(&self.run, chosen, best, reason)))
            }
            None => Judging::Failed(self.members_failure()),
        }
    }

    /// Collects the answers, each under a name of its own: two panels may both have a `b`.
    fn gather(&mut self) {
        for seat in &self.members {
            if let Seat::Ended(outcome) = seat
                && let Ok(candidates) = &outcome.result
            {
                self.candidates.extend(candidates.iter().cloned());
            }
        }
        name_apart(&mut self.candidates);
    }

    fn compare(&mut self) {
        let texts: Vec<&str> = self.candidates.iter().map(|one| one.text.as_str()).collect();
        self.consensus = consensus(&texts);
    }

    fn common(&self) -> Consensus {
        self.consensus.unwrap_or(Consensus { best: 0, agreement: 1.0 })
    }

    /// Whether the candidates are so alike that their consensus is the level's answer. One alone
    /// agrees with nobody, and of those that a reranker chose nobody asks.
    fn agrees(&mut self) -> bool {
        let Some(wanted) = self.plan.policy.agreement else { return false };
        let Consensus { best, agreement } = self.common();
        let several = self.candidates.len() > 1 && self.reranker.is_none();
        let decides = self.plan.selector.is_some() || self.plan.synthesizer.is_some();
        let fits = self.candidates.get(best).is_some_and(|candidate| {
            synthesizer::spares_the_writer(&self.run, self.reader, &candidate.text)
        });
        self.agreed = several && decides && agreement >= wanted && fits;
        if self.agreed {
            self.note = Some(format!(
                "the candidates agree ({agreement:.2}, and {wanted} is enough): their consensus is \
                 the answer"
            ));
            if self.plan.reranker.is_some() {
                self.reranker = Some(reranker::skipped(&self.run, "the candidates agree"));
            }
        }
        self.agreed
    }

    pub(super) fn candidates(&self) -> Vec<Candidate> {
        self.candidates.clone()
    }

    /// What the judge takes.
    pub(super) fn shortlist(&self) -> Shortlist {
        Shortlist { candidates: self.candidates.clone(), consensus: self.common() }
    }

    /// Takes the reranking in: only what it kept goes on.
    pub(super) fn reranked(&mut self, reranking: Reranking) -> Event {
        self.asking = None;
        let Reranking { kept, record, failure, overcome, .. } = reranking;
        let name = record.call.model.clone();
        let degrades = self.warn_all(StageKind::Reranker, &name, failure.as_ref(), &overcome);
        let (status, ms) = (record.call.status, record.call.duration_ms);
        let detail = match &failure {
            Some(failure) => failure.code.to_owned(),
            None => format!("kept {} of {}", kept.len(), self.candidates.len()),
        };
        let kept = kept.iter().filter_map(|index| self.candidates.get(*index).cloned());
        self.candidates = kept.collect();
        self.reranker = Some(record);
        report(StageKind::Reranker, &name, status, ms, Some(detail), degrades)
    }

    /// Takes the selection in; events only when a judge was asked.
    pub(super) fn selected(&mut self, selection: Selection) -> Vec<Event> {
        self.asking = None;
        let Selection { best, record, failure, overcome, .. } = selection;
        self.best = best;
        let mut events = Vec::new();
        if record.call.status != StageStatus::Skipped {
            let name = record.call.model.clone();
            let degrades = self.warn_all(StageKind::Selector, &name, failure.as_ref(), &overcome);
            let (status, ms) = (record.call.status, record.call.duration_ms);
            let detail = record.selected_worker.clone();
            events.push(report(StageKind::Selector, &name, status, ms, detail, degrades));
        }
        // Without a selector in the plan there is no selector's record, except at the top, where
        // the reader of the trace wants to know whose answer it was.
        if self.plan.selector.is_some() || self.plan.synthesizer.is_none() || self.agreed {
            self.selector = Some(record);
        }
        events
    }

    /// Who writes the answer, when the best candidate is not it.
    pub(super) fn writer(&self) -> Option<Stage> {
        self.plan.synthesizer.clone().filter(|_| !self.agreed)
    }

    /// The candidates, the best first, the others in plan order.
    pub(super) fn ranked(&self) -> Vec<Candidate> {
        let best = self.candidates.get(self.best);
        let others = self.candidates.iter().enumerate().filter(|(index, _)| *index != self.best);
        best.into_iter().chain(others.map(|(_, one)| one)).cloned().collect()
    }

    /// The best candidate's text as it is sent when it is the client's answer.
    pub(super) fn best_in_pieces(&self) -> Vec<String> {
        let best = self.candidates.get(self.best).filter(|_| self.reader.is_client());
        best.map(|best| synthesizer::pieces(&best.text)).unwrap_or_default()
    }

    /// Takes the synthesizer's ending in.
    pub(super) fn answered(&mut self, answered: Answered) -> (Event, LevelOutcome) {
        self.asking = None;
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
                let path = name.clone();
                self.outcome(Ok(vec![Candidate { seat, name, path, text, reason, usage }]), status)
            }
            Err(error) => self.outcome(Err(Failure::of(&error)), RunStatus::Failed),
        };
        outcome.answer_usage = usage;
        (event, outcome)
    }

    fn good_status(&self) -> RunStatus {
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

    fn warn(&mut self, stage: StageKind, name: &str, error: &ErrorRecord) {
        self.degraded = true;
        let warning = Warning { stage: stage.as_str(), name: name.to_owned(), code: error.code };
        self.run.warn(warning, &error.message);
    }

    fn member_name(&self, seat: usize) -> String {
        self.plan.members.get(seat).map(Member::name).unwrap_or_default().to_owned()
    }
}

fn advice_line(advice: &Advice) -> Option<String> {
    let task = advice.task_type.clone();
    let temperature = advice.temperature.map(|value| format!("temperature {value}"));
    let parts: Vec<String> = task.into_iter().chain(temperature).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// Gives candidates that share a name the one with the levels they came through; should even those
/// be equal (names may hold slashes), a number.
fn name_apart(candidates: &mut [Candidate]) {
    let names: Vec<String> = candidates.iter().map(|one| one.name.clone()).collect();
    let shared = |name: &String| names.iter().filter(|other| *other == name).count() > 1;
    let mut taken: std::collections::HashSet<String> =
        names.iter().filter(|name| !shared(name)).cloned().collect();
    for candidate in candidates {
        if !shared(&candidate.name) {
            continue;
        }
        let mut name = candidate.path.clone();
        let mut number = 1;
        while taken.contains(&name) {
            number += 1;
            name = format!("{}#{number}", candidate.path);
        }
        taken.insert(name.clone());
        candidate.name = name;
    }
}
