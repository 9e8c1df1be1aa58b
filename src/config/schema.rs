//! The schema that is derived of the file's structs: JSON Schema for editors, and `Rule` for whoever
//! goes through a file with it.
//!
//! Words of its own, which editors are not shown: `x-shown` (how much of a text may be shown, `secret`,
//! `address` or `path`; left out: all), `x-missing` (what to do where the key is missing), `x-remedy`
//! (where the number is out of range), `x-checked` (its bounds are checked where it is used),
//! `x-refused` (keys that are not supported yet, with what to do) and `x-elsewhere` (what is said of
//! keys that the other kind of worker has).
//!
//! What a schema cannot say as the checks do (names that are taken, files that are missing), it
//! lets through. In three things it is stricter, since the alternatives would make the messages of
//! editors vague: a list of tables written as one table (`[model]`), a plan's `null` for a key that
//! is left out, and a URL that only a lenient parser reads.

use std::sync::LazyLock;

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::Value;

use super::file::{File, plan::Plan, wording};

static CONFIG: LazyLock<Value> = LazyLock::new(of::<File>);
static PLAN: LazyLock<Value> = LazyLock::new(of::<Plan>);

/// The schema of the config file (draft 2020-12).
#[must_use]
pub fn config() -> Value {
    wording::spelled_out(wording::published(&CONFIG))
}

/// The schema of a plan, which is JSON in the config's `json` or in a file of its own.
#[must_use]
pub fn plan() -> Value {
    wording::spelled_out(wording::published(&PLAN))
}

/// A schema as it is printed and committed.
#[must_use]
pub fn text(schema: &Value) -> String {
    format!("{schema:#}\n")
}

fn of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12();
    let generator = settings.with_transform(wording::Plain).into_generator();
    generator.into_root_schema_for::<T>().to_value()
}

/// How much of a value may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Use {
    /// Further keys.
    Section,
    /// A name or another text that is no secret.
    Name,
    /// A number, true or false, or one of a few words.
    Word,
    /// A base URL, which may hold a password.
    Address,
    /// A file.
    Path,
    /// A plan's JSON.
    Plan,
    /// A secret or somebody's prompt, or where it is.
    Key,
}

/// What the schema says of a value.
#[derive(Clone, Copy)]
pub(super) struct Rule {
    root: &'static Value,
    own: &'static Value,
}

impl Rule {
    /// The schema of the config.
    pub(super) fn of_config() -> Self {
        Self { root: &CONFIG, own: &CONFIG }
    }

    /// The schema of a plan.
    pub(super) fn of_plan() -> Self {
        Self { root: &PLAN, own: &PLAN }
    }

    fn to(self, own: &'static Value) -> Self {
        Self { own, ..self }
    }

    /// A word of it, or of the definition that it refers to.
    pub(super) fn get(self, word: &str) -> Option<&'static Value> {
        self.own.get(word).or_else(|| {
            let definition = self.own.get("$ref")?.as_str()?.strip_prefix('#')?;
            self.root.pointer(definition)?.get(word)
        })
    }

    pub(super) fn text(self, word: &str) -> Option<&'static str> {
        self.get(word)?.as_str()
    }

    /// The kinds of value that it takes, as JSON Schema calls them.
    pub(super) fn kinds(self) -> Vec<&'static str> {
        match self.get("type") {
            Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
            kind => kind.and_then(Value::as_str).into_iter().collect(),
        }
    }

    /// The words that a text may be; empty: any.
    pub(super) fn words(self) -> Vec<&'static str> {
        let words = self.get("enum").and_then(Value::as_array);
        words.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// Both bounds of a number.
    pub(super) fn range(self) -> Option<(&'static Value, &'static Value)> {
        self.get("minimum").zip(self.get("maximum"))
    }

    /// The keys that a table has, in the order of the structs.
    pub(super) fn properties(self) -> impl Iterator<Item = (&'static str, Self)> {
        let all = self.get("properties").and_then(Value::as_object);
        all.into_iter().flatten().map(move |(key, schema)| (key.as_str(), self.to(schema)))
    }

    /// The schema of a key; of any where keys are names.
    pub(super) fn property(self, key: &str) -> Option<Self> {
        let own = self.get("properties").and_then(|all| all.get(key));
        own.map(|schema| self.to(schema)).or_else(|| self.of_names())
    }

    /// The schema of each value of a table whose keys are names.
    pub(super) fn of_names(self) -> Option<Self> {
        self.get("additionalProperties")
            .filter(|schema| schema.is_object())
            .map(|schema| self.to(schema))
    }

    /// The schema of a list's entries.
    pub(super) fn items(self) -> Option<Self> {
        self.get("items").map(|schema| self.to(schema))
    }

    /// The keys that must be there.
    pub(super) fn required(self) -> impl Iterator<Item = &'static str> {
        let keys = self.get("required").and_then(Value::as_array);
        keys.into_iter().flatten().filter_map(Value::as_str)
    }

    /// The schema of the kind that a table is of two, by the key it has, and that of the other kind.
    pub(super) fn branch(self, has: impl Fn(&str) -> bool) -> (Self, Option<Self>) {
        let decides = self.get("if").map(|schema| self.to(schema));
        let decides = decides.and_then(|schema| schema.required().next());
        let (Some(key), Some(then), Some(or)) = (decides, self.get("then"), self.get("else"))
        else {
            return (self, None);
        };
        let (then, or) = (self.to(then), self.to(or));
        if has(key) { (then, Some(or)) } else { (or, Some(then)) }
    }

    /// The schema of the plan that a text holds.
    pub(super) fn content(self) -> Option<Self> {
        self.get("contentSchema").map(|schema| self.to(schema))
    }

    /// What may be shown of the text that stands here.
    pub(super) fn shown(self) -> Use {
        let kinds = self.kinds();
        match self.text("x-shown") {
            Some("secret") => Use::Key,
            Some("address") => Use::Address,
            Some("path") => Use::Path,
            Some("name") => Use::Name,
            _ if self.content().is_some() => Use::Plan,
            _ if self.get("enum").is_some() => Use::Word,
            _ if kinds.contains(&"string") => Use::Name,
            _ if kinds.contains(&"array") => self.items().map_or(Use::Section, Self::shown),
            _ if kinds.contains(&"object") => self.of_names().map_or(Use::Section, Self::shown),
            _ => Use::Word,
        }
    }

    /// Every key of the config and of plans, with what it is for. A key that several tables have
    /// stands there several times.
    pub(super) fn every_key() -> impl Iterator<Item = (&'static str, Use)> {
        let tables = CONFIG.get("$defs").and_then(Value::as_object).into_iter().flatten();
        let config = Self::of_config();
        let tables = tables.map(move |(_, own)| config.to(own)).chain([config]);
        tables.flat_map(|table| {
            let refused = table.get("x-refused").and_then(Value::as_object).into_iter().flatten();
            let refused = refused.map(|(key, _)| (key.as_str(), Use::Word));
            table.properties().map(|(key, schema)| (key, schema.shown())).chain(refused)
        })
    }
}
