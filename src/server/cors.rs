//! What a page of an allowed origin may do (the CORS protocol). Which origins are allowed is
//! the door's matter, and is settled before any of this: tower-http's layer answers preflights of
//! foreign pages too, and only withholds the header.

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

const METHODS: HeaderValue =
    HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
/// Request headers that pages may send when they do not say which.
const DEFAULT_HEADERS: &str = "Authorization, Content-Type, User-Agent, Accept, X-Requested-With, \
                     OpenAI-Beta, x-api-key";
/// Response headers that pages may read.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "x-request-id, x-chorus-workflow-id, x-chorus-status, retry-after, x-should-retry, server",
);
/// Seconds for which a browser need not ask again.
const MAX_AGE: HeaderValue = HeaderValue::from_static("43200");
/// A page of another network asks whether it may reach this one.
const PRIVATE_ASKED: HeaderName = HeaderName::from_static("access-control-request-private-network");
const PRIVATE_ALLOWED: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// The answer to `OPTIONS`, on any path. The origin has been judged, so that whatever headers it asks
/// for are allowed: every SDK has its own, and a browser sends nothing when one is missing.
pub(super) fn preflight(asked: &HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    if let Ok(names) = HeaderValue::try_from(allowed_headers(asked)) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names);
    }
    if asked.contains_key(PRIVATE_ASKED) {
        headers.insert(PRIVATE_ALLOWED, HeaderValue::from_static("true"));
    }
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    let varies = HeaderValue::from_static("Access-Control-Request-Headers");
    headers.append(header::VARY, varies);
    response
}

/// Lets pages of this origin read a response.
pub(super) fn allow(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
}

fn allowed_headers(asked: &HeaderMap) -> String {
    let asked = asked.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS).iter();
    let names = asked.filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(','));
    // Names only: nothing else goes into a header of ours.
    let names = names.filter_map(|name| HeaderName::try_from(name.trim()).ok());
    let names: Vec<String> = names.map(|name| name.as_str().to_owned()).collect();
    if names.is_empty() { DEFAULT_HEADERS.to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_headers_are_asked_for_are_allowed() {
        for (asked, want) in [
            (vec!["x-request-id"], "x-request-id"),
            (vec!["authorization, X-Stainless-OS,x-own"], "authorization, x-stainless-os, x-own"),
            (vec!["a, b", "c"], "a, b, c"),
            (vec!["a, b d, c"], "a, c"),
            (vec!["b\u{e4}d", "ok"], "ok"),
            (vec![""], DEFAULT_HEADERS),
            (vec![], DEFAULT_HEADERS),
        ] {
            let mut headers = HeaderMap::new();
            for list in &asked {
                headers.append(header::ACCESS_CONTROL_REQUEST_HEADERS, list.parse().unwrap());
            }
            assert_eq!(allowed_headers(&headers), want, "{asked:?}");
        }
    }
}
