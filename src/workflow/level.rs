//! One level of a plan, run by one loop: every stage is a stream of steps, all of them are polled
//! together, and a stage is added as soon as its inputs are known. Quorum and deadline have
//! their place here: more steps, not another loop.

use std::sync::Arc;

use async_stream::stream;
use futures::{
    StreamExt,
    stream::{AbortHandle, SelectAll, abortable},
};
use tokio::sync::watch;

use super::{
    Event, StageKind, analyzer,
    ask::{Reply, drain},
    board::{Board, Judging, Shortlist},
    context::RunContext,
    selector,
    step::{Advice, Analysis, Candidate, Failure, LevelOutcome, MemberOutcome, Step, Steps},
    synthesizer::{self, Reader},
    trace::{CallRecord, ErrorRecord, StageStatus, WorkerRecord},
    worker,
};
use crate::{
    config::{Leaf, Member, Plan, Schedule, Stage},
    llm::{CallStream, Completion, LlmErrorKind},
};

/// Where a level stands in the plan.
#[derive(Clone)]
pub(super) struct Position {
    /// The top level streams to the client.
    pub(super) top: bool,
    /// Its candidate is the answer (no synthesizer above it).
    pub(super) answers: bool,
    /// The analyzer node in force above, for a level without its own.
    pub(super) analyzer: Option<Stage>,
    /// The analysis made above.
    pub(super) analysis: watch::Receiver<Option<Arc<Advice>>>,
}

impl Position {
    pub(super) fn top() -> Self {
        let (_, analysis) = watch::channel(Some(Arc::default()));
        Self { top: true, answers: true, analyzer: None, analysis }
    }
}

/// Runs a level. The stream ends when everything in it has ended, finished calls' bodies included.
pub(super) fn run_level(run: Arc<RunContext>, plan: Arc<Plan>, position: Position) -> Steps {
    Box::pin(stream! {
        let mut active: SelectAll<Steps> = SelectAll::new();
        let mut board = Board::new(Arc::clone(&run), Arc::clone(&plan), position.top);
        let (mut advise, mut analysis) = (None, position.analysis.clone());
        let analyzer_node = plan.analyzer.clone().or_else(|| position.analyzer.clone());
        let mut analyzing: Option<AbortHandle> = None;
        if let Some(stage) = &plan.analyzer {
            let (sender, receiver) = watch::channel(None);
            (advise, analysis) = (Some(sender), receiver);
            let (steps, handle) = abortable(analyze(Arc::clone(&run), stage.clone()));
            analyzing = Some(handle);
            active.push(Box::pin(steps));
        }
        let site = Site {
            run: Arc::clone(&run),
            schedule: plan.policy.schedule,
            answers: position.answers && plan.synthesizer.is_none(),
            analyzer: analyzer_node.clone(),
            analysis: analysis.clone(),
        };
        for (seat, member) in plan.members.iter().enumerate() {
            active.push(site.member(seat, member));
        }
        while let Some(step) = active.next().await {
            match step {
                Step::Event(event) => yield Step::Event(event),
                Step::Analyzed(analysed) => {
                    let Analysis { advice, record, failure, overcome, rest } = *analysed;
                    analyzing = None;
                    yield Step::Event(board.analyzed(record, failure, &overcome, &advice));
                    if let Some(sender) = advise.take() {
                        sender.send_replace(Some(Arc::new(advice)));
                    }
                    active.push(rest_of(rest));
                }
                Step::Member { seat, outcome } => {
                    yield Step::Event(board.member_ended(seat, *outcome));
                    if !board.all_members_ended() {
                        continue;
                    }
                    match board.judge_next() {
                        Judging::Failed(failure) => {
                            if let Some(handle) = &analyzing { handle.abort(); }
                            yield Step::Done(Box::new(board.failed(failure)));
                        }
                        Judging::AllGoUp => {
                            if let Some(handle) = &analyzing { handle.abort(); }
                            yield Step::Done(Box::new(board.all_go_up()));
                        }
                        Judging::Known(selection) => {
                            active.push(Box::pin(futures::stream::iter([Step::Selected(selection)])));
                        }
                        Judging::Ask(stage) => {
                            yield Step::Event(started(StageKind::Selector, &stage.model));
                            active.push(judge(Arc::clone(&run), stage, board.shortlist()));
                        }
                    }
                }
                Step::Selected(mut selection) => {
                    let rest = std::mem::take(&mut selection.rest);
                    active.push(rest_of(rest));
                    for event in board.selected(*selection) {
                        yield Step::Event(event);
                    }
                    match &plan.synthesizer {
                        Some(stage) => {
                            yield Step::Event(started(StageKind::Synthesizer, &stage.model));
                            let writing = Writing {
                                run: Arc::clone(&run),
                                stage: stage.clone(),
                                analyzer: analyzer_node.clone(),
                                analysis: analysis.clone(),
                                reader: reader(&position),
                            };
                            active.push(writing.steps(board.ranked()));
                        }
                        None => {
                            if let Some(handle) = &analyzing { handle.abort(); }
                            if position.top {
                                for piece in board.best_in_pieces() {
                                    yield Step::Event(Event::Token(piece));
                                }
                            }
                            yield Step::Done(Box::new(board.best_goes_up()));
                        }
                    }
                }
                Step::Answered(answered) => {
                    if let Some(handle) = &analyzing { handle.abort(); }
                    let (event, outcome) = board.answered(*answered);
                    yield Step::Event(event);
                    yield Step::Done(Box::new(outcome));
                }
                // A nested level's end is turned into `Member` by the site that runs it.
                Step::Done(_) => {}
            }
        }
    })
}

fn reader(position: &Position) -> Reader {
    match position {
        Position { top: true, .. } => Reader::Client,
        Position { answers: true, .. } => Reader::AnsweringParent,
        Position { .. } => Reader::Parent,
    }
}

fn started(stage: StageKind, name: &str) -> Event {
    Event::StageStarted { stage, name: name.to_owned() }
}

fn rest_of(rest: Vec<CallStream>) -> Steps {
    Box::pin(futures::stream::once(drain(rest)).filter_map(|()| std::future::ready(None)))
}

fn analyze(run: Arc<RunContext>, stage: Stage) -> Steps {
    Box::pin(stream! {
        yield Step::Event(started(StageKind::Analyzer, &stage.model));
        yield Step::Analyzed(Box::new(analyzer::analyze(&run, &stage).await));
    })
}

fn judge(run: Arc<RunContext>, stage: Stage, shortlist: Shortlist) -> Steps {
    Box::pin(stream! {
        let Shortlist { candidates, consensus } = shortlist;
        let selection = selector::select(&run, &stage, &candidates, consensus).await;
        yield Step::Selected(Box::new(selection));
    })
}

/// A writer and what it has to wait for.
struct Writing {
    run: Arc<RunContext>,
    stage: Stage,
    analyzer: Option<Stage>,
    analysis: watch::Receiver<Option<Arc<Advice>>>,
    reader: Reader,
}

impl Writing {
    fn steps(mut self, drafts: Vec<Candidate>) -> Steps {
        Box::pin(stream! {
            let waits = synthesizer::depends_on_analysis(&self.run, &self.stage, self.analyzer.as_ref());
            let advice = advice(&mut self.analysis, waits).await;
            let task = synthesizer::Assignment {
                stage: self.stage,
                analyzer: self.analyzer,
                advice,
                drafts,
                reader: self.reader,
            };
            let mut steps = synthesizer::write(self.run, task);
            while let Some(step) = steps.next().await {
                yield step;
            }
        })
    }
}

/// The advice: waited for when it matters, else what there is.
async fn advice(analysis: &mut watch::Receiver<Option<Arc<Advice>>>, wait: bool) -> Arc<Advice> {
    if wait {
        // The sender goes only after it has sent, or with the whole run.
        let _ = analysis.wait_for(Option::is_some).await;
    }
    analysis.borrow().clone().unwrap_or_default()
}

/// Where the members of a level work.
struct Site {
    run: Arc<RunContext>,
    schedule: Schedule,
    answers: bool,
    analyzer: Option<Stage>,
    analysis: watch::Receiver<Option<Arc<Advice>>>,
}

impl Site {
    fn member(&self, seat: usize, member: &Member) -> Steps {
        match member {
            Member::Leaf(leaf) => self.leaf(seat, leaf),
            Member::Nested(plan) => self.nested(seat, plan),
        }
    }

    fn leaf(&self, seat: usize, leaf: &Leaf) -> Steps {
        let run = Arc::clone(&self.run);
        let assignment = worker::Assignment {
            leaf: leaf.clone(),
            analyzer: self.analyzer.clone(),
            answers: self.answers,
        };
        let sequential = self.schedule == Schedule::Sequential;
        let waits = sequential || assignment.depends_on_analysis(&run);
        let mut analysis = self.analysis.clone();
        Box::pin(stream! {
            let advice = advice(&mut analysis, waits).await;
            let name = assignment.leaf.name.clone();
            yield Step::Event(Event::StageStarted { stage: StageKind::Worker, name: name.clone() });
            let draft = assignment.draft(&run, &advice).await;
            let candidate = |reply: Reply| {
                let Completion { reason, usage } = reply.completion;
                vec![Candidate { seat, name, text: reply.text, reason, usage }]
            };
            let result = draft.result.map(candidate).map_err(|error| Failure::of(&error));
            let outcome = MemberOutcome { record: draft.record, result, overcome: draft.overcome };
            yield Step::Member { seat, outcome: Box::new(outcome) };
            drain(draft.rest).await;
        })
    }

    fn nested(&self, seat: usize, plan: &Plan) -> Steps {
        let position = Position {
            top: false,
            answers: self.answers,
            analyzer: self.analyzer.clone(),
            analysis: self.analysis.clone(),
        };
        let sequential = self.schedule == Schedule::Sequential;
        let (run, plan) = (Arc::clone(&self.run), Arc::new(plan.clone()));
        let mut analysis = self.analysis.clone();
        Box::pin(stream! {
            if sequential {
                advice(&mut analysis, true).await;
            }
            let started_ms = run.elapsed_ms();
            let mut steps = run_level(run, plan, position);
            while let Some(step) = steps.next().await {
                match step {
                    Step::Done(outcome) => {
                        let outcome = Box::new(member_of(*outcome, seat, started_ms));
                        yield Step::Member { seat, outcome };
                    }
                    other => yield other,
                }
            }
        })
    }
}

/// A nested level as its parent sees it.
fn member_of(outcome: LevelOutcome, seat: usize, started_ms: u64) -> MemberOutcome {
    let LevelOutcome { record, result, .. } = outcome;
    let status = match &result {
        Ok(_) => StageStatus::Ok,
        Err(failure) if failure.is_wholly(|kind| kind == LlmErrorKind::UnsupportedInput) => {
            StageStatus::Skipped
        }
        Err(failure) if failure.is_wholly(|kind| kind == LlmErrorKind::Timeout) => {
            StageStatus::Timeout
        }
        Err(_) => StageStatus::Failed,
    };
    let call = CallRecord {
        status,
        success: result.is_ok(),
        error: result
            .as_ref()
            .err()
            .map(|failure| ErrorRecord { code: failure.code, message: failure.message.clone() }),
        started_ms,
        duration_ms: record.total_ms,
        usage: record.usage,
        ..CallRecord::default()
    };
    let name = record.name.clone();
    let record = WorkerRecord { name, call, response: None, nested: Some(Box::new(record)) };
    let result = result
        .map(|all| all.into_iter().map(|candidate| Candidate { seat, ..candidate }).collect());
    MemberOutcome { record, result, overcome: Vec::new() }
}
