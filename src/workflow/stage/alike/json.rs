//! JSON by value. Pure.

use serde::de::IgnoredAny;
use serde_json::Value;

use super::numbers::by_value;

/// Before a number's value, so that no text is equal to a number.
const NUMBER: &str = "\\u0000";

/// The value of a text that is one JSON object or array, in a fence or not. Its numbers stand there as
/// texts, one for each value: as floating-point numbers two long ones may be equal that are not.
pub(super) fn json(text: &str) -> Option<Value> {
    let bare = text.strip_prefix("```").and_then(|rest| {
        let (_, body) = rest.split_once('\n')?;
        body.trim_end().strip_suffix("```")
    });
    let bare = bare.unwrap_or(text).trim();
    if !bare.starts_with(['{', '[']) {
        return None;
    }
    serde_json::from_str::<IgnoredAny>(bare).ok()?;
    serde_json::from_str(&with_numbers_as_texts(bare)).ok()
}

fn with_numbers_as_texts(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find(|one: char| matches!(one, '"' | '-' | '0'..='9')) {
        let (before, found) = rest.split_at(at);
        out.push_str(before);
        let length = if found.starts_with('"') { text_length(found) } else { number_length(found) };
        let (value, after) = found.split_at(length);
        if value.starts_with('"') {
            out.push_str(value);
        } else {
            out.push_str(&format!("\"{NUMBER}{}\"", by_value(value)));
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// How long the JSON text is that this begins with, with its quotes.
fn text_length(json: &str) -> usize {
    let mut is_escaped = false;
    let end = json.bytes().skip(1).position(|one| {
        let ends = one == b'"' && !is_escaped;
        is_escaped = one == b'\\' && !is_escaped;
        ends
    });
    end.map_or(json.len(), |end| end.saturating_add(2))
}

fn number_length(json: &str) -> usize {
    let is_part = |one: char| one.is_ascii_digit() || matches!(one, '.' | '-' | '+' | 'e' | 'E');
    json.find(|one| !is_part(one)).unwrap_or(json.len())
}
