//! Arguments of tool calls, in the forms that upstreams write them in. Pure.

use serde_json::Value;

/// The arguments of a function's call; some servers write them under other names.
pub(super) fn arguments_of(function: &Value) -> String {
    let names = ["arguments", "parameters", "input"];
    let written = names.iter().find_map(|name| function.get(*name).filter(|it| !it.is_null()));
    arguments(written)
}

/// The arguments of a call, as a text or as JSON.
pub(super) fn arguments(written: Option<&Value>) -> String {
    match written {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    }
}

/// What arguments begin with that were written as JSON twice over, or as no JSON object at all:
/// `null` is nothing.
pub(in crate::llm) fn unwrapped(text: String) -> String {
    if !text.trim_start().starts_with(['"', 'n']) {
        return text;
    }
    match serde_json::from_str(&text) {
        Ok(Value::Null) => String::new(),
        Ok(Value::String(inner)) if inner.trim_start().starts_with('{') => inner,
        _ => text,
    }
}

/// `{}`, in however many lines.
pub(in crate::llm) fn is_empty_object(text: &str) -> bool {
    let inside = text.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    inside.is_some_and(|inside| inside.trim().is_empty())
}
