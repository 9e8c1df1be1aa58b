//! The body of a request: fields, among which what was written of a conversation is spliced in as
//! it is.

mod pieces;
#[cfg(test)]
mod tests;

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

use serde::{
    Serialize, Serializer,
    ser::{Error as _, SerializeMap},
};
use serde_json::{Map, Value, value::RawValue};

pub(in crate::llm) use pieces::Pieces;

use super::conversation::{Written, WrittenField};
use crate::{llm::redact::shape, types::JsonSchema};

/// Bytes of the fields beside a conversation, as a rule.
const TYPICAL_BYTES: usize = 512;
/// A conversation of so many bytes is sent from where it stands; a shorter one is copied.
const LONG: usize = 256 * 1024;
/// Most requests have no more fields.
const TYPICAL_FIELDS: usize = 8;

/// Fields in their order on the wire. As a map it holds null in the place of what is spliced in.
#[derive(Default)]
pub(in crate::llm) struct Body {
    fields: Map<String, Value>,
    spliced: Option<Arc<Written>>,
    /// A schema, and where it stands in the body.
    schema: Option<(Path, Arc<JsonSchema>)>,
}

/// The names that lead to a value.
type Path = &'static [&'static str];

/// What stands in a field.
pub(in crate::llm) enum Content<'a> {
    Value(&'a Value),
    Written(&'a WrittenField),
    /// A schema and what is around it.
    Around(Around<'a>),
}

impl Body {
    /// A body without fields yet.
    pub(in crate::llm) fn new() -> Self {
        Self { fields: Map::with_capacity(TYPICAL_FIELDS), ..Self::default() }
    }

    /// Puts a schema, which is shared and written already, in the place of what `path` leads to.
    pub(super) fn set_schema(&mut self, path: Path, schema: &Arc<JsonSchema>) {
        self.schema = Some((path, Arc::clone(schema)));
    }

    /// Puts these fields next.
    pub(super) fn splice(&mut self, written: Arc<Written>) {
        let places = written.fields.iter().map(|field| (field.name.clone(), Value::Null));
        self.fields.extend(places);
        self.spliced = Some(written);
    }

    /// Whether a system message was sent behind other turns; `None` where no messages were.
    pub(super) fn has_late_system(&self) -> Option<bool> {
        self.spliced.as_ref().map(|written| written.has_late_system)
    }

    /// Lets go of everything.
    pub(in crate::llm) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Every field with what is sent in it.
    pub(in crate::llm) fn contents(&self) -> impl Iterator<Item = (&str, Content<'_>)> {
        self.fields.iter().map(|(name, value)| {
            let spliced = self.spliced.iter().flat_map(|written| written.fields.iter());
            let written = spliced.filter(|_| value.is_null()).find(|field| field.name == *name);
            let around = || {
                let (path, schema) = self.schema.as_ref()?;
                let (first, path) = path.split_first()?;
                (first == name).then_some(Around { value, path, schema })
            };
            let content = match written {
                Some(written) => Content::Written(written),
                None => around().map_or(Content::Value(value), Content::Around),
            };
            (name.as_str(), content)
        })
    }

    /// About how many bytes it is written in, without a long conversation; nearly always enough.
    pub(super) fn size_hint(&self) -> usize {
        let spliced = self.spliced.iter().flat_map(|written| written.fields.iter());
        let schema = self.schema.iter().map(|(_, schema)| schema.text().len());
        let written = spliced.map(|field| field.json.len()).filter(|length| *length < LONG);
        let written = written.chain(schema);
        written.sum::<usize>().saturating_add(TYPICAL_BYTES)
    }

    /// The body as an upstream reads it.
    #[cfg(test)]
    pub(super) fn into_value(self) -> Value {
        serde_json::from_str(&serde_json::to_string(&self).unwrap()).unwrap()
    }
}

#[cfg(test)]
impl From<&Value> for Body {
    fn from(fields: &Value) -> Self {
        Self { fields: fields.as_object().unwrap().clone(), ..Self::default() }
    }
}

impl Deref for Body {
    type Target = Map<String, Value>;

    fn deref(&self) -> &Self::Target {
        &self.fields
    }
}

impl DerefMut for Body {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.fields
    }
}

impl Serialize for Body {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.fields.len()))?;
        for (name, content) in self.contents() {
            match content {
                Content::Value(value) => map.serialize_entry(name, value)?,
                Content::Written(field) => {
                    let raw = serde_json::from_slice::<&RawValue>(&field.json);
                    map.serialize_entry(name, raw.map_err(S::Error::custom)?)?;
                }
                Content::Around(around) => map.serialize_entry(name, &around)?,
            }
        }
        map.end()
    }
}

/// A value with a schema in the place of what a path leads to in it.
pub(in crate::llm) struct Around<'a> {
    pub(in crate::llm) value: &'a Value,
    path: &'a [&'static str],
    schema: &'a JsonSchema,
}

impl Serialize for Around<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some((next, path)) = self.path.split_first() else {
            return self.schema.written().serialize(serializer);
        };
        let Value::Object(fields) = self.value else { return self.value.serialize(serializer) };
        let mut map = serializer.serialize_map(Some(fields.len()))?;
        for (name, value) in fields {
            match name == next {
                true => map.serialize_entry(name, &Self { value, path, schema: self.schema })?,
                false => map.serialize_entry(name, value)?,
            }
        }
        map.end()
    }
}

/// The same of a body, some of which may be written already.
pub(in crate::llm) fn contents(body: &Body) -> String {
    let shown: Vec<String> = body
        .contents()
        .map(|(name, content)| match content {
            Content::Value(value) => format!("{name}={}", shape(value)),
            Content::Written(field) => format!("{name}={}", field.shape),
            Content::Around(around) => format!("{name}={}", shape(around.value)),
        })
        .collect();
    shown.join(" ")
}
