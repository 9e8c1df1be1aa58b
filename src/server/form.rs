//! The form that an answer must have, read wherever the servers that clients were written for take
//! it: OpenAI's nested object, the flat one of Responses and Together, llama.cpp's and Fireworks'
//! `json_object` with a schema, LiteLLM's `response_schema`, TGI's `value`, Ollama's bare schema, vLLM's own fields.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::error::AppError;
use crate::types::{FORM_FIELDS, OutputFormat};

/// The form that `value`, the field at `path`, asks for; `None` when it is one that Chorus does not
/// know.
///
/// # Errors
/// 400 for a schema that is not there, or whose name no upstream takes.
pub(super) fn read(value: &Value, path: &str) -> Result<Option<OutputFormat>, AppError> {
    let fields = match value {
        Value::Null => return Ok(Some(OutputFormat::Text)),
        Value::String(text) => return word(text, path),
        Value::Object(fields) => fields,
        // OpenAI's own field; what other servers have beside it may be of any kind.
        _ if path == "response_format" => {
            let what = format!("{path}: expected an object, as in {{\"type\": \"json_object\"}}");
            return Err(AppError::field(path, what));
        }
        _ => return Ok(None),
    };
    let kind = fields.get("type").and_then(Value::as_str);
    match (kind, schema_within(fields)) {
        (Some("text"), _) => Ok(Some(OutputFormat::Text)),
        (Some("json_schema" | "json_object" | "json") | None, Some(schema)) => {
            described(fields, schema, path).map(Some)
        }
        (Some("json_object" | "json"), None) => Ok(Some(OutputFormat::Json)),
        (Some("json_schema"), None) => {
            let nested = fields.contains_key("json_schema") || path == "response_format";
            let place = if nested { "json_schema.schema" } else { "schema" };
            let param = format!("{path}.{place}");
            Err(AppError::field(param.as_str(), format!("{param}: missing")))
        }
        _ if is_schema(fields) => Ok(Some(bare(value.clone()))),
        _ => Ok(None),
    }
}

/// The same for fields that other servers have beside OpenAI's.
///
/// # Errors
/// Those of [`read`].
pub(super) fn read_beside(fields: &Map<String, Value>) -> Result<OutputFormat, AppError> {
    for name in FORM_FIELDS {
        let Some(value) = fields.get(name).filter(|value| !value.is_null()) else { continue };
        // vLLM's newer field holds one of several constraints.
        let value = if name == "structured_outputs" { value.get("json") } else { Some(value) };
        match value.map(|value| read(value, name)).transpose()?.flatten() {
            None | Some(OutputFormat::Text) => {}
            Some(form) => return Ok(form),
        }
    }
    Ok(OutputFormat::Text)
}

fn word(text: &str, path: &str) -> Result<Option<OutputFormat>, AppError> {
    match text.trim() {
        "" | "text" => Ok(Some(OutputFormat::Text)),
        "json" | "json_object" => Ok(Some(OutputFormat::Json)),
        text => match serde_json::from_str::<Value>(text) {
            Ok(value @ Value::Object(_)) => read(&value, path),
            Ok(_) | Err(_) => Ok(None),
        },
    }
}

/// A schema in one of the places that a format has for it.
fn schema_within(fields: &Map<String, Value>) -> Option<Value> {
    let nested = fields.get("json_schema").and_then(object);
    let inner = |nested: &Value| nested.get("schema").and_then(object);
    let whole = |nested: Value| nested.as_object().is_some_and(is_schema).then_some(nested);
    nested
        .as_ref()
        .and_then(inner)
        .or_else(|| fields.get("schema").and_then(object))
        .or_else(|| fields.get("response_schema").and_then(object))
        .or_else(|| fields.get("value").and_then(object))
        .or_else(|| nested.and_then(whole))
}

/// An object, or the one that a text is.
fn object(value: &Value) -> Option<Value> {
    match value {
        Value::Object(_) => Some(value.clone()),
        Value::String(text) => serde_json::from_str(text).ok().filter(Value::is_object),
        _ => None,
    }
}

/// Whether an object is a JSON Schema, and no format that holds one.
fn is_schema(fields: &Map<String, Value>) -> bool {
    const WORDS: [&str; 9] =
        ["properties", "$ref", "$defs", "anyOf", "oneOf", "allOf", "enum", "items", "$schema"];
    const TYPES: [&str; 7] = ["object", "array", "string", "number", "integer", "boolean", "null"];
    let of_type = |value: &Value| value.as_str().is_some_and(|name| TYPES.contains(&name));
    let typed = fields.get("type").is_some_and(|kind| {
        of_type(kind) || kind.as_array().is_some_and(|kinds| kinds.iter().all(of_type))
    });
    typed || WORDS.iter().any(|word| fields.contains_key(*word))
}

/// A schema that nothing else is said of.
pub(super) fn bare(schema: Value) -> OutputFormat {
    let name = "response".to_owned();
    OutputFormat::Schema { name, schema: Arc::new(schema.into()), strict: None, description: None }
}

/// A schema with what is said of it beside it.
fn described(
    fields: &Map<String, Value>,
    schema: Value,
    path: &str,
) -> Result<OutputFormat, AppError> {
    let nested = fields.get("json_schema").and_then(Value::as_object);
    let said = |name: &str| {
        let inner = nested.filter(|nested| nested.contains_key("schema"));
        inner.and_then(|nested| nested.get(name)).or_else(|| fields.get(name))
    };
    let text = |name: &str| said(name).and_then(Value::as_str).map(str::to_owned);
    let place = if nested.is_some() { "json_schema.name" } else { "name" };
    Ok(OutputFormat::Schema {
        name: schema_name(text("name"), &format!("{path}.{place}"))?,
        schema: Arc::new(schema.into()),
        strict: said("strict").and_then(Value::as_bool),
        description: text("description"),
    })
}

/// The name of a schema at `path`; `response` when there is none.
///
/// # Errors
/// 400 for characters that upstreams do not take.
fn schema_name(name: Option<String>, path: &str) -> Result<String, AppError> {
    let name = name.unwrap_or_else(|| "response".to_owned());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if (1..=64).contains(&name.len()) && name.bytes().all(plain) {
        return Ok(name);
    }
    let message = format!("{path}: 1 to 64 letters, digits, underscores and dashes are allowed");
    Err(AppError::field(path, message))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::{super::test_support::any_json, *};

    #[test]
    fn a_schema_is_read_wherever_servers_take_it() {
        let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
        let text = schema.to_string();
        for value in [
            json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}),
            json!({"type": "json_schema", "json_schema": {"schema": schema}}),
            json!({"type": "json_schema", "json_schema": {"schema": text}}),
            json!({"type": "json_schema", "json_schema": schema}),
            json!({"type": "json_schema", "json_schema": text}),
            json!({"type": "json_schema", "schema": schema}),
            json!({"type": "json_schema", "name": "n", "schema": schema, "strict": true}),
            json!({"type": "json_object", "schema": schema}),
            json!({"type": "json_object", "json_schema": {"schema": schema}}),
            json!({"type": "json", "value": schema}),
            json!({"json_schema": {"schema": schema}}),
            json!({"schema": schema}),
            schema.clone(),
            json!(text),
        ] {
            let Ok(Some(OutputFormat::Schema { schema: got, .. })) =
                read(&value, "response_format")
            else {
                panic!("no schema: {value}");
            };
            assert_eq!(**got, schema, "{value}");
        }
        for (name, value) in [
            ("guided_json", schema.clone()),
            ("guided_json", json!(text)),
            ("structured_outputs", json!({"json": schema})),
            ("json_schema", schema.clone()),
            ("format", schema.clone()),
            ("response_format", json!({"type": "json_object", "schema": schema})),
        ] {
            let fields = Map::from_iter([(name.to_owned(), value)]);
            let form = read_beside(&fields).unwrap();
            assert!(matches!(form, OutputFormat::Schema { .. }), "{name}");
        }
    }

    #[test]
    fn what_is_no_schema_is_recognised() {
        for (value, want) in [
            (json!(null), Some(OutputFormat::Text)),
            (json!({"type": "text"}), Some(OutputFormat::Text)),
            (json!("json"), Some(OutputFormat::Json)),
            (json!({"type": "json_object"}), Some(OutputFormat::Json)),
            (json!({"type": "json_object", "schema": null}), Some(OutputFormat::Json)),
            (json!({"type": "grammar", "grammar": "root ::= x"}), None),
            (json!("xml"), None),
            (json!({}), None),
        ] {
            assert_eq!(read(&value, "response_format").unwrap(), want, "{value}");
        }
        let missing = read(&json!({"type": "json_schema"}), "response_format").unwrap_err();
        assert_eq!(missing.to_string(), "response_format.json_schema.schema: missing");
        assert!(read(&json!(5), "response_format").is_err());
        let missing = read(&json!({"type": "json_schema"}), "text.format").unwrap_err();
        assert_eq!(missing.to_string(), "text.format.schema: missing");
    }

    proptest! {
        #[test]
        fn no_form_makes_it_panic(value in any_json()) {
            let _ = read(&value, "response_format");
            let _ = read_beside(&Map::from_iter([("guided_json".to_owned(), value)]));
        }
    }
}
