//! What came with a turn of a conversation beside what it says: not for every model, and not for
//! every protocol.

use std::{borrow::Cow, collections::HashMap, fmt};

use serde_json::{Map, Value};

/// What came with a turn. `Debug` shows no values.
#[derive(Clone, Default, PartialEq)]
pub struct TurnExtras {
    /// What the model that wrote the turn wants back with it. No other model may see it.
    pub state: TurnState,
    /// Fields Chorus does not know, for an upstream of the protocol that the client speaks.
    pub unknown: UnknownFields,
}

/// What a model wants back with its own turn. `Debug` shows no values.
#[derive(Clone, Default, PartialEq)]
pub struct TurnState {
    /// Its chain of thought; empty when there is none.
    pub thoughts: String,
    /// The field of the message that these came in (`reasoning_content`, `reasoning`, `thinking`);
    /// `None` when they came in none, or in one that is not known.
    pub field: Option<Cow<'static, str>>,
    /// OpenRouter's `reasoning_details`.
    pub details: Vec<Value>,
    /// Anthropic's signed `thinking` blocks.
    pub blocks: Vec<Value>,
    /// Other fields of the message that hold such things, by [`MESSAGE_STATE`]: `thinking_blocks`,
    /// `reasoning_opaque`.
    pub fields: Map<String, Value>,
    /// What came beside a tool call, by the call's id: `extra_content` with Gemini's signature, or
    /// another of [`CALL_STATE`].
    /// Empty for a call that is known to have come with nothing.
    pub calls: Vec<(String, Map<String, Value>)>,
}

/// The fields of OpenAI's protocol for what a model wants back with a message, beside its thoughts and
/// OpenRouter's details: LiteLLM's, Copilot's and Gemini's names, and others that servers have.
pub const MESSAGE_STATE: [&[&str]; 7] = [
    &["thinking_blocks"],
    &["provider_specific_fields", "thought_signatures"],
    &["extra_content"],
    &["reasoning_opaque"],
    &["reasoning_signature"],
    &["reasoning_content_signature"],
    &["encrypted_content"],
];

/// The fields of a tool call that hold what its model wants back.
pub const CALL_STATE: [&[&str]; 3] = [
    &["extra_content"],
    &["provider_specific_fields", "thought_signature"],
    &["thought_signature"],
];

/// What stands at these paths, in an object of the same form; empty for nothing.
#[must_use]
pub fn pick_state(from: &Map<String, Value>, paths: &[&[&str]]) -> Map<String, Value> {
    let mut picked = Map::new();
    for path in paths {
        let value = match *path {
            [name] => from.get(*name).filter(|value| says_something(value)).cloned(),
            [name, inner] => {
                from.get(*name).and_then(|within| within.get(inner)).and_then(|value| {
                    let within = Map::from_iter([((*inner).to_owned(), value.clone())]);
                    says_something(value).then(|| within.into())
                })
            }
            _ => None,
        };
        if let (Some(name), Some(value)) = (path.first(), value) {
            picked.insert((*name).to_owned(), value);
        }
    }
    picked
}

/// Like [`pick_state`], but what was picked is removed.
pub fn take_state(from: &mut Map<String, Value>, paths: &[&[&str]]) -> Map<String, Value> {
    let picked = pick_state(from, paths);
    for (name, value) in &picked {
        let left = match (from.get_mut(name), value) {
            (Some(Value::Object(within)), Value::Object(taken)) => {
                taken.keys().for_each(|name| drop(within.shift_remove(name)));
                !within.is_empty()
            }
            _ => false,
        };
        if !left {
            from.shift_remove(name);
        }
    }
    picked
}

fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

/// Takes a piece of such fields: lists go on, blocks that came in pieces are put together, and of
/// anything else the latest counts.
pub fn join_state(known: &mut Map<String, Value>, more: Map<String, Value>) {
    for (name, value) in more {
        match (known.get_mut(&name), value) {
            (Some(Value::Object(known)), Value::Object(more)) => join_state(known, more),
            (Some(Value::Array(known)), Value::Array(more)) => {
                more.into_iter().for_each(|block| join_block(known, block));
            }
            (_, value) => drop(known.insert(name, value)),
        }
    }
}

/// A block goes on until it is signed.
fn join_block(known: &mut Vec<Value>, block: Value) {
    let is_signed = |block: &Value| block.get("signature").is_some_and(says_something);
    let open = known.last_mut().filter(|last| {
        let kind = last.get("type");
        kind.is_some_and(|kind| kind == "thinking") && block.get("type") == kind && !is_signed(last)
    });
    match (open, block) {
        (Some(Value::Object(open)), Value::Object(more)) => {
            for (name, value) in more {
                match (open.get_mut(&name), value) {
                    (Some(Value::String(text)), Value::String(more)) if name == "thinking" => {
                        text.push_str(&more);
                    }
                    (Some(_), value) if !says_something(&value) => {}
                    (_, value) => drop(open.insert(name, value)),
                }
            }
        }
        (_, block) => known.push(block),
    }
}

impl TurnState {
    /// Whether there is nothing to give back.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.thoughts.is_empty()
            && self.details.is_empty()
            && self.blocks.is_empty()
            && self.fields.is_empty()
            && self.calls.is_empty()
    }

    /// Takes a detail. One that came in pieces is put together: a piece has the index and the type
    /// of what it is of.
    pub fn add_detail(&mut self, detail: Value) {
        let of = |known: &Value| {
            detail.get("index").is_some_and(|index| known.get("index") == Some(index))
                && known.get("type") == detail.get("type")
        };
        let known = self.details.iter().rposition(of);
        let known = known.and_then(|at| self.details.get_mut(at)?.as_object_mut());
        match (known, detail) {
            (Some(known), Value::Object(detail)) => join_detail(known, detail),
            (_, detail) => self.details.push(detail),
        }
    }

    /// What came beside the calls, by their ids; one that is not there is not known. Of two calls of
    /// one id it is the first one's.
    #[must_use]
    pub fn beside(&self) -> HashMap<&str, &Map<String, Value>> {
        self.calls.iter().rev().map(|(id, fields)| (id.as_str(), fields)).collect()
    }
}

/// Texts of a detail go on where they ended; of anything else the latest counts.
fn join_detail(known: &mut Map<String, Value>, more: Map<String, Value>) {
    for (name, value) in more {
        let is_text = matches!(name.as_str(), "text" | "summary" | "data" | "signature");
        match (known.get_mut(&name), value) {
            (Some(Value::String(text)), Value::String(more)) if is_text => text.push_str(&more),
            (Some(_), Value::Null) => {}
            (_, value) => drop(known.insert(name, value)),
        }
    }
}

/// Fields that Chorus does not know, each with what it stands in. `Debug` shows their names only.
#[derive(Clone, Default, PartialEq)]
pub struct UnknownFields {
    /// Fields of the message itself.
    pub message: Map<String, Value>,
    /// Fields of its parts, by their place, in ascending order. A field that is known holds what is unknown within it.
    pub parts: Vec<(usize, Map<String, Value>)>,
    /// Fields of its tool calls, by their place, in ascending order.
    pub calls: Vec<(usize, Map<String, Value>)>,
}

impl UnknownFields {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.message.is_empty() && self.parts.is_empty() && self.calls.is_empty()
    }
}

impl fmt::Debug for TurnExtras {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TurnExtras({:?}, {:?})", self.state, self.unknown)
    }
}

impl fmt::Debug for TurnState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "TurnState({} bytes, {} details, {} blocks, {} fields, {} calls)",
            self.thoughts.len(),
            self.details.len(),
            self.blocks.len(),
            self.fields.len(),
            self.calls.len()
        )
    }
}

impl fmt::Debug for UnknownFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.parts.iter().chain(&self.calls).flat_map(|(_, fields)| fields.keys());
        f.debug_set().entries(self.message.keys().chain(inner)).finish()
    }
}

/// Puts fields into an object: those that it has not, and in objects and lists that it has, those
/// that these have not. What is there stays as it is.
pub fn overlay(onto: &mut Map<String, Value>, more: &Map<String, Value>) {
    for (name, value) in more {
        match onto.get_mut(name) {
            Some(there) => overlay_value(there, value),
            None => drop(onto.insert(name.clone(), value.clone())),
        }
    }
}

fn overlay_value(onto: &mut Value, more: &Value) {
    match (onto, more) {
        (Value::Object(onto), Value::Object(more)) => overlay(onto, more),
        (Value::Array(onto), Value::Array(more)) => {
            onto.iter_mut().zip(more).for_each(|(onto, more)| overlay_value(onto, more));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_overlay_adds_and_never_replaces() {
        let mut onto = json!({"a": 1, "b": {"c": 2}, "d": [{"e": 3}, 4]});
        let more = json!({"a": 9, "b": {"c": 9, "x": 5}, "d": [{"e": 9, "y": 6}, 9, 9], "z": null});
        if let (Value::Object(onto), Value::Object(more)) = (&mut onto, &more) {
            overlay(onto, more);
        }
        let want = json!({"a": 1, "b": {"c": 2, "x": 5}, "d": [{"e": 3, "y": 6}, 4], "z": null});
        assert_eq!(onto, want);
    }

    #[test]
    fn pieces_of_details_are_put_together() {
        let mut state = TurnState::default();
        for detail in [
            json!({"type": "reasoning.text", "text": "I ", "index": 0, "format": "x"}),
            json!({"type": "reasoning.text", "text": "think", "index": 0, "signature": null}),
            json!({"type": "reasoning.text", "signature": "sig", "index": 0}),
            json!({"type": "reasoning.encrypted", "data": "abc", "index": 1}),
            json!({"type": "reasoning.text", "text": "whole"}),
            json!({"type": "reasoning.text", "text": "too"}),
        ] {
            state.add_detail(detail);
        }
        assert_eq!(
            json!(state.details),
            json!([
                {"type": "reasoning.text", "text": "I think", "index": 0, "format": "x",
                    "signature": "sig"},
                {"type": "reasoning.encrypted", "data": "abc", "index": 1},
                {"type": "reasoning.text", "text": "whole"},
                {"type": "reasoning.text", "text": "too"},
            ])
        );
    }

    #[test]
    fn blocks_are_put_together_until_they_are_signed() {
        let mut known = Map::new();
        let block = |text: &str, signature: Value| {
            let block = json!({"type": "thinking", "thinking": text, "signature": signature});
            let sent = json!({"thinking_blocks": [block], "content": "no", "extra_content": null});
            pick_state(sent.as_object().unwrap(), &MESSAGE_STATE)
        };
        for piece in [
            block("I ", Value::Null),
            block("think", Value::Null),
            block("", json!("one")),
            block("more", json!("two")),
        ] {
            join_state(&mut known, piece);
        }
        let want = json!({"thinking_blocks": [
            {"type": "thinking", "thinking": "I think", "signature": "one"},
            {"type": "thinking", "thinking": "more", "signature": "two"},
        ]});
        assert_eq!(Value::Object(known), want);
    }

    #[test]
    fn what_is_taken_is_there_no_more_and_the_rest_stays() {
        let mut fields = json!({"provider_specific_fields": {"thought_signature": "s", "x": 1},
            "extra_content": {"g": 1}, "z": 2});
        let fields = fields.as_object_mut().unwrap();
        let taken = take_state(fields, &CALL_STATE);
        let want = json!({"extra_content": {"g": 1},
            "provider_specific_fields": {"thought_signature": "s"}});
        assert_eq!(Value::Object(taken), want);
        let want = json!({"provider_specific_fields": {"x": 1}, "z": 2});
        assert_eq!(Value::Object(fields.clone()), want);
    }

    #[test]
    fn debug_shows_names_and_no_values() {
        let field = |name: &str| Map::from_iter([(name.to_owned(), json!("SECRET"))]);
        let extras = TurnExtras {
            state: TurnState {
                thoughts: "SECRET".to_owned(),
                details: vec![json!("SECRET")],
                calls: vec![("SECRET".to_owned(), field("x"))],
                ..TurnState::default()
            },
            unknown: UnknownFields {
                message: field("name"),
                parts: vec![(0, field("cache_control"))],
                calls: Vec::new(),
            },
        };
        let shown = format!("{extras:?}");
        assert!(shown.contains("name") && shown.contains("cache_control"), "{shown}");
        assert!(!shown.contains("SECRET"), "{shown}");
    }
}
