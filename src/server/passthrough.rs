//! Embeddings, which pass through: the request goes to one model's upstream as it came, and its
//! answer comes back as it is. Only the model's name changes on both ways.

use axum::{body::Body, http::HeaderValue, http::header, response::Response};
use serde::Serialize;
use serde_json::value::to_raw_value;

use super::{App, error::AppError, extract::Verbatim};
use crate::{
    config::LimitKind,
    llm::{Forwarded, Model, Passthrough},
    workflow::Route,
};

/// The upstream's answer, field by field: what its API's documentation says, and whatever else it
/// sent.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct EmbeddingsResponse(Forwarded);

/// `POST /v1/embeddings` (OpenAI's API reference).
pub(super) async fn embeddings(app: App, request: Verbatim) -> Result<Response, AppError> {
    forward(&app, request, Passthrough::Embeddings).await
}

/// `POST /api/embed` (Ollama's API documentation).
pub(super) async fn ollama_embed(app: App, request: Verbatim) -> Result<Response, AppError> {
    forward(&app, request, Passthrough::OllamaEmbed).await
}

/// `POST /api/embeddings`, Ollama's older form (Ollama's API documentation).
pub(super) async fn ollama_embeddings(app: App, request: Verbatim) -> Result<Response, AppError> {
    forward(&app, request, Passthrough::OllamaEmbeddings).await
}

/// Chorus reads who is asked; everything else is the upstream's to judge.
async fn forward(
    app: &App,
    mut request: Verbatim,
    what: Passthrough,
) -> Result<Response, AppError> {
    let model: Option<Option<String>> = request.take("model")?;
    // Accepted as everywhere; there is no run to show.
    let _: Option<Option<bool>> = request.take("include_workflow")?;
    let Verbatim { fields, caller } = request;
    let (route, name) = app.route(&caller, &model.flatten().unwrap_or_default())?;
    let model = match route {
        Route::Direct(model) | Route::Task(model, _) => model,
        Route::Workflow(_) => {
            let message = "model: embeddings are made by a single [[model]], not by a workflow; \
                           name one";
            return Err(AppError::field("model", message));
        }
    };
    check_protocol(&model, what)?;
    let limit = app.config().timeouts.of_model(LimitKind::Synthesizer, model.config(), None);
    let answer = tokio::select! {
        biased;
        () = app.lifecycle.ending() => return Err(AppError::ShuttingDown),
        answer = model.forward(what, fields, limit, caller.hops) => answer.map_err(AppError::Upstream)?,
    };
    reply(answer, &name)
}

fn check_protocol(model: &Model, what: Passthrough) -> Result<(), AppError> {
    let config = model.config();
    let wanted = what.protocol();
    if config.protocol == wanted {
        return Ok(());
    }
    let message = format!(
        "model: this endpoint passes on to models with protocol = \"{}\", and '{}' has \"{}\"",
        wanted.as_str(),
        config.name,
        config.protocol.as_str()
    );
    Err(AppError::field("model", message))
}

fn reply(mut answer: Forwarded, name: &str) -> Result<Response, AppError> {
    const UNTOLD: AppError = AppError::Internal("the answer cannot be written");
    if let Some(model) = answer.get_mut("model") {
        *model = to_raw_value(name).map_err(|_| UNTOLD)?;
    }
    let text = serde_json::to_vec(&EmbeddingsResponse(answer)).map_err(|_| UNTOLD)?;
    let mut response = Response::new(Body::from(text));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    Ok(response)
}
