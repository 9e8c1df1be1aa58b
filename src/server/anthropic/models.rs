//! `GET /v1/models` as Anthropic's clients read it (Anthropic's API reference, "Models").

use axum::http::Uri;
use schemars::JsonSchema;
use serde::Serialize;

use crate::server::{App, dialect::query, error::AppError};

/// How many names there are in a page when nobody says; the API's own default is 20.
const PAGE: usize = 1000;

/// One name.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AnthropicModel")]
pub(in super::super) struct ModelInfo {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
    display_name: String,
    /// RFC 3339: when the server started.
    created_at: String,
    /// What of a conversation fits, in tokens.
    max_input_tokens: Option<u32>,
}

impl ModelInfo {
    fn of(app: &App, name: &str) -> Self {
        Self {
            kind: "model",
            id: name.to_owned(),
            display_name: name.to_owned(),
            created_at: format!("{:.0}", app.started),
            max_input_tokens: app.engine.context_tokens(name),
        }
    }
}

/// A page of the list.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AnthropicModelPage")]
pub(in super::super) struct ModelPage {
    data: Vec<ModelInfo>,
    has_more: bool,
    first_id: Option<String>,
    last_id: Option<String>,
}

/// `GET /v1/models`: the page of these names that `limit`, `after_id` and `before_id` ask for.
///
/// # Errors
/// 400 for a limit that is none.
pub(in super::super) fn models(
    app: &App,
    names: &[&str],
    uri: &Uri,
) -> Result<ModelPage, AppError> {
    let limit = match query(uri, "limit") {
        None => PAGE,
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| *limit > 0)
            .ok_or_else(|| AppError::field("limit", "limit: expected a number of 1 or more"))?,
    };
    let place = |id: Option<String>| names.iter().position(|name| Some(*name) == id.as_deref());
    let (after, before) = (place(query(uri, "after_id")), place(query(uri, "before_id")));
    let end = before.unwrap_or(names.len());
    let start = match (after, before) {
        (Some(after), _) => after.saturating_add(1),
        (None, Some(before)) => before.saturating_sub(limit),
        (None, None) => 0,
    };
    let rest = names.get(start..end).unwrap_or_default();
    let page: Vec<&str> = rest.iter().take(limit).copied().collect();
    let has_more = if before.is_some() { start > 0 } else { page.len() < rest.len() };
    Ok(ModelPage {
        has_more,
        first_id: page.first().map(|name| (*name).to_owned()),
        last_id: page.last().map(|name| (*name).to_owned()),
        data: page.iter().map(|name| ModelInfo::of(app, name)).collect(),
    })
}

/// `GET /v1/models/{id}`, of a name that somebody has.
pub(in super::super) fn model(app: &App, id: &str) -> ModelInfo {
    ModelInfo::of(app, id)
}
