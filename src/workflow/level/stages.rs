//! The stages of a level as streams of steps, each with what its level needs to end it.

use std::sync::Arc;

use async_stream::stream;
use futures::StreamExt;
use tokio::sync::watch;

use super::{
    cancel::cancellable, deadline::Window, outcome::nested_path, position::Position, state::Running,
};
use crate::{
    config::{Leaf, Member, Plan, Progress, Reranker, Schedule, Stage},
    llm::{CallStream, Completion, LlmErrorKind},
    workflow::{
        Event, StageKind,
        context::RunContext,
        critical_path::{Chain, later},
        stage::{
            analyzer,
            fallback::Reader,
            model_call::{Reply, drain},
            queued::reporting_queues,
            recorder::Tracker,
            reranker, selector, synthesizer,
            worker::{self, Draft},
        },
        step::{Candidate, Failure, Known, LevelOutcome, MemberOutcome, Step, Steps},
        trace::{CallRecord, ErrorRecord, RunStatus, StageStatus, WorkerRecord},
    },
};

/// The stages of a level at work.
pub(super) struct Stages {
    pub(super) run: Arc<RunContext>,
    /// Runs a level below.
    pub(super) nested: fn(Arc<RunContext>, Arc<Plan>, Position) -> Steps,
    pub(super) plan: Arc<Plan>,
    pub(super) window: Window,
    pub(super) reader: Reader,
    /// The members' answers may be the answer: no synthesizer follows here or above.
    pub(super) answers: bool,
    /// The analyzer node in force.
    pub(super) analyzer: Option<Stage>,
    pub(super) analysis: watch::Receiver<Option<Known>>,
    /// The nested workflows it is in; none at the top.
    pub(super) path: Option<Arc<str>>,
    /// The chain of stages that the level began after.
    pub(super) before: Chain,
    /// Turn true when this level, or one above, has drafts enough.
    pub(super) spare: Vec<watch::Receiver<bool>>,
}

impl Stages {
    /// The level's own analyzer; `crew` are the workers it may choose among.
    pub(super) fn analyze(&self, stage: &Stage, crew: Vec<String>) -> (Steps, Running) {
        let tracker = Tracker::new(&self.run, self.window.analysis, &stage.model);
        let model = stage.model.clone();
        let (run, stage, own) = (Arc::clone(&self.run), stage.clone(), tracker.clone());
        let before = self.before.clone();
        let steps = stream! {
            own.begin(before);
            yield Step::Event(started(StageKind::Analyzer, &stage.model));
            let analysis = analyzer::analyze(&run, &stage, &crew, &own).await;
            yield Step::Analyzed(Box::new(analysis));
        };
        self.calling(Box::pin(steps), tracker, StageKind::Analyzer, &model)
    }

    pub(super) fn member(&self, index: usize, member: &Member) -> (Steps, Running) {
        match member {
            Member::Leaf(leaf) => self.leaf(index, leaf),
            Member::Nested(plan) => self.nested(index, plan),
        }
    }

    /// Whether every member has to wait for the analysis.
    fn all_wait(&self) -> bool {
        let policy = &self.plan.policy;
        policy.schedule == Schedule::Sequential || policy.overrides
    }

    fn leaf(&self, index: usize, leaf: &Leaf) -> (Steps, Running) {
        let run = Arc::clone(&self.run);
        let assignment = worker::Assignment {
            leaf: leaf.clone(),
            analyzer: self.analyzer.clone(),
            answers: self.answers,
            tools: self.plan.policy.worker_tools,
            spare: self.spare.clone(),
        };
        let waits = self.all_wait() || assignment.depends_on_analysis(&run);
        let mut analysis = self.analysis.clone();
        // The level itself ends its leaves, all at once.
        let tracker = Tracker::new(&run, None, &leaf.stage.model);
        let own = tracker.clone();
        let (path, before) = (self.path.clone(), self.before.clone());
        let steps = stream! {
            let Known { advice, chain } = known(&mut analysis, waits, before).await;
            own.begin(chain);
            let name = assignment.leaf.name.clone();
            yield Step::Event(started(StageKind::Worker, &name));
            // Boxed: it is moved between two awaits.
            let mut drafting = Box::pin(assignment.draft(&run, &advice, &own));
            let early = tokio::select! {
                biased;
                draft = &mut drafting => Some(draft),
                () = own.spoken() => None,
            };
            let draft = match early {
                Some(draft) => draft,
                None => {
                    yield Step::Event(Event::DraftBegun);
                    drafting.await
                }
            };
            let chain = own.chain(StageKind::Worker, &name, path.as_ref());
            let model = draft.record.call.model.clone();
            let candidate = |reply: Reply| {
                let Completion { reason, usage } = reply.completion;
                let path = name.clone();
                vec![Candidate { index, name, path, model, text: reply.text, reason, usage }]
            };
            let result = draft.result.map(candidate).map_err(|error| Failure::of(&error));
            let Draft { record, overcome, rest, .. } = draft;
            let outcome = MemberOutcome { record, result, overcome, chain };
            yield Step::Member { index, outcome: Box::new(outcome) };
            drain(rest).await;
        };
        self.calling(Box::pin(steps), tracker, StageKind::Worker, &leaf.name)
    }

    fn nested(&self, index: usize, plan: &Plan) -> (Steps, Running) {
        let (stop, stopped) = watch::channel(false);
        let mut position = Position {
            reader: if self.answers { Reader::AnsweringParent } else { Reader::Parent },
            analyzer: self.analyzer.clone(),
            analysis: self.analysis.clone(),
            end: self.window.workers,
            stopped: Some(stopped),
            path: Some(nested_path(self.path.as_deref(), &plan.name).into()),
            before: self.before.clone(),
            spare: self.spare.clone(),
        };
        let waits = self.all_wait();
        let (run, plan, nested) = (Arc::clone(&self.run), Arc::new(plan.clone()), self.nested);
        let mut analysis = self.analysis.clone();
        let tracker = Tracker::new(&run, None, "");
        let own = tracker.clone();
        let steps = stream! {
            let Known { chain, .. } = known(&mut analysis, waits, position.before.take()).await;
            position.before.clone_from(&chain);
            own.begin(chain);
            let started_ms = run.elapsed_ms();
            let mut steps = nested(run, plan, position);
            while let Some(step) = steps.next().await {
                match step {
                    Step::Done(outcome) => {
                        let outcome = Box::new(member_of(*outcome, index, started_ms));
                        yield Step::Member { index, outcome };
                    }
                    other => yield other,
                }
            }
        };
        let (steps, running) = running(Box::pin(steps), tracker);
        (steps, Running { stop: Some(stop), ..running })
    }

    pub(super) fn rerank(
        &self,
        reranker: Reranker,
        shown: Vec<Candidate>,
        before: Chain,
    ) -> (Steps, Running) {
        let run = Arc::clone(&self.run);
        let tracker = Tracker::new(&run, self.window.end, &reranker.stage.model);
        let model = reranker.stage.model.clone();
        let own = tracker.clone();
        let steps = stream! {
            own.begin(before);
            yield Step::Event(started(StageKind::Reranker, &reranker.stage.model));
            let reranking = reranker::rerank(&run, &reranker, &shown, &own).await;
            yield Step::Reranked(Box::new(reranking));
        };
        self.calling(Box::pin(steps), tracker, StageKind::Reranker, &model)
    }

    pub(super) fn judge(
        &self,
        stage: Stage,
        candidates: Vec<Candidate>,
        before: Chain,
    ) -> (Steps, Running) {
        let run = Arc::clone(&self.run);
        let tracker = Tracker::new(&run, self.window.end, &stage.model);
        let model = stage.model.clone();
        let own = tracker.clone();
        let steps = stream! {
            own.begin(before);
            yield Step::Event(started(StageKind::Selector, &stage.model));
            let selection = selector::select(&run, &stage, &candidates, &own).await;
            yield Step::Selected(Box::new(selection));
        };
        self.calling(Box::pin(steps), tracker, StageKind::Selector, &model)
    }

    /// The writer, once it knows what it has to wait for.
    pub(super) fn write(
        &self,
        stage: Stage,
        drafts: Vec<Candidate>,
        verdict: Option<String>,
        before: Chain,
    ) -> (Steps, Running) {
        let run = Arc::clone(&self.run);
        let tracker = Tracker::new(&run, self.window.end, &stage.model);
        let model = stage.model.clone();
        let (analyzer, reader, end) = (self.analyzer.clone(), self.reader, self.window.end);
        let (mut analysis, own) = (self.analysis.clone(), tracker.clone());
        let steps = stream! {
            yield Step::Event(started(StageKind::Synthesizer, &stage.model));
            let waits = synthesizer::depends_on_analysis(&run, &stage, analyzer.as_ref());
            let known = known(&mut analysis, waits, before.clone());
            let Known { advice, chain } = match end {
                None => known.await,
                Some(end) => end.within(known).await.unwrap_or_else(|| Known { chain: before, ..Known::default() }),
            };
            own.begin(chain);
            let task = synthesizer::Assignment {
                stage, analyzer, advice, drafts, verdict, reader, tracker: own,
            };
            let mut steps = synthesizer::write(run, task);
            while let Some(step) = steps.next().await {
                yield step;
            }
        };
        self.calling(Box::pin(steps), tracker, StageKind::Synthesizer, &model)
    }
}

impl Stages {
    /// A stage that makes calls of its own.
    fn calling(
        &self,
        steps: Steps,
        tracker: Tracker,
        stage: StageKind,
        name: &str,
    ) -> (Steps, Running) {
        let is_shown = self.run.engine.config.server.progress != Progress::Off;
        let steps = match is_shown {
            true => reporting_queues(steps, tracker.clone(), stage, name),
            false => steps,
        };
        running(steps, tracker)
    }
}

fn running(steps: Steps, tracker: Tracker) -> (Steps, Running) {
    let (steps, canceller) = cancellable(steps, tracker.stopwatch());
    (steps, Running { canceller, tracker, stop: None })
}

fn started(stage: StageKind, name: &str) -> Event {
    Event::StageStarted { stage, name: name.to_owned() }
}

/// What is left to be read of finished calls.
pub(super) fn rest_of(rest: Vec<CallStream>) -> Steps {
    Box::pin(futures::stream::once(drain(rest)).filter_map(|()| std::future::ready(None)))
}

/// The analysis, as far as it is there or has to be waited for, and what decided when its reader
/// could begin: it, or what came before its reader anyway.
async fn known(analysis: &mut watch::Receiver<Option<Known>>, wait: bool, before: Chain) -> Known {
    if wait {
        // The sender goes only after it has sent, or with the whole run.
        let _ = analysis.wait_for(Option::is_some).await;
    }
    let Known { advice, chain } = analysis.borrow().clone().unwrap_or_default();
    Known { advice, chain: if wait { later(before, chain) } else { before } }
}

/// A nested level as its parent sees it.
fn member_of(outcome: LevelOutcome, index: usize, started_ms: u64) -> MemberOutcome {
    let LevelOutcome { record, result, chain, .. } = outcome;
    let cancelled = record.status == RunStatus::Cancelled;
    let status = match &result {
        Ok(_) => StageStatus::Ok,
        Err(_) if cancelled => StageStatus::Cut,
        Err(failure) if failure.is_wholly(|kind| kind == LlmErrorKind::UnsupportedInput) => {
            StageStatus::Skipped
        }
        Err(failure)
            if failure.is_by_deadline()
                || failure.is_wholly(|kind| kind == LlmErrorKind::Timeout) =>
        {
            StageStatus::Timeout
        }
        Err(_) => StageStatus::Failed,
    };
    let error = result.as_ref().err().filter(|_| !cancelled);
    let call = CallRecord {
        status,
        success: result.is_ok(),
        error: error
            .map(|failure| ErrorRecord { code: failure.code, message: failure.message.clone() }),
        started_ms,
        duration_ms: record.total_ms,
        usage: record.usage,
        ..CallRecord::default()
    };
    let name = record.name.clone();
    let result = result
        .map(|all| all.into_iter().map(|candidate| Candidate { index, ..candidate }).collect());
    let record = WorkerRecord { name, call, response: None, nested: Some(Box::new(record)) };
    MemberOutcome { record, result, overcome: Vec::new(), chain }
}
