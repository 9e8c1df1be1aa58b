//! Where things are in a plan's text: every key and value of its JSON with its path, and the JSON
//! within a string of the config.

use std::{collections::HashMap, ops::Range};

/// A value of a JSON text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct Entry {
    /// As problems call it: `workers[2].ref`.
    pub(in crate::config) path: String,
    /// The last key of the path; empty for the whole.
    pub(in crate::config) key: String,
    /// The key as it is written, with its quotes; `None` for an entry of a list.
    pub(in crate::config) written: Option<Range<usize>>,
    /// The value as it is written.
    pub(in crate::config) value: Range<usize>,
    pub(in crate::config) kind: Kind,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) enum Kind {
    Container,
    Text(String),
    Number,
    /// `true`, `false` or `null`.
    Bare,
}

impl Entry {
    /// The paths of what it is in, from the inside out; the whole is not among them.
    pub(in crate::config) fn above(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(parent(&self.path), |path| parent(path))
    }
}

/// The path of what a path's end is in.
pub(super) fn parent(path: &str) -> Option<&str> {
    let at = path.rfind(['.', '['])?;
    path.get(..at)
}

/// Every value of a text, the outer before the inner; `None`: it is not JSON.
pub(in crate::config) fn entries(text: &str) -> Option<Vec<Entry>> {
    // Whatever comes through here is sound, and not nested too deep to be walked.
    serde_json::from_str::<serde_json::Value>(text).ok()?;
    let mut scan = Scan { text, at: 0, found: Vec::new() };
    scan.value(String::new(), "", None)?;
    Some(scan.found)
}

struct Scan<'t> {
    text: &'t str,
    at: usize,
    found: Vec<Entry>,
}

impl Scan<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
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

    fn value(&mut self, path: String, key: &str, written: Option<Range<usize>>) -> Option<()> {
        let first = self.peek()?;
        let (start, place) = (self.at, self.found.len());
        let kind = match first {
            '{' | '[' => Kind::Container,
            '"' => Kind::Text(String::new()),
            '-' | '0'..='9' => Kind::Number,
            _ => Kind::Bare,
        };
        let entry = Entry { path: path.clone(), key: key.to_owned(), written, value: 0..0, kind };
        self.found.push(entry);
        let text = match first {
            '{' => self.object(&path).map(|()| None)?,
            '[' => self.list(&path, key).map(|()| None)?,
            '"' => Some(self.string()?.0),
            _ => {
                let ends = |letter: char| BLANKS.contains(&letter) || ",]}".contains(letter);
                let length = self.rest().find(ends).unwrap_or(self.rest().len());
                self.at = self.at.saturating_add(length);
                None
            }
        };
        let entry = self.found.get_mut(place)?;
        entry.value = start..self.at;
        if let Some(text) = text {
            entry.kind = Kind::Text(text);
        }
        Some(())
    }

    fn object(&mut self, path: &str) -> Option<()> {
        self.pass('{');
        if self.pass('}') {
            return Some(());
        }
        loop {
            self.peek()?;
            let (key, written) = self.string()?;
            self.pass(':');
            let shown = key.escape_debug();
            let path = if path.is_empty() { shown.to_string() } else { format!("{path}.{shown}") };
            self.value(path, &key, Some(written))?;
            if !self.pass(',') {
                return self.pass('}').then_some(());
            }
        }
    }

    fn list(&mut self, path: &str, key: &str) -> Option<()> {
        self.pass('[');
        if self.pass(']') {
            return Some(());
        }
        for index in 0_usize.. {
            self.value(format!("{path}[{index}]"), key, None)?;
            if !self.pass(',') {
                break;
            }
        }
        self.pass(']').then_some(())
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
        Some((text, start..self.at))
    }
}

const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

/// Where in a config's string, as it is written with its quotes, each byte of its text stands; one
/// more for its end. `None` when the two do not fit.
pub(in crate::config) fn offsets(written: &str, text: &str) -> Option<Vec<usize>> {
    let quotes = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|it| written.starts_with(it))?;
    let end = written.len().checked_sub(quotes.len())?;
    let mut at = quotes.len();
    if quotes.len() == 3 {
        let body = written.get(at..end)?;
        let rest = body.strip_prefix("\r\n").or_else(|| body.strip_prefix('\n')).unwrap_or(body);
        at = end.checked_sub(rest.len())?;
    }
    let escapes = quotes.starts_with('"');
    let mut found = Vec::with_capacity(text.len().saturating_add(1));
    let mut letters = text.chars().peekable();
    while at < end {
        let rest = written.get(at..end)?;
        let first = rest.chars().next()?;
        let length = if escapes && first == '\\' { escape(rest)? } else { Written::Of(1) };
        let bytes = match length {
            Written::Nothing(bytes) => bytes,
            Written::Of(_) if first == '\r' && letters.peek() != Some(&'\r') => 1,
            Written::Of(chars) => {
                let letter = letters.next()?;
                found.extend(std::iter::repeat_n(at, letter.len_utf8()));
                rest.chars().take(chars).map(char::len_utf8).sum()
            }
        };
        at = at.checked_add(bytes)?;
    }
    found.push(at);
    (letters.next().is_none() && found.len() == text.len().saturating_add(1)).then_some(found)
}

/// What a stretch of a string as it is written stands for.
enum Written {
    /// So many bytes: a line that goes on below.
    Nothing(usize),
    /// So many characters: one letter.
    Of(usize),
}

fn escape(rest: &str) -> Option<Written> {
    let after = rest.strip_prefix('\\')?;
    Some(match after.chars().next()? {
        'x' => Written::Of(4),
        'u' => Written::Of(6),
        'U' => Written::Of(10),
        ' ' | '\t' | '\n' | '\r' => {
            let blank = after.len().saturating_sub(after.trim_start_matches(BLANKS).len());
            Written::Nothing(blank.saturating_add(1))
        }
        _ => Written::Of(2),
    })
}

/// Where a plan's keys and values are, by path, in bytes of the file that holds the plan.
#[derive(Clone, Debug, Default)]
pub(in crate::config) struct Spots {
    by_path: HashMap<String, (Option<Range<usize>>, Range<usize>)>,
}

impl Spots {
    /// Of a text whose bytes stand at `at` in the file.
    pub(super) fn of(text: &str, at: impl Fn(usize) -> Option<usize>) -> Self {
        let place = |range: &Range<usize>| Some(at(range.start)?..at(range.end)?);
        let by_path = entries(text).into_iter().flatten().filter_map(|entry| {
            let written = entry.written.as_ref().and_then(place);
            Some((entry.path, (written, place(&entry.value)?)))
        });
        Self { by_path: by_path.collect() }
    }

    /// Notes where a value is written.
    pub(in crate::config) fn insert(&mut self, path: impl Into<String>, value: Range<usize>) {
        self.by_path.insert(path.into(), (None, value));
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
        let found: Vec<(String, String, &str)> = entries(text)
            .unwrap()
            .into_iter()
            .skip(1)
            .map(|entry| (entry.path, entry.key, text.get(entry.value).unwrap()))
            .collect();
        let owned = |path: &str, key: &str| (path.to_owned(), key.to_owned());
        let want = [
            (owned("workers", "workers"), text.get(13..text.len() - 2).unwrap()),
            (owned("workers[0]", "workers"), "\"a\""),
            (owned("workers[1]", "workers"), text.get(19..text.len() - 3).unwrap()),
            (owned("workers[1].ref", "ref"), "\"b\\\"\""),
            (owned("workers[1].fallback", "fallback"), "[\"c\"]"),
            (owned("workers[1].fallback[0]", "fallback"), "\"c\""),
            (owned("workers[1].键", "键"), "[1.5, null]"),
            (owned("workers[1].键[0]", "键"), "1.5"),
            (owned("workers[1].键[1]", "键"), "null"),
        ];
        let want: Vec<_> = want.into_iter().map(|((path, key), text)| (path, key, text)).collect();
        assert_eq!(found, want);
        let above: Vec<String> =
            entries(text).unwrap().pop().unwrap().above().map(str::to_owned).collect();
        assert_eq!(above, ["workers[1].键", "workers[1]", "workers"]);
        assert_eq!(entries("{ \"a\": }"), None);
    }

    #[test]
    fn a_text_is_found_in_its_string_however_it_is_written() {
        for (written, text, byte, at) in [
            ("'{\"a\":1}'", "{\"a\":1}", 1, Some(2)),
            ("\"{\\\"a\\\":1}\"", "{\"a\":1}", 2, Some(4)),
            ("'''\n{\"a\":1}'''", "{\"a\":1}", 0, Some(4)),
            ("\"\"\"\r\n{\r\n}\"\"\"", "{\n}", 2, Some(8)),
            ("\"\"\"\r\n{\r\n}\"\"\"", "{\r\n}", 3, Some(8)),
            ("\"\"\"a\\\n   b\"\"\"", "ab", 1, Some(9)),
            ("\"\\u4f60b\"", "你b", 3, Some(7)),
            ("\"ab\"", "abc", 0, None),
        ] {
            let found = offsets(written, text).and_then(|found| found.get(byte).copied());
            assert_eq!(found, at, "{written}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn offsets_are_those_of_the_parser(text in "(?s)[a-z\"'\\\\\n\t 键\u{7f}]{0,24}") {
            let written = toml_edit::Value::from(text.clone()).to_string();
            let found = offsets(&written, &text);
            prop_assert!(found.is_some(), "{}", written);
            let found = found.unwrap();
            prop_assert!(found.is_sorted());
            for (offset, letter) in text.char_indices().filter(|(_, letter)| letter.is_ascii_lowercase()) {
                prop_assert!(written.get(found[offset]..).unwrap().starts_with(letter), "{} at {}", written, offset);
            }
        }

        #[test]
        fn any_text_is_walked_or_refused(text in "(?s)[\\[\\]{}:,\"\\\\a1 ]{0,32}") {
            let sound = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            prop_assert_eq!(entries(&text).is_some(), sound);
        }
    }
}
