//! The file as TOML sees it, taken apart key by key: every value keeps its place, integers and
//! floats stay wide so that ranges are checked by us, and a key nobody took is unknown.
//!
//! Not `#[derive(Deserialize)]`: serde's type errors quote the value (a key, perhaps), stop at the
//! first, and `flatten`, which would gather unknown keys, loses the places.

use std::{borrow::Cow, ops::Range, ops::RangeInclusive};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use zeroize::Zeroizing;

use super::{
    error::{did_you_mean, one_of},
    fullwidth,
    report::Report,
};

/// A table of the file that is being read.
pub(super) struct Table<'r, 't> {
    pub(super) report: &'r Report<'t>,
    /// How messages call it: `[server]`, or `model` and its name.
    pub(super) label: String,
    /// Its header, or the whole inline table.
    pub(super) span: Range<usize>,
    entries: DeTable<'t>,
    known: Vec<&'static str>,
}

/// What to do about what is not TOML, by the parser's words for it.
fn syntax_remedy(message: &str) -> &'static str {
    let remedies = [
        ("duplicate key", "write it once; of several models each begins with [[model]]"),
        ("invalid boolean", "write true or false in small letters; text goes in quotes"),
        ("escape", "write two backslashes for one, or put the text in single quotes"),
        ("unclosed", "close it"),
        (
            "invalid unquoted key",
            "write `name = value`; a name with other characters goes in quotes",
        ),
    ];
    let known = remedies.into_iter().find(|(words, _)| message.contains(words));
    known.map_or("mend the syntax (text goes in quotes)", |(_, remedy)| remedy)
}

impl<'r, 't> Table<'r, 't> {
    /// The whole file; `None` after reporting what is not TOML.
    pub(super) fn document(text: &'t str, report: &'r Report<'t>) -> Option<Self> {
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            // `Display` and `Debug` of the error quote the file; the message holds grammar only.
            let at = error.span().map_or(0, |span| span.start);
            if let Some(span) = fullwidth::outside_quotes(text, at)
                && let Some((what, remedy)) = fullwidth::named(report.written(&span))
            {
                report.problem(&span, format!("this is not valid TOML: {what}"), remedy);
                continue;
            }
            let what = format!("this is not valid TOML: {}", error.message());
            let remedy = syntax_remedy(error.message());
            match error.span() {
                Some(span) => report.problem(&span, what, remedy),
                None => report.problem_at(report.whole_file(), what, remedy),
            }
        }
        let (span, entries) = (table.span(), table.into_inner());
        let label = "the file".to_owned();
        errors.is_empty().then(|| Self { report, label, span, entries, known: Vec::new() })
    }

    fn take(&mut self, key: &'static str) -> Option<Spanned<DeValue<'t>>> {
        self.known.push(key);
        self.entries.remove(key)
    }

    /// Whether a key is there, without taking it.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// The text that a key holds, without taking it.
    pub(super) fn text_of(&self, key: &str) -> Option<Spanned<&str>> {
        let value = self.entries.get(key)?;
        Some(Spanned::new(value.span(), value.get_ref().as_str()?))
    }

    /// Whether a key holds a whole number, without taking it.
    pub(super) fn is_integer(&self, key: &str) -> bool {
        self.entries.get(key).is_some_and(|value| value.get_ref().is_integer())
    }

    fn wrong(&self, key: &str, value: &Spanned<DeValue<'_>>, wanted: Kind) {
        self.wrong_kind(key, &value.span(), kind(value), wanted);
    }

    fn wrong_kind(&self, key: &str, span: &Range<usize>, kind: &str, wanted: Kind) {
        let what = format!("{}: `{key}` must be {}, not {kind}", self.label, wanted.noun());
        self.report.problem(span, what, wanted.remedy());
    }

    /// Text.
    pub(super) fn string(&mut self, key: &'static str) -> Option<Spanned<String>> {
        let value = self.take(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some(Spanned::new(value.span(), text.clone().into_owned())),
            _ => {
                self.wrong(key, &value, Kind::String);
                None
            }
        }
    }

    /// Text that is wiped when it has been used.
    pub(super) fn secret(&mut self, key: &'static str) -> Option<Spanned<Secret>> {
        let value = self.take(key)?;
        let (span, kind) = (value.span(), kind(&value));
        let text = secret(value.into_inner());
        if text.is_none() {
            self.wrong_kind(key, &span, kind, Kind::String);
        }
        Some(Spanned::new(span, text?))
    }

    /// Text that must be there and not be empty.
    pub(super) fn required(&mut self, key: &'static str) -> Option<Spanned<String>> {
        self.require(key, Self::string)
    }

    /// [`Table::secret`] that must be there and not be empty.
    pub(super) fn required_secret(&mut self, key: &'static str) -> Option<Spanned<Secret>> {
        self.require(key, Self::secret)
    }

    fn require<T: AsRef<str>>(
        &mut self,
        key: &'static str,
        read: impl Fn(&mut Self, &'static str) -> Option<Spanned<T>>,
    ) -> Option<Spanned<T>> {
        if !self.has(key) {
            self.known.push(key);
            let what = format!("{}: `{key}` is missing", self.label);
            self.report.problem(&self.span, what, format!("add `{key} = \"...\"`"));
            return None;
        }
        let value = read(self, key)?;
        if value.get_ref().as_ref().trim().is_empty() {
            let what = format!("{}: `{key}` is empty", self.label);
            self.report.problem(&value.span(), what, format!("write `{key} = \"...\"`"));
            return None;
        }
        Some(value)
    }

    /// A list of texts; `None` when absent.
    pub(super) fn strings(&mut self, key: &'static str) -> Option<Vec<Spanned<String>>> {
        let value = self.take(key)?;
        let DeValue::Array(entries) = value.get_ref() else {
            self.wrong(key, &value, Kind::Strings);
            return None;
        };
        let text = |entry: &Spanned<DeValue<'_>>| {
            let text = entry.get_ref().as_str()?.to_owned();
            Some(Spanned::new(entry.span(), text))
        };
        let texts: Option<Vec<_>> = entries.iter().map(text).collect();
        if texts.is_none() {
            let what = format!("{}: `{key}` must hold text only", self.label);
            self.report.problem(&value.span(), what, Kind::Strings.remedy());
        }
        texts
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let value = self.take(key)?;
        let found = value.get_ref().as_bool();
        if found.is_none() {
            self.wrong(key, &value, Kind::Boolean);
        }
        found
    }

    /// A whole number within a range.
    pub(super) fn whole<T: TryFrom<i128>>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<i128>,
    ) -> Option<Spanned<T>> {
        #[cfg(test)]
        #[expect(clippy::cast_precision_loss, reason = "bounds are small or endless")]
        super::seen::note(&self.label, |asked| {
            asked.ranges.insert(key, (*range.start() as f64, *range.end() as f64));
        });
        let value = self.take(key)?;
        let DeValue::Integer(integer) = value.get_ref() else {
            self.wrong(key, &value, Kind::Integer);
            return None;
        };
        let number = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
        let fits = number.filter(|number| range.contains(number));
        let Some(number) = fits.and_then(|number| T::try_from(number).ok()) else {
            let (low, high) = range.into_inner();
            let what = format!("{}: `{key}` is out of range", self.label);
            let remedy = format!("write a whole number from {low} to {high}");
            self.report.problem(&value.span(), what, remedy);
            return None;
        };
        Some(Spanned::new(value.span(), number))
    }

    /// Any number.
    pub(super) fn number(&mut self, key: &'static str) -> Option<Spanned<f64>> {
        let value = self.take(key)?;
        let number = match value.get_ref() {
            #[expect(clippy::cast_precision_loss, reason = "a limit of 2^53 seconds is no limit")]
            DeValue::Integer(integer) => i128::from_str_radix(integer.as_str(), integer.radix())
                .ok()
                .map(|number| number as f64),
            DeValue::Float(float) => float.as_str().parse().ok(),
            _ => None,
        };
        if number.is_none() {
            self.wrong(key, &value, Kind::Number);
        }
        number.map(|number| Spanned::new(value.span(), number))
    }

    /// A number within a range.
    pub(super) fn bounded(
        &mut self,
        key: &'static str,
        range: RangeInclusive<f64>,
    ) -> Option<Spanned<f64>> {
        #[cfg(test)]
        super::seen::note(&self.label, |asked| {
            asked.ranges.insert(key, (*range.start(), *range.end()));
        });
        let value = self.number(key)?;
        if range.contains(value.get_ref()) {
            return Some(value);
        }
        let (low, high) = range.into_inner();
        let what = format!("{}: `{key}` is out of range", self.label);
        self.report.problem(&value.span(), what, format!("write a number from {low} to {high}"));
        None
    }

    /// One of a few words. What was written instead is not quoted: it may be a misplaced secret.
    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        options: &[(&'static str, T)],
    ) -> Option<Spanned<T>> {
        #[cfg(test)]
        super::seen::note(&self.label, |asked| {
            let words = options.iter().map(|(word, _)| *word).collect();
            asked.words.insert(key.to_owned(), words);
        });
        let value = self.string(key)?;
        self.pick(key, &value, options)
    }

    /// The option that a text is.
    pub(super) fn pick<T: Copy>(
        &self,
        key: &str,
        value: &Spanned<String>,
        options: &[(&'static str, T)],
    ) -> Option<Spanned<T>> {
        let found = options.iter().find(|(word, _)| word == value.get_ref());
        if let Some((_, option)) = found {
            return Some(Spanned::new(value.span(), *option));
        }
        let words: Vec<&str> = options.iter().map(|(word, _)| *word).collect();
        let hint = did_you_mean(value.get_ref(), words.iter().copied())
            .map_or_else(String::new, |word| format!(" (did you mean `{word}`?)"));
        self.report.problem(
            &value.span(),
            format!("{}: `{key}` has a value that is not known", self.label),
            format!("write {}{hint}", one_of(&words)),
        );
        None
    }

    /// A table below this one.
    pub(super) fn table(&mut self, key: &'static str, label: &str) -> Option<Self> {
        let value = self.take(key)?;
        self.open(key, value, label)
    }

    fn open(&self, key: &str, value: Spanned<DeValue<'t>>, label: &str) -> Option<Self> {
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(entries) => {
                let label = label.to_owned();
                Some(Self { report: self.report, label, span, entries, known: Vec::new() })
            }
            other => {
                self.wrong(key, &Spanned::new(span, other), Kind::Table);
                None
            }
        }
    }

    /// The tables of `[[key]]`, and whether it was written as one single table.
    pub(super) fn tables(&mut self, key: &'static str) -> (Vec<Self>, bool) {
        let Some(value) = self.take(key) else { return (Vec::new(), false) };
        let (span, label) = (value.span(), format!("[[{key}]]"));
        match value.into_inner() {
            DeValue::Array(entries) => {
                let each = entries.into_iter();
                (each.filter_map(|entry| self.open(key, entry, &label)).collect(), false)
            }
            other => {
                let one = self.open(key, Spanned::new(span, other), &label);
                (one.into_iter().collect(), true)
            }
        }
    }

    /// Everything left as tables by name: for tables whose keys are names.
    pub(super) fn named_tables(mut self) -> Vec<(Spanned<String>, Self)> {
        let entries = std::mem::take(&mut self.entries);
        let open = |(key, value): (Spanned<Cow<'t, str>>, Spanned<DeValue<'t>>)| {
            let name = Spanned::new(key.span(), key.into_inner().into_owned());
            let label = format!("{}.\"{}\"]", self.label.trim_end_matches(']'), name.get_ref());
            let table = self.open(name.get_ref(), value, &label)?;
            Some((name, table))
        };
        entries.into_iter().filter_map(open).collect()
    }

    /// Everything left as secrets by name.
    pub(super) fn named_secrets(mut self) -> Vec<(Spanned<String>, Spanned<Secret>)> {
        let entries = std::mem::take(&mut self.entries);
        let open = |(key, value): (Spanned<Cow<'t, str>>, Spanned<DeValue<'t>>)| {
            let name = Spanned::new(key.span(), key.into_inner().into_owned());
            let (span, kind) = (value.span(), kind(&value));
            let Some(text) = secret(value.into_inner()) else {
                self.wrong_kind(name.get_ref(), &span, kind, Kind::String);
                return None;
            };
            Some((name, Spanned::new(span, text)))
        };
        entries.into_iter().filter_map(open).collect()
    }

    /// Refuses a key of a later version's feature: ignoring it would promise what is not done.
    pub(super) fn refuse(&mut self, key: &'static str, remedy: &str) {
        #[cfg(test)]
        super::seen::note(&self.label, |asked| {
            asked.refused.insert(key);
        });
        if let Some(value) = self.take(key) {
            let what = format!("{}: `{key}` is not supported yet", self.label);
            self.report.problem(&value.span(), what, remedy);
        }
    }

    /// Reports every key that nobody took.
    pub(super) fn finish(self) {
        #[cfg(test)]
        super::seen::note(&self.label, |asked| asked.keys.extend(&self.known));
        for key in self.entries.keys() {
            let known = self.known.iter().copied();
            let remedy = match did_you_mean(key.get_ref(), known) {
                Some(word) => format!("did you mean `{word}`?"),
                None => format!("take it out; known are {}", one_of(&self.known)),
            };
            let what = format!("{}: unknown key `{}`", self.label, key.get_ref().escape_debug());
            self.report.problem(&key.span(), what, remedy);
        }
    }
}

/// A text that may be a key. `Debug` would show it, so it goes into no type that has one.
pub(super) type Secret = Zeroizing<String>;

/// A text with escapes has a buffer of its own, which is taken over; any other is a piece of the
/// file, which whoever read it wipes. What the parser itself copied on the way is out of reach.
fn secret(value: DeValue<'_>) -> Option<Secret> {
    match value {
        DeValue::String(text) => Some(Zeroizing::new(text.into_owned())),
        _ => None,
    }
}

#[derive(Clone, Copy)]
enum Kind {
    String,
    Strings,
    Boolean,
    Integer,
    Number,
    Table,
}

impl Kind {
    fn noun(self) -> &'static str {
        match self {
            Self::String => "text",
            Self::Strings => "a list of texts",
            Self::Boolean => "true or false",
            Self::Integer => "a whole number",
            Self::Number => "a number",
            Self::Table => "a table",
        }
    }

    fn remedy(self) -> &'static str {
        match self {
            Self::String => "write it in quotes",
            Self::Strings => "write it as `[\"a\", \"b\"]`",
            Self::Boolean => "write true or false, without quotes",
            Self::Integer => "write digits only, without quotes",
            Self::Number => "write a number, without quotes",
            Self::Table => "write its keys below a header in brackets",
        }
    }
}

fn kind(value: &Spanned<DeValue<'_>>) -> &'static str {
    match value.get_ref() {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a decimal number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
