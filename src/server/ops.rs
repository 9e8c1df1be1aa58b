//! What is neither dialect's: the list of names, health.

use axum::Json;
use serde_json::{Value, json};

use crate::{config::Config, workflow::DEFAULT_WORKFLOW};

/// `GET /health`: alive. A server that drains answers 503 before it gets here.
pub(super) async fn health() -> Json<Value> {
    Json(json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}))
}

/// Every name a client may ask for: the workflow first, then the models in the file's order.
pub(super) fn names(config: &Config) -> impl Iterator<Item = &str> {
    std::iter::once(DEFAULT_WORKFLOW).chain(config.models.keys().map(String::as_str))
}
