//! A conversation in Gemini's contents and parts (its API reference, "Content") to messages: strictly
//! about what is there, leniently about how it is spelled.

#[cfg(test)]
mod tests;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use crate::{
    server::{content, error::AppError},
    types::{
        Image, Message, OnlyThere, Part, Role, ToolCall, TurnExtras, TurnState, without_progress,
    },
};

/// A conversation, read.
#[derive(Default)]
pub(super) struct Read {
    pub(super) messages: Vec<Message>,
    /// The kinds of parts that only Google's models know, which others answer without.
    pub(super) left_out: Vec<String>,
    /// The first part that nobody else can answer without.
    pub(super) only_there: Option<OnlyThere>,
}

/// Reads `systemInstruction` and `contents`.
///
/// # Errors
/// 400 with the path of what cannot be understood.
pub(super) fn conversation(
    system: Option<Value>,
    contents: Option<Value>,
) -> Result<Read, AppError> {
    let mut read = Read::default();
    if let Some(system) = system.filter(|system| !system.is_null()) {
        read.content(system, Some(Role::System), "systemInstruction")?;
    }
    match contents {
        Some(Value::Array(contents)) if !contents.is_empty() => {
            for (index, content) in contents.into_iter().enumerate() {
                read.content(content, None, &format!("contents[{index}]"))?;
            }
        }
        Some(one @ (Value::Object(_) | Value::String(_))) => read.content(one, None, "contents")?,
        None | Some(Value::Null | Value::Array(_)) => {
            return Err(AppError::field("contents", "contents: at least one is needed"));
        }
        Some(_) => {
            return Err(AppError::field("contents", "contents: expected an array of contents"));
        }
    }
    content::link_tool_results(&mut read.messages);
    Ok(read)
}

/// A field in either spelling, `functionCall` or `function_call`.
pub(super) fn taken(fields: &mut Map<String, Value>, name: &str) -> Option<Value> {
    fields.shift_remove(name).or_else(|| {
        let mut snake = String::with_capacity(name.len().saturating_add(4));
        for character in name.chars() {
            if character.is_ascii_uppercase() {
                snake.push('_');
            }
            snake.push(character.to_ascii_lowercase());
        }
        fields.shift_remove(&snake)
    })
}

impl Read {
    /// A content of the client's, which may hold several messages of ours.
    fn content(&mut self, content: Value, role: Option<Role>, path: &str) -> Result<(), AppError> {
        let mut fields = match content {
            Value::String(text) => {
                self.messages.push(Message::text(role.unwrap_or(Role::User), text));
                return Ok(());
            }
            Value::Object(fields) => fields,
            _ => return Err(AppError::field(path, format!("{path}: expected an object"))),
        };
        let role = match role {
            Some(role) => role,
            None => self::role(fields.get("role"), &format!("{path}.role"))?,
        };
        let parts = match fields.shift_remove("parts") {
            None | Some(Value::Null) => return Ok(()),
            Some(Value::Array(parts)) => parts,
            Some(one @ (Value::Object(_) | Value::String(_))) => vec![one],
            Some(_) => {
                let path = format!("{path}.parts");
                return Err(AppError::field(path.as_str(), format!("{path}: expected an array")));
            }
        };
        let empty = || Message { parts: Vec::new(), ..Message::text(role, "") };
        let mut turn = empty();
        for (index, part) in parts.into_iter().enumerate() {
            let path = format!("{path}.parts[{index}]");
            let mut fields = match part {
                Value::String(text) => Map::from_iter([("text".to_owned(), text.into())]),
                Value::Object(fields) => fields,
                _ => {
                    return Err(AppError::field(path.as_str(), format!("{path}: expected a part")));
                }
            };
            match taken(&mut fields, "functionResponse") {
                Some(response) => {
                    self.push(std::mem::replace(&mut turn, empty()));
                    self.messages.push(result(response, &format!("{path}.functionResponse"))?);
                }
                None => self.part(fields, &mut turn, &path)?,
            }
        }
        self.push(turn);
        Ok(())
    }

    fn push(&mut self, turn: Message) {
        let is_empty = turn.parts.is_empty() && turn.tool_calls.is_empty() && turn.extras.is_none();
        if !is_empty {
            self.messages.push(turn);
        }
    }

    fn part(
        &mut self,
        mut fields: Map<String, Value>,
        turn: &mut Message,
        path: &str,
    ) -> Result<(), AppError> {
        let signature = taken(&mut fields, "thoughtSignature").and_then(signed);
        let is_thought = fields.shift_remove("thought") == Some(Value::Bool(true));
        if let Some(call) = taken(&mut fields, "functionCall") {
            let position = (self.messages.len(), turn.tool_calls.len());
            let call = self::call(call, position, &format!("{path}.functionCall"))?;
            if let Some(signature) = signature {
                state(turn).calls.push((call.id.clone(), signature));
            }
            turn.tool_calls.push(call);
            return Ok(());
        }
        if let (Some(signature), false) = (signature, is_thought) {
            state(turn).fields = signature;
        }
        match fields.shift_remove("text") {
            Some(Value::String(text)) if is_thought => {
                let text = without_progress(&text);
                if !text.is_empty() {
                    state(turn).thoughts.push_str(&text);
                }
                return Ok(());
            }
            Some(Value::String(text)) => {
                // What only carries a signature says nothing.
                if !text.is_empty() || turn.extras.is_none() {
                    turn.parts.push(Part::Text(text));
                }
                return Ok(());
            }
            None | Some(Value::Null) => {}
            Some(_) => {
                let path = format!("{path}.text");
                return Err(AppError::field(path.as_str(), format!("{path}: expected text")));
            }
        }
        let part = self.other(fields, path)?;
        turn.parts.extend(part);
        Ok(())
    }

    /// A part that is no text.
    fn other(
        &mut self,
        mut fields: Map<String, Value>,
        path: &str,
    ) -> Result<Option<Part>, AppError> {
        for name in ["inlineData", "fileData"] {
            let Some(data) = taken(&mut fields, name) else { continue };
            let path = format!("{path}.{name}");
            if let Some(part) = media(&data, &path)? {
                return Ok(Some(part));
            }
            let param = format!("{path}.mimeType");
            let message = format!(
                "{param}: only Gemini's own models can read this; send a picture (PNG, JPEG, WebP, \
                 GIF) or text"
            );
            self.only_there.get_or_insert(OnlyThere { param, message });
            fields.insert(name.to_owned(), data);
            return Ok(Some(Part::Other(fields.into())));
        }
        if let Some(code) = taken(&mut fields, "executableCode") {
            let code = code.get("code").and_then(Value::as_str).unwrap_or_default();
            return Ok(Some(Part::Text(format!("```\n{code}\n```"))));
        }
        if let Some(output) = taken(&mut fields, "codeExecutionResult") {
            let output = output.get("output").and_then(Value::as_str).unwrap_or_default();
            return Ok(Some(Part::Text(output.to_owned())));
        }
        fields.retain(|_, value| !value.is_null());
        let Some(kind) = fields.keys().next() else { return Ok(None) };
        self.left_out.push(kind.chars().take(40).collect());
        Ok(Some(Part::Other(fields.into())))
    }
}

fn role(role: Option<&Value>, path: &str) -> Result<Role, AppError> {
    match role.and_then(Value::as_str) {
        None if role.is_none_or(Value::is_null) => Ok(Role::User),
        Some("" | "user" | "function" | "tool") => Ok(Role::User),
        Some("model" | "assistant") => Ok(Role::Assistant),
        Some("system") => Ok(Role::System),
        _ => Err(AppError::field(path, format!("{path}: expected user or model"))),
    }
}

fn state(turn: &mut Message) -> &mut TurnState {
    let extras: &mut TurnExtras = turn.extras.get_or_insert_default();
    &mut extras.state
}

/// A signature in the form of Google's endpoint for OpenAI's protocol, in which it is kept and passed
/// on.
fn signed(signature: Value) -> Option<Map<String, Value>> {
    let signature = signature.as_str().filter(|text| !text.is_empty())?.to_owned();
    let google = json!({"google": {"thought_signature": signature}});
    Some(Map::from_iter([("extra_content".to_owned(), google)]))
}

/// The call at this place: the number of its message, and its own. Older clients give it no id.
fn call(call: Value, place: (usize, usize), path: &str) -> Result<ToolCall, AppError> {
    let text = |name: &str| call.get(name).and_then(Value::as_str).filter(|it| !it.is_empty());
    let Some(name) = text("name") else {
        let path = format!("{path}.name");
        return Err(AppError::field(path.as_str(), format!("{path}: missing")));
    };
    let made_up = || format!("call_{}_{}", place.0, place.1);
    let arguments = call.get("args").cloned().unwrap_or_default();
    Ok(ToolCall {
        id: text("id").map_or_else(made_up, str::to_owned),
        name: name.to_owned(),
        arguments: content::arguments_text(arguments),
    })
}

/// The result of a function: an object, of which `output` or `result` alone is the result itself.
fn result(response: Value, path: &str) -> Result<Message, AppError> {
    let Value::Object(mut fields) = response else {
        return Err(AppError::field(path, format!("{path}: expected an object")));
    };
    let text = |fields: &Map<String, Value>, name: &str| {
        fields.get(name).and_then(Value::as_str).filter(|it| !it.is_empty()).map(str::to_owned)
    };
    let (id, name) = (text(&fields, "id"), text(&fields, "name"));
    let response = fields.shift_remove("response").unwrap_or_default();
    let alone = response.as_object().filter(|fields| fields.len() == 1);
    let said = alone.and_then(|fields| fields.get("output").or_else(|| fields.get("result")));
    let said = match said.unwrap_or(&response) {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    Ok(Message { tool_call_id: id, tool_name: name, ..Message::text(Role::Tool, said) })
}

/// A picture or a text; `None` for anything else.
fn media(data: &Value, path: &str) -> Result<Option<Part>, AppError> {
    let text = |name: &str, other: &str| {
        data.get(name).or_else(|| data.get(other)).and_then(Value::as_str).unwrap_or_default()
    };
    let kind = text("mimeType", "mime_type");
    let (base64, uri) = (text("data", "data"), text("fileUri", "file_uri"));
    let is_picture = kind.starts_with("image/");
    if !uri.is_empty() {
        let scheme = uri.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
        let on_the_web = matches!(scheme.as_deref(), Some("http" | "https"));
        let image = Image::Url { url: uri.to_owned(), detail: None };
        return Ok((is_picture && on_the_web).then_some(Part::Image(image)));
    }
    if is_picture {
        let url = format!("data:{kind};base64,{base64}");
        return content::inline_image(&url, &format!("{path}.data")).map(Part::Image).map(Some);
    }
    let is_text = kind.starts_with("text/") || kind == "application/json";
    let bytes = if is_text { STANDARD.decode(base64).ok() } else { None };
    Ok(bytes.and_then(|bytes| String::from_utf8(bytes).ok()).map(Part::Text))
}
