//! A conversation in Anthropic's content blocks (its API reference, "Messages") to messages: strictly
//! about what is there, leniently about how it is spelled.

mod document;
#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    server::{
        content,
        error::AppError,
        extract::{Gather, Gathered, Parted},
    },
    types::{Image, Message, OnlyThere, Part, Role, ToolCall, TurnExtras, without_progress},
};

/// One message as it is sent.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "AnthropicRequestMessage")]
pub(super) struct RawMessage {
    role: Option<String>,
    /// Text or blocks.
    #[serde(default)]
    content: Value,
}

/// The `messages` array of a body.
pub(super) type RawMessages = Gathered<Read>;

/// A conversation, read.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) messages: Vec<Message>,
    /// The kinds of blocks that only Anthropic's models know, which others answer without.
    pub(super) left_out: Vec<String>,
    /// The first block that nobody else can answer without.
    pub(super) only_there: Option<OnlyThere>,
}

/// Reads `system` and `messages`.
///
/// # Errors
/// 400 with the path of what cannot be understood.
pub(super) fn conversation(system: Option<Value>, messages: RawMessages) -> Result<Read, AppError> {
    if messages.is_empty() {
        return Err(AppError::field("messages", "messages: at least one message is needed"));
    }
    let mut first = Read::default();
    first.message(Role::System, system.unwrap_or_default(), "system")?;
    let mut read = messages.all()?;
    read.messages.splice(0..0, first.messages);
    read.left_out.splice(0..0, first.left_out);
    read.only_there = first.only_there.or(read.only_there);
    content::link_tool_results(&mut read.messages);
    Ok(read)
}

impl Gather for Read {
    type Element = Parted<RawMessage>;

    fn take(&mut self, message: Parted<RawMessage>, index: usize) -> Result<(), AppError> {
        let path = format!("messages[{index}]");
        let role = role(message.known.role.as_deref(), &format!("{path}.role"))?;
        self.message(role, message.known.content, &format!("{path}.content"))
    }
}

fn role(role: Option<&str>, path: &str) -> Result<Role, AppError> {
    match role {
        Some("user") => Ok(Role::User),
        Some("assistant") => Ok(Role::Assistant),
        Some("system") => Ok(Role::System),
        None | Some("") => Err(AppError::field(path, format!("{path}: missing"))),
        Some(_) => {
            Err(AppError::field(path, format!("{path}: expected user, assistant or system")))
        }
    }
}

/// What is said in one message beside the results of tools, which are messages of their own.
struct Turn(Message);

impl Turn {
    fn new(role: Role) -> Self {
        Self(Message { parts: Vec::new(), ..Message::text(role, "") })
    }

    fn extras(&mut self) -> &mut TurnExtras {
        self.0.extras.get_or_insert_default()
    }

    fn part(&mut self, part: Part, rest: Map<String, Value>) {
        let index = self.0.parts.len();
        self.0.parts.push(part);
        if !rest.is_empty() {
            self.extras().unknown.parts.push((index, rest));
        }
    }

    fn is_empty(&self) -> bool {
        self.0.parts.is_empty() && self.0.tool_calls.is_empty() && self.0.extras.is_none()
    }
}

impl Read {
    /// A message of the client's, which may hold several of ours.
    fn message(&mut self, role: Role, content: Value, path: &str) -> Result<(), AppError> {
        let blocks = match content {
            Value::Null => return Ok(()),
            Value::String(text) if role == Role::System && text.is_empty() => return Ok(()),
            Value::String(text) => {
                self.messages.push(Message::text(role, text));
                return Ok(());
            }
            Value::Array(blocks) => blocks,
            _ => {
                let message = format!("{path}: expected text or an array of blocks");
                return Err(AppError::field(path, message));
            }
        };
        let mut turn = Turn::new(role);
        for (index, block) in blocks.into_iter().enumerate() {
            let path = format!("{path}[{index}]");
            let (kind, mut fields) = block_of(block, &path)?;
            if kind == "tool_result" {
                let said = std::mem::replace(&mut turn, Turn::new(role));
                self.push(said);
                let result = self.result(&mut fields, &path)?;
                self.messages.push(result);
                continue;
            }
            self.block(&kind, fields, &mut turn, &path)?;
        }
        self.push(turn);
        Ok(())
    }

    fn push(&mut self, turn: Turn) {
        if !turn.is_empty() {
            self.messages.push(turn.0);
        }
    }

    fn block(
        &mut self,
        kind: &str,
        mut fields: Map<String, Value>,
        turn: &mut Turn,
        path: &str,
    ) -> Result<(), AppError> {
        match kind {
            "tool_use" => {
                let call = call(&mut fields, path)?;
                let index = turn.0.tool_calls.len();
                turn.0.tool_calls.push(call);
                if !fields.is_empty() {
                    turn.extras().unknown.calls.push((index, fields));
                }
            }
            "thinking" => thinking(fields, turn),
            "redacted_thinking" => {
                fields.insert("type".to_owned(), kind.into());
                turn.extras().state.blocks.push(fields.into());
            }
            _ => {
                let part = self.part(kind, &mut fields, path)?;
                turn.part(part, fields);
            }
        }
        Ok(())
    }

    /// A block that is content; `fields` then hold what else there is.
    fn part(
        &mut self,
        kind: &str,
        fields: &mut Map<String, Value>,
        path: &str,
    ) -> Result<Part, AppError> {
        match kind {
            "text" => Ok(Part::Text(needed_text(fields, "text", path)?)),
            "image" => match image(fields, path)? {
                Some(image) => Ok(Part::Image(image)),
                None => Ok(self.only_there(kind, fields, path)),
            },
            "document" | "search_result" => match document::text(kind, fields) {
                Some(text) => {
                    // It is a text from now on, which has nothing else.
                    fields.retain(|name, _| name == "cache_control");
                    Ok(Part::Text(text))
                }
                None => Ok(self.only_there(kind, fields, path)),
            },
            _ => {
                self.left_out.push(kind.chars().take(40).collect());
                Ok(Part::Other(whole(kind, fields)))
            }
        }
    }

    /// A block without which nobody can answer that cannot read it.
    fn only_there(&mut self, kind: &str, fields: &mut Map<String, Value>, path: &str) -> Part {
        let param = format!("{path}.source");
        let message = format!(
            "capability_rejected: {param}: of this {kind} only Anthropic's own models can read the \
             source; send its text, or a picture as base64 or a URL"
        );
        self.only_there.get_or_insert(OnlyThere { param, message });
        Part::Other(whole(kind, fields))
    }

    /// The result of a tool; its content may be anything that a message's may.
    fn result(&mut self, fields: &mut Map<String, Value>, path: &str) -> Result<Message, AppError> {
        let id = needed_text(fields, "tool_use_id", path)?;
        let mut turn = Turn::new(Role::Tool);
        match fields.shift_remove("content") {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => turn.part(Part::Text(text), Map::new()),
            Some(Value::Array(blocks)) => {
                for (index, block) in blocks.into_iter().enumerate() {
                    let path = format!("{path}.content[{index}]");
                    let (kind, mut inner) = block_of(block, &path)?;
                    let part = self.part(&kind, &mut inner, &path)?;
                    turn.part(part, inner);
                }
            }
            Some(_) => {
                let path = format!("{path}.content");
                let message = format!("{path}: expected text or an array of blocks");
                return Err(AppError::field(path, message));
            }
        }
        if !fields.is_empty() {
            turn.extras().unknown.message = std::mem::take(fields);
        }
        Ok(Message { tool_call_id: Some(id), ..turn.0 })
    }
}

/// A block's type, and its other fields; plain text is a block, too.
fn block_of(block: Value, path: &str) -> Result<(String, Map<String, Value>), AppError> {
    match block {
        Value::String(text) => {
            Ok(("text".to_owned(), Map::from_iter([("text".to_owned(), text.into())])))
        }
        Value::Object(mut fields) => match fields.shift_remove("type") {
            Some(Value::String(kind)) => Ok((kind, fields)),
            Some(_) => {
                let path = format!("{path}.type");
                Err(AppError::field(path.as_str(), format!("{path}: expected text")))
            }
            None => {
                let path = format!("{path}.type");
                Err(AppError::field(path.as_str(), format!("{path}: missing")))
            }
        },
        _ => Err(AppError::field(path, format!("{path}: expected a block or text"))),
    }
}

/// A block as it was sent.
fn whole(kind: &str, fields: &mut Map<String, Value>) -> Value {
    let mut all = Map::from_iter([("type".to_owned(), kind.into())]);
    all.extend(std::mem::take(fields));
    all.into()
}

fn call(fields: &mut Map<String, Value>, path: &str) -> Result<ToolCall, AppError> {
    let id = needed_text(fields, "id", path)?;
    let name = needed_text(fields, "name", path)?;
    let arguments = fields.shift_remove("input").unwrap_or_default();
    Ok(ToolCall { id, name, arguments: content::arguments_text(arguments) })
}

/// What a model thought. Signed, it is for Anthropic's models as it is; else it is what Chorus showed,
/// without the lines of progress, which are its own.
fn thinking(mut fields: Map<String, Value>, turn: &mut Turn) {
    let signed = fields.get("signature").and_then(Value::as_str).is_some_and(|it| !it.is_empty());
    if signed {
        fields.insert("type".to_owned(), "thinking".into());
        turn.extras().state.blocks.push(fields.into());
        return;
    }
    let text = fields.get("thinking").and_then(Value::as_str).unwrap_or_default();
    let text = without_progress(text);
    if text.is_empty() {
        return;
    }
    let thoughts = &mut turn.extras().state.thoughts;
    if !thoughts.is_empty() {
        thoughts.push('\n');
    }
    thoughts.push_str(&text);
}

/// `None` for a source that is neither in the request nor on the web.
fn image(fields: &mut Map<String, Value>, path: &str) -> Result<Option<Image>, AppError> {
    let path = format!("{path}.source");
    let source = fields.get("source").and_then(Value::as_object);
    let text = |name: &str| source.and_then(|source| source.get(name)).and_then(Value::as_str);
    let image = match (text("type"), text("data"), text("url")) {
        (Some("base64"), Some(data), _) => {
            let kind = text("media_type").unwrap_or_default();
            content::inline_image(&format!("data:{kind};base64,{data}"), &format!("{path}.data"))?
        }
        (Some("url"), _, Some(url)) if is_on_the_web(url) => {
            Image::Url { url: url.to_owned(), detail: None }
        }
        (Some("base64"), None, _) => {
            let path = format!("{path}.data");
            return Err(AppError::field(path.as_str(), format!("{path}: missing")));
        }
        (Some("url"), ..) => {
            let path = format!("{path}.url");
            return Err(AppError::field(
                path.as_str(),
                format!("{path}: expected an http or https URL"),
            ));
        }
        (None, ..) => {
            return Err(AppError::field(path.as_str(), format!("{path}: expected a source")));
        }
        (Some(_), ..) => return Ok(None),
    };
    fields.shift_remove("source");
    Ok(Some(image))
}

fn is_on_the_web(url: &str) -> bool {
    let scheme = url.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    matches!(scheme.as_deref(), Some("http" | "https"))
}

fn needed_text(
    fields: &mut Map<String, Value>,
    name: &str,
    path: &str,
) -> Result<String, AppError> {
    match fields.shift_remove(name) {
        Some(Value::String(text)) => Ok(text),
        _ => {
            let path = format!("{path}.{name}");
            Err(AppError::field(path.as_str(), format!("{path}: expected text")))
        }
    }
}
