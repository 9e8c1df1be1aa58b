//! One level of a plan, run by one loop: every stage is a stream of steps, all of them are polled
//! together, and a stage is added as soon as its inputs are known. Quorum, grace, deadline and
//! overrides are further steps here, not another loop.

pub(super) mod cancel;
pub(super) mod deadline;
mod decide;
mod outcome;
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
use crate::config::Plan;
use deadline::Window;
use decide::Judging;
use position::Position;
use stages::{Site, rest_of};
use state::Board;

/// Runs a level. The stream ends when everything in it has ended, finished calls' bodies included.
pub(super) fn run_level(run: Arc<RunContext>, plan: Arc<Plan>, position: Position) -> Steps {
    Box::pin(stream! {
        let mut active: SelectAll<Steps> = SelectAll::new();
        let window = Window::open(&run, &plan, position.end);
        let mut board = Board::new(Arc::clone(&run), Arc::clone(&plan), &position, window);
        let (mut advise, mut analysis) = (None, position.analysis.clone());
        if plan.analyzer.is_some() {
            let (sender, receiver) = watch::channel(None);
            (advise, analysis) = (Some(sender), receiver);
        }
        let (enough, own) = watch::channel(false);
        let site = Site {
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
            active.push(board.ends_with_level(deadline.then(Step::DeadlineOver)));
        }
        if let Some(stopped) = position.stopped {
            active.push(board.ends_with_level(cut_off(stopped)));
        }
        if let Some(stage) = &plan.analyzer {
            let (steps, running) = site.analyze(stage, board.crew());
            board.analyzes(running);
            active.push(steps);
        }
        for (seat, member) in plan.members.iter().enumerate() {
            let (steps, running) = site.member(seat, member);
            board.runs(seat, running);
            active.push(steps);
        }
        while let Some(step) = active.next().await {
            match step {
                _ if board.is_over() => {}
                Step::Event(event) => yield Step::Event(event),
                Step::Analyzed(analysed) => {
                    let Analysis { advice, record, failure, overcome, rest } = *analysed;
                    let mut events = vec![board.analyzed(record, failure, &overcome, &advice)];
                    events.extend(board.choose(advice.overrides.as_ref()));
                    if let Some(sender) = advise.take() {
                        let chain = board.analysis_chain();
                        sender.send_replace(Some(Known { advice: Arc::new(advice), chain }));
                    }
                    active.push(rest_of(rest));
                    for event in events {
                        yield Step::Event(event);
                    }
                }
                Step::Member { seat, outcome } => {
                    let drafts = board.shown_drafts(seat, &outcome);
                    let event = board.member_ended(seat, *outcome);
                    if board.has_enough() {
                        enough.send_replace(true);
                    }
                    active.extend(board.drafting());
                    yield Step::Event(event);
                    for draft in drafts {
                        yield Step::Event(draft);
                    }
                }
                Step::GraceOver => {
                    let events = board.cut_stragglers();
                    active.extend(board.drafting());
                    for event in events {
                        yield Step::Event(event);
                    }
                }
                Step::DeadlineOver => {
                    let events = board.end_workers();
                    active.extend(board.drafting());
                    for event in events {
                        yield Step::Event(event);
                    }
                }
                Step::CutOff => {
                    let events = board.stop();
                    active.extend(board.drafting());
                    for event in events {
                        yield Step::Event(event);
                    }
                }
                Step::Judge => match board.judge_next() {
                    Judging::Nothing => yield Step::Done(Box::new(board.cut_off())),
                    Judging::Failed(failure) => yield Step::Done(Box::new(board.failed(failure))),
                    Judging::AllGoUp => yield Step::Done(Box::new(board.all_go_up())),
                    Judging::Rerank(reranker) => {
                        let (steps, running) = site.rerank(reranker, board.candidates(), board.chain());
                        board.asks(running);
                        active.push(steps);
                    }
                    Judging::Known(selection) => active.push(ready(Step::Selected(selection))),
                    Judging::Ask(stage) => {
                        let (steps, running) = site.judge(stage, board.candidates(), board.chain());
                        board.asks(running);
                        active.push(steps);
                    }
                },
                // Nobody waits for them any more.
                Step::Reranked(_) | Step::Selected(_) | Step::Answered(_)
                    if board.is_stopping() => {}
                Step::Reranked(mut reranking) => {
                    active.push(rest_of(std::mem::take(&mut reranking.rest)));
                    active.push(ready(Step::Judge));
                    yield Step::Event(board.reranked(*reranking));
                }
                Step::Selected(mut selection) => {
                    active.push(rest_of(std::mem::take(&mut selection.rest)));
                    for event in board.selected(*selection) {
                        yield Step::Event(event);
                    }
                    match board.writer() {
                        Some(stage) => {
                            let (steps, running) = site.write(stage, board.ranked(), board.verdict(), board.chain());
                            board.asks(running);
                            active.push(steps);
                        }
                        None => {
                            for piece in board.best_in_pieces() {
                                yield Step::Event(Event::Token(piece));
                            }
                            yield Step::Done(Box::new(board.best_goes_up()));
                        }
                    }
                }
                Step::Answered(answered) => {
                    let (event, outcome) = board.answered(*answered);
                    yield Step::Event(event);
                    yield Step::Done(outcome);
                }
                // A nested level's end is turned into `Member` by the site that runs it.
                Step::Done(_) => {}
            }
        }
    })
}

fn cut_off(mut stopped: watch::Receiver<bool>) -> Steps {
    Box::pin(stream! {
        // The sender goes without a word when this level has ended by itself.
        if stopped.wait_for(|stopped| *stopped).await.is_ok() {
            yield Step::CutOff;
        }
    })
}
