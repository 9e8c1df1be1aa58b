//! What stands in the frames of a stream beside JSON. Pure.

use serde_json::{Value, json};

use crate::llm::refusal::Refusal;

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
