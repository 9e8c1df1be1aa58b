//! A JSON Schema that an answer must match.

use std::{ops::Deref, sync::OnceLock};

use serde::{Serialize, Serializer};
use serde_json::{
    Value,
    value::{RawValue, to_raw_value},
};

/// A JSON Schema. Its text, which is part of prompts, is written once however many calls show it.
pub struct JsonSchema {
    value: Value,
    text: OnceLock<Box<RawValue>>,
}

impl JsonSchema {
    /// The schema as compact JSON.
    pub fn text(&self) -> &str {
        self.written().get()
    }

    /// The schema's JSON, to be written as it is.
    pub fn written(&self) -> &RawValue {
        // A tree of values is always JSON.
        self.text.get_or_init(|| to_raw_value(&self.value).unwrap_or_default())
    }
}

impl From<Value> for JsonSchema {
    fn from(value: Value) -> Self {
        Self { value, text: OnceLock::new() }
    }
}

impl Deref for JsonSchema {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.value
    }
}

impl PartialEq for JsonSchema {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Serialize for JsonSchema {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}
