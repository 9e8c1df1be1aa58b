//! OpenAI's dialect: `/v1/chat/completions`, `/v1/completions` and `/v1/models`.

mod completions;
mod operations;
mod reply;
mod request;
mod wire;

use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;

#[cfg(any(test, fuzzing))]
pub(super) use completions::read_completions;
pub(super) use completions::{completions, plain_reply as completion_reply};
pub(super) use operations::operations;
use reply::ChatReply;
use request::ChatRequest;
pub(super) use request::{Stop, named_effort, stop_sequences};

use super::{App, error::AppError, extract::Inbound, frames};
use crate::config::ReasoningField;

/// `POST /v1/chat/completions`.
pub(super) async fn chat_completions(
    app: App,
    inbound: Inbound<ChatRequest>,
) -> Result<Response, AppError> {
    let Inbound { body, rest, mut caller } = inbound;
    let parsed = body.read(rest)?.with_caller(&mut caller);
    let (route, model) = app.route(&caller, &parsed.request.model)?;
    let field = app.config().server.reasoning_field;
    let job = parsed
        .job(route, |extras, record| ChatReply::new(model, field, extras.include_usage, record));
    Ok(frames::answer(&app, caller, job).await)
}

/// Reads a body of `/v1/chat/completions`.
///
/// # Errors
/// As the endpoint has them.
#[cfg(any(test, fuzzing))]
pub(super) fn read_chat(bytes: &[u8]) -> Result<(), AppError> {
    let (body, rest) = super::extract::body::<ChatRequest>(bytes)?;
    body.read(rest).map(drop)
}

/// The form of an answer without extras.
pub(super) fn chat_reply(model: &str) -> ChatReply {
    ChatReply::new(model.to_owned(), ReasoningField::ReasoningContent, false, false)
}

/// One name of `GET /v1/models`, and the answer of `GET /v1/models/{id}` (OpenAI's API reference,
/// "The model object").
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Model")]
pub(super) struct ModelObject {
    id: String,
    object: &'static str,
    /// Unix seconds: when the server started.
    created: i64,
    owned_by: &'static str,
}

impl ModelObject {
    fn of(app: &App, name: &str) -> Self {
        let created = app.started.as_second();
        Self { id: name.to_owned(), object: "model", created, owned_by: "chorus" }
    }
}

/// The answer of `GET /v1/models` (OpenAI's API reference).
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ModelList {
    object: &'static str,
    data: Vec<ModelObject>,
}

/// `GET /v1/models` (OpenAI's API reference): the workflows first, then models and aliases.
pub(super) fn models(app: &App, names: &[&str]) -> ModelList {
    let data = names.iter().map(|name| ModelObject::of(app, name)).collect();
    ModelList { object: "list", data }
}

/// `GET /v1/models/{id}`, of a name that the client may ask for.
pub(super) fn model(app: &App, id: &str) -> ModelObject {
    ModelObject::of(app, id)
}
