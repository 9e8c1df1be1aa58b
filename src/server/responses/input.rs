//! What `POST /v1/responses` asks (OpenAI's API reference): four prompt sources and the
//! items of earlier responses to one conversation. Pure.

mod file;
mod others;
#[cfg(test)]
mod tests;
mod turns;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde_json::{Map, Value};

use super::{
    entry::{Entry, Item},
    toolbox::{Toolbox, text_arguments},
};
use crate::{
    server::{
        content::{self, RawMessage},
        error::AppError,
        extract::{Parted, typed},
    },
    types::{Message, OnlyThere, Part, Role, ToolCall, without_progress},
};

/// The contract's words, to the letter.
const NOTHING: &str = "invalid request: missing input/messages/prompt/instructions";

/// The fields a prompt may be in; any of them may be null or missing.
pub(super) struct Sources {
    /// A system message: text, or text parts.
    pub(super) instructions: Option<Value>,
    /// Chat-style messages.
    pub(super) messages: Option<Value>,
    /// Text or items.
    pub(super) input: Option<Value>,
    /// Text (an old name for `input`); never OpenAI's stored prompt.
    pub(super) prompt: Option<Value>,
}

/// A request's conversation.
pub(super) struct Conversation {
    /// The instructions of this request alone, which the response repeats.
    pub(super) instructions: Option<String>,
    /// What a later request continues from: everything but the instructions.
    pub(super) context: Vec<Entry>,
    /// What the models are shown.
    pub(super) messages: Vec<Message>,
}

/// Reads the sources, in their order, as what follows `earlier`; tools among the items join the
/// toolbox. `stored` gives every kept item by its id; it is only called when there is a reference.
///
/// # Errors
/// 400 with the path of what cannot be understood, or when nothing is asked.
pub(super) fn conversation(
    sources: Sources,
    earlier: Vec<Entry>,
    toolbox: &mut Toolbox,
    stored: &dyn Fn() -> HashMap<String, Entry>,
) -> Result<Conversation, AppError> {
    let Sources { instructions, messages, input, prompt } = sources;
    if matches!(&prompt, Some(Value::Object(fields)) if !holds_more(fields)) {
        let message = "prompt: stored prompts are not supported; send the text itself";
        return Err(AppError::field("prompt", message));
    }
    let instructions = instructions.map(instruction_text).transpose()?.flatten();
    let first_new = earlier.len();
    let known = earlier.iter().filter_map(|entry| entry.id.clone()).collect();
    for entry in &earlier {
        if let Item::Tools(tools) = &*entry.item {
            toolbox.add(tools.clone(), "tools")?;
        }
    }
    let mut reader =
        Reader { context: earlier, known, loose: Vec::new(), toolbox, stored, index: None };
    for (name, source) in [("messages", messages), ("input", input), ("prompt", prompt)] {
        reader.read(source.unwrap_or_default(), name)?;
        reader.close_loose();
    }
    let mut context = reader.context;
    let mut leading = None;
    let mut new = context.iter().skip(first_new);
    let nothing_said = new.all(|entry| matches!(*entry.item, Item::Thoughts(_) | Item::Tools(_)));
    match &instructions {
        Some(text) if nothing_said => {
            context.push(Entry::anonymous(Item::Message(Message::text(Role::User, text))));
        }
        Some(text) => leading = Some(Message::text(Role::System, text)),
        None if nothing_said => return Err(AppError::invalid(NOTHING)),
        None => {}
    }
    let messages = leading.into_iter().chain(turns::messages(&context)?).collect();
    Ok(Conversation { instructions, context, messages })
}

/// `None` when there is no text but white space.
fn instruction_text(value: Value) -> Result<Option<String>, AppError> {
    let mut parts = Vec::new();
    read_parts(value, "instructions", &mut parts)?;
    let message = Message { parts, ..Message::text(Role::System, "") };
    if message.has_image() {
        return Err(AppError::field("instructions", "instructions: only text is possible here"));
    }
    let text = message.joined_text();
    Ok((!text.trim().is_empty()).then_some(text))
}

struct Reader<'a> {
    context: Vec<Entry>,
    /// The ids in it.
    known: HashSet<String>,
    /// Parts that stand between the items, not yet a message.
    loose: Vec<Part>,
    toolbox: &'a mut Toolbox,
    stored: &'a dyn Fn() -> HashMap<String, Entry>,
    /// What `stored` gave.
    index: Option<HashMap<String, Entry>>,
}

impl Reader<'_> {
    /// Text, an item, or any nesting of them; the JSON reader bounds the depth.
    fn read(&mut self, value: Value, path: &str) -> Result<(), AppError> {
        match value {
            Value::Null => Ok(()),
            Value::String(text) => {
                self.loose.push(Part::Text(text));
                Ok(())
            }
            Value::Array(list) => list
                .into_iter()
                .enumerate()
                .try_for_each(|(index, value)| self.read(value, &format!("{path}[{index}]"))),
            Value::Object(fields) => self.item(fields, path),
            Value::Bool(_) | Value::Number(_) => {
                Err(AppError::field(path, format!("{path}: expected text, an item or an array")))
            }
        }
    }

    fn item(&mut self, mut fields: Map<String, Value>, path: &str) -> Result<(), AppError> {
        let kind = match fields.get("type") {
            None | Some(Value::Null) => None,
            Some(Value::String(kind)) => Some(kind.clone()),
            Some(_) => {
                let path = format!("{path}.type");
                return Err(AppError::field(path.as_str(), format!("{path}: expected text")));
            }
        };
        match kind.as_deref() {
            Some("message") => self.message(fields, path),
            None if fields.contains_key("role") => self.message(fields, path),
            Some(
                "text" | "input_text" | "output_text" | "refusal" | "input_image" | "image_url"
                | "input_file" | "file",
            ) => read_part(fields, path, &mut self.loose),
            None if fields.contains_key("text") => read_part(fields, path, &mut self.loose),
            Some("function_call") => self.call(fields, path),
            Some("custom_tool_call") => {
                let input = taken_text(&mut fields, "input").unwrap_or_default();
                fields.insert("arguments".to_owned(), text_arguments(&input).into());
                self.call(fields, path)
            }
            Some("function_call_output" | "custom_tool_call_output") => self.output(fields, path),
            Some("additional_tools" | "tool_search_output") => self.tools(&mut fields, path),
            Some("reasoning") => {
                self.thoughts(&mut fields);
                Ok(())
            }
            Some("item_reference") => self.reference(&mut fields, path),
            _ if holds_more(&fields) => self.holder(fields, path),
            None if fields.contains_key("id") => self.reference(&mut fields, path),
            None => {
                let path = format!("{path}.type");
                Err(AppError::field(path.as_str(), format!("{path}: missing")))
            }
            Some(other) => {
                self.other(other, fields);
                Ok(())
            }
        }
    }

    fn message(&mut self, mut fields: Map<String, Value>, path: &str) -> Result<(), AppError> {
        let id = taken_text(&mut fields, "id");
        let named = ["content", "parts"].into_iter().find_map(|name| {
            fields.remove(name).filter(|value| !value.is_null()).map(|value| (name, value))
        });
        let (name, content) = named.unwrap_or(("content", Value::Null));
        // Gemini's word, whose parts are read as well.
        if fields.get("role").is_some_and(|role| role == "model") {
            fields.insert("role".to_owned(), "assistant".into());
        }
        let raw: Parted<RawMessage> = typed(Value::Object(fields), path)?;
        let mut message = content::read(raw, self.context.len(), path)?;
        let mut parts = Vec::new();
        read_parts(content, &format!("{path}.{name}"), &mut parts)?;
        parts.append(&mut message.parts);
        message.parts = parts;
        self.close_loose();
        let answers = message.role == Role::Tool;
        if answers || !message.tool_calls.is_empty() || says_something(&message.parts) {
            self.push(id, Item::Message(message));
        }
        Ok(())
    }

    fn call(&mut self, mut fields: Map<String, Value>, path: &str) -> Result<(), AppError> {
        let id = taken_text(&mut fields, "id");
        let group = taken_text(&mut fields, "namespace");
        let name = |toolbox: &Toolbox, name: String| toolbox.function(&name, group.as_deref());
        let call = ToolCall {
            id: needed_text(&mut fields, "call_id", path)?,
            name: name(self.toolbox, needed_text(&mut fields, "name", path)?),
            arguments: content::arguments_text(fields.remove("arguments").unwrap_or_default()),
        };
        self.close_loose();
        self.push(id, Item::Call(call));
        Ok(())
    }

    fn output(&mut self, mut fields: Map<String, Value>, path: &str) -> Result<(), AppError> {
        let id = taken_text(&mut fields, "id");
        let call_id = needed_text(&mut fields, "call_id", path)?;
        let mut parts = Vec::new();
        let output = fields.remove("output").unwrap_or_default();
        read_parts(output, &format!("{path}.output"), &mut parts)?;
        let message = Message {
            parts,
            tool_call_id: Some(call_id),
            ..Message::text(Role::Tool, String::new())
        };
        self.close_loose();
        self.push(id, Item::Output(message));
        Ok(())
    }

    /// What stands in an object that only holds messages, input or parts, in any nesting.
    fn holder(&mut self, mut fields: Map<String, Value>, path: &str) -> Result<(), AppError> {
        for name in ["instructions", "system"] {
            let said = fields.remove(name).map(instruction_text).transpose()?.flatten();
            if let Some(text) = said {
                self.close_loose();
                self.push(None, Item::Message(Message::text(Role::System, text)));
            }
        }
        for name in HOLDING {
            self.read(fields.remove(name).unwrap_or_default(), &format!("{path}.{name}"))?;
        }
        Ok(())
    }

    /// The content where there is one, else the summary; what is encrypted is for its maker only, who
    /// is not reached this way.
    fn thoughts(&mut self, fields: &mut Map<String, Value>) {
        let mut text = |name: &str| {
            let parts = fields.remove(name);
            let parts = parts.iter().filter_map(Value::as_array).flatten();
            let texts = parts.filter_map(|part| part.get("text").unwrap_or(part).as_str());
            without_progress(&texts.collect::<Vec<_>>().join("\n"))
        };
        let thoughts = Some(text("content")).filter(|text| !text.is_empty());
        let thoughts = thoughts.unwrap_or_else(|| text("summary"));
        if !thoughts.is_empty() {
            self.close_loose();
            self.push(None, Item::Thoughts(thoughts));
        }
    }

    fn reference(&mut self, fields: &mut Map<String, Value>, path: &str) -> Result<(), AppError> {
        let id = needed_text(fields, "id", path)?;
        self.close_loose();
        // Clients may refer to what `previous_response_id` brought along already, and to
        // reasoning, which is kept by the calls that it led to.
        if self.known.contains(&id) || id.starts_with("rs_") {
            return Ok(());
        }
        let index = self.index.get_or_insert_with(self.stored);
        let Some(entry) = index.get(&id).cloned() else {
            let message = format!("{path}: no item with this id is kept; send the item itself");
            return Err(AppError::field(format!("{path}.id"), message));
        };
        self.known.insert(id);
        self.context.push(entry);
        Ok(())
    }

    /// Parts without a message of their own are a user's.
    fn close_loose(&mut self) {
        let parts = std::mem::take(&mut self.loose);
        if says_something(&parts) {
            let message = Message { parts, ..Message::text(Role::User, "") };
            self.context.push(Entry::anonymous(Item::Message(message)));
        }
    }

    fn push(&mut self, id: Option<String>, item: Item) {
        self.known.extend(id.clone());
        self.context.push(Entry { id, item: Arc::new(item) });
    }
}

/// The fields of an object that only holds others.
const HOLDING: [&str; 7] = ["messages", "input", "prompt", "contents", "content", "parts", "items"];

fn holds_more(fields: &Map<String, Value>) -> bool {
    HOLDING.iter().any(|name| fields.get(*name).is_some_and(|value| !value.is_null()))
}

/// White space alone counts as missing.
fn says_something(parts: &[Part]) -> bool {
    parts.iter().any(|part| match part {
        Part::Text(text) => !text.trim().is_empty(),
        Part::Image(_) | Part::Other(_) => true,
    })
}

fn read_parts(value: Value, path: &str, parts: &mut Vec<Part>) -> Result<(), AppError> {
    match value {
        Value::Null => Ok(()),
        Value::String(text) => {
            parts.push(Part::Text(text));
            Ok(())
        }
        Value::Array(list) => list
            .into_iter()
            .enumerate()
            .try_for_each(|(index, value)| read_parts(value, &format!("{path}[{index}]"), parts)),
        Value::Object(fields) => read_part(fields, path, parts),
        Value::Bool(_) | Value::Number(_) => {
            Err(AppError::field(path, format!("{path}: expected text or an array of parts")))
        }
    }
}

/// A part, with the spellings that only this endpoint has.
fn read_part(
    mut fields: Map<String, Value>,
    path: &str,
    parts: &mut Vec<Part>,
) -> Result<(), AppError> {
    // `{"text": {"value": "..."}}`, as the Assistants API wrote it.
    if let Some(Value::Object(text)) = fields.get_mut("text") {
        let value = text.remove("value").unwrap_or_default();
        fields.insert("text".to_owned(), value);
    }
    let untyped = fields.get("type").is_none_or(Value::is_null);
    if untyped && fields.contains_key("text") {
        fields.insert("type".to_owned(), "text".into());
    }
    let part = match fields.get("type").and_then(Value::as_str) {
        Some("input_file" | "file") => Part::Text(file::text(fields, path)?),
        Some("input_image") if fields.get("image_url").is_none_or(Value::is_null) => {
            let message = format!("{path}.image_url: send the picture; file ids are not supported");
            return Err(AppError::field(format!("{path}.image_url"), message));
        }
        _ => content::part(Value::Object(fields), path)?.0,
    };
    if let Part::Other(part) = &part {
        let OnlyThere { param, message } = content::unsupported(part, path);
        return Err(AppError::field(param, message));
    }
    parts.push(part);
    Ok(())
}

fn taken_text(fields: &mut Map<String, Value>, name: &str) -> Option<String> {
    match fields.remove(name) {
        Some(Value::String(text)) if !text.is_empty() => Some(text),
        _ => None,
    }
}

fn needed_text(
    fields: &mut Map<String, Value>,
    name: &str,
    path: &str,
) -> Result<String, AppError> {
    taken_text(fields, name).ok_or_else(|| {
        let path = format!("{path}.{name}");
        AppError::field(path.as_str(), format!("{path}: missing"))
    })
}
