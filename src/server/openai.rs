//! OpenAI's dialect: `/v1/chat/completions`, `/v1/completions` and `/v1/models`.

mod completions;
mod reply;
mod request;
mod wire;

use axum::{
    Extension, Json,
    extract::{Path, rejection::PathRejection},
    response::Response,
};
use serde::Serialize;

pub(super) use completions::{completions, plain_reply as completion_reply};
use reply::ChatReply;
use request::ChatRequest;
pub(super) use request::{Stop, named_effort, stop_sequences};

use super::{App, caller::Caller, error::AppError, extract::Inbound, frames};
use crate::config::ReasoningField;

/// `POST /v1/chat/completions`.
pub(super) async fn chat_completions(
    app: App,
    inbound: Inbound<ChatRequest>,
) -> Result<Response, AppError> {
    let Inbound { body, rest, caller } = inbound;
    let parsed = body.read(rest)?.with_caller(&caller);
    let (route, model) = app.route(&caller, &parsed.request.model)?;
    let field = app.config().server.reasoning_field;
    let job = parsed
        .job(route, |extras, record| ChatReply::new(model, field, extras.include_usage, record));
    Ok(frames::answer(&app, caller, job).await)
}

/// The form of an answer without extras.
pub(super) fn chat_reply(model: &str) -> ChatReply {
    ChatReply::new(model.to_owned(), ReasoningField::ReasoningContent, false, false)
}

/// One name of `GET /v1/models`, and the answer of `GET /v1/models/{id}` (OpenAI's API reference,
/// "The model object").
#[derive(Debug, Serialize)]
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
#[derive(Debug, Serialize)]
pub(super) struct ModelList {
    object: &'static str,
    data: Vec<ModelObject>,
}

/// `GET /v1/models` (OpenAI's API reference): the workflows first, then models and aliases.
pub(super) async fn models(app: App, Extension(caller): Extension<Caller>) -> Json<ModelList> {
    let names = app.names(&caller).into_iter();
    let data = names.map(|name| ModelObject::of(&app, name)).collect();
    Json(ModelList { object: "list", data })
}

/// `GET /v1/models/{id}`; an id may hold slashes and colons.
///
/// # Errors
/// 404 for a name that nobody has, whatever `unknown_model` says; 403 for one that the client may not
/// ask for.
pub(super) async fn model(
    app: App,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<ModelObject>, AppError> {
    let Path(id) = id.map_err(|_| AppError::invalid("the path is not UTF-8"))?;
    if app.config().named(&id).is_none() {
        return Err(app.unknown(&caller, &id));
    }
    app.check_model(&caller, &id)?;
    Ok(Json(ModelObject::of(&app, &id)))
}
