//! Chat-style messages, as `/v1/chat/completions` and `/api/chat` send them (their API
//! references): strictly about what is there, leniently about how it is spelled.

mod assistant;
mod image;
#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

pub(super) use assistant::arguments_text;
use assistant::{DETAILS, RawCall, RawFunction, read_call, take_thoughts};
pub(super) use image::inline as inline_image;

use super::{
    error::AppError,
    extract::{Gather, Gathered, Parted},
};
use crate::types::{
    Image, MESSAGE_STATE, Message, OnlyThere, OpenCalls, Part, Role, TurnExtras, TurnState,
    UnknownFields, take_state,
};

/// One message as it is sent.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "RequestMessage")]
pub(super) struct RawMessage {
    role: Option<String>,
    /// A string, null, or an array of parts (OpenAI; tolerated on Ollama's path).
    #[serde(default)]
    content: Value,
    /// Raw base64 (Ollama).
    images: Option<Vec<String>>,
    tool_calls: Option<Vec<Parted<RawCall>>>,
    /// OpenAI's form before `tool_calls`.
    function_call: Option<Box<Parted<RawFunction>>>,
    /// Only in a tool's result (OpenAI).
    tool_call_id: Option<String>,
    /// Only in a tool's result (Ollama).
    tool_name: Option<String>,
    /// The tool's name in a result (OpenAI's `function` role); otherwise a participant's.
    name: Option<String>,
    /// A chain of thought, by the names it goes by; the first that says something counts.
    reasoning_content: Option<Box<Value>>,
    reasoning: Option<Box<Value>>,
    reasoning_text: Option<Box<Value>>,
    thinking: Option<Box<Value>>,
    /// OpenRouter's.
    reasoning_details: Option<Box<Value>>,
}

/// The `messages` array of a body.
pub(super) type RawMessages = Gathered<Messages>;

/// The messages of such an array.
#[derive(Debug, Default)]
pub(super) struct Messages(Vec<Message>);

impl Gather for Messages {
    type Element = Parted<RawMessage>;

    fn take(&mut self, message: Parted<RawMessage>, index: usize) -> Result<(), AppError> {
        self.0.push(read(message, index, &format!("messages[{index}]"))?);
        Ok(())
    }
}

/// The conversation of a `messages` array.
///
/// # Errors
/// 400 with the path of what cannot be understood.
pub(super) fn conversation(messages: RawMessages) -> Result<Vec<Message>, AppError> {
    let Messages(mut messages) = messages.all()?;
    link_tool_results(&mut messages);
    Ok(messages)
}

/// The first part of a kind that Chorus does not know, which only an upstream of the client's own
/// protocol can take.
pub(super) fn unknown_part(messages: &[Message]) -> Option<OnlyThere> {
    messages.iter().enumerate().find_map(|(position, message)| {
        let mut parts = message.parts.iter().enumerate();
        parts.find_map(|(index, part)| match part {
            Part::Other(part) => {
                Some(unsupported(part, &format!("messages[{position}].content[{index}]")))
            }
            Part::Text(_) | Part::Image(_) => None,
        })
    })
}

/// What is said of a part of another kind where it cannot be sent on.
pub(super) fn unsupported(part: &Value, path: &str) -> OnlyThere {
    let kind = part.get("type").and_then(Value::as_str).unwrap_or_default();
    let kind: String = kind.chars().take(40).collect();
    let param = format!("{path}.type");
    let message = format!("{param}: parts of type '{kind}' are not supported");
    OnlyThere { param, message }
}

/// The message at `path`; `position` is its number in the conversation, for ids of its calls.
///
/// # Errors
/// 400 with the path of what cannot be understood.
pub(super) fn read(
    message: Parted<RawMessage>,
    position: usize,
    path: &str,
) -> Result<Message, AppError> {
    let Parted { known: raw, rest } = message;
    let role = role(raw.role.as_deref(), path)?;
    let mut unknown = UnknownFields { message: rest, ..UnknownFields::default() };
    let mut parts = parts(raw.content, &format!("{path}.content"), &mut unknown.parts)?;
    for (index, image) in raw.images.unwrap_or_default().iter().enumerate() {
        let image = inline_image(image, &format!("{path}.images[{index}]"))?;
        parts.push(Part::Image(image));
    }
    let legacy = raw.function_call.map(|function| Parted {
        known: RawCall { id: None, function: Some(*function) },
        rest: Map::new(),
    });
    let (mut state, mut tool_calls) = (TurnState::default(), Vec::new());
    for call in raw.tool_calls.unwrap_or_default().into_iter().chain(legacy) {
        let index = tool_calls.len();
        let (call, beside, rest) = read_call(call, position, index, path)?;
        state.calls.extend(beside.map(|fields| (call.id.clone(), fields)));
        if !rest.is_empty() {
            unknown.calls.push((index, rest));
        }
        tool_calls.push(call);
    }
    // A function's result of old has its name for Chorus, every other message for the model too.
    let is_function = raw.role.as_deref().is_some_and(|role| role.eq_ignore_ascii_case("function"));
    if let Some(name) = raw.name.as_ref().filter(|_| !is_function) {
        unknown.message.insert("name".to_owned(), name.clone().into());
    }
    let tool_name = raw.tool_name.or(raw.name);
    let thoughts = [
        ("reasoning_content", raw.reasoning_content),
        ("reasoning", raw.reasoning),
        ("reasoning_text", raw.reasoning_text),
        ("thinking", raw.thinking),
        (DETAILS, raw.reasoning_details),
    ];
    if role == Role::Assistant {
        take_thoughts(thoughts, &mut state, &mut unknown.message);
        state.fields = take_state(&mut unknown.message, &MESSAGE_STATE);
        unknown.message.retain(|name, value| !is_blank_of_an_answer(name, value));
    }
    let extras = TurnExtras { state, unknown };
    Ok(Message {
        role,
        parts,
        tool_calls,
        tool_call_id: raw.tool_call_id,
        tool_name: tool_name.filter(|_| role == Role::Tool),
        extras: (extras != TurnExtras::default()).then(|| Box::new(extras)),
    })
}

/// Answers hold these, and clients send them back as they came, to servers that refuse them.
fn is_blank_of_an_answer(name: &str, value: &Value) -> bool {
    matches!(name, "refusal" | "audio" | "annotations")
        && (value.is_null() || value.as_array().is_some_and(Vec::is_empty))
}

fn role(role: Option<&str>, path: &str) -> Result<Role, AppError> {
    match role.unwrap_or_default().to_ascii_lowercase().as_str() {
        "system" | "developer" => Ok(Role::System),
        "user" => Ok(Role::User),
        "assistant" => Ok(Role::Assistant),
        "tool" | "function" => Ok(Role::Tool),
        "" => Err(AppError::field(format!("{path}.role"), format!("{path}.role: missing"))),
        _ => Err(AppError::field(
            format!("{path}.role"),
            format!("{path}.role: expected system, developer, user, assistant, tool or function"),
        )),
    }
}

fn parts(
    content: Value,
    path: &str,
    unknown: &mut Vec<(usize, Map<String, Value>)>,
) -> Result<Vec<Part>, AppError> {
    let items = match content {
        Value::Null => return Ok(Vec::new()),
        Value::String(text) => return Ok(vec![Part::Text(text)]),
        Value::Array(items) => items,
        _ => {
            let message = format!("{path}: expected text or an array of parts");
            return Err(AppError::field(path, message));
        }
    };
    let mut parts = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let (part, rest) = part(item, &format!("{path}[{index}]"))?;
        parts.push(part);
        if !rest.is_empty() {
            unknown.push((index, rest));
        }
    }
    Ok(parts)
}

/// One part of a content array, and its fields that nobody knows.
///
/// # Errors
/// 400 with the path of what cannot be understood.
pub(super) fn part(item: Value, path: &str) -> Result<(Part, Map<String, Value>), AppError> {
    let mut fields = match item {
        Value::String(text) => return Ok((Part::Text(text), Map::new())),
        Value::Object(fields) => fields,
        _ => return Err(AppError::field(path, format!("{path}: expected a part or text"))),
    };
    let kind = fields.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let part = match kind.as_str() {
        "text" | "input_text" | "output_text" => {
            text(fields.shift_remove("text"), &format!("{path}.text"))?
        }
        "refusal" => text(fields.shift_remove("refusal"), &format!("{path}.refusal"))?,
        "image_url" | "input_image" => image_part(&mut fields, &format!("{path}.image_url"))?,
        "" => {
            return Err(AppError::field(format!("{path}.type"), format!("{path}.type: missing")));
        }
        _ => return Ok((Part::Other(fields.into()), Map::new())),
    };
    fields.shift_remove("type");
    Ok((part, fields))
}

/// The picture that `fields` name, which then hold what else there is.
fn image_part(fields: &mut Map<String, Value>, path: &str) -> Result<Part, AppError> {
    let (url, detail) = match fields.shift_remove("image_url") {
        Some(Value::String(url)) => (Some(url), fields.shift_remove("detail")),
        Some(Value::Object(mut image)) => {
            let found =
                (image.shift_remove("url").and_then(owned_text), image.shift_remove("detail"));
            if !image.is_empty() {
                fields.insert("image_url".to_owned(), image.into());
            }
            found
        }
        _ => (None, None),
    };
    let Some(url) = url else {
        return Err(AppError::field(path, format!("{path}: expected a URL")));
    };
    let image = image(url, detail.clone().and_then(owned_text), path)?;
    if let (Image::Inline { .. }, Some(detail)) = (&image, detail) {
        let within = fields.entry("image_url").or_insert_with(|| Map::new().into());
        within.as_object_mut().and_then(|within| within.insert("detail".to_owned(), detail));
    }
    Ok(Part::Image(image))
}

fn text(value: Option<Value>, path: &str) -> Result<Part, AppError> {
    match value.and_then(owned_text) {
        Some(text) => Ok(Part::Text(text)),
        None => Err(AppError::field(path, format!("{path}: expected text"))),
    }
}

fn owned_text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

fn image(url: String, detail: Option<String>, path: &str) -> Result<Image, AppError> {
    let scheme = url.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        Some("data") => inline_image(&url, path),
        Some("http" | "https") => Ok(Image::Url { url, detail }),
        _ => Err(AppError::field(path, format!("{path}: expected a data, http or https URL"))),
    }
}

/// Gives every tool result the id and the name of the call it answers, whichever of the two its
/// client left out: OpenAI's upstreams link by id, Ollama's by name.
pub(super) fn link_tool_results(messages: &mut [Message]) {
    let mut open = OpenCalls::default();
    for message in messages {
        match message.role {
            Role::Assistant => message.tool_calls.iter().for_each(|call| open.push(call)),
            Role::Tool => {
                let (id, name) = (message.tool_call_id.as_deref(), message.tool_name.as_deref());
                let Some((id, name)) = open.take(id, name) else { continue };
                message.tool_call_id.get_or_insert(id);
                message.tool_name.get_or_insert(name);
            }
            Role::System | Role::User => {}
        }
    }
}
