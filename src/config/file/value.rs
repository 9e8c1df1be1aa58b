//! Texts of the file that are not shown as they are.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::types::without_keys;

/// A key, or where one is. It is wiped after use; `Debug` does not show it, and as JSON it is `(set)`.
#[derive(Clone, Default)]
pub(in crate::config) struct Secret(Zeroizing<String>);

impl Secret {
    /// The text as it was written, without blanks around it.
    #[must_use]
    pub(in crate::config) fn expose(&self) -> &str {
        self.0.trim()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A text of its own is taken over, so that no copy is left behind.
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let set = (!self.expose().is_empty()).then_some("(set)");
        set.serialize(serializer)
    }
}

/// Somebody's words to a model. As JSON it is its length.
#[derive(Clone, Deserialize)]
pub(in crate::config) struct Instruction(pub String);

impl Serialize for Instruction {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("({} characters)", self.0.chars().count()))
    }
}

/// A URL, which may hold a password. As JSON it is without what looks like a key.
#[derive(Clone, Deserialize)]
pub(in crate::config) struct Address(pub String);

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&without_keys(&self.0))
    }
}

macro_rules! text {
    ($($name:ident $shown:literal)*) => { $(
        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "x-shown": $shown })
            }
        }
    )* };
}

text! { Secret "secret" Instruction "secret" Address "address" }
