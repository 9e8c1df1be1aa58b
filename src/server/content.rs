//! Chat-style messages, as `/v1/chat/completions` and `/api/chat` send them (their API
//! references): strictly about what is there, leniently about how it is spelled.

mod image;

use serde::Deserialize;
use serde_json::Value;

pub(super) use image::inline as inline_image;

use super::error::AppError;
use crate::types::{Image, Message, Part, Role, ToolCall};

/// One message as it is sent. `thinking`, `reasoning_content` and `reasoning` of earlier answers
/// are dropped like every unknown field: no model is shown another's chain of thought.
#[derive(Deserialize)]
pub(super) struct RawMessage {
    role: Option<String>,
    /// A string, null, or an array of parts (OpenAI; tolerated on Ollama's path).
    #[serde(default)]
    content: Value,
    /// Raw base64 (Ollama).
    images: Option<Vec<String>>,
    tool_calls: Option<Vec<RawCall>>,
    /// OpenAI's form before `tool_calls`.
    function_call: Option<RawFunction>,
    /// Of a tool's result (OpenAI).
    tool_call_id: Option<String>,
    /// Of a tool's result (Ollama).
    tool_name: Option<String>,
    /// Of a tool's result (OpenAI's `function` role); otherwise a participant's, which is dropped.
    name: Option<String>,
}

#[derive(Deserialize)]
struct RawCall {
    id: Option<String>,
    function: Option<RawFunction>,
}

#[derive(Deserialize)]
struct RawFunction {
    name: Option<String>,
    /// JSON text (OpenAI) or the value itself (Ollama).
    #[serde(default)]
    arguments: Value,
}

/// The conversation of a `messages` array.
///
/// # Errors
/// 400 with the path of what cannot be understood.
pub(super) fn conversation(messages: Vec<RawMessage>) -> Result<Vec<Message>, AppError> {
    let read = messages
        .into_iter()
        .enumerate()
        .map(|(seat, message)| message.read(seat, &format!("messages[{seat}]")));
    let mut messages = read.collect::<Result<Vec<_>, _>>()?;
    link_tool_results(&mut messages);
    Ok(messages)
}

impl RawMessage {
    /// The message at `path`; `seat` is its number in the conversation, for ids of its calls.
    ///
    /// # Errors
    /// 400 with the path of what cannot be understood.
    pub(super) fn read(self, seat: usize, path: &str) -> Result<Message, AppError> {
        let role = role(self.role.as_deref(), path)?;
        let mut parts = parts(self.content, &format!("{path}.content"))?;
        for (index, image) in self.images.unwrap_or_default().iter().enumerate() {
            let image = inline_image(image, &format!("{path}.images[{index}]"))?;
            parts.push(Part::Image(image));
        }
        let legacy =
            self.function_call.map(|function| RawCall { id: None, function: Some(function) });
        let mut tool_calls = Vec::new();
        for call in self.tool_calls.unwrap_or_default().into_iter().chain(legacy) {
            tool_calls.push(call.read(seat, tool_calls.len(), path)?);
        }
        let tool_name = self.tool_name.or(self.name).filter(|_| role == Role::Tool);
        Ok(Message { role, parts, tool_calls, tool_call_id: self.tool_call_id, tool_name })
    }
}

impl RawCall {
    fn read(self, seat: usize, index: usize, path: &str) -> Result<ToolCall, AppError> {
        let path = format!("{path}.tool_calls[{index}].function.name");
        let function = self.function.and_then(|call| Some((call.name?, call.arguments)));
        let Some((name, arguments)) = function else {
            return Err(AppError::field(path.as_str(), format!("{path}: missing")));
        };
        let arguments = match arguments {
            Value::Null => "{}".to_owned(),
            Value::String(text) => text,
            value => value.to_string(),
        };
        // Ollama's clients send no ids, and OpenAI's upstreams want them.
        let id = self.id.filter(|id| !id.is_empty());
        Ok(ToolCall { id: id.unwrap_or_else(|| format!("call_{seat}_{index}")), name, arguments })
    }
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

fn parts(content: Value, path: &str) -> Result<Vec<Part>, AppError> {
    match content {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => Ok(vec![Part::Text(text)]),
        Value::Array(items) => items
            .into_iter()
            .enumerate()
            .map(|(index, item)| part(item, &format!("{path}[{index}]")))
            .collect(),
        _ => Err(AppError::field(path, format!("{path}: expected text or an array of parts"))),
    }
}

/// One part of a content array.
///
/// # Errors
/// 400 with the path of what cannot be understood.
pub(super) fn part(item: Value, path: &str) -> Result<Part, AppError> {
    let mut fields = match item {
        Value::String(text) => return Ok(Part::Text(text)),
        Value::Object(fields) => fields,
        _ => return Err(AppError::field(path, format!("{path}: expected a part or text"))),
    };
    let kind = fields.remove("type").unwrap_or_default();
    match kind.as_str().unwrap_or_default() {
        "text" | "input_text" | "output_text" => {
            text(fields.remove("text"), &format!("{path}.text"))
        }
        "refusal" => text(fields.remove("refusal"), &format!("{path}.refusal")),
        "image_url" | "input_image" => {
            let path = format!("{path}.image_url");
            let (url, detail) = match fields.remove("image_url") {
                Some(Value::String(url)) => (Some(url), fields.remove("detail")),
                Some(Value::Object(mut image)) => {
                    (image.remove("url").and_then(owned_text), image.remove("detail"))
                }
                _ => (None, None),
            };
            let Some(url) = url else {
                return Err(AppError::field(path.as_str(), format!("{path}: expected a URL")));
            };
            image(url, detail.and_then(owned_text), &path).map(Part::Image)
        }
        "" => Err(AppError::field(format!("{path}.type"), format!("{path}.type: missing"))),
        other => {
            let other: String = other.chars().take(40).collect();
            let message = format!("{path}.type: parts of type '{other}' are not supported");
            Err(AppError::field(format!("{path}.type"), message))
        }
    }
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
    let mut open: Vec<(String, String)> = Vec::new();
    for message in messages {
        match message.role {
            Role::Assistant => {
                let calls = message.tool_calls.iter();
                open.extend(calls.map(|call| (call.id.clone(), call.name.clone())));
            }
            Role::Tool => {
                let answered = match (&message.tool_call_id, &message.tool_name) {
                    (Some(id), _) => open.iter().position(|(known, _)| known == id),
                    (None, Some(name)) => open.iter().position(|(_, known)| known == name),
                    (None, None) => (!open.is_empty()).then_some(0),
                };
                let Some(answered) = answered else { continue };
                let (id, name) = open.remove(answered);
                message.tool_call_id.get_or_insert(id);
                message.tool_name.get_or_insert(name);
            }
            Role::System | Role::User => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::{super::test_support::any_json, *};

    fn read(messages: Value) -> Result<Vec<Message>, AppError> {
        conversation(serde_json::from_value(messages).unwrap())
    }

    fn one(message: Value) -> Message {
        read(json!([message])).unwrap().remove(0)
    }

    #[test]
    fn content_is_read_in_every_spelling() {
        let png = "iVBORw0KGgoAAAANSUhEUgAA";
        let picture = Part::Image(Image::Inline {
            media_type: "image/png".to_owned(),
            base64: png.to_owned(),
        });
        let words = |text: &str| Part::Text(text.to_owned());
        let linked = |detail: Option<&str>| {
            Part::Image(Image::Url {
                url: "https://a.example/b.png".to_owned(),
                detail: detail.map(str::to_owned),
            })
        };
        let data = format!("data:image/png;base64,{png}");
        for (content, want) in [
            (json!("hi"), vec![words("hi")]),
            (json!(null), vec![]),
            (json!(["a", {"type": "text", "text": "b"}]), vec![words("a"), words("b")]),
            (json!([{"type": "input_text", "text": "a"}]), vec![words("a")]),
            (json!([{"type": "output_text", "text": "a"}]), vec![words("a")]),
            (json!([{"type": "refusal", "refusal": "no"}]), vec![words("no")]),
            (
                json!([{"type": "image_url", "image_url": {"url": data}}, "x"]),
                vec![picture.clone(), words("x")],
            ),
            (json!([{"type": "image_url", "image_url": data}]), vec![picture]),
            (
                json!([{"type": "image_url",
                        "image_url": {"url": "https://a.example/b.png", "detail": "low"}}]),
                vec![linked(Some("low"))],
            ),
            (
                json!([{"type": "input_image", "image_url": "https://a.example/b.png"}]),
                vec![linked(None)],
            ),
        ] {
            assert_eq!(one(json!({"role": "user", "content": content})).parts, want, "{content}");
        }
    }

    #[test]
    fn roles_are_read_in_every_spelling() {
        for (name, want) in [
            ("system", Role::System),
            ("developer", Role::System),
            ("User", Role::User),
            ("ASSISTANT", Role::Assistant),
            ("tool", Role::Tool),
            ("function", Role::Tool),
        ] {
            assert_eq!(one(json!({"role": name, "content": ""})).role, want);
        }
    }

    #[test]
    fn what_cannot_be_understood_is_named() {
        for (message, param, words) in [
            (json!({"content": "x"}), "messages[0].role", "messages[0].role: missing"),
            (
                json!({"role": "robot"}),
                "messages[0].role",
                "messages[0].role: expected system, developer, user, assistant, tool or function",
            ),
            (
                json!({"role": "user", "content": 5}),
                "messages[0].content",
                "messages[0].content: expected text or an array of parts",
            ),
            (
                json!({"role": "user", "content": ["a", {"type": "input_audio"}]}),
                "messages[0].content[1].type",
                "messages[0].content[1].type: parts of type 'input_audio' are not supported",
            ),
            (
                json!({"role": "user", "content": [{"type": "text", "text": 1}]}),
                "messages[0].content[0].text",
                "messages[0].content[0].text: expected text",
            ),
            (
                json!({"role": "user", "content": [{"type": "image_url"}]}),
                "messages[0].content[0].image_url",
                "messages[0].content[0].image_url: expected a URL",
            ),
            (
                json!({"role": "user", "content": [{"type": "image_url", "image_url": "ftp://a"}]}),
                "messages[0].content[0].image_url",
                "messages[0].content[0].image_url: expected a data, http or https URL",
            ),
            (
                json!({"role": "assistant", "tool_calls": [{"function": {}}]}),
                "messages[0].tool_calls[0].function.name",
                "messages[0].tool_calls[0].function.name: missing",
            ),
        ] {
            let Err(AppError::Invalid { message: got, param: at }) = read(json!([message])) else {
                panic!("accepted: {message}");
            };
            assert_eq!((at.as_deref(), got.as_str()), (Some(param), words));
        }
    }

    #[test]
    fn tool_results_find_their_calls() {
        let call = |name: &str| json!({"function": {"name": name, "arguments": {"a": 1}}});
        let messages = read(json!([
            {"role": "assistant", "tool_calls": [call("f"), call("g"), call("f")]},
            {"role": "tool", "tool_name": "g", "content": "1"},
            {"role": "tool", "content": "2"},
            {"role": "tool", "tool_name": "f", "content": "3"},
            {"role": "assistant", "content": null,
             "tool_calls": [{"id": "x", "type": "function",
                             "function": {"name": "h", "arguments": "{\"b\":2}"}}]},
            {"role": "tool", "tool_call_id": "x", "content": "4"},
            {"role": "tool", "tool_call_id": "unknown", "content": "5"},
        ]))
        .unwrap();
        let links: Vec<_> = messages
            .iter()
            .filter(|message| message.role == Role::Tool)
            .map(|m| (m.tool_call_id.as_deref().unwrap(), m.tool_name.as_deref()))
            .collect();
        assert_eq!(
            links,
            [
                ("call_0_1", Some("g")),
                ("call_0_0", Some("f")),
                ("call_0_2", Some("f")),
                ("x", Some("h")),
                ("unknown", None),
            ]
        );
        assert_eq!(messages[0].tool_calls[0].arguments, r#"{"a":1}"#);
        assert_eq!(messages[4].tool_calls[0].arguments, r#"{"b":2}"#);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn no_content_makes_it_panic(content in any_json(), calls in any_json()) {
            let message = json!({"role": "user", "content": content, "tool_calls": calls});
            if let Ok(message) = serde_json::from_value::<RawMessage>(message) {
                let _ = message.read(0, "messages[0]");
            }
        }
    }
}
