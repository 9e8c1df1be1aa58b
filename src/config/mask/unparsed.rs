//! What to hide of a text that cannot be read as TOML or JSON. Its quotes may be where they do not
//! belong, so nothing is sure but the order of the words on a line: what follows the name of a
//! secret or of a prompt is hidden, to the end of the line and of its brackets; other words are
//! judged by the key before them.

use std::ops::Range;

use super::{keys, values::shown};
use crate::config::{fullwidth, schema::Use};

/// The stretches to hide, within `range`.
pub(super) fn hidden(text: &str, range: Range<usize>) -> Vec<(Range<usize>, String)> {
    let (hidden, secret) = (Vec::new(), Secret::No);
    let mut scan = Scan { hidden, use_: None, is_behind_sign: false, depth: 0, secret };
    let mut at = range.start;
    for line in text.get(range).unwrap_or_default().split_inclusive('\n') {
        scan.line(line, at);
        at = at.saturating_add(line.len());
    }
    scan.hidden
}

/// Whether what comes next is hidden whatever it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Secret {
    No,
    /// Until this line ends.
    Line,
    /// Until the brackets that were open so deep are closed.
    Deeper(usize),
    /// Until three quotes.
    Quoted,
}

struct Scan {
    hidden: Vec<(Range<usize>, String)>,
    /// What the key before is for.
    use_: Option<Use>,
    /// Whether a value comes next, if anything is where it belongs.
    is_behind_sign: bool,
    depth: usize,
    secret: Secret,
}

impl Scan {
    fn line(&mut self, line: &str, start: usize) {
        let quotes = ["\"\"\"", "'''"].map(|three| line.matches(three).count());
        let opens_quotes = quotes.iter().any(|count| count % 2 == 1);
        let depth = self.depth;
        let is_rest = self.use_ == Some(Use::Key) && goes_on(line);
        if depth == 0 && self.secret != Secret::Quoted && !is_rest {
            (self.use_, self.is_behind_sign, self.secret) = (None, false, Secret::No);
        }
        if is_key(line) {
            // Its key was cut off.
            self.use_ = None;
        }
        let was_quoted = self.secret == Secret::Quoted;
        let mut from = None;
        let mut before = '\n';
        let ends = line.char_indices().chain([(line.len(), '\n')]);
        for (offset, letter) in ends {
            let rest = line.get(offset..).unwrap_or_default();
            if letter == '#' && before.is_whitespace() {
                let end = offset.saturating_add(rest.trim_end_matches(['\r', '\n']).len());
                self.hide(start, offset..end, "");
                break;
            }
            if !is_plain(letter, before, rest) {
                from.get_or_insert(offset);
            } else if let Some(from) = from.take() {
                self.word(line, start, from..offset);
            }
            match fullwidth::ascii(letter).unwrap_or(letter) {
                '{' | '[' => {
                    self.depth = self.depth.saturating_add(1);
                    self.is_behind_sign = false;
                }
                ',' if self.depth > 0 => self.is_behind_sign = false,
                '}' | ']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if matches!(self.secret, Secret::Deeper(deep) if self.depth < deep) {
                        self.secret = Secret::Line;
                    }
                }
                _ => {}
            }
            before = letter;
        }
        self.secret = match self.secret {
            Secret::Quoted if was_quoted && opens_quotes => Secret::No,
            Secret::Quoted => Secret::Quoted,
            _ if self.secret != Secret::No && opens_quotes && depth == 0 => Secret::Quoted,
            // What began on this line goes on below only where its brackets or quotes are open.
            Secret::Line if self.depth <= depth && !is_open(line) => Secret::No,
            Secret::Line => Secret::Deeper(self.depth.max(1)),
            secret => secret,
        };
    }

    fn word(&mut self, line: &str, start: usize, range: Range<usize>) {
        let word = line.get(range.clone()).unwrap_or_default();
        let is_sign = is_key(line.get(range.end..).unwrap_or_default());
        let is_key = is_sign && !self.is_behind_sign && word.chars().all(is_part_of_key);
        let is_known = keys::use_of(word).is_some();
        if self.secret != Secret::No {
            // Anything but the name of a key may be a part of the secret.
            if let Some(instead) = shown(Some(Use::Key), word).filter(|_| !(is_key && is_known)) {
                self.hide(start, range, &instead);
            }
            return;
        }
        if let Some(instead) = shown(self.use_, word).filter(|_| !is_key && !is_known) {
            self.hide(start, range, &instead);
        }
        if is_sign {
            // What is only like a name may be the rest of another one.
            self.use_ = keys::use_of(word);
            self.is_behind_sign = true;
        }
        // Also without a sign behind it, which may be what is missing.
        if keys::is_secret(word) || (is_sign && keys::meant(word) == Some(Use::Key)) {
            (self.use_, self.secret) = (Some(Use::Key), Secret::Line);
        }
    }

    fn hide(&mut self, start: usize, range: Range<usize>, instead: &str) {
        let range = start.saturating_add(range.start)..start.saturating_add(range.end);
        self.hidden.push((range, instead.to_owned()));
    }
}

/// Whether a letter is no part of a word: a blank, a quote, a bracket, a comma or a sign between key
/// and value, of full width too. A colon within `qwen3:8b` or `http://` is one.
fn is_plain(letter: char, before: char, rest: &str) -> bool {
    let plain = fullwidth::ascii(letter).unwrap_or(letter);
    match plain {
        ':' => {
            let mut rest = rest.chars();
            let next = rest.nth(1).unwrap_or('\n');
            let joins = |letter: char| letter.is_alphanumeric() || letter == '/';
            !(before.is_alphanumeric() && joins(next))
        }
        plain => plain.is_whitespace() || "[]{}=,\"'`".contains(plain),
    }
}

fn is_part_of_key(letter: char) -> bool {
    letter.is_alphanumeric() || "_-.".contains(letter)
}

/// Whether a line begins with what no line begins with, neither a key nor a table: it is the rest
/// of the one before.
fn goes_on(line: &str) -> bool {
    let line = fullwidth::folded(line);
    let line = line.trim();
    let is_key = line.split_once(['=', ':']).is_some_and(|(key, _)| {
        let key = key.trim_end();
        !key.is_empty()
            && key.chars().all(|letter| is_part_of_key(letter) || "\"'".contains(letter))
    });
    !(line.is_empty() || line.starts_with(['[', '{', '#']) || is_key)
}

/// Whether what follows a word makes it a key: `=` or `:`, behind its quote and blanks.
fn is_key(rest: &str) -> bool {
    let mut rest = rest.chars().map(|letter| fullwidth::ascii(letter).unwrap_or(letter));
    let next = rest.find(|letter| !(letter.is_whitespace() || matches!(letter, '"' | '\'')));
    matches!(next, Some('=' | ':'))
}

/// Whether a quote is open at the end of a line.
fn is_open(line: &str) -> bool {
    let quotes = line.chars().filter(|letter| fullwidth::ascii(*letter).unwrap_or(*letter) == '"');
    quotes.count() % 2 == 1
}
