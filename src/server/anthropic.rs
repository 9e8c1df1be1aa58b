//! Anthropic's dialect: `/v1/messages`, and what its clients ask for besides.

mod block;
mod models;
mod operations;
mod reply;
mod request;
mod tool;
mod wire;

use axum::{Json, response::Response};
use schemars::JsonSchema;
use serde::Serialize;

pub(super) use models::{ModelInfo, ModelPage, model, models};
pub(super) use operations::operations;
use reply::MessageReply;
use request::MessagesRequest;

use super::{App, error::AppError, extract::Inbound, frames, tokens};

/// `POST /v1/messages`.
pub(super) async fn messages(
    app: App,
    inbound: Inbound<MessagesRequest>,
) -> Result<Response, AppError> {
    let Inbound { body, rest, mut caller } = inbound;
    let parsed = body.read(rest)?.with_caller(&mut caller);
    let (route, model) = app.route(&caller, &parsed.request.model)?;
    let id = caller.request_id;
    // Only a stream says what the prompt takes before it is known.
    let prompt_tokens = if parsed.stream { tokens::of_request(&parsed.request) } else { 0 };
    let stops = parsed.request.prompt.stop.clone();
    let job =
        parsed.job(route, |(), record| MessageReply::new(id, model, stops, prompt_tokens, record));
    Ok(frames::answer(&app, caller, job).await)
}

/// The answer of `POST /v1/messages/count_tokens` (Anthropic's API reference).
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct TokenCount {
    input_tokens: u64,
}

/// `POST /v1/messages/count_tokens`: no model is asked.
pub(super) async fn count_tokens(
    app: App,
    inbound: Inbound<MessagesRequest>,
) -> Result<Json<TokenCount>, AppError> {
    let Inbound { body, rest, caller } = inbound;
    let parsed = body.read(rest)?;
    app.route(&caller, &parsed.request.model)?;
    Ok(Json(TokenCount { input_tokens: tokens::of_request(&parsed.request) }))
}

/// `HEAD /api/hello`: Claude Code looks whether its server is there.
pub(super) async fn hello() {}

/// Reads a body of `/v1/messages`.
///
/// # Errors
/// As the endpoint has them.
#[cfg(any(test, fuzzing))]
pub(super) fn read_messages(bytes: &[u8]) -> Result<(), AppError> {
    let (body, rest) = super::extract::body::<MessagesRequest>(bytes)?;
    body.read(rest).map(drop)
}

/// Reads a body of `/v1/messages/count_tokens`, and counts.
///
/// # Errors
/// As the endpoint has them.
#[cfg(any(test, fuzzing))]
pub(super) fn read_count(bytes: &[u8]) -> Result<(), AppError> {
    let (body, rest) = super::extract::body::<MessagesRequest>(bytes)?;
    let parsed = body.read(rest)?;
    tokens::of_request(&parsed.request);
    Ok(())
}

/// The form of an answer without extras.
pub(super) fn plain_reply(model: &str) -> MessageReply {
    let id = crate::types::RequestId::fresh();
    MessageReply::new(id, model.to_owned(), Vec::new(), 0, false)
}
