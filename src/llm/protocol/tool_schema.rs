//! The schema of a tool's arguments as every upstream but Ollama wants it. Pure.

use serde_json::Value;

/// The types of JSON Schema.
const TYPES: [&str; 7] = ["string", "number", "integer", "boolean", "array", "object", "null"];

/// Keywords whose values are data and no schemas.
const DATA: [&str; 5] = ["enum", "const", "default", "example", "examples"];

/// Keywords that hold schemas by names, which may be any.
const NAMED: [&str; 5] =
    ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];

/// Writes unions as the lists they are in JSON Schema: Ollama's Python client makes
/// `"type": "integer, string"` of one, which OpenAI, Anthropic and Gemini refuse.
pub(super) fn list_unions(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), value) {
                    ("type", value) => {
                        let union = value.as_str().and_then(union);
                        if let Some(types) = union {
                            *value = types;
                        }
                    }
                    (name, _) if DATA.contains(&name) => {}
                    (name, Value::Object(schemas)) if NAMED.contains(&name) => {
                        schemas.values_mut().for_each(list_unions);
                    }
                    (_, value) => list_unions(value),
                }
            }
        }
        Value::Array(schemas) => schemas.iter_mut().for_each(list_unions),
        _ => {}
    }
}

/// The types of a union in one text; `None`: it is none.
fn union(text: &str) -> Option<Value> {
    let mut types: Vec<&str> = Vec::new();
    for one in text.split([',', '|']).map(str::trim) {
        if !TYPES.contains(&one) {
            return None;
        }
        if !types.contains(&one) {
            types.push(one);
        }
    }
    text.contains([',', '|']).then(|| types.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn unions_become_lists_at_any_depth_and_data_stays() {
        let mut schema = json!({
            "type": "object",
            "properties": {
                "type": {"type": "integer, string", "default": {"type": "integer, string"}},
                "enum": {"type": "string|null", "enum": [{"type": "null, null"}]},
                "list": {"type": "array", "items": {"anyOf": [{"type": "number,null,number"}]}},
                "free": {"type": "text, more", "description": "a, b"},
                "done": {"type": ["integer", "string"]},
            },
        });
        list_unions(&mut schema);
        let want = json!({
            "type": "object",
            "properties": {
                "type": {"type": ["integer", "string"], "default": {"type": "integer, string"}},
                "enum": {"type": ["string", "null"], "enum": [{"type": "null, null"}]},
                "list": {"type": "array", "items": {"anyOf": [{"type": ["number", "null"]}]}},
                "free": {"type": "text, more", "description": "a, b"},
                "done": {"type": ["integer", "string"]},
            },
        });
        assert_eq!(schema, want);
    }
}
