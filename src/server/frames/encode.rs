//! Events to frames, one at a time and without waiting for anything.

use super::{Encoder, Frames, Framing, encoder::RunEvent};
use crate::{
    config::Progress,
    llm::{Delta, StatePiece},
    server::{
        dialect::Dialect,
        error::AppError,
        progress::{Language, Reporter},
    },
    workflow::{Event, Finished, RunStatus, StageKind, StageStatus},
};

/// The engine's events stopped without saying how the run ended.
pub(super) const NO_ENDING: AppError = AppError::Internal("the run ended without an ending");

/// The longest piece of text in one frame, in bytes. Ollama's own client gives up on a line of
/// 8 MB, and a byte takes at most six in JSON.
const LONGEST_PIECE: usize = 1 << 20;

/// What the reasoning channel of a response carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) struct Channel {
    /// The answering model's chain of thought.
    pub(super) reasoning: bool,
    /// What is shown of the run's stages.
    pub(super) progress: Progress,
    /// The language of that, guessed from the question.
    pub(super) language: Language,
}

impl Channel {
    /// All of it.
    pub(in crate::server) const SHOWN: Self =
        Self { reasoning: true, progress: Progress::Stages, language: Language::English };
    /// Nothing.
    #[cfg(test)]
    pub(in crate::server) const QUIET: Self =
        Self { reasoning: false, progress: Progress::Off, language: Language::English };
}

/// An answer on its way out.
pub(in crate::server) struct EventEncoder<E> {
    /// What waits to be written.
    pub(in crate::server) frames: Frames,
    encoder: E,
    dialect: Dialect,
    channel: Channel,
    reporter: Reporter,
    include_workflow: bool,
    opened: bool,
    /// The answer itself has begun; a reasoning block would be closed by now.
    answering: bool,
    degraded: bool,
    complete: bool,
}

/// What an event meant.
#[derive(Debug)]
pub(in crate::server) enum Step {
    /// Nothing that could open a stream.
    Nothing,
    /// A stage has ended, or a worker has begun to answer: a stream is opened soon.
    SignOfLife,
    /// A worker has answered: a stream may be opened.
    DraftFinished,
    /// A piece of the answer is waiting to be written.
    Delta,
    /// The answer is complete, its last frame waits.
    Finished,
    /// There is no (complete) answer; nothing was encoded for it.
    Failed(AppError),
}

impl<E: Encoder> EventEncoder<E> {
    /// An answer of which nothing was encoded yet.
    pub(in crate::server) fn new(
        encoder: E,
        dialect: Dialect,
        channel: Channel,
        include_workflow: bool,
    ) -> Self {
        Self {
            frames: Frames::new(Framing::of(dialect)),
            encoder,
            dialect,
            channel,
            reporter: Reporter::new(channel.progress, channel.language),
            include_workflow,
            opened: false,
            answering: false,
            degraded: false,
            complete: false,
        }
    }

    /// Whether something has failed so far that the answer can do without.
    pub(super) fn degraded(&self) -> bool {
        self.degraded
    }

    /// Encodes what a stream begins with, unless that was done.
    pub(super) fn open(&mut self) {
        if !self.opened {
            self.opened = true;
            self.encoder.opening(&mut self.frames);
        }
    }

    /// Whether every run has finished well.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Encodes an event; `None` is the end of the events.
    pub(in crate::server) fn take(&mut self, event: Option<RunEvent>) -> Step {
        let event = event.map(|(run, event)| {
            self.encoder.turn_to(run);
            event
        });
        match event {
            Some(
                event @ (Event::StageStarted { .. }
                | Event::StageQueued { .. }
                | Event::StageFinished(_)
                | Event::DraftBegun
                | Event::Draft { .. }
                | Event::Fallback(_)
                | Event::DraftsCut(_)),
            ) => self.stage(&event),
            // Of the model's own channel, also where no stage has lines: the client sees nothing else.
            Some(Event::Waiting { model, pause, code }) => {
                if self.channel.reasoning && !self.answering {
                    self.open();
                    let line = self.channel.language.waiting(&model, pause, code);
                    self.encoder.reasoning(&line, &mut self.frames);
                }
                Step::Nothing
            }
            Some(Event::Delta(Delta::Text(text))) if text.is_empty() => Step::Nothing,
            Some(Event::Delta(Delta::Text(text))) => {
                self.settle();
                self.answering = true;
                self.delta(|encoder, frames| {
                    pieces(&text).for_each(|piece| encoder.text(piece, frames));
                })
            }
            Some(Event::Delta(Delta::Reasoning(text))) => {
                if !self.channel.reasoning || self.answering || text.is_empty() {
                    return Step::Nothing;
                }
                self.settle();
                self.delta(|encoder, frames| {
                    pieces(&text).for_each(|piece| encoder.reasoning(piece, frames));
                })
            }
            Some(Event::Delta(Delta::State(StatePiece::Details(_) | StatePiece::Fields(_))))
                if !self.channel.reasoning =>
            {
                Step::Nothing
            }
            Some(Event::Delta(Delta::State(piece))) => {
                self.delta(|encoder, frames| encoder.state(&piece, frames))
            }
            Some(Event::Delta(Delta::ToolCall(delta))) => {
                self.settle();
                self.answering = true;
                self.delta(|encoder, frames| encoder.tool_call(&delta, frames))
            }
            Some(Event::Finished(finished)) => self.finish(&finished),
            Some(Event::Failed(failed)) => {
                self.settle();
                let include_workflow = self.include_workflow;
                Step::Failed(AppError::Run { failed, include_workflow })
            }
            None => Step::Failed(NO_ENDING),
        }
    }

    fn finish(&mut self, finished: &Finished) -> Step {
        self.settle();
        self.degraded |= finished.trace.level.status == RunStatus::Degraded;
        self.open();
        match self.encoder.finished(finished, &mut self.frames) {
            Ok(()) if !self.encoder.is_complete() => Step::Delta,
            Ok(()) => {
                self.complete = true;
                self.frames.push_terminator();
                Step::Finished
            }
            Err(error) => Step::Failed(error),
        }
    }

    /// A line about a stage waits for what happens at the same time, see [`EventEncoder::settle`].
    fn stage(&mut self, event: &Event) -> Step {
        self.reporter.take(event);
        match event {
            Event::StageFinished(report) => {
                self.degraded |= report.degrades;
                match (report.stage, report.status) {
                    (StageKind::Worker, StageStatus::Ok) => Step::DraftFinished,
                    // It never began.
                    (_, StageStatus::Skipped) => Step::Nothing,
                    _ => Step::SignOfLife,
                }
            }
            Event::Fallback(_) => {
                self.degraded = true;
                Step::Nothing
            }
            Event::DraftBegun => Step::SignOfLife,
            _ => Step::Nothing,
        }
    }

    /// Whether all there is to write is how the stages get on.
    pub(super) fn only_reports(&self) -> bool {
        self.frames.len() == 0 && !self.answering && self.reporter.is_waiting()
    }

    /// Encodes the lines of progress that wait: nothing more happens now, or the answer begins.
    pub(super) fn settle(&mut self) {
        let Some(lines) = self.reporter.flush() else { return };
        if self.answering {
            return;
        }
        self.open();
        for line in lines.split_inclusive('\n').flat_map(pieces) {
            self.encoder.reasoning(line, &mut self.frames);
        }
    }

    /// Encodes a failure for a client that has its headers.
    pub(super) fn fail(&mut self, error: &AppError) {
        if self.encoder.failed(error, &mut self.frames) {
            self.frames.push_terminator();
            return;
        }
        self.frames.push(&error.body(self.dialect).in_a_stream());
        self.frames.push_terminator();
    }

    /// Encodes a sign of life.
    pub(super) fn heartbeat(&mut self) {
        // Never a blank line of NDJSON: most readers fail on it.
        if !self.frames.push_comment() {
            self.encoder.heartbeat(&mut self.frames);
        }
    }

    fn delta(&mut self, encode: impl FnOnce(&mut E, &mut Frames)) -> Step {
        self.open();
        let before = self.frames.len();
        encode(&mut self.encoder, &mut self.frames);
        // Ollama's form collects tool calls: nothing to write yet means nothing to open for.
        if self.frames.len() > before { Step::Delta } else { Step::Nothing }
    }
}

/// A text in pieces that fit a frame; nearly always it is one.
fn pieces(mut rest: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (piece, after) = rest.split_at_checked(rest.floor_char_boundary(LONGEST_PIECE))?;
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}
