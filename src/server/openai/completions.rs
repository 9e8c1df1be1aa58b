//! `POST /v1/completions`: OpenAI's older form, a prompt instead of a conversation. Each prompt of
//! a list is a run of its own; they run at the same time and are answered as one, a choice each.

mod reply;
mod request;
mod wire;

use axum::response::Response;

use reply::CompletionReply;
use request::CompletionRequest;

use super::super::{
    App,
    error::AppError,
    extract::Inbound,
    frames::{self, Question},
};

/// The handler.
pub(in super::super) async fn completions(
    app: App,
    inbound: Inbound<CompletionRequest>,
) -> Result<Response, AppError> {
    let Inbound { body, rest, caller } = inbound;
    let asked = body.read(rest)?;
    let (route, model) = app.route(&caller, &asked.request.model)?;
    let include_workflow = asked.include_workflow || caller.include_workflow;
    let prompts = asked.further.len().saturating_add(1);
    let question = Question {
        route,
        request: asked.request,
        stream: asked.stream,
        // This form has no channel for it.
        reasoning: false,
        include_workflow,
        encoder: CompletionReply::new(model, prompts, asked.include_usage, include_workflow),
    };
    Ok(frames::answer_all(&app, caller, question, asked.further).await)
}

/// The form of an answer to one prompt, without extras.
pub(in super::super) fn plain_reply(model: &str) -> CompletionReply {
    CompletionReply::new(model.to_owned(), 1, false, false)
}
