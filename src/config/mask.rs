//! A line of a file as it may be shown: numbers, names, paths and the structure, since a mistake has
//! to be seen, and no value that could be a secret or somebody's prompt, as the schema says
//! (`values.rs`), and of keys that nobody knows their names (`keys.rs`). Of a file that cannot be read
//! the same, as far as its words show it (`unparsed.rs`). Pure.

mod keys;
mod unparsed;
mod values;

use std::{cmp::Reverse, ops::Range};

use toml::de::DeTable;

use super::{
    diagnostic::{SourceLine, Spot},
    schema::{Rule, Use},
    tree::{Entry, Node, Value, offsets},
};
use crate::types::keys_in;
use keys::meant;
use values::{HIDDEN, shown};

/// The stretches of a text that are not shown, in their order, and what stands for each.
#[derive(Default)]
pub(super) struct Mask {
    hidden: Hidden,
}

/// A line of a text.
pub(super) struct Line {
    /// The number of the line, from 1.
    pub(super) number: usize,
    /// The line in bytes, without its line break and a byte order mark.
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

/// What to hide in a config, its comments among it: they say what they like.
pub(super) fn toml(text: &str) -> Mask {
    of_toml(text, |mark, _| vec![(mark, String::new())])
}

/// A whole config as it may be shown on a screen. Of its comments only that is hidden which could be
/// a secret, as far as words show it, or which is one that stands elsewhere.
pub(crate) fn shown_whole(text: &str) -> String {
    let mask = of_toml(text, |comment, secrets| comment_hidden(text, &comment, secrets));
    let mut shown = String::with_capacity(text.len());
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        shown.push_str(&mask.line(text, &line_of(text, at).range, at..at).text);
        shown.push('\n');
        at = at.saturating_add(line.len());
    }
    shown
}

/// What of the comments of a config could be a secret, or is one of these; `strings`: where a `#` begins
/// none, in their order.
pub(super) fn comments_hidden(text: &str, strings: &[Range<usize>], secrets: &[&str]) -> Hidden {
    let comments = comments(text, strings).into_iter();
    comments.flat_map(|comment| comment_hidden(text, &comment, secrets)).collect()
}

fn comment_hidden(text: &str, comment: &Range<usize>, secrets: &[&str]) -> Hidden {
    let inner = comment.start.saturating_add(1)..comment.end;
    let mut hidden = unparsed::hidden(text, inner.clone());
    let within = text.get(comment.clone()).unwrap_or_default();
    for secret in secrets {
        hidden.extend(within.match_indices(*secret).map(|(at, _)| {
            let start = comment.start.saturating_add(at);
            (start..start.saturating_add(secret.len()), HIDDEN.to_owned())
        }));
    }
    let keys = keys_in(text.get(inner.clone()).unwrap_or_default()).into_iter();
    hidden.extend(keys.map(|Range { start, end }| {
        let at = |offset: usize| inner.start.saturating_add(offset);
        (at(start)..at(end), HIDDEN.to_owned())
    }));
    hidden
}

/// Stretches of a text, and what stands for each.
pub(super) type Hidden = Vec<(Range<usize>, String)>;

/// `of_comment`: what to hide of a comment, where these secrets are written out.
fn of_toml(text: &str, of_comment: impl Fn(Range<usize>, &[&str]) -> Hidden) -> Mask {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Mask::of(text, unparsed::hidden(text, 0..text.len()));
    }
    let mut walk = Walk { text, hidden: Vec::new(), strings: Vec::new() };
    walk.value(&Node::of_toml(table), Known::Rule(Rule::of_config()));
    let Walk { mut hidden, mut strings, .. } = walk;
    strings.sort_by_key(|range| range.start);
    let written = hidden.iter().filter_map(|(range, _)| text.get(range.clone()));
    let secrets: Vec<&str> = written
        .map(|text| text.trim_matches(['"', '\'']))
        .filter(|text| !text.is_empty())
        .collect();
    let comments = comments(text, &strings).into_iter();
    let comments: Hidden = comments.flat_map(|comment| of_comment(comment, &secrets)).collect();
    hidden.extend(comments);
    Mask::of(text, hidden)
}

/// What to hide in a plan of its own file.
pub(super) fn json(text: &str) -> Mask {
    let Ok(node) = Node::of_json(text, &|at| at) else {
        return Mask::of(text, unparsed::hidden(text, 0..text.len()));
    };
    let mut walk = Walk { text, hidden: Vec::new(), strings: Vec::new() };
    walk.value(&node, Known::Rule(Rule::of_plan()));
    Mask::of(text, walk.hidden)
}

impl Mask {
    /// Hides these stretches, and what else looks like a key: a name, or a key of a table.
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
    /// The first character of the stretch in `text`, and the one behind it.
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

/// What is known of a value.
#[derive(Clone, Copy)]
enum Known {
    /// What the schema says of it.
    Rule(Rule),
    /// What its key, or that of a table around it, is probably for.
    Use(Option<Use>),
}

impl Known {
    fn use_(self) -> Option<Use> {
        match self {
            Self::Rule(rule) => Some(rule.shown()),
            Self::Use(use_) => use_,
        }
    }
}

/// Goes through a file's values.
struct Walk<'t> {
    text: &'t str,
    hidden: Vec<(Range<usize>, String)>,
    /// The stretches in which a `#` begins no comment.
    strings: Vec<Range<usize>>,
}

impl Walk<'_> {
    fn value(&mut self, node: &Node, known: Known) {
        let use_ = known.use_();
        match &node.value {
            Value::Table(entries) => self.table(entries, known),
            Value::List(entries) => {
                let inner = match known {
                    Known::Rule(rule) => rule.items().map(Known::Rule),
                    Known::Use(_) => None,
                };
                entries
                    .iter()
                    .for_each(|entry| self.value(entry, inner.unwrap_or(Known::Use(use_))));
            }
            Value::Text(text) => self.string(node.span.clone(), text, known),
            Value::Integer(_) | Value::Float(_) | Value::Date if use_ == Some(Use::Key) => {
                self.hidden.push((node.span.clone(), HIDDEN.to_owned()));
            }
            Value::Null | Value::Boolean(_) | Value::Integer(_) | Value::Float(_) | Value::Date => {
            }
        }
    }

    fn table(&mut self, entries: &[Entry], known: Known) {
        let has = |key: &str| entries.iter().any(|entry| entry.key == key);
        for entry in entries {
            self.strings.push(entry.at.clone());
            let known_rule = match known {
                Known::Rule(rule) => rule.branch(has).0.property(&entry.key).map(Known::Rule),
                Known::Use(_) => None,
            };
            // Whatever stands below a secret is one.
            let inner = match known.use_() {
                Some(Use::Key) => Known::Use(Some(Use::Key)),
                _ => known_rule.unwrap_or_else(|| Known::Use(meant(&entry.key))),
            };
            self.value(&entry.node, inner);
        }
    }

    fn string(&mut self, span: Range<usize>, text: &str, known: Known) {
        self.strings.push(span.clone());
        let use_ = known.use_();
        if use_ == Some(Use::Plan) {
            self.plan(&span, text, known);
        } else if let Some(instead) = shown(use_, text) {
            self.hidden.push((span, format!("\"{instead}\"")));
        }
    }

    /// The plan that a string of the config holds.
    fn plan(&mut self, span: &Range<usize>, text: &str, known: Known) {
        let written = self.text.get(span.clone()).unwrap_or_default();
        let offsets = offsets(written, text);
        let at = |offset: usize| {
            let within = offsets.as_ref().and_then(|offsets| offsets.get(offset));
            within.map_or(span.start, |within| within.saturating_add(span.start))
        };
        let rule = match known {
            Known::Rule(rule) => rule.content(),
            Known::Use(_) => None,
        };
        match Node::of_json(text, &at) {
            Ok(node) if offsets.is_some() => {
                self.value(&node, Known::Rule(rule.unwrap_or_else(Rule::of_plan)));
            }
            _ => self.hidden.extend(unparsed::hidden(self.text, span.clone())),
        }
    }
}

/// The stretches of comments.
fn comments(text: &str, strings: &[Range<usize>]) -> Vec<Range<usize>> {
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
                found.push(mark..at);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
