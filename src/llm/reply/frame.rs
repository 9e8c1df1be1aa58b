//! What stands in the frames of a stream beside JSON. Pure.

use serde_json::{Value, json};

use crate::llm::{error_frame::is_failure_in_words, refusal::Refusal};

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
        Some(b'{' | b'[') => false,
        Some(_) => WORDS.iter().any(|word| data.eq_ignore_ascii_case(word)),
    }
}

/// What stands behind white space and the name of a field that was written twice, or glued behind a
/// reply.
pub(super) fn bare(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix("data:").map_or(text, str::trim_start)
}

/// The failure that a text tells of which is no JSON but stands where a frame belongs: in words, as a
/// page, or by the beginning of an error.
pub(super) fn failure_in(text: &str) -> Option<Refusal> {
    let is_page = text.starts_with('<');
    // `[ERROR] ...` is no list, while the rest of what looks like JSON may be part of an answer.
    let is_json = text.starts_with('{')
        || text
            .strip_prefix('[')
            .is_some_and(|rest| rest.trim_start().starts_with(['{', '[', '"']));
    let opens_error = || {
        let head = text.chars().filter(|character| !character.is_whitespace()).take(9);
        head.eq("{\"error\":".chars())
    };
    match is_json {
        true => opens_error().then(Refusal::wordless),
        false => (is_page || is_failure_in_words(text)).then(|| named_error(&text.into())),
    }
}
