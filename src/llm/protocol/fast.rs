//! Shapes for reading the usual frame of a stream straight from its text, without a tree of values.
//!
//! What they do not accept is not wrong: it is left to the protocol's reading of any JSON, which is
//! the one that decides. So they accept only what both read in the same way.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

/// A frame's shape, which also refuses the fields that an error may stand in: `error`, and those that
/// `error_frame` looks at for codes. The aliases have to stand in the attribute, so the shapes share
/// them by way of this.
macro_rules! frame {
    ($(#[$outer:meta])* struct $name:ident<'a> { $($fields:tt)* }) => {
        #[derive(serde::Deserialize)]
        $(#[$outer])*
        struct $name<'a> {
            $($fields)*
            #[serde(default)]
            error: (),
            #[serde(
                default,
                alias = "status",
                alias = "status_code",
                alias = "statusCode",
                alias = "error_code",
                alias = "errorCode",
                alias = "err_code",
                alias = "errcode",
                alias = "errCode",
                alias = "errno",
                alias = "err_no",
                alias = "ret_code",
                alias = "retCode",
                alias = "resultCode",
                alias = "internal_code",
                alias = "internalCode",
                alias = "__type",
                alias = "success",
                alias = "base_resp"
            )]
            code: (),
        }
    };
}
pub(in crate::llm) use frame;

/// The frame, when all of it is as usual.
pub(super) fn read<'de, T: Deserialize<'de>>(frame: &'de str) -> Option<T> {
    serde_json::from_str(frame).ok().map(|Object(frame)| frame)
}

/// A string, lent from the frame when it stands there as it is.
#[derive(Debug, Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(in crate::llm) Cow<'a, str>);

impl Text<'_> {
    pub(super) fn is_filled(&self) -> bool {
        !self.0.is_empty()
    }
}

/// An object. A derived struct alone would take a list of its fields too.
#[derive(Debug)]
pub(super) struct Object<T>(pub(in crate::llm) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(Fields(PhantomData))
    }
}

/// The first item of a list, if it has any; the others are not looked at.
#[derive(Debug)]
pub(super) struct First<T>(pub(in crate::llm) Option<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for First<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Items<T> {
            type Value = First<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let first = items.next_element()?;
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(First(first))
            }
        }

        deserializer.deserialize_seq(Items(PhantomData))
    }
}

/// Reads an optional field that may be missing, but not null: then null means something of its own.
pub(super) fn present<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// Whether a field says anything: it is there, and neither null nor an empty list.
#[derive(Debug, Default)]
pub(super) struct Seen(pub(in crate::llm) bool);

impl<'de> Deserialize<'de> for Seen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Anything;

        impl<'de> Visitor<'de> for Anything {
            type Value = Seen;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("null or an empty list")
            }

            fn visit_unit<E>(self) -> Result<Seen, E> {
                Ok(Seen(false))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Seen, A::Error> {
                let mut seen = false;
                while items.next_element::<IgnoredAny>()?.is_some() {
                    seen = true;
                }
                Ok(Seen(seen))
            }
        }

        deserializer.deserialize_any(Anything)
    }
}
