//! What the values of a JSON body cost in memory, told from its bytes before they are read. A request
//! takes more than that in all: its texts are copied into what is sent.
//!
//! An object of a few bytes takes hundreds as a value, so a body of 8 MB could take 1.6 GB.

use serde_json::{Map, Value};

use crate::server::error::AppError;

/// A value that nothing is in.
const VALUE: usize = size_of::<Value>();
/// A list or an object with little in it: room for four values, names, and what finds them.
const CONTAINER: usize = 8 * VALUE + size_of::<Map<String, Value>>();
/// One more value in a list or an object, with its name.
const MEMBER: usize = VALUE + size_of::<String>() + 16;
/// Any body may cost so much, in bytes: tens of thousands of values.
const ALWAYS: usize = 16 * 1024 * 1024;
/// A larger one costs at most so many times its length.
const TIMES: usize = 4;

/// # Errors
/// 400 for a body that would cost many times its size.
pub(super) fn check(json: &[u8]) -> Result<(), AppError> {
    // Every second byte begins a value at the most.
    if json.len() / 2 * CONTAINER <= ALWAYS {
        return Ok(());
    }
    let (containers, members) = count(json);
    let cost = containers.saturating_mul(CONTAINER).saturating_add(members.saturating_mul(MEMBER));
    if cost <= ALWAYS.max(json.len().saturating_mul(TIMES)) {
        return Ok(());
    }
    let (values, size) = (containers.saturating_add(members), json.len());
    Err(AppError::invalid(format!(
        "the request body holds too many values for its size: {values} in {size} bytes; send fewer, \
         longer texts or several requests"
    )))
}

/// How many lists and objects a JSON text has, and how many values stand behind others in them. Of
/// what is no JSON it says anything.
fn count(json: &[u8]) -> (usize, usize) {
    let (mut containers, mut members) = (0_usize, 0_usize);
    let mut bytes = json;
    while let Some((&byte, rest)) = bytes.split_first() {
        bytes = rest;
        match byte {
            b'[' | b'{' => containers = containers.saturating_add(1),
            b',' => members = members.saturating_add(1),
            b'"' => bytes = behind_text(rest),
            _ => {}
        }
    }
    (containers, members)
}

/// What follows the text that these bytes begin in.
fn behind_text(mut bytes: &[u8]) -> &[u8] {
    while let Some(at) = memchr::memchr2(b'"', b'\\', bytes) {
        let is_end = bytes.get(at) == Some(&b'"');
        let behind = at.saturating_add(if is_end { 1 } else { 2 });
        bytes = bytes.get(behind..).unwrap_or_default();
        if is_end {
            return bytes;
        }
    }
    &[]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn status(json: &str) -> u16 {
        check(json.as_bytes()).err().map_or(200, |error| error.status().as_u16())
    }

    #[test]
    fn many_small_values_are_refused_and_few_large_ones_are_not() {
        let list =
            |item: &str, count: usize| format!("{{\"x\":[{}1]}}", format!("{item},").repeat(count));
        assert_eq!(status(&list("{\"a\":1}", 1_000_000)), 400);
        assert_eq!(status(&list("[]", 1_000_000)), 400);
        assert_eq!(status(&list("1", 1_000_000)), 400);
        let text = format!("\"{}\"", "{[,\\\"".repeat(100_000));
        assert_eq!(status(&list(&text, 20)), 200, "they stand in texts");
        let message = r#"{"role":"user","content":"How are you today, my friend?"}"#;
        assert_eq!(status(&list(message, 10_000)), 200);
        let tool = json!({"type": "function", "function": {"name": "f", "description": "It does.",
            "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}});
        assert_eq!(status(&list(&tool.to_string(), 2_000)), 200);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn what_is_counted_is_there(texts in prop::collection::vec("[a-z,\\[\\]{}\"\\\\]{0,8}", 0..6)) {
            let members = texts.len().saturating_sub(1);
            prop_assert_eq!(count(json!(texts).to_string().as_bytes()), (1, members));
            let wrapped = json!({"a": texts, "b": {}}).to_string();
            prop_assert_eq!(count(wrapped.as_bytes()), (3, members + 1));
        }
    }
}
