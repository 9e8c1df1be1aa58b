//! One level of a plan, run by one loop: every stage is a stream of steps, all of them are polled
//! together, and a stage is added as soon as its inputs are known. Quorum, grace, deadline and
//! overrides are further steps here, not another loop.

pub(super) mod cancel;
pub(super) mod deadline;
mod decide;
mod outcome;
mod phase;
pub(super) mod position;
mod quorum;
mod stages;
mod state;

use std::sync::Arc;

use async_stream::stream;
use futures::{StreamExt, stream::SelectAll};
use tokio::sync::watch;

use super::{
    Event,
    context::RunContext,
    step::{Analysis, Known, Step, Steps, ready},
};
use crate::{config::Plan, llm::Delta};
use deadline::Window;
use decide::Decision;
use position::Position;
use stages::{Stages, rest_of};
use state::LevelState;

/// Runs a level. The stream ends when everything in it has ended, finished calls' bodies included.
pub(super) fn run_level(run: Arc<RunContext>, plan: Arc<Plan>, position: Position) -> Steps {
    Box::pin(stream! {
        let mut active: SelectAll<Steps> = SelectAll::new();
        let window = Window::open(&run, &plan, position.end);
        let mut state = LevelState::new(Arc::clone(&run), Arc::clone(&plan), &position, window);
        let (mut advise, mut analysis) = (None, position.analysis.clone());
        if plan.analyzer.is_some() {
            let (sender, receiver) = watch::channel(None);
            (advise, analysis) = (Some(sender), receiver);
        }
        let (enough, own) = watch::channel(false);
        let stages = Stages {
            nested: run_level,
            run: Arc::clone(&run),
            plan: Arc::clone(&plan),
            window,
            reader: position.reader,
            answers: position.reader.answers() && plan.synthesizer.is_none(),
            analyzer: plan.analyzer.clone().or_else(|| position.analyzer.clone()),
            analysis,
            path: position.path,
            before: position.before,
            spare: position.spare.into_iter().chain([own]).collect(),
        };
        if let Some(deadline) = window.workers {
            active.push(state.ends_with_level(deadline.then(Step::DeadlineOver)));
        }
        if let Some(stopped) = position.stopped {
            active.push(state.ends_with_level(cancelled(stopped)));
        }
        if let Some(stage) = state.writes_alone() {
            // Nobody will advise.
            advise = None;
            let (steps, running) = stages.write(stage, Vec::new(), None, None);
            state.asks(running);
            active.push(steps);
        } else {
            if let Some(stage) = &plan.analyzer {
                let (steps, running) = stages.analyze(stage, state.crew());
                state.analyzes(running);
                active.push(steps);
            }
            for (index, member) in plan.members.iter().enumerate() {
                let (steps, running) = stages.member(index, member);
                state.runs(index, running);
                active.push(steps);
            }
        }
        while let Some(step) = active.next().await {
            match step {
                _ if state.is_over() => {}
                Step::Event(event) => yield Step::Event(event),
                Step::Analyzed(analysed) => {
                    let Analysis { advice, record, failure, overcome, rest } = *analysed;
                    let mut events = vec![state.analyzed(record, failure, &overcome, &advice)];
                    events.extend(state.choose(advice.overrides.as_ref()));
                    if let Some(sender) = advise.take() {
                        let chain = state.analysis_chain();
                        sender.send_replace(Some(Known { advice: Arc::new(advice), chain }));
                    }
                    active.push(rest_of(rest));
                    for event in events {
                        yield Step::Event(event);
                    }
                }
                Step::Member { index, outcome } => {
                    let drafts = state.shown_drafts(index, &outcome);
                    let event = state.member_ended(index, *outcome);
                    if state.has_enough() {
                        enough.send_replace(true);
                    }
                    active.extend(state.drafting());
                    yield Step::Event(event);
                    for draft in drafts {
                        yield Step::Event(draft);
                    }
                }
                Step::GraceOver => {
                    let events = state.cancel_stragglers();
                    active.extend(state.drafting());
                    for event in events {
                        yield Step::Event(event);
                    }
                }
                Step::DeadlineOver => {
                    let events = state.end_workers();
                    active.extend(state.drafting());
                    for event in events {
                        yield Step::Event(event);
                    }
                }
                Step::Cancelled => {
                    let events = state.stop();
                    active.extend(state.drafting());
                    for event in events {
                        yield Step::Event(event);
                    }
                }
                Step::Judge => match state.decide() {
                    Decision::Nothing => yield Step::Done(Box::new(state.cancelled())),
                    Decision::Failed(failure) => yield Step::Done(Box::new(state.failed(failure))),
                    Decision::AllGoUp => yield Step::Done(Box::new(state.all_go_up())),
                    Decision::Rerank(reranker) => {
                        let (steps, running) = stages.rerank(reranker, state.candidates(), state.chain());
                        state.asks(running);
                        active.push(steps);
                    }
                    Decision::Known(selection) => active.push(ready(Step::Selected(selection))),
                    Decision::Ask(stage) => {
                        let (steps, running) = stages.judge(stage, state.candidates(), state.chain());
                        state.asks(running);
                        active.push(steps);
                    }
                },
                // Nobody waits for them any more.
                Step::Reranked(_) | Step::Selected(_) | Step::Answered(_)
                    if state.is_stopping() => {}
                Step::Reranked(mut reranking) => {
                    active.push(rest_of(std::mem::take(&mut reranking.rest)));
                    active.push(ready(Step::Judge));
                    yield Step::Event(state.reranked(*reranking));
                }
                Step::Selected(mut selection) => {
                    active.push(rest_of(std::mem::take(&mut selection.rest)));
                    for event in state.selected(*selection) {
                        yield Step::Event(event);
                    }
                    match state.writer() {
                        Some(stage) => {
                            let (steps, running) = stages.write(stage, state.ranked(), state.verdict(), state.chain());
                            state.asks(running);
                            active.push(steps);
                        }
                        None => {
                            for piece in state.best_in_pieces() {
                                yield Step::Event(Event::Delta(Delta::Text(piece)));
                            }
                            yield Step::Done(Box::new(state.best_goes_up()));
                        }
                    }
                }
                Step::Answered(answered) => {
                    let (event, outcome) = state.answered(*answered);
                    yield Step::Event(event);
                    yield Step::Done(outcome);
                }
                // A nested level's end is turned into `Member` by the stage that runs it.
                Step::Done(_) => {}
            }
        }
    })
}

fn cancelled(mut stopped: watch::Receiver<bool>) -> Steps {
    Box::pin(stream! {
        // The sender goes without a word when this level has ended by itself.
        if stopped.wait_for(|stopped| *stopped).await.is_ok() {
            yield Step::Cancelled;
        }
    })
}
