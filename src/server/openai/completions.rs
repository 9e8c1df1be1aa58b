//! `POST /v1/completions`: OpenAI's older form, a prompt instead of a conversation. Each prompt of
//! a list is a run of its own; they run at the same time and are answered as one, a choice each.

mod reply;
mod request;
mod wire;

use axum::response::Response;
use serde_json::json;

use reply::CompletionReply;
use request::CompletionRequest;
use wire::Completion;

use super::super::{App, error::AppError, extract::Inbound, frames, operation::Operation};

/// The handler.
pub(in super::super) async fn completions(
    app: App,
    inbound: Inbound<CompletionRequest>,
) -> Result<Response, AppError> {
    let Inbound { body, rest, mut caller } = inbound;
    let mut parsed = body.read(rest)?.with_caller(&mut caller);
    let (route, model) = app.route(&caller, &parsed.request.model)?;
    let further = std::mem::take(&mut parsed.extras.further);
    let prompts = further.len().saturating_add(1);
    let job = parsed.job(route, |extras, record| {
        CompletionReply::new(model, prompts, extras.include_usage, record)
    });
    Ok(frames::answer_all(&app, caller, job, further).await)
}

/// Reads a body of `/v1/completions`.
///
/// # Errors
/// As the endpoint has them.
#[cfg(any(test, fuzzing))]
pub(in super::super) fn read_completions(bytes: &[u8]) -> Result<(), AppError> {
    let (body, rest) = super::super::extract::body::<CompletionRequest>(bytes)?;
    body.read(rest).map(drop)
}

/// What it takes and answers.
pub(super) fn described(operation: Operation) -> Operation {
    operation
        .reads::<CompletionRequest>(json!({ "model": "chorus", "prompt": "Hello" }))
        .answers::<Completion<'_>>()
        .streams_to_done::<Completion<'_>>()
        .runs()
}

/// The form of an answer to one prompt, without extras.
pub(in super::super) fn plain_reply(model: &str) -> CompletionReply {
    CompletionReply::new(model.to_owned(), 1, false, false)
}
