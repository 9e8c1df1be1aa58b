//! Anthropic's dialect: `/v1/messages`, and what its clients ask for besides.

mod block;
mod models;
mod operations;
mod reply;
mod request;
mod tool;
mod wire;

use std::sync::Arc;

use axum::{Json, http::HeaderMap, response::Response};
use schemars::JsonSchema;
use serde::Serialize;

pub(super) use models::{ModelInfo, ModelPage, model, models};
pub(super) use operations::operations;
use reply::MessageReply;
use request::MessagesRequest;

use super::{App, error::AppError, extract::Inbound, frames, tokens};

/// Claude Code sends about ten.
const MOST_BETAS: usize = 64;

/// `POST /v1/messages`.
pub(super) async fn messages(
    app: App,
    headers: HeaderMap,
    inbound: Inbound<MessagesRequest>,
) -> Result<Response, AppError> {
    let Inbound { body, rest, mut caller } = inbound;
    let mut parsed = body.read(rest)?.with_caller(&mut caller);
    if let Some(extra) = &mut parsed.request.prompt.extra {
        extra.betas = betas(&headers);
    }
    let (route, model) = app.route(&caller, &parsed.request.model)?;
    let id = caller.request_id;
    // Only a stream says what the prompt takes before it is known.
    let prompt_tokens = if parsed.stream { tokens::of_request(&parsed.request) } else { 0 };
    let stops = parsed.request.prompt.stop.clone();
    let job =
        parsed.job(route, |(), record| MessageReply::new(id, model, stops, prompt_tokens, record));
    Ok(frames::answer(&app, caller, job).await)
}

/// The features before their time that a client asks for, as far as they are an upstream's to have: how
/// the client shows who it is, is between it and Chorus.
fn betas(headers: &HeaderMap) -> Option<Arc<str>> {
    let is_name = |beta: &&str| {
        let may_stand = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        !beta.is_empty() && beta.bytes().all(may_stand) && !beta.starts_with("oauth-")
    };
    let lists = headers.get_all("anthropic-beta").iter().filter_map(|list| list.to_str().ok());
    let names = lists.flat_map(|list| list.split(',')).map(str::trim).filter(is_name);
    let names: Vec<&str> = names.take(MOST_BETAS).collect();
    (!names.is_empty()).then(|| names.join(",").into())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn betas_are_names_and_not_those_of_a_login() {
        for (sent, want) in [
            (vec![], None),
            (vec!["", " , "], None),
            (vec!["a-2026-01-01"], Some("a-2026-01-01")),
            (vec!["a-1, b_2", "c.3"], Some("a-1,b_2,c.3")),
            (vec!["oauth-2025-04-20,a-1,b c,d\"e"], Some("a-1")),
        ] {
            let mut headers = HeaderMap::new();
            for value in &sent {
                headers.append("anthropic-beta", value.parse().unwrap());
            }
            assert_eq!(betas(&headers).as_deref(), want, "{sent:?}");
        }
    }
}
