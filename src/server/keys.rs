//! Where clients put their keys.

use std::borrow::Cow;

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, header},
};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::dialect::query;

/// Beside `Authorization`: as Anthropic's, Azure's and Google's clients have it.
const HEADERS: [HeaderName; 3] =
    [HeaderName::from_static("x-api-key"), HeaderName::from_static("api-key"), GOOGLES];
/// Where Google's clients have it.
const GOOGLES: HeaderName = HeaderName::from_static("x-goog-api-key");
/// How many a request is looked through for; each is hashed.
const MOST: usize = 6;

/// Every key that came with a request, those of `Authorization` first.
pub(super) fn presented(headers: &HeaderMap) -> impl Iterator<Item = Cow<'_, [u8]>> {
    let authorizations = headers.get_all(header::AUTHORIZATION).iter();
    let authorizations = authorizations.filter_map(|value| authorization(value.as_bytes()));
    let others = HEADERS.into_iter().flat_map(|name| headers.get_all(name));
    let others = others.map(|value| Cow::Borrowed(value.as_bytes().trim_ascii()));
    authorizations.chain(others).filter(|key| !key.is_empty()).take(MOST)
}

/// The request with the key that Google's clients may put into the query of its paths among its
/// headers.
pub(super) fn out_of_query(mut request: Request) -> Request {
    let path = request.uri().path();
    let is_googles = path.starts_with("/v1beta/") || path.starts_with("/v1/models");
    let key = if is_googles { query(request.uri(), "key") } else { None };
    if let Some(Ok(mut key)) = key.map(HeaderValue::try_from) {
        key.set_sensitive(true);
        request.headers_mut().entry(GOOGLES).or_insert(key);
    }
    request
}

/// `Bearer KEY`, or the password of `Basic`.
fn authorization(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let space = value.iter().position(u8::is_ascii_whitespace)?;
    let (scheme, rest) = value.split_at_checked(space)?;
    let rest = rest.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"Bearer") {
        return Some(Cow::Borrowed(rest));
    }
    if !scheme.eq_ignore_ascii_case(b"Basic") {
        return None;
    }
    let decoded = STANDARD.decode(rest).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    decoded.get(colon + 1..).map(|password| Cow::Owned(password.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_the_query_counts_on_googles_paths_only() {
        for (uri, sent, want) in [
            ("/v1beta/models/m:generateContent?key=one", None, Some("one")),
            ("/v1/models?alt=sse&key=o%6ee", None, Some("one")),
            ("/v1/models?key=one", Some("two"), Some("two")),
            ("/v1/models?key=a%0Ab", None, None),
            ("/v1/chat/completions?key=one", None, None),
        ] {
            let mut request = Request::get(uri).body(axum::body::Body::empty()).unwrap();
            if let Some(sent) = sent {
                request.headers_mut().insert(GOOGLES, sent.parse().unwrap());
            }
            let request = out_of_query(request);
            let found = request.headers().get(GOOGLES).map(|key| key.to_str().unwrap());
            assert_eq!(found, want, "{uri}");
        }
    }

    #[test]
    fn keys_are_found_wherever_clients_put_them() {
        for (sent, want) in [
            (vec![("authorization", "Bearer one")], vec!["one"]),
            (vec![("authorization", "bEARER   one ")], vec!["one"]),
            (vec![("authorization", "Basic YW5uOm9uZTp0d28=")], vec!["one:two"]),
            (vec![("authorization", "basic YW5uOg==")], vec![]),
            (vec![("authorization", "Basic one")], vec![]),
            (vec![("authorization", "Token one")], vec![]),
            (vec![("authorization", "one")], vec![]),
            (vec![("authorization", "Bearer ")], vec![]),
            (vec![("x-api-key", " one ")], vec!["one"]),
            (vec![("api-key", "one")], vec!["one"]),
            (vec![("x-goog-api-key", "one")], vec!["one"]),
            (
                vec![("x-api-key", "two"), ("authorization", "Bearer one"), ("api-key", "three")],
                vec!["one", "two", "three"],
            ),
            (vec![("accept", "one")], vec![]),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in &sent {
                headers.append(*name, value.parse().unwrap());
            }
            let found: Vec<String> =
                presented(&headers).map(|key| String::from_utf8_lossy(&key).into_owned()).collect();
            assert_eq!(found, want, "{sent:?}");
        }
    }
}
