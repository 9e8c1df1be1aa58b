//! What is neither dialect's: the list of names, health, readiness.

use axum::{
    Extension, Json,
    extract::State,
    http::{StatusCode, Uri},
};
use serde::Serialize;

use super::{AppState, auth::Welcome, dialect};
use crate::{config::Config, llm::ModelHealth};

/// The answer of `GET /health`, which is Chorus' own.
#[derive(Debug, Serialize)]
pub(super) struct Health {
    status: &'static str,
    /// Of Chorus.
    version: &'static str,
    /// With `?verbose`, which needs a key where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    models: Option<Vec<ModelHealth>>,
}

/// `GET /ready`.
#[derive(Debug, Serialize)]
pub(super) struct Ready {
    status: &'static str,
    /// The models that no endpoint serves; told only to those who may call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    models: Vec<String>,
}

/// `GET /health`: alive. A server that drains answers 503 before it gets here.
pub(super) async fn health(State(app): State<AppState>, uri: Uri) -> Json<Health> {
    let models = is_verbose(&uri).then(|| app.engine.health());
    Json(Health { status: "ok", version: env!("CARGO_PKG_VERSION"), models })
}

/// `GET /ready`: whether every model that a workflow needs has an endpoint in service.
pub(super) async fn ready(
    State(app): State<AppState>,
    welcome: Option<Extension<Welcome>>,
) -> (StatusCode, Json<Ready>) {
    let missing = app.engine.unserved();
    let (code, status) = match missing.is_empty() {
        true => (StatusCode::OK, "ready"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not_ready"),
    };
    let models = if welcome.is_some() { missing } else { Vec::new() };
    (code, Json(Ready { status, models }))
}

/// Every name a client may ask for: the workflows first, then the models in the file's order.
pub(super) fn names(config: &Config) -> impl Iterator<Item = &str> {
    let workflows = config.workflows().map(|workflow| workflow.plan.name.as_str());
    workflows.chain(config.models.keys().map(String::as_str))
}

/// The configured name that a client means: the name itself, or without `:latest`. `None` when
/// there is none, also where unknown names are answered by the workflow.
pub(super) fn named<'a>(config: &'a Config, asked: &str) -> Option<&'a str> {
    let bare = asked.strip_suffix(":latest").unwrap_or(asked);
    let find = |wanted: &str| names(config).find(|name| *name == wanted);
    find(asked).or_else(|| find(bare))
}

/// What is answered however busy the server is: Ollama's clients probe the root, supervisors
/// `/health` and `/ready`.
pub(super) fn is_probe(path: &str) -> bool {
    matches!(path, "/" | "/ollama" | "/ollama/" | "/health" | "/ready")
}

/// Those of them that tell nothing of anybody and so are answered whoever asks.
pub(super) fn is_open(uri: &Uri) -> bool {
    is_probe(uri.path()) && !is_verbose(uri)
}

/// `?verbose`, with or without a value that says yes.
fn is_verbose(uri: &Uri) -> bool {
    dialect::query(uri, "verbose").is_some_and(|value| matches!(value.as_str(), "" | "1" | "true"))
}
