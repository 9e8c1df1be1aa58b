//! Turns as content blocks. Pure.

use serde_json::{Map, Value, json};

use crate::{
    llm::protocol::{
        openai::at,
        prompt::{self, Turn},
    },
    types::{Image, Message, Part, Role, ToolCall, UnknownFields, overlay},
};

/// The words of the system as blocks, where the client says of one what only this protocol knows:
/// that it is to be cached.
pub(super) fn system(messages: &[Message]) -> Option<Value> {
    let mut system = messages.iter().filter(|message| message.role == Role::System);
    let is_marked = |message: &Message| unknown(message).is_some_and(|it| !it.parts.is_empty());
    system.clone().any(is_marked).then(|| {
        let blocks = system.by_ref().flat_map(parts);
        blocks.collect()
    })
}

/// A turn of either side.
pub(super) fn turn(turn: &Turn) -> Value {
    let content: Vec<Value> = turn.messages.iter().flat_map(blocks).collect();
    json!({"role": if turn.by_model { "assistant" } else { "user" }, "content": content})
}

fn blocks(message: &Message) -> Vec<Value> {
    let mut blocks: Vec<Value> = parts(message).collect();
    if message.role == Role::Tool {
        let id = usable_id(message.tool_call_id.as_deref().unwrap_or_default());
        let mut result = json!({"type": "tool_result", "tool_use_id": id});
        if let Value::Object(fields) = &mut result {
            if !blocks.is_empty() {
                fields.insert("content".into(), blocks.into());
            }
            unknown(message).into_iter().for_each(|it| overlay(fields, &it.message));
        }
        return vec![result];
    }
    // They come first.
    if let Some(state) = message.state() {
        blocks.splice(0..0, state.blocks.iter().cloned());
    }
    let calls = message.tool_calls.iter().enumerate().map(|(place, call)| {
        let own = unknown(message).and_then(|unknown| at(&unknown.calls, place));
        with(tool_use(call), own)
    });
    blocks.extend(calls);
    blocks
}

fn unknown(message: &Message) -> Option<&UnknownFields> {
    message.extras.as_ref().map(|extras| &extras.unknown)
}

fn parts(message: &Message) -> impl Iterator<Item = Value> {
    let own = |place| unknown(message).and_then(|unknown| at(&unknown.parts, place));
    let parts = message.parts.iter().enumerate();
    parts.filter_map(move |(place, one)| Some(with(part(one)?, own(place))))
}

/// A block with what the client said of it that nobody here knows.
fn with(mut block: Value, own: Option<&Map<String, Value>>) -> Value {
    if let (Value::Object(fields), Some(own)) = (&mut block, own) {
        overlay(fields, own);
    }
    block
}

/// Empty text is refused, so it is left out.
fn part(part: &Part) -> Option<Value> {
    match part {
        Part::Text(text) if text.trim().is_empty() => None,
        Part::Text(text) => Some(json!({"type": "text", "text": text})),
        Part::Image(Image::Inline { media_type, base64 }) => {
            let source = json!({"type": "base64", "media_type": media_type, "data": base64});
            Some(json!({"type": "image", "source": source}))
        }
        Part::Image(Image::Url { url, .. }) => {
            Some(json!({"type": "image", "source": {"type": "url", "url": url}}))
        }
        // As the client spelled it, who speaks this protocol: others were taken off before.
        Part::Other(block) => Some(block.clone()),
    }
}

fn tool_use(call: &ToolCall) -> Value {
    let (id, input) = (usable_id(&call.id), prompt::arguments(&call.arguments));
    json!({"type": "tool_use", "id": id, "name": call.name, "input": input})
}

/// Other upstreams use more characters in their ids than this one takes.
fn usable_id(id: &str) -> String {
    let usable = |character: char| character.is_ascii_alphanumeric() || "_-".contains(character);
    id.chars().map(|character| if usable(character) { character } else { '_' }).collect()
}
