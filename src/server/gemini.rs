//! Google's dialect: `:generateContent`, `:streamGenerateContent` and `:countTokens` of a model.

mod content;
mod models;
mod operations;
mod reply;
mod request;
mod schema;
mod tool;
mod wire;

use axum::{
    Json,
    extract::{FromRequest, Path, Request, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Serialize;

pub(super) use models::{ModelInfo, ModelList, model, models};
pub(super) use operations::operations;
use reply::GenerateReply;
use request::{CountRequest, GenerateRequest};

use super::{
    App,
    error::AppError,
    extract::{self, Inbound},
    frames, paths, tokens,
};

/// `POST /v1beta/models/{model}:{method}`, and the same below `/v1`; a model's name may hold slashes
/// and colons itself.
///
/// # Errors
/// 404 for a method that there is not, and what the method says.
pub(super) async fn call(
    app: App,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, AppError> {
    let Path(id) = id.map_err(|_| AppError::invalid("the path is not UTF-8"))?;
    let path = request.uri().path();
    let Some((model, method)) = id.rsplit_once(':') else {
        return Err(AppError::MethodNotAllowed(paths::about_method(request.method(), path)));
    };
    let model = model.strip_prefix("models/").unwrap_or(model);
    match method {
        "generateContent" => generate(app, model, request, false).await,
        "streamGenerateContent" => generate(app, model, request, true).await,
        "countTokens" => count(app, model, request).await,
        _ => Err(AppError::UnknownRoute(paths::about_unknown(request.method(), path))),
    }
}

async fn generate(
    app: App,
    model: &str,
    request: Request,
    stream: bool,
) -> Result<Response, AppError> {
    // The path says it, so that a body for nobody is not read.
    let (route, name) = app.route(&extract::caller(&request)?, model)?;
    let Inbound { body, rest, mut caller } =
        Inbound::<GenerateRequest>::from_request(request, &()).await?;
    let parsed = body.read(model, stream, rest)?.with_caller(&mut caller);
    let job = parsed.job(route, |(), record| GenerateReply::new(name, record));
    Ok(frames::answer(&app, caller, job).await)
}

/// The answer of `:countTokens` (Gemini's API reference).
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "GeminiTokenCount")]
#[serde(rename_all = "camelCase")]
struct TokenCount {
    total_tokens: u64,
}

/// No model is asked.
async fn count(app: App, model: &str, request: Request) -> Result<Response, AppError> {
    app.route(&extract::caller(&request)?, model)?;
    let Inbound { body, rest, .. } = Inbound::<CountRequest>::from_request(request, &()).await?;
    let parsed = body.read(model, rest)?;
    Ok(Json(TokenCount { total_tokens: tokens::of_request(&parsed.request) }).into_response())
}

/// Reads a body of `:generateContent`.
///
/// # Errors
/// As the endpoint has them.
#[cfg(any(test, fuzzing))]
pub(super) fn read_generate(bytes: &[u8]) -> Result<(), AppError> {
    let (body, rest) = super::extract::body::<GenerateRequest>(bytes)?;
    body.read("chorus", false, rest).map(drop)
}

/// Reads a body of `:countTokens`, and counts.
///
/// # Errors
/// As the endpoint has them.
#[cfg(any(test, fuzzing))]
pub(super) fn read_count(bytes: &[u8]) -> Result<(), AppError> {
    let (body, rest) = super::extract::body::<CountRequest>(bytes)?;
    let parsed = body.read("chorus", rest)?;
    tokens::of_request(&parsed.request);
    Ok(())
}

/// The form of an answer without extras.
pub(super) fn plain_reply(model: &str) -> GenerateReply {
    GenerateReply::new(model.to_owned(), false)
}
