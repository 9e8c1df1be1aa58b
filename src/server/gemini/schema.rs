//! Schemas in OpenAPI's form (Gemini's API reference, "Schema") as JSON Schema. Pure.

use serde_json::{Map, Value};

/// Counts, which protocol buffers write as text.
const COUNTS: [&str; 6] =
    ["minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"];

/// The schema with names of types in lower case, counts as numbers, and null among the types of what
/// may be null.
pub(super) fn of_open_api(schema: Value) -> Value {
    let Value::Object(fields) = schema else { return schema };
    let mut read = Map::new();
    let nullable = fields.get("nullable").and_then(Value::as_bool) == Some(true);
    for (name, value) in fields {
        let value = match name.as_str() {
            "type" => kind(value, nullable),
            // How many of the properties come first, and what JSON Schema has no word for.
            "nullable" | "propertyOrdering" | "property_ordering" => continue,
            "format" if value == "enum" => continue,
            "properties" | "$defs" | "defs" => each(value),
            "items" | "additionalProperties" => of_open_api(value),
            "anyOf" | "any_of" => all(value),
            name if COUNTS.contains(&name) => count(value),
            _ => value,
        };
        let name = if name == "any_of" { "anyOf".to_owned() } else { name };
        read.insert(name, value);
    }
    read.into()
}

fn kind(value: Value, nullable: bool) -> Value {
    match value.as_str().map(str::to_ascii_lowercase) {
        Some(name) if nullable && name != "null" => vec![name, "null".to_owned()].into(),
        Some(name) => name.into(),
        None => value,
    }
}

fn count(value: Value) -> Value {
    match value.as_str().and_then(|text| text.parse::<u64>().ok()) {
        Some(count) => count.into(),
        None => value,
    }
}

fn each(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            fields.into_iter().map(|(name, schema)| (name, of_open_api(schema))).collect()
        }
        other => other,
    }
}

fn all(value: Value) -> Value {
    match value {
        Value::Array(schemas) => schemas.into_iter().map(of_open_api).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::server::test_support::any_json;

    #[test]
    fn open_apis_words_become_json_schemas() {
        let open_api = json!({"type": "OBJECT", "propertyOrdering": ["a"], "required": ["a"],
            "properties": {
                "a": {"type": "STRING", "nullable": true, "format": "enum", "enum": ["x"]},
                "b": {"type": "ARRAY", "minItems": "2", "items": {"type": "INTEGER"}},
                "type": {"anyOf": [{"type": "NUMBER"}, {"type": "BOOLEAN"}]}}});
        let want = json!({"type": "object", "required": ["a"], "properties": {
            "a": {"type": ["string", "null"], "enum": ["x"]},
            "b": {"type": "array", "minItems": 2, "items": {"type": "integer"}},
            "type": {"anyOf": [{"type": "number"}, {"type": "boolean"}]}}});
        assert_eq!(of_open_api(open_api), want);
        assert_eq!(of_open_api(want.clone()), want, "JSON Schema stays");
    }

    proptest! {
        #[test]
        fn no_schema_makes_it_panic(schema in any_json()) {
            let _ = of_open_api(schema);
        }
    }
}
