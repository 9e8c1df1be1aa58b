//! What stands in the frames of a stream beside JSON. Pure.

use serde_json::{Value, json};

use crate::llm::protocol::{
    error_frame::{is_calm, is_failure_in_words},
    upstream_error::Refusal,
};

/// The terminator of streams of events.
pub(super) const DONE: &str = "[DONE]";

/// The error of an event that was named one.
pub(super) fn named_error(value: &Value) -> Refusal {
    Refusal::inside(&json!({ "error": value.get("error").unwrap_or(value) }))
}

/// Whether a frame only says that the connection is alive: nothing, a comment that was taken for
/// data, or one word.
pub(super) fn is_keep_alive(data: &str) -> bool {
    const WORDS: [&str; 5] = ["ping", "pong", "keepalive", "keep-alive", "heartbeat"];
    match data.as_bytes().first() {
        None | Some(b':') => true,
        Some(b'{') => false,
        Some(_) => {
            let word = data.trim_start_matches('[').trim_end_matches(']');
            WORDS.iter().any(|known| word.eq_ignore_ascii_case(known))
        }
    }
}

/// Whether words that stand where a frame belongs only say that the answer is on its way.
pub(super) fn is_news(text: &str) -> bool {
    !looks_like_json(text) && is_calm(text)
}

/// `[ERROR] ...` is no list.
fn looks_like_json(text: &str) -> bool {
    let list = text.strip_prefix('[').map(str::trim_start);
    text.starts_with('{') || list.is_some_and(|rest| rest.starts_with(['{', '[', '"']))
}

/// What stands behind white space and the name of a field that was written twice, or glued behind a
/// reply.
pub(super) fn bare(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix("data:").map_or(text, str::trim_start)
}

/// The failure that a text reports which is no JSON but stands where a frame belongs: in words, as
/// a page, or by the beginning of an error.
pub(super) fn failure_in(text: &str) -> Option<Refusal> {
    let is_page = text.starts_with('<');
    let opens_error = || {
        let head = text.chars().filter(|character| !character.is_whitespace()).take(9);
        head.eq("{\"error\":".chars())
    };
    // What looks like JSON may be part of an answer.
    match looks_like_json(text) {
        true => opens_error().then(Refusal::wordless),
        false => (is_page || is_failure_in_words(text)).then(|| named_error(&text.into())),
    }
}
