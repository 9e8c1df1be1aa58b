//! Reads what an endpoint says of itself.

use reqwest::{
    Response,
    header::{ACCEPT, HeaderMap, HeaderValue},
};
use serde_json::Value;
use url::Url;

use crate::llm::{
    LlmErrorKind,
    call::{
        exchange::{of_body, of_send},
        failure::Failure,
    },
    endpoint::Endpoint,
};

/// Most bytes of an endpoint's whole list; the longest that is known has less than one million.
pub(super) const LIST_LIMIT: usize = 8 * 1024 * 1024;

pub(super) async fn get(
    endpoint: &Endpoint,
    url: Url,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let request = endpoint.client().get(url).headers(headers);
    let request = request.header(ACCEPT, HeaderValue::from_static("application/json"));
    request.send().await.map_err(|error| of_send(error, endpoint))
}

/// The body of a response; `left` is how many bytes it may still have.
pub(super) async fn json(mut response: Response, left: &mut usize) -> Result<Value, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(of_body)? {
        let Some(less) = left.checked_sub(chunk.len()) else {
            let words = "its model list does not end; is api_base right?";
            return Err(Failure::new(LlmErrorKind::Garbled, words));
        };
        *left = less;
        body.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&body).map_err(|_| {
        if body.trim_ascii_start().starts_with(b"<") {
            let words = "a web page came instead of a model list; is api_base right?";
            return Failure::new(LlmErrorKind::Garbled, words);
        }
        no_list()
    })
}

pub(super) fn no_list() -> Failure {
    let words = "what came is no list of models; is api_base right, and `protocol`?";
    Failure::new(LlmErrorKind::Garbled, words)
}
