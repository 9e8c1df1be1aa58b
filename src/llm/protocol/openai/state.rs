//! What a model leaves on its turn for itself: where this protocol's servers have it, and how it is
//! given back.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::{
    llm::protocol::state::Kept,
    types::{CALL_STATE, MESSAGE_STATE, TurnState, overlay, pick_state},
};

/// The names thoughts go by; a server that sends two means the same by both.
const THOUGHTS: [&str; 4] = ["reasoning_content", "reasoning", "reasoning_text", "thinking"];
/// They stand among the parts of the content, as Mistral's do.
const IN_CONTENT: &str = "content";

/// The field in which a delta or a message has its thoughts.
pub(super) fn thoughts_field(said: &Value) -> Option<&'static str> {
    let filled =
        |name: &&&str| said.get(**name).and_then(Value::as_str).is_some_and(|it| !it.is_empty());
    let named = THOUGHTS.iter().find(filled).copied();
    let mut parts = said.get("content").and_then(Value::as_array).into_iter().flatten();
    named.or_else(|| parts.any(|part| thoughts_of_part(part).is_some()).then_some(IN_CONTENT))
}

/// The thoughts of a delta or a message in a field of their own, else those of the details or blocks.
pub(super) fn thoughts(said: &Value) -> Option<Cow<'_, str>> {
    let named = THOUGHTS
        .iter()
        .find_map(|name| said.get(*name).and_then(Value::as_str).filter(|text| !text.is_empty()));
    if let Some(text) = named {
        return Some(text.into());
    }
    let texts_in = |list: &str, field: &str| -> String {
        let list = said.get(list).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(|one| one.get(field).and_then(Value::as_str)).collect()
    };
    let text = texts_in("reasoning_details", "text");
    let text = if text.is_empty() { texts_in("thinking_blocks", "thinking") } else { text };
    (!text.is_empty()).then_some(text.into())
}

/// The thoughts that a part of the content is.
pub(super) fn thoughts_of_part(part: &Value) -> Option<Cow<'_, str>> {
    match part.get("thinking")? {
        Value::String(text) => Some(text.into()),
        Value::Array(parts) => {
            Some(parts.iter().filter_map(|one| one.get("text")?.as_str()).collect())
        }
        _ => None,
    }
}

/// What a delta or a message has for its model beside its thoughts.
pub(super) fn kept(said: &Value) -> impl Iterator<Item = Kept> {
    let details = said.get("reasoning_details").and_then(Value::as_array);
    let details = details.filter(|details| !details.is_empty()).cloned();
    let fields = said.as_object().map(|said| pick_state(said, &MESSAGE_STATE));
    let fields = fields.filter(|fields| !fields.is_empty());
    details.map(Kept::Details).into_iter().chain(fields.map(Kept::Fields))
}

/// What a call has for its model.
pub(super) fn beside(call: &Value) -> Option<Map<String, Value>> {
    let fields = pick_state(call.as_object()?, &CALL_STATE);
    (!fields.is_empty()).then_some(fields)
}

/// Thoughts in the field they came in, or in the one most servers have; the rest beside them.
pub(super) fn write(turn: &TurnState, fields: &mut Map<String, Value>) {
    let field = match turn.field.as_deref() {
        Some("" | IN_CONTENT) => None,
        Some(known) if THOUGHTS.contains(&known) => Some(known),
        Some(_) | None => THOUGHTS.first().copied(),
    };
    if let Some(field) = field.filter(|_| !turn.thoughts.is_empty()) {
        fields.insert(field.into(), turn.thoughts.clone().into());
    }
    if !turn.details.is_empty() {
        fields.insert("reasoning_details".into(), turn.details.clone().into());
    }
    overlay(fields, &turn.fields);
}

/// The content with the thoughts that stood in it.
pub(super) fn content(turn: &TurnState, content: Value) -> Value {
    if turn.field.as_deref() != Some(IN_CONTENT) || turn.thoughts.is_empty() {
        return content;
    }
    let text = |text: &str| json!({"type": "text", "text": text});
    let thinking = json!({"type": "thinking", "thinking": [text(&turn.thoughts)]});
    let parts = match content {
        Value::Array(parts) => parts,
        Value::String(said) if !said.is_empty() => vec![text(&said)],
        _ => Vec::new(),
    };
    std::iter::once(thinking).chain(parts).collect()
}
