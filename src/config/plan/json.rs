//! A workflow's JSON taken apart key by key, each problem with its path: `workers[2].ref`.

use std::{cell::RefCell, fmt, ops::RangeInclusive};

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::spots::Spots;
use crate::config::{
    error::{did_you_mean, one_of},
    fullwidth,
    report::{File, Place, Report},
};

/// A model that the plan names, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct Reference {
    pub(in crate::config) model: String,
    pub(in crate::config) path: String,
}

/// What reading a plan gathers.
pub(in crate::config) struct Reader<'r> {
    report: &'r Report<'r>,
    /// The `json` key of the config, or the plan's own file.
    place: Place,
    /// The file that holds the plan.
    file: File,
    /// Where in it each byte of the plan's text stands; empty when that is not known.
    offsets: Vec<usize>,
    spots: Spots,
    references: RefCell<Vec<Reference>>,
}

impl<'r> Reader<'r> {
    /// Of a plan's text: `offsets` are where its bytes stand in the file, `place` is for what
    /// cannot be found there.
    pub(in crate::config) fn of_text(
        report: &'r Report<'r>,
        place: Place,
        file: File,
        text: &str,
        offsets: Vec<usize>,
    ) -> Self {
        let spots = Spots::of(text, |offset| offsets.get(offset).copied());
        Self { report, place, file, offsets, spots, references: RefCell::default() }
    }

    /// Of a plan that was written in keys of the config.
    pub(in crate::config) fn of_keys(report: &'r Report<'r>, place: Place, spots: Spots) -> Self {
        let file = File::CONFIG;
        Self { report, place, file, offsets: Vec::new(), spots, references: RefCell::default() }
    }

    /// Where the value at a path is written, else what it would be in.
    pub(in crate::config) fn place(&self, path: &str) -> Place {
        let span = self.spots.value(path);
        span.map_or_else(|| self.place.clone(), |span| Place::of(self.file, span))
    }

    pub(in crate::config) fn problem(&self, path: &str, what: &str, remedy: impl Into<String>) {
        self.report.problem_at(self.place(path), named(path, what), remedy);
    }

    /// A problem of the key at the end of a path, not of its value.
    fn bad_key(&self, path: &str, what: &str, remedy: impl Into<String>) {
        let span = self.spots.key(path);
        let place = span.map_or_else(|| self.place.clone(), |span| Place::of(self.file, span));
        self.report.problem_at(place, named(path, what), remedy);
    }

    /// Tells of what works but is probably not meant.
    pub(in crate::config) fn warn(&self, path: &str, what: &str, remedy: impl Into<String>) {
        self.report.warn(self.place(path), named(path, what), remedy);
    }

    /// Reports what is not JSON. Only syntax can be wrong, so the message quotes no value.
    pub(super) fn syntax(&self, text: &str, error: &serde_json::Error) {
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        let lines = text.split_inclusive('\n').take(error.line().saturating_sub(1));
        let line: usize = lines.map(str::len).sum();
        let offset = line.saturating_add(error.column().saturating_sub(1)).min(text.len());
        let at = |offset: usize| self.offsets.get(offset).copied();
        if let Some(span) = fullwidth::outside_quotes(text, offset)
            && let Some((what, remedy)) = text.get(span.clone()).and_then(fullwidth::named)
        {
            let place = match (at(span.start), at(span.end)) {
                (Some(start), Some(end)) => Place::of(self.file, start..end),
                _ => self.place.clone(),
            };
            let what = format!("the plan is not valid JSON: {what}");
            self.report.problem_at(place, what, remedy);
            return;
        }
        let place = match at(offset) {
            Some(at) => Place::of(self.file, at..at.saturating_add(1)),
            None => self.place.clone(),
        };
        let what = format!("the plan is not valid JSON: {message}");
        self.report.problem_at(place, what, "mend the JSON at or just before this place");
    }

    pub(super) fn reference(&self, model: &str, path: &str) {
        if model.trim().is_empty() {
            self.problem(path, "is empty", "write the name of a model");
            return;
        }
        let reference = Reference { model: model.to_owned(), path: path.to_owned() };
        self.references.borrow_mut().push(reference);
    }

    /// Every model named so far.
    pub(in crate::config) fn references(&self) -> Vec<Reference> {
        self.references.borrow().clone()
    }
}

/// A message with the path it is about.
fn named(path: &str, what: &str) -> String {
    let path = if path.is_empty() { "the plan" } else { path };
    format!("{path}: {what}")
}

/// A JSON object that is being read.
pub(super) struct Object<'a> {
    pub(super) reader: &'a Reader<'a>,
    pub(super) path: String,
    entries: Map<String, Value>,
    known: Vec<&'static str>,
}

impl<'a> Object<'a> {
    /// `None` after reporting that the value is something else.
    pub(super) fn open(reader: &'a Reader<'a>, path: &str, value: Value) -> Option<Self> {
        match value {
            Value::Object(entries) => {
                Some(Self { reader, path: path.to_owned(), entries, known: Vec::new() })
            }
            other => {
                let what = format!("must be an object, not {}", kind(&other));
                reader.problem(path, &what, "write it as `{ ... }`");
                None
            }
        }
    }

    pub(super) fn child(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// `null` counts as absent.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.entries.shift_remove(key).filter(|value| !value.is_null())
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.get(key).is_some_and(|value| !value.is_null())
    }

    /// Whether the key holds a number that is not written as a whole one.
    pub(super) fn is_decimal(&self, key: &str) -> bool {
        self.entries.get(key).is_some_and(Value::is_f64)
    }

    fn wrong(&self, key: &str, value: &Value, wanted: &str) {
        let what = format!("must be {wanted}, not {}", kind(value));
        self.reader.problem(&self.child(key), &what, format!("write {wanted}"));
    }

    pub(super) fn string(&mut self, key: &'static str) -> Option<String> {
        let value = self.take(key)?;
        match value {
            Value::String(text) => Some(text),
            other => {
                self.wrong(key, &other, "text in quotes");
                None
            }
        }
    }

    /// The name of a model, remembered so that it can be checked to exist.
    pub(super) fn model(&mut self, key: &'static str) -> Option<String> {
        let name = self.string(key)?;
        self.reader.reference(&name, &self.child(key));
        Some(name)
    }

    /// A list of models.
    pub(super) fn models(&mut self, key: &'static str) -> Vec<String> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let path = self.child(key);
        let Value::Array(entries) = value else {
            self.wrong(key, &value, "a list of model names");
            return Vec::new();
        };
        let mut names = Vec::with_capacity(entries.len());
        for (index, entry) in entries.into_iter().enumerate() {
            let path = format!("{path}[{index}]");
            match entry {
                Value::String(name) => {
                    self.reader.reference(&name, &path);
                    names.push(name);
                }
                other => {
                    let what = format!("must be the name of a model, not {}", kind(&other));
                    self.reader.problem(&path, &what, "write a name in quotes");
                }
            }
        }
        names
    }

    pub(super) fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let value = self.take(key)?;
        let found = value.as_bool();
        if found.is_none() {
            self.wrong(key, &value, "true or false");
        }
        found
    }

    pub(super) fn number(&mut self, key: &'static str, range: RangeInclusive<f64>) -> Option<f64> {
        #[cfg(test)]
        crate::config::seen::note(&self.path, |asked| {
            asked.ranges.insert(key, (*range.start(), *range.end()));
        });
        let value = self.take(key)?;
        let Some(number) = value.as_f64() else {
            self.wrong(key, &value, "a number");
            return None;
        };
        if range.contains(&number) {
            return Some(number);
        }
        let (low, high) = range.into_inner();
        let remedy = format!("write a number from {low} to {high}");
        self.reader.problem(&self.child(key), "is out of range", remedy);
        None
    }

    pub(super) fn whole(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        #[cfg(test)]
        #[expect(clippy::cast_precision_loss, reason = "bounds are small or endless")]
        crate::config::seen::note(&self.path, |asked| {
            asked.ranges.insert(key, (*range.start() as f64, *range.end() as f64));
        });
        let value = self.take(key)?;
        if !value.is_number() {
            self.wrong(key, &value, "a whole number");
            return None;
        }
        let found = value.as_u64().filter(|number| range.contains(number));
        if found.is_none() {
            let (low, high) = range.into_inner();
            let remedy = format!("write a whole number from {low} to {high}");
            self.reader.problem(&self.child(key), "is out of range", remedy);
        }
        found
    }

    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        options: &[(&'static str, T)],
    ) -> Option<T> {
        #[cfg(test)]
        crate::config::seen::note(&self.path, |asked| {
            let words = options.iter().map(|(word, _)| *word).collect();
            asked.words.insert(key.to_owned(), words);
        });
        let text = self.string(key)?;
        let found = options.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let words: Vec<&str> = options.iter().map(|(word, _)| *word).collect();
            let hint = did_you_mean(&text, words.iter().copied())
                .map_or_else(String::new, |word| format!(" (did you mean `{word}`?)"));
            let remedy = format!("write {}{hint}", one_of(&words));
            self.reader.problem(&self.child(key), "has a value that is not known", remedy);
        }
        found.map(|(_, option)| *option)
    }

    /// Reports a key that is known, but not here.
    pub(super) fn misplaced(&mut self, key: &'static str, what: &str, remedy: &str) {
        if self.entries.shift_remove(key).is_some() {
            self.reader.bad_key(&self.child(key), what, remedy);
        }
    }

    /// Reports every key that nobody took.
    pub(super) fn finish(self) {
        #[cfg(test)]
        crate::config::seen::note(&self.path, |asked| asked.keys.extend(&self.known));
        for key in self.entries.keys() {
            let remedy = match did_you_mean(key, self.known.iter().copied()) {
                Some(word) => format!("did you mean `{word}`?"),
                None => format!("take it out; known are {}", one_of(&self.known)),
            };
            let path = self.child(&key.escape_debug().to_string());
            self.reader.bad_key(&path, "unknown key", remedy);
        }
    }
}

pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A JSON value in which no object has the same key twice: of two `workers`, serde would silently
/// drop the first.
pub(super) struct Strict(pub(super) Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(value)) = entries.next_element()? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((key, Strict(value))) = entries.next_entry::<String, Strict>()? {
            if object.contains_key(&key) {
                return Err(de::Error::custom(format_args!("key `{key}` is there twice")));
            }
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}
