//! Which bytes a client wants, decided once per request and before anything can fail.

use axum::http::{HeaderMap, Uri, header};
use percent_encoding::percent_decode_str;
use url::form_urlencoded;

use crate::config::PlainClientFormat;

/// The framing of streams and the shape of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// SSE; `{"error": {message, type, param, code}}`.
    OpenAi,
    /// NDJSON; `{"error": "text", "code": ...}`.
    Ollama,
    /// SSE; `{"error": {message, code}}`. The contract for scripts.
    Script,
    /// SSE of named events; `{"type": "error", "error": {type, message}, request_id}`.
    Anthropic,
    /// `{"error": {code, message, status}}`.
    Gemini {
        /// `?alt=sse`: SSE, or else a JSON array that comes piece by piece.
        sse: bool,
    },
}

/// What a request says of its wishes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Signs<'a> {
    path: &'a str,
    stream_format: Option<&'a str>,
    accept: &'a str,
    user_agent: Option<&'a str>,
    /// Whose client asks for the list of models.
    lists: Lists,
    /// `?alt=sse`.
    alt_sse: bool,
}

/// Whose form the list of models has, which three vendors' clients ask for on the same path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Lists {
    #[default]
    OpenAi,
    /// `anthropic-version` is sent.
    Anthropic,
    /// The key is sent as Google's clients do.
    Gemini,
}

impl Lists {
    fn of(uri: &Uri, headers: &HeaderMap) -> Self {
        if headers.contains_key("anthropic-version") {
            Self::Anthropic
        } else if headers.contains_key("x-goog-api-key") || query(uri, "key").is_some() {
            Self::Gemini
        } else {
            Self::OpenAi
        }
    }
}

impl Dialect {
    /// Reads the signs of a request and decides.
    pub(super) fn of(uri: &Uri, headers: &HeaderMap, plain: PlainClientFormat) -> Self {
        let accept: Vec<&str> =
            headers.get_all(header::ACCEPT).iter().filter_map(|one| one.to_str().ok()).collect();
        let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
        let format = query(uri, "stream_format");
        let signs = Signs {
            path: uri.path(),
            stream_format: format.as_deref(),
            accept: &accept.join(","),
            user_agent: agent.filter(|agent| !agent.is_empty()),
            lists: Lists::of(uri, headers),
            alt_sse: query(uri, "alt").is_some_and(|alt| alt == "sse"),
        };
        decide(signs, plain)
    }
}

/// First match wins. Negotiation exists on `/api/*` only: both OpenAI SDKs
/// send `Accept: application/json` together with `stream: true` and then read SSE.
fn decide(signs: Signs<'_>, plain: PlainClientFormat) -> Dialect {
    if let Some(dialect) = by_vendor(signs) {
        return dialect;
    }
    let alias = is_below(signs.path, "/ollama");
    if !alias && !is_below(signs.path, "/api") {
        // Nobody's protocol: `/health`, a path that does not exist.
        return Dialect::Script;
    }
    match signs.stream_format {
        Some("sse") => return Dialect::Script,
        Some("ndjson") => return Dialect::Ollama,
        _ => {}
    }
    if alias {
        return Dialect::Ollama;
    }
    if accepts(signs.accept, &["text/event-stream"]) {
        return Dialect::Script;
    }
    if accepts(signs.accept, &["application/x-ndjson", "application/ndjson", "application/json"]) {
        return Dialect::Ollama;
    }
    match plain {
        PlainClientFormat::Sse => return Dialect::Script,
        PlainClientFormat::Ndjson => return Dialect::Ollama,
        PlainClientFormat::Auto => {}
    }
    match signs.user_agent {
        Some(agent) if agent.starts_with("curl/") => Dialect::Script,
        // Scripts post to /api/generate without a User-Agent; so do ollama-rs and OllamaSharp to
        // /api/chat, and those read NDJSON.
        None if signs.path == "/api/generate" => Dialect::Script,
        _ => Dialect::Ollama,
    }
}

/// The dialect of paths that are one vendor's, whatever their clients say of what they accept.
fn by_vendor(signs: Signs<'_>) -> Option<Dialect> {
    let path = signs.path;
    let gemini = Dialect::Gemini { sse: signs.alt_sse };
    if is_below(path, "/v1/messages") || path == "/api/hello" {
        return Some(Dialect::Anthropic);
    }
    let is_of_model = is_below(path, "/v1/models");
    if is_below(path, "/v1beta") || (is_of_model && names_method(path)) {
        return Some(gemini);
    }
    match signs.lists {
        Lists::Anthropic if is_of_model => Some(Dialect::Anthropic),
        Lists::Gemini if is_of_model => Some(gemini),
        _ if is_below(path, "/v1") || is_below(path, "/v2") => Some(Dialect::OpenAi),
        _ => None,
    }
}

/// Whether a path ends in a method of Gemini's API. A model's name may hold a colon itself; some clients
/// write it as `%3A`, which the router reads as they do.
pub(super) fn names_method(path: &str) -> bool {
    let path = percent_decode_str(path).decode_utf8_lossy();
    let method = path.rsplit_once(':').map(|(_, method)| method);
    matches!(method, Some("generateContent" | "streamGenerateContent" | "countTokens"))
}

/// The routes whose answers come in more than one dialect.
pub(super) fn is_negotiated(path: &str) -> bool {
    matches!(path, "/api/chat" | "/api/generate")
}

fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether an Accept list names one of `types` without refusing it (`q=0`).
pub(super) fn accepts(accept: &str, types: &[&str]) -> bool {
    accept.split(',').any(|entry| {
        let mut pieces = entry.split(';').map(str::trim);
        let media = pieces.next().unwrap_or_default();
        let quality = pieces.find_map(|piece| {
            let (name, value) = piece.split_once('=')?;
            name.trim().eq_ignore_ascii_case("q").then(|| value.trim().parse::<f32>())
        });
        let refused = matches!(quality, Some(Ok(quality)) if quality <= 0.0);
        !refused && types.iter().any(|wanted| media.eq_ignore_ascii_case(wanted))
    })
}

/// The first value of a query parameter.
pub(super) fn query(uri: &Uri, name: &str) -> Option<String> {
    let pairs = form_urlencoded::parse(uri.query()?.as_bytes());
    pairs.into_iter().find_map(|(key, value)| (key == name).then(|| value.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: &str = "*/*";

    /// Every row of the rule, and who sends it.
    #[test]
    fn the_first_matching_row_decides() {
        use Dialect::{Ollama, OpenAi, Script};
        let auto = PlainClientFormat::Auto;
        let rows = [
            // 0: /v1 does not negotiate
            ("/v1/chat/completions", None, "application/json", Some("OpenAI/Python 3"), OpenAi),
            ("/v1/chat/completions", Some("ndjson"), "application/x-ndjson", None, OpenAi),
            ("/v1", None, ANY, None, OpenAi),
            ("/v2/rerank", None, ANY, None, OpenAi),
            ("/v10", None, "application/json", None, Script),
            ("/health", None, "application/json", None, Script),
            // 1: the query
            ("/api/generate", Some("ndjson"), "text/event-stream", Some("curl/8"), Ollama),
            ("/api/chat", Some("sse"), "application/x-ndjson", Some("ollama/0.32"), Script),
            ("/ollama/api/chat", Some("sse"), "", None, Script),
            ("/api/chat", Some("xml"), "", Some("curl/8"), Script),
            // 2: the alias
            ("/ollama/api/generate", None, "text/event-stream", Some("curl/8"), Ollama),
            // 3: Accept asks for SSE
            ("/api/chat", None, "text/event-stream", Some("ollama-python/0.6"), Script),
            ("/api/chat", None, "application/json, Text/Event-Stream;q=0.1", None, Script),
            // 4: Accept asks for JSON
            ("/api/generate", None, "application/x-ndjson", Some("curl/8"), Ollama),
            ("/api/generate", None, "application/ndjson; charset=utf-8", None, Ollama),
            ("/api/generate", None, "application/json, text/plain, */*", None, Ollama),
            ("/api/generate", None, "text/event-stream;q=0, application/json", None, Ollama),
            ("/api/generate", None, "application/json; q=0.0", Some("curl/8"), Script),
            // 5: curl
            ("/api/chat", None, ANY, Some("curl/8.5.0"), Script),
            ("/api/tags", None, ANY, Some("curl/8.5.0"), Script),
            // 6: no User-Agent
            ("/api/generate", None, ANY, None, Script),
            ("/api/chat", None, ANY, None, Ollama),
            ("/api/tags", None, "", None, Ollama),
            // 7: the rest
            ("/api/generate", None, ANY, Some("python-requests/2"), Ollama),
            ("/api/generate", None, "", Some("Mozilla/5.0"), Ollama),
        ];
        for (path, stream_format, accept, user_agent, want) in rows {
            let signs = Signs { path, stream_format, accept, user_agent, ..Signs::default() };
            assert_eq!(decide(signs, auto), want, "{signs:?}");
        }
    }

    #[test]
    fn a_fixed_format_replaces_the_rows_about_plain_clients() {
        for (accept, agent) in [(ANY, Some("curl/8")), (ANY, None), ("", Some("node"))] {
            let path = "/api/generate";
            let signs = Signs { path, accept, user_agent: agent, ..Signs::default() };
            assert_eq!(decide(signs, PlainClientFormat::Sse), Dialect::Script);
            assert_eq!(decide(signs, PlainClientFormat::Ndjson), Dialect::Ollama);
        }
        let asks = Signs { path: "/api/chat", accept: "application/json", ..Signs::default() };
        assert_eq!(decide(asks, PlainClientFormat::Sse), Dialect::Ollama);
    }

    /// Three vendors' clients, of whom each would misread the others' forms.
    #[test]
    fn a_vendors_path_or_header_decides_before_all_else() {
        use Dialect::{Anthropic, Gemini, Ollama, OpenAi};
        let (array, sse) = (Gemini { sse: false }, Gemini { sse: true });
        for (uri, header, want) in [
            ("/v1/messages", "", Anthropic),
            ("/v1/messages/count_tokens?beta=true", "", Anthropic),
            ("/v1/messages", "x-goog-api-key", Anthropic),
            ("/api/hello", "", Anthropic),
            ("/v1/models", "anthropic-version", Anthropic),
            ("/v1/models/a", "anthropic-version", Anthropic),
            ("/v1/chat/completions", "anthropic-version", OpenAi),
            ("/v1/chat/completions?key=k", "", OpenAi),
            ("/v1/models", "x-goog-api-key", array),
            ("/v1/models?key=k", "", array),
            ("/v1/models", "x-api-key", OpenAi),
            ("/v1/models/qwen3:8b", "", OpenAi),
            ("/v1/models/qwen3:8b:generateContent", "", array),
            ("/v1/models/a%3AgenerateContent", "", array),
            ("/v1/models/a%3a%67enerateContent", "", array),
            ("/v1/models/a:streamGenerateContent?alt=sse", "", sse),
            ("/v1beta/models/a:streamGenerateContent", "", array),
            ("/v1beta/models/a:streamGenerateContent?alt=sse", "anthropic-version", sse),
            ("/v1beta/nothing", "", array),
            ("/api/tags", "anthropic-version", Ollama),
        ] {
            let mut headers = HeaderMap::new();
            if let Ok(name) = header::HeaderName::try_from(header) {
                headers.insert(name, "x".parse().unwrap());
            }
            let uri = uri.parse().unwrap();
            assert_eq!(Dialect::of(&uri, &headers, PlainClientFormat::Auto), want, "{uri}");
        }
    }

    #[test]
    fn signs_are_read_from_a_request() {
        let uri: Uri = "/api/chat?a=b&stream_format=s%73e".parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.append(header::ACCEPT, "application/json".parse().unwrap());
        assert_eq!(Dialect::of(&uri, &headers, PlainClientFormat::Auto), Dialect::Script);
        headers.append(header::ACCEPT, "text/event-stream".parse().unwrap());
        let uri: Uri = "/api/chat".parse().unwrap();
        assert_eq!(Dialect::of(&uri, &headers, PlainClientFormat::Auto), Dialect::Script);
        headers.clear();
        headers.append(header::USER_AGENT, "".parse().unwrap());
        let uri: Uri = "/api/generate".parse().unwrap();
        assert_eq!(Dialect::of(&uri, &headers, PlainClientFormat::Auto), Dialect::Script);
    }
}
