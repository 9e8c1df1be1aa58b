//! Ollama's dialect, and the one for scripts on the same paths: `/api/chat`, `/api/generate` and
//! the routes its clients look at first.

mod duration;
mod models;
mod operations;
mod options;
mod reply;
mod request;
mod wire;

use axum::{
    Json,
    http::{HeaderMap, HeaderValue, Uri, header},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Serialize;

use super::{App, caller::Caller, error::AppError, extract::Inbound, frames, parsed::Parsed, ui};
use crate::workflow::Route;
#[cfg(test)]
pub(super) use models::capabilities;
#[cfg(any(test, fuzzing))]
pub(super) use models::read_show;
pub(super) use models::{ps, show, tags};
pub(super) use operations::operations;
use reply::{Form, OllamaReply};
use request::{ChatRequest, Extras, GenerateRequest};

/// `POST /api/chat`.
pub(super) async fn chat(app: App, inbound: Inbound<ChatRequest>) -> Result<Response, AppError> {
    let Inbound { body, rest, caller } = inbound;
    let form = Form::chat(caller.dialect);
    answer(&app, caller, body.read(rest)?, form).await
}

/// `POST /api/generate`.
pub(super) async fn generate(
    app: App,
    inbound: Inbound<GenerateRequest>,
) -> Result<Response, AppError> {
    let Inbound { body, rest, caller } = inbound;
    answer(&app, caller, body.read(rest)?, Form::Generate).await
}

async fn answer(
    app: &App,
    mut caller: Caller,
    parsed: Parsed<Extras>,
    form: Form,
) -> Result<Response, AppError> {
    let parsed = parsed.with_caller(&mut caller);
    let (route, model) = app.route(&caller, &parsed.request.model)?;
    if parsed.extras.loads {
        // `ollama run` and an "unload" button: nothing is asked, so nothing runs.
        let reply = OllamaReply::new(form, model, parsed.include_workflow);
        return Ok(frames::json(reply.loaded(parsed.extras.unloads)?));
    }
    if parsed.request.prompt.raw && matches!(route, Route::Workflow(_)) {
        let message = "raw: only a single model takes a raw prompt; name one as the model";
        return Err(AppError::field("raw", message));
    }
    let job = parsed.job(route, |_, record| OllamaReply::new(form, model, record));
    Ok(frames::answer(app, caller, job).await)
}

/// Reads a body of `/api/chat`.
///
/// # Errors
/// As the endpoint has them.
#[cfg(any(test, fuzzing))]
pub(super) fn read_chat(bytes: &[u8]) -> Result<(), AppError> {
    let (body, rest) = super::extract::body::<ChatRequest>(bytes)?;
    body.read(rest).map(drop)
}

/// Reads a body of `/api/generate`.
///
/// # Errors
/// As the endpoint has them.
#[cfg(any(test, fuzzing))]
pub(super) fn read_generate(bytes: &[u8]) -> Result<(), AppError> {
    let (body, rest) = super::extract::body::<GenerateRequest>(bytes)?;
    body.read(rest).map(drop)
}

/// The form of an answer of `/api/chat` without extras.
pub(super) fn chat_reply(model: &str) -> OllamaReply {
    OllamaReply::new(Form::Chat, model.to_owned(), false)
}

/// The form of an answer of `/api/generate` without extras.
pub(super) fn generate_reply(model: &str) -> OllamaReply {
    OllamaReply::new(Form::Generate, model.to_owned(), false)
}

/// What Ollama says at its root: the Go client looks there before nearly every command.
const RUNNING: &str = "Ollama is running";

/// `GET /ollama` and `/ollama/`.
pub(super) async fn root() -> &'static str {
    RUNNING
}

/// `GET /`: the page for a browser, and the same for everybody else.
pub(super) async fn front(headers: HeaderMap) -> Response {
    let page = ui::for_browser(&headers);
    let mut response = page.unwrap_or_else(|| RUNNING.into_response());
    response.headers_mut().append(header::VARY, HeaderValue::from_static("Accept"));
    response
}

/// The answer of `GET /api/version` (Ollama's API documentation).
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "OllamaVersion")]
pub(super) struct Version {
    /// Digits and dots: clients compare it as numbers.
    version: String,
}

/// `GET /api/version`: the Ollama whose API this is.
pub(super) async fn version(app: App) -> Json<Version> {
    Json(Version { version: app.config().server.ollama_version.clone() })
}

/// `/api/pull`, `push`, `create`, `copy`, `delete` and `blobs`: models are the config's here.
pub(super) async fn unsupported(uri: Uri) -> AppError {
    AppError::Unsupported(uri.path().to_owned())
}
