//! `GET /ui`: the page, from the folder `ui/`, which is part of the binary. It is open, since it
//! holds nothing of anybody; what it asks for is not.

#[cfg(test)]
mod tests;

use std::{
    hash::{DefaultHasher, Hasher},
    sync::LazyLock,
};

use axum::{
    extract::Path,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{
    dialect,
    error::AppError,
    operation::{ErrorForm, Operation},
};

/// What the page may do: its own files, its own server, nothing inline, in nobody's frame.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'; form-action 'none'",
);
const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const ICON: &str = "image/svg+xml";

/// What an error shows of a name that a client made up.
const SHOWN_CHARS: usize = 64;

/// A file of the page.
struct File {
    name: &'static str,
    media: &'static str,
    text: &'static str,
}

macro_rules! files {
    ($($name:literal: $media:ident),* $(,)?) => {
        [$(File { name: $name, media: $media, text: include_str!(concat!("../../ui/", $name)) }),*]
    };
}

static INDEX: File =
    File { name: "index.html", media: HTML, text: include_str!("../../ui/index.html") };
static FILES: [File; 20] = files! {
    "api.js": SCRIPT,
    "app.js": SCRIPT,
    "ask.js": SCRIPT,
    "connect.js": SCRIPT,
    "differ.js": SCRIPT,
    "dom.js": SCRIPT,
    "drafts.js": SCRIPT,
    "format.js": SCRIPT,
    "highlight.js": SCRIPT,
    "icon.svg": ICON,
    "markdown.js": SCRIPT,
    "models.js": SCRIPT,
    "parts.js": SCRIPT,
    "run.js": SCRIPT,
    "runs.js": SCRIPT,
    "seen.js": SCRIPT,
    "strings.js": SCRIPT,
    "style.css": STYLE,
    "trace.js": SCRIPT,
    "waterfall.js": SCRIPT,
};

/// One for all files: they belong together, and a new binary brings new ones.
static ETAG: LazyLock<String> = LazyLock::new(|| {
    let mut hasher = DefaultHasher::new();
    for file in FILES.iter().chain([&INDEX]) {
        hasher.write(file.name.as_bytes());
        hasher.write(file.text.as_bytes());
    }
    format!("\"{:016x}\"", hasher.finish())
});

/// Whether a path is one of a file of the page.
pub(super) fn is_page(path: &str) -> bool {
    path == "/ui" || path.strip_prefix("/ui/").is_some_and(|name| file(name).is_some())
}

fn file(name: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.name == name)
}

/// `GET /ui`.
pub(super) async fn page(headers: HeaderMap) -> Response {
    INDEX.answer(&headers)
}

/// `GET /ui/{file}`.
///
/// # Errors
/// 404 for a file that the page does not have.
pub(super) async fn part(
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, AppError> {
    let unknown = || {
        let name: String = name.chars().take(SHOWN_CHARS).collect();
        AppError::UnknownRoute(format!("the page has no file '{name}'"))
    };
    file(&name).map(|file| file.answer(&headers)).ok_or_else(unknown)
}

/// The page, where a browser asks for any.
pub(super) fn for_browser(headers: &HeaderMap) -> Option<Response> {
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let accept = accept.collect::<Vec<_>>().join(",");
    dialect::accepts(&accept, &["text/html"]).then(|| INDEX.answer(headers))
}

impl File {
    fn answer(&self, asked: &HeaderMap) -> Response {
        let has = |value: &HeaderValue| {
            let mut tags = value.to_str().unwrap_or_default().split(',').map(str::trim);
            tags.any(|tag| tag == "*" || tag.trim_start_matches("W/") == ETAG.as_str())
        };
        let mut response = match asked.get_all(header::IF_NONE_MATCH).iter().any(has) {
            true => StatusCode::NOT_MODIFIED.into_response(),
            false => ([(header::CONTENT_TYPE, self.media)], self.text).into_response(),
        };
        let headers = response.headers_mut();
        if let Ok(tag) = HeaderValue::from_str(&ETAG) {
            headers.insert(header::ETAG, tag);
        }
        for (name, value) in [
            (header::CACHE_CONTROL, "no-cache"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::X_FRAME_OPTIONS, "DENY"),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
            (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
        response
    }
}

/// These endpoints, for the description of the API.
pub(super) fn operations() -> Vec<Operation> {
    let new = |path: &'static str, summary| {
        Operation::new(("get", path), "Chorus", ErrorForm::Script, summary).open()
    };
    let names: Vec<&str> = FILES.iter().map(|file| file.name).collect();
    vec![
        new("/ui", "The page, for a browser.").sends(HTML),
        new("/ui/{file}", "A file of the page.")
            .takes("path", "file", &json!({ "type": "string", "enum": names }), "Which.")
            .sends(SCRIPT)
            .sends(STYLE)
            .sends(ICON)
            .fails(&[404]),
    ]
}
