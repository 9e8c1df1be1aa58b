//! JSON Schemas as Anthropic enforces them: every object is closed, values have no bounds. Pure.
//!
//! What is taken off here still stands in the prompt, where the schema is always shown in full.

use serde_json::{Map, Value};

/// Keywords that are taken as they are.
const TAKEN: [&str; 8] =
    ["type", "description", "title", "enum", "const", "default", "required", "$ref"];

/// Keywords that only narrow or describe, so that the schema holds without them.
const LEFT_OUT: [&str; 17] = [
    "$schema",
    "$id",
    "$comment",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "maxItems",
    "uniqueItems",
];

const FORMATS: [&str; 9] =
    ["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6"];

/// The schema as it can be enforced; `None` when it cannot, because it has objects with keys that
/// nobody named or uses a keyword that changes the meaning of others.
pub(super) fn closed(schema: &Value) -> Option<Value> {
    let fields = schema.as_object()?;
    let mut out = Map::new();
    for (name, value) in fields {
        let taken = match name.as_str() {
            "properties" | "$defs" | "definitions" => Some(each(value)?),
            "items" => Some(closed(value)?),
            "anyOf" | "allOf" => Some(all(value)?),
            "oneOf" => {
                out.insert("anyOf".to_owned(), all(value)?);
                None
            }
            "additionalProperties" if *value == Value::Bool(false) => None,
            "minItems" => value.as_u64().filter(|least| *least <= 1).map(Value::from),
            "format" => value.as_str().filter(|name| FORMATS.contains(name)).map(Value::from),
            name if TAKEN.contains(&name) => Some(value.clone()),
            name if LEFT_OUT.contains(&name) => None,
            _ => return None,
        };
        out.extend(taken.map(|value| (name.clone(), value)));
    }
    let is_object = |kind: &Value| kind == "object";
    let names_object = match fields.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(is_object),
        Some(kind) => is_object(kind),
        None => fields.contains_key("properties"),
    };
    if names_object {
        out.get("properties")?;
        out.insert("additionalProperties".to_owned(), false.into());
    }
    Some(out.into())
}

fn each(schemas: &Value) -> Option<Value> {
    let schemas = schemas.as_object()?.iter();
    let closed: Option<Map<String, Value>> =
        schemas.map(|(name, schema)| Some((name.clone(), closed(schema)?))).collect();
    closed.map(Value::Object)
}

fn all(schemas: &Value) -> Option<Value> {
    schemas.as_array()?.iter().map(closed).collect::<Option<Vec<_>>>().map(Value::Array)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::llm::testing::any_json;

    #[test]
    fn objects_are_closed_and_bounds_taken_off() {
        let bounded = json!({"type": "object", "$schema": "s", "required": ["a"], "properties": {
            "a": {"type": "string", "maxLength": 24, "enum": ["x"], "format": "date"},
            "b": {"type": "array", "minItems": 2, "items":
                {"type": "object", "properties": {"c": {"type": "number", "minimum": 0}}}},
            "d": {"oneOf": [{"type": "null"}, {"type": "string", "format": "odd"}]},
        }});
        let want = json!({"type": "object", "required": ["a"], "additionalProperties": false,
        "properties": {
            "a": {"type": "string", "enum": ["x"], "format": "date"},
            "b": {"type": "array", "items": {"type": "object", "additionalProperties": false,
                "properties": {"c": {"type": "number"}}}},
            "d": {"anyOf": [{"type": "null"}, {"type": "string"}]},
        }});
        assert_eq!(closed(&bounded), Some(want.clone()));
        assert_eq!(closed(&want), Some(want), "what is closed stays");
    }

    #[test]
    fn what_cannot_be_enforced_is_known() {
        for schema in [
            json!(true),
            json!({"type": "object"}),
            json!({"type": ["object", "null"]}),
            json!({"type": "object", "properties": {}, "additionalProperties": true}),
            json!({"type": "object", "properties": {}, "additionalProperties": {"type": "string"}}),
            json!({"type": "object", "properties": {"a": {"not": {}}}}),
            json!({"type": "array", "items": {"type": "object"}}),
            json!({"anyOf": [{"type": "object"}]}),
            json!({"type": "object", "properties": {}, "patternProperties": {"a": {}}}),
        ] {
            assert_eq!(closed(&schema), None, "{schema}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn nothing_panics_and_what_is_closed_stays(schema in any_json()) {
            if let Some(once) = closed(&schema) {
                prop_assert_eq!(closed(&once), Some(once));
            }
        }
    }
}
