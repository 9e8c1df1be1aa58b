//! A file as a tree in which every key and value has its place: the config's TOML, a plan's JSON, and
//! JSON within a string of the config.

mod quoted;

use std::{borrow::Cow, collections::HashMap, ops::Range};

use serde_json::{Map, Number};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};
use zeroize::Zeroizing;

pub(super) use quoted::offsets;

/// A value, and where it is written: a header, of a table that has one.
pub(super) struct Node {
    pub(super) span: Range<usize>,
    pub(super) value: Value,
}

/// What a value is. Integers and floats stay as wide as they were written.
pub(super) enum Value {
    Null,
    Boolean(bool),
    Integer(i128),
    Float(f64),
    Date,
    Text(Zeroizing<String>),
    List(Vec<Node>),
    Table(Vec<Entry>),
}

/// A key of a table.
pub(super) struct Entry {
    pub(super) key: String,
    /// The key as it is written.
    pub(super) at: Range<usize>,
    pub(super) node: Node,
}

/// Why a text is no JSON.
pub(super) enum NoJson {
    Syntax(serde_json::Error),
    /// A key that its object has already: of two `workers`, a parser would silently drop the first.
    Twice {
        key: String,
        at: Range<usize>,
    },
}

impl Node {
    /// The tree of the config, made of its parser's.
    pub(super) fn of_toml(table: Spanned<DeTable<'_>>) -> Self {
        let span = table.span();
        Self { span, value: Value::of_table(table.into_inner()) }
    }

    fn of_toml_value(value: Spanned<DeValue<'_>>) -> Self {
        let span = value.span();
        let value = match value.into_inner() {
            // A text with escapes has a buffer of its own, which is taken over; any other is a piece
            // of the file, which whoever read it wipes.
            DeValue::String(text) => Value::Text(Zeroizing::new(text.into_owned())),
            DeValue::Integer(integer) => Value::of_digits(integer.as_str(), integer.radix()),
            DeValue::Float(float) => Value::Float(float.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(it) => Value::Boolean(it),
            DeValue::Datetime(_) => Value::Date,
            DeValue::Array(entries) => {
                Value::List(entries.into_iter().map(Self::of_toml_value).collect())
            }
            DeValue::Table(table) => Value::of_table(table),
        };
        Self { span, value }
    }

    /// The tree of JSON; `at` gives where in the file a byte of it stands.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn of_json(text: &str, at: &dyn Fn(usize) -> usize) -> Result<Self, NoJson> {
        // Whatever comes through here is sound, and not nested too deep to be walked.
        serde_json::from_str::<serde_json::Value>(text).map_err(NoJson::Syntax)?;
        let mut scan = Scan { text, at: 0, place: at, twice: None };
        let node = scan.value().unwrap_or(Self { span: 0..0, value: Value::Null });
        match scan.twice {
            Some((key, at)) => Err(NoJson::Twice { key, at }),
            None => Ok(node),
        }
    }

    /// The tree of a value that is written nowhere.
    pub(super) fn of_value(value: &serde_json::Value) -> Self {
        let value = match value {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(it) => Value::Boolean(*it),
            serde_json::Value::Number(number) => Value::of_number(number),
            serde_json::Value::String(text) => Value::Text(Zeroizing::new(text.clone())),
            serde_json::Value::Array(entries) => {
                Value::List(entries.iter().map(Self::of_value).collect())
            }
            serde_json::Value::Object(entries) => {
                let entry = |(key, value): (&String, _)| Entry {
                    key: key.clone(),
                    at: 0..0,
                    node: Self::of_value(value),
                };
                Value::Table(entries.iter().map(entry).collect())
            }
        };
        Self { span: 0..0, value }
    }

    /// Without its places. Texts are moved, so that no copy is left behind.
    pub(super) fn into_json(self) -> serde_json::Value {
        match self.value {
            Value::Null | Value::Date => serde_json::Value::Null,
            Value::Boolean(it) => it.into(),
            Value::Integer(number) => {
                i64::try_from(number).unwrap_or(if number < 0 { i64::MIN } else { i64::MAX }).into()
            }
            Value::Float(number) => Number::from_f64(number).into(),
            Value::Text(mut text) => std::mem::take(&mut *text).into(),
            Value::List(entries) => entries.into_iter().map(Self::into_json).collect(),
            Value::Table(entries) => entries
                .into_iter()
                .map(|entry| (entry.key, entry.node.into_json()))
                .collect::<Map<_, _>>()
                .into(),
        }
    }

    /// The value of a key of a table.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let Value::Table(entries) = &self.value else { return None };
        entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }
}

impl Value {
    fn of_table(table: DeTable<'_>) -> Self {
        let entry = |(key, value): (Spanned<Cow<'_, str>>, _)| {
            let at = key.span();
            Entry { key: key.into_inner().into_owned(), at, node: Node::of_toml_value(value) }
        };
        Self::Table(table.into_iter().map(entry).collect())
    }

    /// What is too wide is out of every range.
    fn of_digits(digits: &str, radix: u32) -> Self {
        let endless = if digits.starts_with('-') { i128::MIN } else { i128::MAX };
        Self::Integer(i128::from_str_radix(digits, radix).unwrap_or(endless))
    }

    fn of_number(number: &Number) -> Self {
        number
            .as_i128()
            .map_or_else(|| Self::Float(number.as_f64().unwrap_or(f64::NAN)), Self::Integer)
    }
}

/// The path of a key below another path: `workers[2].ref`.
pub(super) fn child(path: &str, key: &str) -> String {
    let key = key.escape_debug();
    if path.is_empty() { key.to_string() } else { format!("{path}.{key}") }
}

/// The path of what a path's end is in.
fn parent(path: &str) -> Option<&str> {
    let at = path.rfind(['.', '['])?;
    path.get(..at)
}

/// Goes through JSON that is sound.
struct Scan<'t> {
    text: &'t str,
    at: usize,
    place: &'t dyn Fn(usize) -> usize,
    twice: Option<(String, Range<usize>)>,
}

impl Scan<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn span(&self, start: usize) -> Range<usize> {
        (self.place)(start)..(self.place)(self.at)
    }

    /// The next character that is no blank; it is not passed.
    fn peek(&mut self) -> Option<char> {
        let rest = self.rest();
        let blank = rest.len().saturating_sub(rest.trim_start_matches(BLANKS).len());
        self.at = self.at.saturating_add(blank);
        self.rest().chars().next()
    }

    fn pass(&mut self, wanted: char) -> bool {
        let there = self.peek() == Some(wanted);
        if there {
            self.at = self.at.saturating_add(wanted.len_utf8());
        }
        there
    }

    fn value(&mut self) -> Option<Node> {
        let first = self.peek()?;
        let start = self.at;
        let value = match first {
            '{' => self.object()?,
            '[' => self.list()?,
            '"' => Value::Text(Zeroizing::new(self.string()?.0)),
            _ => {
                let ends = |letter: char| BLANKS.contains(&letter) || ",]}".contains(letter);
                let length = self.rest().find(ends).unwrap_or(self.rest().len());
                self.at = self.at.saturating_add(length);
                match self.text.get(start..self.at)? {
                    "null" => Value::Null,
                    "true" => Value::Boolean(true),
                    "false" => Value::Boolean(false),
                    number if number.contains(['.', 'e', 'E']) => {
                        Value::Float(number.parse().ok()?)
                    }
                    number => Value::of_digits(number, 10),
                }
            }
        };
        Some(Node { span: self.span(start), value })
    }

    fn object(&mut self) -> Option<Value> {
        let mut entries: Vec<Entry> = Vec::new();
        self.pass('{');
        while self.peek()? != '}' {
            let (key, at) = self.string()?;
            if entries.iter().any(|known| known.key == key) {
                self.twice.get_or_insert((key.clone(), at.clone()));
            }
            self.pass(':');
            entries.push(Entry { key, at, node: self.value()? });
            self.pass(',');
        }
        self.pass('}').then_some(Value::Table(entries))
    }

    fn list(&mut self) -> Option<Value> {
        let mut entries = Vec::new();
        self.pass('[');
        while self.peek()? != ']' {
            entries.push(self.value()?);
            self.pass(',');
        }
        self.pass(']').then_some(Value::List(entries))
    }

    /// A text and where it is written, at a quote.
    fn string(&mut self) -> Option<(String, Range<usize>)> {
        let start = self.at;
        let mut escaped = false;
        let end = self.rest().char_indices().skip(1).find(|(_, letter)| {
            let ends = *letter == '"' && !escaped;
            escaped = *letter == '\\' && !escaped;
            ends
        })?;
        self.at = start.saturating_add(end.0).saturating_add(1);
        let text = serde_json::from_str(self.text.get(start..self.at)?).ok()?;
        Some((text, self.span(start)))
    }
}

const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

/// The places of keys and values, by path.
#[derive(Clone, Debug, Default)]
pub(super) struct Spots {
    by_path: HashMap<String, (Option<Range<usize>>, Range<usize>)>,
}

impl Spots {
    pub(super) fn of(node: &Node) -> Self {
        let mut spots = Self::default();
        spots.note(String::new(), None, node);
        spots
    }

    fn note(&mut self, path: String, key: Option<Range<usize>>, node: &Node) {
        match &node.value {
            Value::Table(entries) => entries.iter().for_each(|entry| {
                self.note(child(&path, &entry.key), Some(entry.at.clone()), &entry.node);
            }),
            Value::List(entries) => entries.iter().enumerate().for_each(|(index, entry)| {
                self.note(format!("{path}[{index}]"), None, entry);
            }),
            // As if it were not there.
            Value::Null => return,
            _ => {}
        }
        self.by_path.insert(path, (key, node.span.clone()));
    }

    /// Notes where a value is written.
    pub(super) fn insert(&mut self, path: impl Into<String>, value: Range<usize>) {
        self.by_path.insert(path.into(), (None, value));
    }

    /// Whether something is at a path.
    pub(super) fn has(&self, path: &str) -> bool {
        self.by_path.contains_key(path)
    }

    /// The value at a path, else what it would be in.
    pub(super) fn value(&self, path: &str) -> Option<Range<usize>> {
        self.find(path).map(|(_, value)| value.clone())
    }

    /// The key at the end of a path, else what it would be in.
    pub(super) fn key(&self, path: &str) -> Option<Range<usize>> {
        self.find(path).map(|(key, value)| key.clone().unwrap_or_else(|| value.clone()))
    }

    fn find(&self, path: &str) -> Option<&(Option<Range<usize>>, Range<usize>)> {
        let above = std::iter::successors(Some(path), |path| parent(path));
        above.chain([""]).find_map(|path| self.by_path.get(path))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_value_has_its_path_and_its_place() {
        let text = r#"{ "workers": ["a", {"ref": "b\"", "fallback": ["c"], "键": [1.5, null]}] }"#;
        let Ok(node) = Node::of_json(text, &|at| at) else { panic!("it is JSON") };
        let spots = Spots::of(&node);
        for (path, want) in [
            ("workers", text.get(13..text.len() - 2).unwrap()),
            ("workers[0]", "\"a\""),
            ("workers[1]", text.get(19..text.len() - 3).unwrap()),
            ("workers[1].ref", "\"b\\\"\""),
            ("workers[1].fallback[0]", "\"c\""),
            ("workers[1].键", "[1.5, null]"),
            ("workers[1].键[0]", "1.5"),
            ("workers[1].nothing", text.get(19..text.len() - 3).unwrap()),
        ] {
            assert_eq!(text.get(spots.value(path).unwrap()), Some(want), "{path}");
        }
        assert_eq!(text.get(spots.key("workers[1].ref").unwrap()), Some("\"ref\""));
        assert!(spots.has("workers[1].ref") && !spots.has("workers[1].键[1]"), "null is nothing");
        for text in ["{ \"a\": }".to_owned(), "[".repeat(100_000) + &"]".repeat(100_000)] {
            assert!(matches!(Node::of_json(&text, &|at| at), Err(NoJson::Syntax(_))));
        }
        let twice = Node::of_json("{\"a\":1,\"a\":2}", &|at| at);
        assert!(matches!(twice, Err(NoJson::Twice { at: Range { start: 7, end: 10 }, .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn any_text_is_read_as_the_parser_reads_it_or_refused(text in "(?s)[\\[\\]{}:,\"\\\\a1 ]{0,32}") {
            let parsed = serde_json::from_str::<serde_json::Value>(&text).ok();
            match Node::of_json(&text, &|at| at) {
                Ok(node) => prop_assert_eq!(Some(node.into_json()), parsed),
                Err(NoJson::Syntax(_)) => prop_assert_eq!(None, parsed),
                Err(NoJson::Twice { .. }) => prop_assert!(parsed.is_some()),
            }
        }
    }
}
