//! The file against its schema: keys that nobody knows or that are missing, kinds, words and bounds,
//! all at once and each with its place. What is wrong is taken out and what has a default is put in,
//! so that the structs of `file.rs` can always be read of the rest.
//!
//! Serde alone would not do: its errors quote the value (a key, perhaps), stop at the first, and have
//! no place.

use std::ops::Range;

use serde::de::DeserializeOwned;

use super::{
    error::{did_you_mean, one_of},
    report::{File, FileSpan, Report},
    schema::Rule,
    tree::{Entry, Node, Value},
};

/// A table where a list of tables belongs is a list of one, as in `[model]`.
pub(super) fn lists(rule: Rule, node: &mut Node) {
    match &mut node.value {
        Value::Table(entries) => {
            for Entry { key, node, .. } in entries {
                let Some(inner) = rule.property(key) else { continue };
                let holds = inner.items().map(Rule::kinds).unwrap_or_default();
                if holds == ["object"] && matches!(node.value, Value::Table(_)) {
                    let value = std::mem::replace(&mut node.value, Value::Null);
                    node.value = Value::List(vec![Node { span: node.span.clone(), value }]);
                }
                lists(inner, node);
            }
        }
        Value::List(entries) => {
            let Some(inner) = rule.items() else { return };
            entries.iter_mut().for_each(|entry| lists(inner, entry));
        }
        _ => {}
    }
}

/// The config, as far as it is sound.
pub(super) fn config<T: DeserializeOwned>(mut node: Node, report: &Report<'_>) -> Option<T> {
    let walk = Walk { report, file: File::CONFIG, is_plan: false };
    let top = Table { label: WHOLE.to_owned(), path: String::new(), of_names: false };
    walk.table(Rule::of_config(), &mut node, &top);
    walk.read(node)
}

/// A plan, as far as it is sound; `None` after reporting that it is no object.
pub(super) fn plan<T: DeserializeOwned>(
    mut node: Node,
    file: File,
    report: &Report<'_>,
) -> Option<T> {
    let walk = Walk { report, file, is_plan: true };
    if !matches!(node.value, Value::Table(_)) {
        walk.wrong_kind("the plan:", Rule::of_plan(), &node);
        return None;
    }
    let top = Table { label: String::new(), path: String::new(), of_names: false };
    walk.table(Rule::of_plan(), &mut node, &top);
    walk.read(node)
}

/// What messages call one of several tables, which may have a name.
pub(super) fn label(key: &str, name: &str) -> String {
    match name.trim().is_empty() {
        true => format!("[[{key}]]"),
        false => format!("{key} `{}`", name.escape_debug()),
    }
}

/// What messages call the config as a whole.
const WHOLE: &str = "the file";

struct Walk<'a, 't> {
    report: &'a Report<'t>,
    file: File,
    /// Messages name things by their path, and in the words of JSON.
    is_plan: bool,
}

/// A table that is gone through.
struct Table {
    /// What messages call it: `[server]`, or `model` and its name; of a plan its path.
    label: String,
    path: String,
    /// Its keys are names.
    of_names: bool,
}

impl Walk<'_, '_> {
    fn read<T: DeserializeOwned>(&self, node: Node) -> Option<T> {
        let read = serde_json::from_value(node.into_json());
        // Its message could quote a value.
        if read.is_err() {
            let what = "the file is not understood, though nothing in it is wrong";
            self.report.problem_at(self.report.whole_file(), what, "please report this");
        }
        read.ok()
    }

    fn place(&self, span: &Range<usize>) -> FileSpan {
        FileSpan::of(self.file, span.clone())
    }

    fn problem(&self, span: &Range<usize>, what: String, remedy: impl Into<String>) {
        self.report.problem_at(self.place(span), what, remedy);
    }

    /// How messages begin that are about a key.
    fn subject(&self, table: &Table, key: &str) -> String {
        match (self.is_plan, table.path.as_str()) {
            (true, "") => format!("{}:", key.escape_debug()),
            (true, path) => format!("{path}.{}:", key.escape_debug()),
            (false, _) => format!("{}: `{}`", table.label, key.escape_debug()),
        }
    }

    fn table(&self, rule: Rule, node: &mut Node, table: &Table) {
        let Value::Table(entries) = &mut node.value else { return };
        entries.retain(|entry| !matches!(entry.node.value, Value::Null));
        let written: Vec<String> = entries.iter().map(|entry| entry.key.clone()).collect();
        let is_written = |key: &str| written.iter().any(|it| it == key);
        let (rule, other) = rule.branch(is_written);
        for key in rule.required().filter(|key| !is_written(key)) {
            self.missing(rule.property(key), key, &node.span, table);
        }
        entries.retain_mut(|entry| match rule.property(&entry.key) {
            Some(inner) => {
                let is_blank = rule.required().any(|key| key == entry.key)
                    && matches!(&entry.node.value, Value::Text(text) if text.trim().is_empty());
                if is_blank {
                    let what = format!("{} is empty", self.subject(table, &entry.key));
                    let remedy = format!("write `{} = \"...\"`", entry.key);
                    self.problem(&entry.node.span, what, remedy);
                }
                !is_blank && self.value(inner, &mut entry.node, &entry.key, table)
            }
            None => {
                self.unknown(rule, other, entry, &is_written, table);
                false
            }
        });
        for (key, inner) in rule.properties() {
            if let Some(default) = inner.get("default")
                && !entries.iter().any(|entry| entry.key == key)
            {
                let mut node = Node::of_value(default);
                self.value(inner, &mut node, key, table);
                entries.push(Entry { key: key.to_owned(), at: 0..0, node });
            }
        }
    }

    fn missing(&self, inner: Option<Rule>, key: &str, span: &Range<usize>, table: &Table) {
        let remedy = inner.and_then(|inner| inner.text("x-missing"));
        let remedy = remedy.map_or_else(|| format!("add `{key} = \"...\"`"), str::to_owned);
        if table.label == WHOLE {
            let is_list = inner.is_some_and(|inner| inner.items().is_some());
            let header = if is_list { format!("[[{key}]]") } else { format!("[{key}]") };
            let what = format!("there is no {header}");
            self.report.problem_at(self.report.whole_file(), what, remedy);
            return;
        }
        self.problem(span, format!("{} is missing", self.subject(table, key)), remedy);
    }

    /// `other`: what a table of the other kind has.
    fn unknown(
        &self,
        rule: Rule,
        other: Option<Rule>,
        entry: &Entry,
        is_written: &dyn Fn(&str) -> bool,
        table: &Table,
    ) {
        let key = entry.key.as_str();
        let refused = rule.get("x-refused").and_then(|keys| keys.get(key)?.as_str());
        if let Some(remedy) = refused {
            let what = format!("{} is not supported yet", self.subject(table, key));
            self.problem(&entry.node.span, what, remedy);
            return;
        }
        let elsewhere = rule.get("x-elsewhere").filter(|_| {
            other.is_some_and(|other| other.properties().any(|(known, _)| known == key))
        });
        if let Some([what, remedy]) = elsewhere.and_then(|words| words.as_array()?.as_array()) {
            let what =
                format!("{} {}", self.subject(table, key), what.as_str().unwrap_or_default());
            self.problem(&entry.at, what, remedy.as_str().unwrap_or_default());
            return;
        }
        // What only editors are shown is no advice, and an old form only for who meant it.
        let known = || rule.properties().filter(|(known, _)| !known.starts_with('$'));
        let remedy = match did_you_mean(key, known().map(|(known, _)| known)) {
            Some(word) if is_written(word) => format!("take it out; `{word}` is there already"),
            Some(word) => format!("did you mean `{word}`?"),
            None => {
                let new = known().filter(|(_, inner)| inner.get("deprecated").is_none());
                let new: Vec<&str> = new.map(|(known, _)| known).collect();
                format!("take it out; known are {}", one_of(&new))
            }
        };
        let what = match self.is_plan {
            true => format!("{} unknown key", self.subject(table, key)),
            false => format!("{}: unknown key `{}`", table.label, key.escape_debug()),
        };
        self.problem(&entry.at, what, remedy);
    }

    /// Whether a value can stay. `key`: its own, with an index where it is an entry of a list.
    fn value(&self, rule: Rule, node: &mut Node, key: &str, table: &Table) -> bool {
        if !takes(rule, &node.value) {
            self.wrong_kind(&self.subject(table, key), rule, node);
            return false;
        }
        match &mut node.value {
            Value::Text(text) => self.word(rule, text, &node.span, key, table),
            Value::Integer(_) | Value::Float(_) => self.number(rule, node, key, table),
            Value::Table(_) => {
                let inner = self.below(table, rule, key, node);
                self.table(rule, node, &inner);
                true
            }
            Value::List(_) => {
                self.list(rule, node, key, table);
                true
            }
            Value::Null | Value::Boolean(_) | Value::Date => true,
        }
    }

    fn list(&self, rule: Rule, node: &mut Node, key: &str, table: &Table) {
        let Value::List(entries) = &mut node.value else { return };
        if entries.is_empty() && rule.get("minItems").is_some() {
            let what = format!("{} is empty", self.subject(table, key));
            match table.label.as_str() {
                WHOLE => self.missing(Some(rule), key, &node.span, table),
                _ => self.problem(&node.span, what, "name at least one"),
            }
        }
        let Some(inner) = rule.items() else { return };
        let mut index = 0_usize;
        entries.retain_mut(|entry| {
            let key = format!("{key}[{index}]");
            index = index.saturating_add(1);
            let is_sound = self.value(inner, entry, &key, table);
            if !is_sound {
                entry.value = Value::Null;
            }
            // The entries of a plan are named by their numbers, which stay.
            is_sound || self.is_plan
        });
    }

    /// A table below another one, or an entry of a list below it.
    fn below(&self, table: &Table, rule: Rule, key: &str, node: &Node) -> Table {
        let path = match table.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        };
        let of_names = rule.of_names().is_some();
        if self.is_plan {
            return Table { label: path.clone(), path, of_names };
        }
        let label = match (key.split_once('['), table.label.as_str()) {
            (Some((list, _)), WHOLE) => {
                let name = node.get("name").map(|name| &name.value);
                label(list, if let Some(Value::Text(name)) = name { name.as_str() } else { "" })
            }
            (Some((list, _)), above) => {
                let outer = table.path.split('[').next().unwrap_or_default();
                format!("{above}: [[{outer}.{list}]]")
            }
            (None, WHOLE) => format!("[{key}]"),
            (None, above) if above.starts_with('[') && !above.starts_with("[[") => {
                let above = above.trim_end_matches(']');
                let key = if table.of_names { format!("{key:?}") } else { key.to_owned() };
                format!("{above}.{key}]")
            }
            (None, above) => format!("{above}: `{key}`"),
        };
        Table { label, path, of_names }
    }

    fn word(&self, rule: Rule, text: &str, span: &Range<usize>, key: &str, table: &Table) -> bool {
        let words = rule.words();
        if words.is_empty() || words.contains(&text) {
            return true;
        }
        // What was written instead is not quoted: it may be a misplaced secret.
        let hint = did_you_mean(text, words.iter().copied())
            .map_or_else(String::new, |word| format!(" (did you mean `{word}`?)"));
        let what = format!("{} has a value that is not known", self.subject(table, key));
        self.problem(span, what, format!("write {}{hint}", one_of(&words)));
        false
    }

    fn number(&self, rule: Rule, node: &Node, key: &str, table: &Table) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "bounds are small")]
        let number = match node.value {
            Value::Integer(number) => number as f64,
            Value::Float(number) => number,
            _ => return true,
        };
        let Some((low, high)) = rule.range().filter(|_| rule.get("x-checked").is_none()) else {
            return true;
        };
        let (least, most) = (low.as_f64().unwrap_or(f64::MIN), high.as_f64().unwrap_or(f64::MAX));
        if (least..=most).contains(&number) {
            return true;
        }
        let whole = if rule.kinds().contains(&"integer") { "whole " } else { "" };
        let remedy = rule
            .text("x-remedy")
            .map_or_else(|| format!("write a {whole}number from {low} to {high}"), str::to_owned);
        let what = format!("{} is out of range", self.subject(table, key));
        self.problem(&node.span, what, remedy);
        false
    }

    fn wrong_kind(&self, subject: &str, rule: Rule, node: &Node) {
        let kinds = rule.kinds();
        let is_list = kinds.contains(&"array");
        let holds = rule.items().filter(|_| is_list).map(Rule::kinds).unwrap_or_default();
        let (noun, remedy) = match (kinds.as_slice(), self.is_plan) {
            _ if is_list && holds == ["string"] && self.is_plan => {
                ("a list of model names", "write it as `[\"a\", \"b\"]`")
            }
            _ if is_list && holds == ["string"] => {
                ("a list of texts", "write it as `[\"a\", \"b\"]`")
            }
            _ if is_list && self.is_plan => ("a list", "write it as `[ ... ]`"),
            ([.., "object"], true) => ("an object", "write it as `{ ... }`"),
            ([.., "object"] | ["array"], false) => {
                ("a table", "write its keys below a header in brackets")
            }
            (["boolean"], _) => ("true or false", "write true or false, without quotes"),
            (["integer"], _) => ("a whole number", "write digits only, without quotes"),
            (["number"], _) => ("a number", "write a number, without quotes"),
            _ => ("text", "write it in quotes"),
        };
        let found = match node.value {
            Value::Null => "null",
            Value::Boolean(_) => "true or false",
            Value::Integer(_) => "a whole number",
            Value::Float(_) => "a decimal number",
            Value::Date => "a date",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Table(_) if self.is_plan => "an object",
            Value::Table(_) => "a table",
        };
        self.problem(&node.span, format!("{subject} must be {noun}, not {found}"), remedy);
    }
}

fn takes(rule: Rule, value: &Value) -> bool {
    let kinds = match value {
        Value::Boolean(_) => ["boolean", ""],
        Value::Integer(_) => ["integer", "number"],
        Value::Float(_) => ["number", ""],
        Value::Text(_) => ["string", ""],
        Value::List(_) => ["array", ""],
        Value::Table(_) => ["object", ""],
        Value::Null | Value::Date => ["", ""],
    };
    rule.kinds().into_iter().any(|kind| kinds.contains(&kind))
}
