//! A line of a file as it may be shown: numbers, names, paths and the structure, since a mistake has
//! to be seen, and no value that could be a secret or somebody's prompt (`words.rs`, `values.rs`). Of
//! a file that cannot be read the same, as far as its words tell (`unread.rs`). Pure.

mod unread;
mod values;
mod words;

use std::{cmp::Reverse, collections::HashSet, ops::Range};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    diagnostic::{SourceLine, Spot},
    plan::{Entry, Kind, entries, offsets},
};
use crate::types::keys_in;
use values::{HIDDEN, shown};
use words::{Use, meant};

/// The stretches of a text that are not shown, in their order, and what stands for each.
#[derive(Default)]
pub(super) struct Mask {
    hidden: Vec<(Range<usize>, String)>,
}

/// A line of a text.
pub(super) struct Line {
    /// From 1.
    pub(super) number: usize,
    /// In bytes, without its line break and a byte order mark.
    range: Range<usize>,
}

/// The line that a byte is in.
pub(super) fn line_of(text: &str, at: usize) -> Line {
    let before = text.get(..at.min(text.len())).unwrap_or(text);
    let mark = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let start = before.rfind('\n').map_or(mark, |end| end.saturating_add(1));
    let rest = text.get(start..).unwrap_or_default();
    let line = rest.split('\n').next().unwrap_or_default();
    let line = line.strip_suffix('\r').unwrap_or(line);
    let number = before.bytes().filter(|byte| *byte == b'\n').count().saturating_add(1);
    Line { number, range: start..start.saturating_add(line.len()) }
}

/// What to hide in a config.
pub(super) fn toml(text: &str) -> Mask {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Mask::of(text, unread::hidden(text, 0..text.len()));
    }
    let mut walk = Walk { text, hidden: Vec::new(), strings: Vec::new() };
    walk.table(table.get_ref(), None);
    let Walk { mut hidden, mut strings, .. } = walk;
    strings.sort_by_key(|range| range.start);
    hidden.extend(comments(text, &strings));
    Mask::of(text, hidden)
}

/// What to hide in a plan of its own file.
pub(super) fn json(text: &str) -> Mask {
    Mask::of(text, plan(text).unwrap_or_else(|| unread::hidden(text, 0..text.len())))
}

impl Mask {
    /// With what looks like a key and is in none of these stretches: a name, or a key of a table.
    fn of(text: &str, mut hidden: Vec<(Range<usize>, String)>) -> Self {
        hidden.extend(keys_in(text).into_iter().map(|range| (range, HIDDEN.to_owned())));
        // Of two that begin together, the longer one stands for both.
        hidden.sort_by_key(|(range, _)| (range.start, Reverse(range.end)));
        Self { hidden }
    }

    /// A stretch of `text`, as far as it is in the line it begins in, and that line.
    pub(super) fn spot(&self, text: &str, span: &Range<usize>) -> Spot {
        let Line { number, range } = line_of(text, span.start);
        let (start, end) = (span.start.max(range.start), span.end.min(range.end));
        let chars = |range: Range<usize>| text.get(range).unwrap_or_default().chars().count();
        let column = chars(range.start..start).saturating_add(1);
        let length = chars(start..end).max(1);
        let source = self.line(text, &range, start..end.max(start));
        Spot { line: number, column, length, source }
    }

    fn line(&self, text: &str, line: &Range<usize>, span: Range<usize>) -> SourceLine {
        let mut shown = Shown { text: String::new(), chars: 0, from: None, to: 0, span };
        let mut at = line.start;
        for (range, instead) in &self.hidden {
            if range.end <= at || range.start >= line.end {
                continue;
            }
            let (from, to) = (range.start.max(at), range.end.min(line.end));
            shown.plain(at, text.get(at..from).unwrap_or_default());
            shown.hidden(from..to, instead);
            at = to;
        }
        shown.plain(at, text.get(at..line.end).unwrap_or_default());
        shown.finish()
    }
}

/// A masked line that is being put together.
struct Shown {
    text: String,
    chars: usize,
    /// Where the stretch begins and ends in `text`, in characters.
    from: Option<usize>,
    to: usize,
    /// The stretch in the file, in bytes.
    span: Range<usize>,
}

impl Shown {
    fn plain(&mut self, start: usize, text: &str) {
        for (offset, letter) in text.char_indices() {
            self.piece(start.saturating_add(offset), letter.len_utf8(), 1);
            self.text.push(if is_shown(letter) { letter } else { '\u{fffd}' });
        }
    }

    fn hidden(&mut self, range: Range<usize>, instead: &str) {
        self.piece(range.start, range.len(), instead.chars().count());
        self.text.push_str(instead);
    }

    /// So many bytes of the file become so many characters.
    fn piece(&mut self, start: usize, bytes: usize, chars: usize) {
        let (from, end) = (self.chars, self.chars.saturating_add(chars));
        let inside = start < self.span.end && start.saturating_add(bytes) > self.span.start;
        if inside || (self.span.is_empty() && start == self.span.start) {
            self.from.get_or_insert(from);
            self.to = end;
        }
        self.chars = end;
    }

    fn finish(self) -> SourceLine {
        let text = self.text.trim_end().to_owned();
        let from = self.from.unwrap_or(self.chars);
        SourceLine {
            text,
            column: from.saturating_add(1),
            length: self.to.saturating_sub(from).max(1),
        }
    }
}

/// No character that moves a terminal's cursor, or turns the direction of writing.
fn is_shown(letter: char) -> bool {
    let turns = matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}');
    letter == '\t' || !(letter.is_control() || turns)
}

/// Goes through a config's values.
struct Walk<'t> {
    text: &'t str,
    hidden: Vec<(Range<usize>, String)>,
    /// Where a `#` begins no comment.
    strings: Vec<Range<usize>>,
}

impl Walk<'_> {
    /// `around`: what the key of the table is for.
    fn table(&mut self, table: &DeTable<'_>, around: Option<Use>) {
        for (key, value) in table {
            self.strings.push(key.span());
            let use_ = match around {
                Some(Use::Key) => Some(Use::Key),
                // Their keys are names.
                Some(Use::Hosts) => Some(Use::Section),
                _ => meant(key.get_ref()),
            };
            self.value(value, use_);
        }
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, use_: Option<Use>) {
        match value.get_ref() {
            DeValue::Table(table) => self.table(table, use_),
            DeValue::Array(entries) => {
                entries.iter().for_each(|entry| self.value(entry, use_));
            }
            DeValue::String(text) => self.string(value.span(), text, use_),
            DeValue::Boolean(_) => {}
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Datetime(_) => {
                if use_ == Some(Use::Key) {
                    self.hidden.push((value.span(), HIDDEN.to_owned()));
                }
            }
        }
    }

    fn string(&mut self, span: Range<usize>, text: &str, use_: Option<Use>) {
        let written = self.text.get(span.clone()).unwrap_or_default();
        self.strings.push(span.clone());
        if use_ == Some(Use::Plan) {
            self.hidden.extend(plan_in(written, text, &span));
            return;
        }
        if let Some(instead) = shown(use_, text) {
            self.hidden.push((span, format!("\"{instead}\"")));
        }
    }
}

/// What to hide of the plan that a string of the config holds.
fn plan_in(written: &str, text: &str, span: &Range<usize>) -> Vec<(Range<usize>, String)> {
    let found = plan(text).zip(offsets(written, text));
    let Some((hidden, offsets)) = found else {
        return unread::hidden(written, 0..written.len())
            .into_iter()
            .map(|(range, text)| (moved(&range, span.start), text))
            .collect();
    };
    let at = |offset: usize| offsets.get(offset).map(|at| at.saturating_add(span.start));
    let place = |(range, text): (Range<usize>, String)| {
        // An escaped quote ends where the next character begins.
        Some((at(range.start)?..at(range.end)?, text))
    };
    hidden.into_iter().filter_map(place).collect()
}

fn moved(range: &Range<usize>, by: usize) -> Range<usize> {
    range.start.saturating_add(by)..range.end.saturating_add(by)
}

/// What to hide of a plan; `None`: it is not JSON.
fn plan(text: &str) -> Option<Vec<(Range<usize>, String)>> {
    let entries = entries(text)?;
    let use_of = |entry: &Entry| if entry.key.is_empty() { None } else { meant(&entry.key) };
    let is_secret = |entry: &&Entry| use_of(entry) == Some(Use::Key);
    let secret: HashSet<&str> =
        entries.iter().filter(is_secret).map(|entry| entry.path.as_str()).collect();
    let hide = |entry: &Entry| {
        let is_below = entry.above().any(|path| secret.contains(path));
        let use_ = if is_below { Some(Use::Key) } else { use_of(entry) };
        let text = match &entry.kind {
            Kind::Container | Kind::Bare => None,
            Kind::Number => (use_ == Some(Use::Key)).then(|| HIDDEN.to_owned()),
            Kind::Text(text) => shown(use_, text).map(|text| format!("\"{text}\"")),
        };
        text.map(|text| (entry.value.clone(), text))
    };
    Some(entries.iter().filter_map(hide).collect())
}

/// Comments say what they like, so they are left out.
fn comments(text: &str, strings: &[Range<usize>]) -> Vec<(Range<usize>, String)> {
    let mut found = Vec::new();
    let mut strings = strings.iter().peekable();
    let mut at = 0;
    while let Some(mark) = text.get(at..).and_then(|rest| rest.find('#')) {
        let mark = mark.saturating_add(at);
        while strings.peek().is_some_and(|string| string.end <= mark) {
            strings.next();
        }
        match strings.peek() {
            Some(string) if string.contains(&mark) => at = string.end,
            _ => {
                at = line_of(text, mark).range.end.max(mark.saturating_add(1));
                found.push((mark..at, String::new()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
