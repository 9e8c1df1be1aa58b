//! Paths that are nearly right. Base URLs are typed by people and completed by clients, each in
//! its own way: `/v1` once too often or too rarely, a slash too many, a whole endpoint as a base.
//! What can only mean one endpoint is that one; of anything else the answer names the nearest.

use axum::{
    extract::Request,
    http::{Method, Uri, uri::PathAndQuery},
};

use super::{dialect, ui};

/// Every endpoint, and the methods it takes; `ollama` in front of what is there below `/ollama` too.
/// Those that are asked for most come first.
const PATHS: [(&str, &str); 40] = [
    ("/v1/chat/completions", POST),
    ("/api/chat", POST),
    ("/api/generate", POST),
    ("/v1/responses", POST),
    ("/v1/messages", POST),
    ("/v1/completions", POST),
    ("/v1/messages/count_tokens", POST),
    ("/v1/models", GET),
    ("/v1beta/models", GET),
    ("/api/tags", GET),
    ("/api/version", GET),
    ("/v1/embeddings", POST),
    ("/api/embed", POST),
    ("/api/embeddings", POST),
    ("/v1/rerank", POST),
    ("/v2/rerank", POST),
    ("/v1/reranking", POST),
    ("/mcp", POST),
    ("/api/show", POST),
    ("/api/ps", GET),
    ("/health", GET),
    ("/ready", GET),
    ("/metrics", GET),
    ("/", GET),
    ("/ui", GET),
    ("/ollama", GET),
    ("/ollama/", GET),
    ("/chorus/config", GET),
    ("/chorus/clients", GET),
    ("/api/hello", GET),
    ("/chorus/config/versions", GET),
    ("/chorus/status", GET),
    ("/chorus/runs", GET),
    ("/chorus/runs/live", GET),
    ("/openapi.json", GET),
    ("/api/pull", ANY),
    ("/api/push", ANY),
    ("/api/create", ANY),
    ("/api/copy", ANY),
    ("/api/delete", ANY),
];
/// What the path of a run begins with.
const RUN: &str = "/chorus/runs/";
/// Those whose POST asks models.
const ASKING: [&str; 12] = [
    "/v1/chat/completions",
    "/api/chat",
    "/api/generate",
    "/v1/responses",
    "/v1/messages",
    "/v1/completions",
    "/v1/embeddings",
    "/api/embed",
    "/api/embeddings",
    "/v1/rerank",
    "/v2/rerank",
    "/v1/reranking",
];
/// What the path of a kept response begins with.
const KEPT: &str = "/v1/responses/resp_";
const POST: &str = "POST with a JSON body";
const GET: &str = "GET";
const ANY: &str = "any method";

/// What may stand before an endpoint for no reason: pieces of base URLs and of endpoints.
const STRAY: [&str; 14] = [
    "v1",
    "v1beta",
    "api",
    "openai",
    "ollama",
    "anthropic",
    "gemini",
    "chat",
    "completions",
    "generate",
    "responses",
    "messages",
    "embeddings",
    // The page as a base, and the page's own files below `/ui/`.
    "ui",
];

/// The endpoint of a path, for whoever counts: ids are left out, and what is none is `other`.
pub(super) fn endpoint(path: &str) -> &'static str {
    let bare = path.strip_prefix("/ollama").filter(|bare| bare.starts_with("/api")).unwrap_or(path);
    if let Some((known, _)) = PATHS.iter().find(|(known, _)| *known == bare) {
        return known;
    }
    let items = [
        ("/v1/models/", "/v1/models/{id}"),
        ("/v1beta/models/", "/v1beta/models/{id}"),
        ("/v1/responses/", "/v1/responses/{id}"),
        (RUN, "/chorus/runs/{id}"),
        ("/api/blobs/", "/api/blobs/{digest}"),
    ];
    let found = items.into_iter().find(|(start, _)| bare.starts_with(start));
    found.map_or("other", |(_, endpoint)| endpoint)
}

/// The request with the path it means.
pub(super) fn straightened(request: Request) -> Request {
    let path = request.uri().path();
    if is_known(path) {
        return request;
    }
    let Some(right) = meant(path) else { return request };
    let (mut parts, body) = request.into_parts();
    let whole = match parts.uri.query() {
        Some(query) => format!("{right}?{query}"),
        None => right,
    };
    if let Ok(whole) = PathAndQuery::try_from(whole) {
        let mut uri = parts.uri.clone().into_parts();
        uri.path_and_query = Some(whole);
        if let Ok(uri) = Uri::from_parts(uri) {
            parts.uri = uri;
        }
    }
    Request::from_parts(parts, body)
}

/// The error message for a path that does not exist.
pub(super) fn about_unknown(method: &Method, path: &str) -> String {
    let path: String = path.chars().take(200).collect();
    let message = format!("no such endpoint: {method} {path}");
    if let Some(near) = nearest(&path) {
        return format!("{message}; did you mean {near}?");
    }
    let names = PATHS.iter().take(9).map(|(path, _)| *path).collect::<Vec<_>>().join(", ");
    format!("{message}; there are {names} and others, see the README")
}

/// The error message for a method that a path does not take.
pub(super) fn about_method(method: &Method, path: &str) -> String {
    let bare = path.strip_prefix("/ollama").unwrap_or(path);
    let takes = PATHS.iter().find(|(known, _)| *known == bare).map(|(_, takes)| *takes);
    let is_item = bare.starts_with(KEPT) || bare.starts_with(RUN);
    let takes = takes.unwrap_or(if is_item { "GET or DELETE" } else { GET });
    format!("this endpoint does not take {method}; it takes {takes}")
}

/// Whether the router has the path.
fn is_known(path: &str) -> bool {
    let named = |path: &str| {
        let below = |prefix| path.strip_prefix(prefix).is_some_and(is_tidy);
        PATHS.iter().any(|(known, _)| *known == path) || below("/api/blobs/")
    };
    named(path)
        || ui::is_page(path)
        || path.strip_prefix("/v1/models/").is_some_and(is_tidy)
        || path.strip_prefix("/v1beta/models/").is_some_and(is_tidy)
        || [KEPT, RUN].into_iter().any(|of| {
            path.strip_prefix(of).is_some_and(|rest| !rest.is_empty() && !rest.contains('/'))
        })
        || path.strip_prefix("/ollama").is_some_and(|rest| rest.starts_with("/api/") && named(rest))
}

/// Whether a rest of a path needs no folding.
fn is_tidy(rest: &str) -> bool {
    !rest.is_empty() && !rest.starts_with('/') && !rest.ends_with('/') && !rest.contains("//")
}

/// The path of the one endpoint that can be meant; slashes folded, stray pieces in front left out, in
/// whatever case.
fn meant(path: &str) -> Option<String> {
    let pieces: Vec<&str> = path.split('/').filter(|piece| !piece.is_empty()).collect();
    for (place, _) in pieces.iter().enumerate() {
        let (stray, rest) = pieces.split_at_checked(place)?;
        if !stray.iter().all(|piece| STRAY.iter().any(|known| piece.eq_ignore_ascii_case(known))) {
            return None;
        }
        let rest = rest.join("/");
        // Below `/ollama` an endpoint is another one: always Ollama's own form.
        let below = stray.first().is_some_and(|first| first.eq_ignore_ascii_case("ollama"));
        let ours = || below.then(|| format!("/ollama/{rest}"));
        let candidates = ours().into_iter().chain([format!("/{rest}"), format!("/v1/{rest}")]);
        if let Some(found) = candidates.into_iter().find_map(|path| in_our_case(&path)) {
            return Some(found);
        }
    }
    // Nothing but slashes.
    pieces.is_empty().then(|| "/".to_owned())
}

/// A path that is known, in whatever case; ids keep theirs.
fn in_our_case(path: &str) -> Option<String> {
    if is_known(path) {
        return Some(path.to_owned());
    }
    let lower = path.to_ascii_lowercase();
    let mut named =
        ["/v1/models/", "/v1beta/models/", KEPT, RUN, "/api/blobs/", "/ollama/api/blobs/"]
            .into_iter();
    let ours = match named.find(|start| lower.starts_with(start)) {
        Some(start) => format!("{start}{}", path.get(start.len()..).unwrap_or_default()),
        None => lower,
    };
    is_known(&ours).then_some(ours)
}

/// The endpoint that was probably meant: one that goes on where the path ends or ends as it does, or
/// that differs in a few letters.
fn nearest(path: &str) -> Option<&'static str> {
    let lower = path.trim_end_matches('/').to_ascii_lowercase();
    let last = lower.rsplit('/').next().filter(|last| !last.is_empty())?;
    let known = || PATHS.iter().map(|(path, _)| *path);
    let real = || known().filter(|path| path.len() > 1 && !path.starts_with("/ollama"));
    let goes_on =
        |path: &&str| path.strip_prefix(&*lower).is_some_and(|rest| rest.starts_with('/'));
    let ends_alike = |path: &&str| {
        lower.ends_with(*path) || path.rsplit('/').next().is_some_and(|end| end == last)
    };
    let distance = |path: &str| strsim::osa_distance(&lower, path);
    let close = || {
        let (far, path) = real().map(|path| (distance(path), path)).min()?;
        (far <= (path.len() / 4).max(1)).then_some(path)
    };
    real().find(goes_on).or_else(|| real().find(ends_alike)).or_else(close)
}

/// What is answered however busy the server is: Ollama's clients probe the root, supervisors
/// `/health` and `/ready`.
pub(super) fn is_probe(path: &str) -> bool {
    matches!(path, "/" | "/ollama" | "/ollama/" | "/health" | "/ready")
}

/// Whether what is asked there counts against the limits of who asks.
pub(super) fn asks_models(path: &str) -> bool {
    let bare = path.strip_prefix("/ollama").unwrap_or(path);
    let is_gemini =
        || bare.ends_with(":generateContent") || bare.ends_with(":streamGenerateContent");
    ASKING.contains(&bare) || is_gemini()
}

/// Those probes that reveal nothing of anybody, and the page: answered whoever asks.
pub(super) fn is_open(uri: &Uri) -> bool {
    (is_probe(uri.path()) && !is_verbose(uri)) || ui::is_page(uri.path())
}

/// `?verbose`, with or without a value that says yes.
pub(in crate::server) fn is_verbose(uri: &Uri) -> bool {
    dialect::query(uri, "verbose").is_some_and(|value| matches!(value.as_str(), "" | "1" | "true"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_can_only_mean_one_endpoint_is_that_one() {
        for (asked, want) in [
            ("/v1/chat/completions/", "/v1/chat/completions"),
            ("//v1//chat/completions", "/v1/chat/completions"),
            ("/chat/completions", "/v1/chat/completions"),
            ("/completions", "/v1/completions"),
            ("/messages", "/v1/messages"),
            ("/v1/v1/messages", "/v1/messages"),
            ("/anthropic/v1/messages", "/v1/messages"),
            ("/anthropic/messages/count_tokens", "/v1/messages/count_tokens"),
            ("/v1/messages/v1/messages", "/v1/messages"),
            ("/v1/api/hello", "/api/hello"),
            ("/v1/v1beta/models/M:generateContent", "/v1beta/models/M:generateContent"),
            ("/gemini/v1beta/models/M:countTokens", "/v1beta/models/M:countTokens"),
            ("/models/M:generateContent", "/v1/models/M:generateContent"),
            ("/v1beta/openai/chat/completions", "/v1/chat/completions"),
            ("/models", "/v1/models"),
            ("/models/org/Name:8b", "/v1/models/org/Name:8b"),
            ("/responses/resp_1aB", "/v1/responses/resp_1aB"),
            ("/v1//V1/Responses/resp_1aB/", "/v1/responses/resp_1aB"),
            ("/responses", "/v1/responses"),
            ("/embeddings", "/v1/embeddings"),
            ("/rerank", "/v1/rerank"),
            ("/reranking", "/v1/reranking"),
            ("/v1/v2/rerank", "/v2/rerank"),
            ("/v1/v1/models", "/v1/models"),
            ("/v1/v1/v1/chat/completions", "/v1/chat/completions"),
            ("/api/v1/chat/completions", "/v1/chat/completions"),
            ("/openai/v1/models/a", "/v1/models/a"),
            ("/openai/chat/completions", "/v1/chat/completions"),
            ("/api/chat/completions", "/v1/chat/completions"),
            ("/v1/chat/completions/chat/completions", "/v1/chat/completions"),
            ("/v1/chat/completions/models", "/v1/models"),
            ("/v1/responses/responses", "/v1/responses"),
            ("/api/models", "/v1/models"),
            ("//api/chat", "/api/chat"),
            ("/api/chat/", "/api/chat"),
            ("/api//tags//", "/api/tags"),
            ("/v1/api/chat", "/api/chat"),
            ("/api/api/generate", "/api/generate"),
            ("/api/chat/api/tags", "/api/tags"),
            ("/ollama/api/chat/", "/ollama/api/chat"),
            ("/ollama//api/chat", "/ollama/api/chat"),
            ("/ollama/v1/chat/completions", "/v1/chat/completions"),
            ("/V1/Chat/Completions", "/v1/chat/completions"),
            ("/API/Tags", "/api/tags"),
            ("/V1/Models/Org/Name", "/v1/models/Org/Name"),
            ("/v1/models/org//name/", "/v1/models/org/name"),
            ("/health/", "/health"),
            ("//", "/"),
            ("/ui/", "/ui"),
            ("/UI", "/ui"),
            ("/ui/ui/app.js", "/ui/app.js"),
            ("/ui/v1/chat/completions", "/v1/chat/completions"),
            ("/ui/health", "/health"),
        ] {
            assert!(!is_known(asked), "{asked}");
            assert_eq!(meant(asked).as_deref(), Some(want), "{asked}");
            assert!(is_known(want), "{want}");
        }
    }

    #[test]
    fn any_other_path_stays_and_is_shown_the_nearest() {
        for (asked, near) in [
            ("/v1/chat", Some("/v1/chat/completions")),
            ("/v1", Some("/v1/chat/completions")),
            ("/v1/", Some("/v1/chat/completions")),
            ("/api", Some("/api/chat")),
            ("/chat", Some("/api/chat")),
            ("/generate", Some("/api/generate")),
            ("/v1/generate", Some("/api/generate")),
            ("/tags", Some("/api/tags")),
            ("/v1/chat/completion", Some("/v1/chat/completions")),
            ("/v1/model", Some("/v1/models")),
            ("/api/tag", Some("/api/tags")),
            ("/openai/deployments/x/chat/completions", Some("/v1/chat/completions")),
            ("/foo/api/chat", Some("/api/chat")),
            ("/v1/message", Some("/v1/messages")),
            ("/v1beta/foo", None),
            ("/favicon.ico", None),
            ("/%00", None),
        ] {
            assert_eq!(meant(asked), None, "{asked}");
            assert_eq!(nearest(asked), near, "{asked}");
            let message = about_unknown(&Method::GET, asked);
            assert!(message.starts_with(&format!("no such endpoint: GET {asked}; ")), "{message}");
            assert!(message.contains("/v1/") || message.contains("/api/"), "{message}");
        }
        assert!(about_unknown(&Method::GET, &"/x".repeat(50_000)).len() < 1000);
    }

    #[test]
    fn a_query_stays() {
        let request = Request::get("//api/chat/?stream_format=sse&x=%2F").body(Default::default());
        let straight = straightened(request.unwrap());
        assert_eq!(straight.uri(), "/api/chat?stream_format=sse&x=%2F");
        let same = Request::get("/v1/models?x=//").body(Default::default()).unwrap();
        assert_eq!(straightened(same).uri(), "/v1/models?x=//");
    }
}
