//! What is neither dialect's: the list of names, health.

use axum::Json;
use serde::Serialize;

use crate::{config::Config, workflow::DEFAULT_WORKFLOW};

/// The answer of `GET /health`, which is Chorus' own.
#[derive(Debug, Serialize)]
pub(super) struct Health {
    status: &'static str,
    /// Of Chorus.
    version: &'static str,
}

/// `GET /health`: alive. A server that drains answers 503 before it gets here.
pub(super) async fn health() -> Json<Health> {
    Json(Health { status: "ok", version: env!("CARGO_PKG_VERSION") })
}

/// Every name a client may ask for: the workflow first, then the models in the file's order.
pub(super) fn names(config: &Config) -> impl Iterator<Item = &str> {
    std::iter::once(DEFAULT_WORKFLOW).chain(config.models.keys().map(String::as_str))
}

/// The configured name that a client means: the name itself, or without `:latest`. `None` when
/// there is none, also where unknown names are answered by the workflow.
pub(super) fn named<'a>(config: &'a Config, asked: &str) -> Option<&'a str> {
    let bare = asked.strip_suffix(":latest").unwrap_or(asked);
    let find = |wanted: &str| names(config).find(|name| *name == wanted);
    find(asked).or_else(|| find(bare))
}

/// What tells nothing of anybody and is answered whoever asks and however busy the server is:
/// Ollama's clients probe the root, supervisors `/health`.
pub(super) fn is_probe(path: &str) -> bool {
    matches!(path, "/" | "/ollama" | "/ollama/" | "/health")
}
