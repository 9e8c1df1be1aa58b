//! Where clients put their keys.

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderName, header};
use base64::{Engine, engine::general_purpose::STANDARD};

/// Beside `Authorization`: as Anthropic's, Azure's and Google's clients have it.
const HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-goog-api-key"),
];
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
