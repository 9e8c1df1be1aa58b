//! Tells the frames of an answer that are errors from those that are not. Pure.

use serde_json::Value;

use super::{lookup::get_path, refusal::folded};

/// Where an error's words stand, in a frame that is nothing else.
const WORDS: [&str; 7] =
    ["message", "msg", "error_message", "error_msg", "detail", "errors", "reason"];
/// What a frame that is a part of an answer holds, in one protocol or another.
const PARTS: [&str; 8] = [
    "candidates",
    "content",
    "content_block",
    "delta",
    "done",
    "response",
    "usage",
    "usageMetadata",
];
/// What an error's message speaks of where no code tells that it is one.
const TROUBLE: [&str; 14] = [
    "abort",
    "denied",
    "disconnect",
    "error",
    "exceed",
    "exception",
    "fail",
    "invalid",
    "limit",
    "not found",
    "overload",
    "refused",
    "timed out",
    "unavailable",
];

/// The part of a frame (or body under a 200) that is an error, if it is one: a top-level `error`,
/// vLLM's `"object": "error"`, OpenRouter's error inside the choice, or a code and words where an
/// answer should stand.
pub(super) fn error_in(value: &Value) -> Option<&Value> {
    let is_named = |name: &str| value.get(name).and_then(Value::as_str) == Some("error");
    if holds_error(value)
        || is_named("object")
        || get_path(value, "0/error").is_some()
        || (!is_part(value) && (is_named("type") || tells_failure(value)))
    {
        return Some(value);
    }
    ["choices/0", "choices/0/delta", "choices/0/message"]
        .iter()
        .find_map(|place| get_path(value, place).filter(|part| holds_error(part)))
}

/// An `error` that says something.
fn holds_error(value: &Value) -> bool {
    match value.get("error") {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Object(fields)) => !fields.is_empty(),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Bool(true) | Value::Number(_)) => true,
    }
}

/// Whether a frame says something of an answer.
fn is_part(value: &Value) -> bool {
    let is_there = |name: &str| value.get(name).is_some_and(|part| !part.is_null());
    PARTS.iter().any(|name| is_there(name))
        || value.get("message").is_some_and(Value::is_object)
        || get_path(value, "choices/0").is_some()
}

/// Whether a frame without any part of an answer has a bad code, or words that tell of trouble, or a
/// field that is an error by its name: AWS's `throttlingException`, Tencent's `Response.Error`.
fn tells_failure(value: &Value) -> bool {
    let fields = |value: &Value| {
        let has_name = |(name, value): (&String, &Value)| is_error_name(name) && is_filled(value);
        value.as_object().is_some_and(|fields| fields.iter().any(has_name))
    };
    if fields(value) || value.get("Response").is_some_and(fields) {
        return true;
    }
    let base = value.get("base_resp");
    if base.and_then(|base| base.get("status_code")).is_some_and(is_bad_code) {
        return true;
    }
    let words = |name: &str| match value.get(name) {
        Some(Value::String(text)) if !text.is_empty() => Some(text.to_lowercase()),
        Some(Value::Array(list)) if !list.is_empty() => Some(String::new()),
        Some(Value::Object(fields)) if !fields.is_empty() => Some(String::new()),
        _ => None,
    };
    let Some((name, words)) = WORDS.iter().find_map(|name| words(name).map(|text| (*name, text)))
    else {
        return false;
    };
    let codes = ["code", "status", "status_code", "error_code", "__type"];
    let is_bad = codes.iter().filter_map(|name| value.get(name)).any(is_bad_code)
        || value.get("success").and_then(Value::as_bool) == Some(false);
    is_bad
        || !matches!(name, "message" | "msg" | "reason")
        || TROUBLE.iter().any(|trouble| words.contains(trouble))
}

fn is_error_name(name: &str) -> bool {
    let name = folded(name);
    let ends = ["exception", "error", "errormsg", "fault", "failure"];
    ends.iter().any(|end| name.ends_with(end))
}

fn is_filled(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => false,
    }
}

/// A status of HTTP's or a provider's own that is not success.
fn is_bad_code(code: &Value) -> bool {
    let is_bad = |number: i64| number != 0 && !(200..300).contains(&number) && number != 20_000;
    match code {
        Value::Number(number) => number.as_i64().is_some_and(is_bad),
        Value::String(text) => match text.parse::<i64>() {
            Ok(number) => is_bad(number),
            Err(_) => {
                let word = text.to_lowercase();
                ["error", "exception", "fail", "invalid", "exceed", "denied", "limit"]
                    .iter()
                    .any(|bad| word.contains(bad))
            }
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn errors_are_told_from_parts_of_an_answer() {
        for (frame, is_error) in [
            (json!({"error": {"message": "boom"}}), true),
            (json!({"error": "boom"}), true),
            (json!({"object": "error", "message": "boom"}), true),
            (json!({"type": "error", "message": "boom"}), true),
            (json!({"choices": [{"error": {"code": 502}}]}), true),
            (json!([{"error": {"code": 500}}]), true),
            (json!({"code": 500, "message": "boom"}), true),
            (json!({"code": "500", "msg": "boom"}), true),
            (json!({"code": "InternalError", "message": "boom"}), true),
            (json!({"code": 1301, "message": "boom", "choices": []}), true),
            (json!({"status": 503, "message": "boom"}), true),
            (json!({"success": false, "message": "boom"}), true),
            (json!({"message": "upstream connection failed"}), true),
            (json!({"detail": "Internal Server Error"}), true),
            (json!({"errors": [{"message": "boom"}]}), true),
            (json!({"choices": null, "error_message": "boom"}), true),
            (json!({"base_resp": {"status_code": 1004, "status_msg": "boom"}}), true),
            (json!({"choices": [{"delta": {"error": {"message": "boom"}}}]}), true),
            (json!({"__type": "InternalServerException", "message": "boom"}), true),
            (json!({"internalServerException": {"message": "boom"}}), true),
            (json!({"exception": "boom"}), true),
            (json!({"fault": {"faultstring": "boom"}}), true),
            (json!({"Response": {"Error": {"Code": "InternalError", "Message": "boom"}}}), true),
            (json!({"ErrorMsg": {"Msg": "boom", "Code": 500}, "Choices": []}), true),
            (json!({"status": "failed", "reason": "boom"}), true),
            (json!({"lastError": null, "id": "x"}), false),
            (json!({"type": "ping", "reason": "idle"}), false),
            (json!({"error": null, "choices": []}), false),
            (json!({"error": "", "choices": [{"delta": {}}]}), false),
            (json!({"error": {}, "message": {"content": "hi"}}), false),
            (json!({"code": 500, "message": "x", "choices": [{"delta": {}}]}), false),
            (json!({"code": 0, "message": "ok"}), false),
            (json!({"code": 200, "message": "success"}), false),
            (json!({"status": "queued", "message": "you are third"}), false),
            (json!({"base_resp": {"status_code": 0, "status_msg": ""}}), false),
            (json!({"type": "ping"}), false),
            (json!({"choices": [], "usage": {"prompt_tokens": 1}}), false),
            (json!({"choices": [{"delta": {"content": "error"}}]}), false),
            (json!({"message": {"content": "error"}, "done": false}), false),
            (json!({"candidates": [], "message": "failed"}), false),
            (json!("error"), false),
            (Value::Null, false),
        ] {
            assert_eq!(error_in(&frame).is_some(), is_error, "{frame}");
        }
    }
}
