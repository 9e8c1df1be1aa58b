//! An array of a body whose elements are taken one by one as they are parsed. As structs of what was
//! sent, all of them at once would take many times the body.

use std::{borrow::Cow, fmt, marker::PhantomData};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};

use crate::server::error::AppError;

/// What is made of the elements.
pub(in super::super) trait Gather: Default {
    /// One of them, as it is sent.
    type Element;

    /// Takes the element at `index`.
    ///
    /// # Errors
    /// 400 with the path of what cannot be understood; then no other is asked for.
    fn take(&mut self, element: Self::Element, index: usize) -> Result<(), AppError>;
}

/// An array that was read. Where an element has another type it is refused like any field; what an
/// element means is refused when somebody wants to have it all.
#[derive(Debug)]
pub(in super::super) struct Gathered<G> {
    made: G,
    count: usize,
    failed: Option<AppError>,
}

impl<G: Gather> Default for Gathered<G> {
    fn default() -> Self {
        Self { made: G::default(), count: 0, failed: None }
    }
}

impl<G> Gathered<G> {
    pub(in super::super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What was made of all elements.
    ///
    /// # Errors
    /// That of the first that cannot be understood.
    pub(in super::super) fn all(self) -> Result<G, AppError> {
        match self.failed {
            Some(error) => Err(error),
            None => Ok(self.made),
        }
    }
}

impl<'de, G: Gather<Element: Deserialize<'de>>> Deserialize<'de> for Gathered<G> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_seq(Elements(PhantomData))
    }
}

struct Elements<G>(PhantomData<G>);

impl<'de, G: Gather<Element: Deserialize<'de>>> Visitor<'de> for Elements<G> {
    type Value = Gathered<G>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Gathered<G>, A::Error> {
        let mut all = Gathered::<G>::default();
        while all.failed.is_none() {
            let Some(element) = elements.next_element()? else { return Ok(all) };
            all.failed = all.made.take(element, all.count).err();
            all.count = all.count.saturating_add(1);
        }
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(all)
    }
}

/// As a client sees it: an array of the elements.
impl<G: Gather<Element: JsonSchema>> JsonSchema for Gathered<G> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Vec::<G::Element>::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        Vec::<G::Element>::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Vec::<G::Element>::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq)]
    struct Sum(u64);

    impl Gather for Sum {
        type Element = u64;

        fn take(&mut self, element: u64, index: usize) -> Result<(), AppError> {
            if element == 0 {
                return Err(AppError::field(format!("a[{index}]"), "not 0"));
            }
            self.0 += element;
            Ok(())
        }
    }

    #[test]
    fn elements_are_taken_up_to_the_first_that_is_refused() {
        let read = |json: &str| serde_json::from_str::<Gathered<Sum>>(json);
        assert!(read("[]").unwrap().is_empty());
        let some = read("[1, 2, 3]").unwrap();
        assert!(!some.is_empty());
        assert_eq!(some.all().unwrap(), Sum(6));
        let error = read("[1, 0, 0, 5]").unwrap().all().unwrap_err();
        let AppError::Invalid { param, .. } = error else { panic!("another error") };
        assert_eq!(param.as_deref(), Some("a[1]"));
        for broken in ["[1, -1]", "[1, 0", "{}", "1", "[0, 1}"] {
            assert!(read(broken).is_err(), "{broken}");
        }
    }
}
