//! A JSON object read in one pass: the fields a struct knows into the struct, the others aside.

use std::{borrow::Cow, marker::PhantomData};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeOwned, DeserializeSeed, MapAccess, Visitor,
        value::{BorrowedStrDeserializer, StringDeserializer},
    },
    forward_to_deserialize_any,
};
use serde_json::{Map, Value};

/// Both parts of the object that `bytes` are; `None` when they are none, or one of its fields is not
/// as the struct wants it.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Option<(T, Map<String, Value>)> {
    let mut rest = Map::new();
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let body = T::deserialize(Parting { json: &mut json, rest: &mut rest }).ok()?;
    json.end().ok()?;
    Some((body, rest))
}

/// A struct within a body and, beside it, the fields it does not know.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in super::super) struct Parted<T> {
    pub(in super::super) known: T,
    pub(in super::super) rest: Map<String, Value>,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Parted<T> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        let mut rest = Map::new();
        let known = T::deserialize(Parting { json, rest: &mut rest })?;
        Ok(Self { known, rest })
    }
}

/// As a client sees it: the struct, and whatever else it sends.
impl<T: JsonSchema> JsonSchema for Parted<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// Gives a struct its fields; anything but a struct is refused by the JSON below.
struct Parting<'a, D> {
    json: D,
    rest: &'a mut Map<String, Value>,
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Parting<'_, D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.json.deserialize_any(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.json.deserialize_map(Fields { known, rest: self.rest, visitor })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

struct Fields<'a, I> {
    known: &'static [&'static str],
    rest: &'a mut Map<String, Value>,
    /// The struct's visitor, or the map that it is given.
    visitor: I,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Fields<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        let Fields { known, rest, visitor } = self;
        visitor.visit_map(Fields { known, rest, visitor: map })
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Fields<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        while let Some(Key(name)) = self.visitor.next_key()? {
            if self.known.contains(&name.as_ref()) {
                let value = match name {
                    Cow::Borrowed(name) => seed.deserialize(BorrowedStrDeserializer::new(name)),
                    Cow::Owned(name) => seed.deserialize(StringDeserializer::new(name)),
                };
                return value.map(Some);
            }
            let value = self.visitor.next_value()?;
            self.rest.insert(name.into_owned(), value);
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.visitor.next_value_seed(seed)
    }
}

/// A field's name, lent where nothing in it is escaped.
struct Key<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name<'de>(PhantomData<&'de str>);

        impl<'de> Visitor<'de> for Name<'de> {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(name.to_owned())))
            }
        }

        deserializer.deserialize_str(Name(PhantomData))
    }
}
