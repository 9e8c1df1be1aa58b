//! What a page of an allowed origin is told (the CORS protocol). Which origins are allowed is
//! the door's matter, and is settled before any of this: tower-http's layer answers preflights of
//! foreign pages too, and only withholds the header.

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE, OPTIONS");
/// Request headers that pages may send, beside `x-stainless-*`.
const ALLOWED: &str = "Authorization, Content-Type, User-Agent, Accept, X-Requested-With, \
                       OpenAI-Beta, x-api-key";
/// The OpenAI SDK's own, of which there are many; a list of headers knows no pattern.
const STAINLESS: &str = "x-stainless-";
/// Response headers that pages may read.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "x-request-id, x-chorus-workflow-id, x-chorus-status, retry-after, x-should-retry",
);
/// Seconds for which a browser need not ask again.
const MAX_AGE: HeaderValue = HeaderValue::from_static("43200");

/// The answer to `OPTIONS`, on any path.
pub(super) fn preflight(asked: &HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    if let Ok(names) = HeaderValue::try_from(allowed_headers(asked)) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names);
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
    let names = names.filter_map(|name| HeaderName::try_from(name.trim()).ok());
    names.filter(|name| name.as_str().starts_with(STAINLESS)).fold(
        ALLOWED.to_owned(),
        |mut allowed, name| {
            allowed.push_str(", ");
            allowed.push_str(name.as_str());
            allowed
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_sdks_own_headers_are_added() {
        let mut asked = HeaderMap::new();
        let list = "authorization, X-Stainless-OS,x-evil, x-stainless-lang, b\u{e4}d";
        asked.append(header::ACCESS_CONTROL_REQUEST_HEADERS, list.parse().unwrap());
        asked.append(header::ACCESS_CONTROL_REQUEST_HEADERS, "x-stainless-arch".parse().unwrap());
        let told = allowed_headers(&asked);
        assert_eq!(told.strip_prefix(ALLOWED), Some(", x-stainless-arch"));
        asked.remove(header::ACCESS_CONTROL_REQUEST_HEADERS);
        asked.append(
            header::ACCESS_CONTROL_REQUEST_HEADERS,
            "authorization, X-Stainless-OS,x-evil, b d, x-stainless-lang".parse().unwrap(),
        );
        let told = allowed_headers(&asked);
        assert_eq!(told.strip_prefix(ALLOWED), Some(", x-stainless-os, x-stainless-lang"));
        assert_eq!(allowed_headers(&HeaderMap::new()), ALLOWED);
    }
}
