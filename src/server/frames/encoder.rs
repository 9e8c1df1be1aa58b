//! A dialect's form of an answer, and what a response needs to know beside its events.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::write::Frames;
use crate::{
    llm::{StatePiece, ToolCallDelta},
    server::{caller::RequestLog, drains::Drains, error::AppError, listener::shutdown::Lifecycle},
    types::WorkflowId,
    workflow::{Answer, Event, Finished},
};

/// One dialect's form of an answer; one per request.
pub(in crate::server) trait Encoder: Send + Unpin + 'static {
    /// What follows is of this run, counted from 0; only a response of several runs needs to know.
    fn turn_to(&mut self, _run: usize) {}

    /// Whether the run that finished was the last one to.
    fn is_complete(&self) -> bool {
        true
    }

    /// What a stream begins with; called once, before anything else is encoded.
    fn opening(&mut self, _frames: &mut Frames) {}

    /// A piece of the answer, never empty.
    fn text(&mut self, text: &str, frames: &mut Frames);

    /// A piece of the reasoning channel, never empty and never after a piece of the answer.
    fn reasoning(&mut self, text: &str, frames: &mut Frames);

    /// A piece of a tool call.
    fn tool_call(&mut self, delta: &ToolCallDelta, frames: &mut Frames);

    /// Something the model wants back with the turn; nothing where the form has no place for it.
    fn state(&mut self, _piece: &StatePiece, _frames: &mut Frames) {}

    /// The end of a complete answer, without the framing's own terminator.
    ///
    /// # Errors
    /// When the answer cannot be written in this form; then nothing was pushed.
    fn finished(&mut self, finished: &Finished, frames: &mut Frames) -> Result<(), AppError>;

    /// A failure after headers were sent, without the framing's own terminator. `false`: this form
    /// has none of its own, and the dialect's error object is sent.
    fn failed(&mut self, _error: &AppError, _frames: &mut Frames) -> bool {
        false
    }

    /// An object that changes nothing, for a framing without comments; forms that are only ever
    /// sent in others need none.
    fn heartbeat(&self, _frames: &mut Frames) {}

    /// The whole answer as one JSON object, of the runs so far where there are several;
    /// `answer.reasoning` is empty when it is not wanted.
    ///
    /// # Errors
    /// When the answer cannot be written in this form.
    fn whole(&mut self, answer: Answer, finished: &Finished) -> Result<Bytes, AppError>;
}

/// An event and which run of the response it is of.
pub(super) type RunEvent = (usize, Event);

/// What a response needs to know beside its events.
pub(super) struct Live {
    /// Its runs; at least one.
    pub(super) ids: Vec<WorkflowId>,
    pub(super) lifecycle: Lifecycle,
    pub(super) cancel: CancellationToken,
    /// Reads the run to its end once the answer is sent.
    pub(super) drains: Arc<Drains>,
    pub(super) log: RequestLog,
    pub(super) header_hold: Duration,
    pub(super) heartbeat: Duration,
}

impl Live {
    /// Whether the answer has to end now, and why.
    pub(super) fn is_stopped(&self) -> Option<AppError> {
        if self.lifecycle.is_ending() {
            return Some(AppError::ShuttingDown);
        }
        self.cancel.is_cancelled().then_some(AppError::Cancelled)
    }

    /// Resolves when it has to.
    pub(super) fn stopped(&self) -> impl Future<Output = AppError> + Send + use<> {
        let (lifecycle, cancel) = (self.lifecycle.clone(), self.cancel.clone());
        let ending = lifecycle.ending();
        async move {
            tokio::select! {
                biased;
                () = ending => AppError::ShuttingDown,
                () = cancel.cancelled() => AppError::Cancelled,
            }
        }
    }
}
