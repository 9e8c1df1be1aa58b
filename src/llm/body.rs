//! The body of a request: fields, among which what was written of a conversation is spliced in as
//! it is.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value};

use super::conversation::{Written, WrittenField};

/// Of the fields beside a conversation.
const USUAL_BYTES: usize = 512;

/// Fields in their order on the wire. As a map it holds null in the place of what is spliced in.
#[derive(Default)]
pub(super) struct Body {
    fields: Map<String, Value>,
    spliced: Option<Arc<Written>>,
}

/// What stands in a field.
pub(super) enum Content<'a> {
    Value(&'a Value),
    Written(&'a WrittenField),
}

impl Body {
    /// Puts these fields next.
    pub(super) fn splice(&mut self, written: Arc<Written>) {
        let places = written.iter().map(|field| (field.name.clone(), Value::Null));
        self.fields.extend(places);
        self.spliced = Some(written);
    }

    /// Lets go of everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Every field with what is sent in it.
    pub(super) fn contents(&self) -> impl Iterator<Item = (&str, Content<'_>)> {
        self.fields.iter().map(|(name, value)| {
            let spliced = self.spliced.iter().flat_map(|written| written.iter());
            let written = spliced.filter(|_| value.is_null()).find(|field| field.name == *name);
            let content = written.map_or(Content::Value(value), Content::Written);
            (name.as_str(), content)
        })
    }

    /// About how many bytes it is written in; nearly always enough.
    pub(super) fn size_hint(&self) -> usize {
        let spliced = self.spliced.iter().flat_map(|written| written.iter());
        spliced.map(|field| field.raw.get().len()).sum::<usize>().saturating_add(USUAL_BYTES)
    }

    /// As an upstream reads it.
    #[cfg(test)]
    pub(super) fn into_value(self) -> Value {
        serde_json::from_str(&serde_json::to_string(&self).unwrap()).unwrap()
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
                Content::Written(field) => map.serialize_entry(name, &field.raw)?,
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests;
