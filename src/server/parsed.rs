//! A request whose dialect has been read, on its way to the engine.

use super::{caller::Caller, session};
use crate::{types::Request, workflow::Route};

/// A request, read; `extras` are what only its dialect has.
#[derive(Debug)]
pub(super) struct Parsed<X> {
    /// What is asked.
    pub(super) request: Request,
    /// Piece by piece, or whole.
    pub(super) stream: bool,
    /// Whether the client wants to see reasoning at all.
    pub(super) reasoning: bool,
    /// Whether it wants the record of the run.
    pub(super) include_workflow: bool,
    pub(super) extras: X,
}

impl<X> Parsed<X> {
    /// The same, with what its caller said in headers; the caller learns the session that the body
    /// names, where no header did.
    pub(super) fn with_caller(mut self, caller: &mut Caller) -> Self {
        self.include_workflow |= caller.include_workflow;
        if caller.session.is_none() {
            let extra = self.request.prompt.extra.as_ref();
            let named = || session::in_fields(&extra?.fields);
            caller.belongs_to(self.request.session.take().or_else(named));
        }
        self.request.session.clone_from(&caller.session);
        self
    }

    /// Ready to run; `encoder` makes the form of the answer from the extras, and from whether it is to
    /// have the record of the run.
    pub(super) fn job<E>(self, route: Route, encoder: impl FnOnce(X, bool) -> E) -> Job<E> {
        let Self { request, stream, reasoning, include_workflow, extras } = self;
        let encoder = encoder(extras, include_workflow);
        Job { route, request, stream, reasoning, include_workflow, encoder }
    }
}

/// A request that is ready to run.
pub(super) struct Job<E> {
    /// The workflow or model that answers.
    pub(super) route: Route,
    /// What is asked.
    pub(super) request: Request,
    /// Piece by piece, or whole.
    pub(super) stream: bool,
    /// Whether the client wants to see reasoning at all.
    pub(super) reasoning: bool,
    /// Whether it wants the record of the run.
    pub(super) include_workflow: bool,
    /// The form of the answer.
    pub(super) encoder: E,
}
