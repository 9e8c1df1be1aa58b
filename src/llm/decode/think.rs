//! Splits a model's thoughts off the start of an answer, piece by piece. Pure.
//!
//! Only at the start, block after block: an answer may well talk about the tags. A lone closing tag
//! there (from a template that opened the tag in the prompt) is dropped too. Where in a text such a
//! tag stands is known only of one that has come to its end ([`folded`]), or when the model is
//! configured to begin inside a thought.

mod closing;
pub(in crate::llm) mod folded;
mod tag;

use closing::{Closing, closing};
use tag::{Found, Match, Opening, close_tags, find, matches, opening_tag};

/// What every tag begins with: `<`, `[`, or the first byte of `◁`.
const FIRST: [u8; 3] = [b'<', b'[', 0xe2];
/// What begins a header of harmony, the format of gpt-oss, and what ends it.
const HEADS: [&str; 2] = ["<|start|>", "<|channel|>"];
const HEAD_END: &str = "<|message|>";
/// The channel that is the answer; all others are thoughts.
const FINAL: &str = "<|channel|>final";
/// Most bytes of a header.
const LONGEST_HEAD: usize = 512;
/// What ends a message of harmony.
const ENDS: [&str; 3] = ["<|end|>", "<|return|>", "<|call|>"];

/// The tags between which Cohere's models and OpenThoughts' put their answer.
const RESPONSES: [(&str, &str); 2] =
    [("<|START_RESPONSE|>", "<|END_RESPONSE|>"), ("<|begin_of_solution|>", "<|end_of_solution|>")];

/// Most bytes of white space that are held back before the answer; more are the answer.
const MOST_SPACE: usize = 4096;

/// A piece of the upstream's text, known to be thought or answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Split {
    /// Answer text, never empty.
    Text(String),
    /// Chain of thought, never empty.
    Reasoning(String),
}

/// The part of the answer that is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing but white space, or the beginning of a tag, has come.
    Start,
    /// Between tags, before the first character of the thought.
    Opened(Close),
    /// Between tags.
    Inside(Close),
    /// After a closing tag, before the first character of the answer or of another thought.
    Closed,
    /// A header of harmony's.
    Head,
    /// An answer that has an end: harmony's, or one of [`RESPONSES`].
    Final(Close),
    /// The answer.
    Answer,
}

/// What ends a thought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Close {
    /// This tag.
    Tag(&'static str),
    /// Any of them: the template opened it.
    Any,
    /// The end of a message of harmony's, or the next one.
    Message,
}

/// Fed with text as it streams; holds back only what may still become a tag, and leading space.
#[derive(Debug)]
pub(super) struct ThinkSplitter {
    state: State,
    held: String,
    /// The last character of the thought before that.
    last: Option<char>,
    is_over: bool,
}

impl ThinkSplitter {
    pub(super) fn new() -> Self {
        Self::at(State::Start)
    }

    /// Reads an answer that begins inside a thought.
    pub(super) fn opened() -> Self {
        Self::at(State::Opened(Close::Any))
    }

    /// Never splits: for output that was asked for verbatim.
    pub(super) fn verbatim() -> Self {
        Self::at(State::Answer)
    }

    fn at(state: State) -> Self {
        Self { state, held: String::new(), last: None, is_over: false }
    }

    /// Whether the answer has begun: all that comes is text of it, and need not be pushed.
    pub(super) fn is_answer(&self) -> bool {
        self.state == State::Answer
    }

    /// The upstream sends thoughts in a field of their own: its text does not begin inside one.
    pub(super) fn note_separate_reasoning(&mut self) {
        if self.state == State::Opened(Close::Any) && self.held.is_empty() {
            self.state = State::Start;
        }
    }

    /// Takes a piece and gives what is certain now.
    pub(super) fn push(&mut self, piece: &str) -> Vec<Split> {
        self.held.push_str(piece);
        let mut out = Vec::new();
        while self.step(&mut out) {}
        out
    }

    /// What was held back, once the answer is over. White space alone is no answer.
    pub(super) fn finish(&mut self) -> Vec<Split> {
        self.is_over = true;
        let mut out = self.push("");
        let held = std::mem::take(&mut self.held);
        out.extend(match self.state {
            State::Opened(_) | State::Inside(_) => reasoning(held),
            _ if held.trim().is_empty() => None,
            _ => text(held),
        });
        out
    }

    /// One transition; `false` when nothing more can be said before more text comes.
    fn step(&mut self, out: &mut Vec<Split>) -> bool {
        match self.state {
            State::Start | State::Closed => self.at_start(out),
            State::Opened(close) => self.opening(close),
            State::Inside(Close::Tag(tag)) => self.thought(tag, out),
            State::Inside(close) | State::Final(close) => self.inside(close, out),
            State::Head => self.head(out),
            State::Answer => {
                out.extend(text(std::mem::take(&mut self.held)));
                false
            }
        }
    }

    fn at_start(&mut self, out: &mut Vec<Split>) -> bool {
        if self.state == State::Closed {
            self.held = self.held.trim_start().to_owned();
        }
        let trimmed = self.held.trim_start();
        if self.held.len().saturating_sub(trimmed.len()) > MOST_SPACE {
            self.state = State::Answer;
            return self.step(out);
        }
        // Most answers begin with no tag.
        if trimmed.bytes().next().is_some_and(|first| !FIRST.contains(&first)) {
            self.state = State::Answer;
            return self.step(out);
        }
        let opened = opening_tag(trimmed);
        if let Opening::Tag(close, length) = opened {
            let rest = trimmed.get(length..).unwrap_or_default().to_owned();
            (self.state, self.held) = (State::Opened(Close::Tag(close)), rest);
            return true;
        }
        let closed = close_tags().map(|close| matches(trimmed, close));
        let mut is_begun = matches!(opened, Opening::Begun);
        for found in closed {
            match found {
                Match::Whole(length) => {
                    let rest = trimmed.get(length..).unwrap_or_default().to_owned();
                    (self.state, self.held) = (State::Closed, rest);
                    return true;
                }
                Match::Begun => is_begun = true,
                Match::None => {}
            }
        }
        if HEADS.iter().any(|head| trimmed.starts_with(head)) {
            (self.state, self.held) = (State::Head, trimmed.to_owned());
            return true;
        }
        for (open, close) in RESPONSES {
            if let Some(rest) = trimmed.strip_prefix(open) {
                (self.state, self.held) = (State::Final(Close::Tag(close)), rest.to_owned());
                return true;
            }
        }
        let opening = RESPONSES.iter().map(|(open, _)| open).chain(&HEADS);
        is_begun |= opening.into_iter().any(|head| head.starts_with(trimmed));
        if is_begun {
            return false; // nothing, or the beginning of a tag
        }
        self.state = State::Answer;
        self.step(out)
    }

    /// Before a thought white space is dropped, and a tag that was opened twice.
    fn opening(&mut self, close: Close) -> bool {
        let trimmed = self.held.trim_start().to_owned();
        self.held = trimmed;
        if self.held.is_empty() {
            return false;
        }
        if close != Close::Message {
            match opening_tag(&self.held) {
                Opening::Tag(close, length) => {
                    let rest = self.held.get(length..).unwrap_or_default().to_owned();
                    (self.state, self.held) = (State::Opened(Close::Tag(close)), rest);
                    return true;
                }
                Opening::Begun => return false,
                Opening::None => {}
            }
        }
        (self.state, self.last) = (State::Inside(close), None);
        true
    }

    /// Reads on in a thought whose opening tag is known.
    fn thought(&mut self, tag: &str, out: &mut Vec<Split>) -> bool {
        let (at, is_closed, length) = match closing(&self.held, tag, self.last, self.is_over) {
            Closing::At(at, length) => (at, true, length),
            Closing::NotBefore(at) => (at, false, 0),
        };
        let rest = self.held.split_off(at);
        let piece = std::mem::replace(&mut self.held, rest);
        self.last = piece.chars().next_back().or(self.last);
        out.extend(reasoning(piece));
        if is_closed {
            self.held.drain(..length);
            self.state = State::Closed;
        }
        is_closed
    }

    /// Reads on in what ends with one of several tags: a thought, or an answer.
    fn inside(&mut self, close: Close, out: &mut Vec<Split>) -> bool {
        let is_final = matches!(self.state, State::Final(_));
        let kind = |piece: String| if is_final { text(piece) } else { reasoning(piece) };
        let tags: Vec<&str> = match close {
            Close::Tag(tag) => vec![tag],
            Close::Any => close_tags().collect(),
            Close::Message => ENDS.into_iter().chain(HEADS).collect(),
        };
        let found = tags.iter().map(|tag| (find(&self.held, tag), *tag));
        let (mut first, mut begun) = (None::<(usize, usize, &str)>, self.held.len());
        for (found, tag) in found {
            match found {
                Found::At(at, length) if first.is_none_or(|(known, ..)| at < known) => {
                    first = Some((at, length, tag));
                }
                Found::Begun(at) => begun = begun.min(at),
                Found::At(..) | Found::Nowhere => {}
            }
        }
        if let Some((at, length, tag)) = first {
            let rest = self.held.split_off(at);
            out.extend(kind(std::mem::replace(&mut self.held, rest)));
            if !HEADS.contains(&tag) {
                self.held.drain(..length);
            }
            self.state = State::Closed;
            return true;
        }
        let held = self.held.split_off(begun);
        out.extend(kind(std::mem::replace(&mut self.held, held)));
        false
    }

    /// Reads on in `<|start|>assistant<|channel|>analysis<|message|>`, or a part of it.
    fn head(&mut self, out: &mut Vec<Split>) -> bool {
        let found = self.held.split_once(HEAD_END);
        let Some((head, rest)) = found.filter(|(head, _)| head.len() <= LONGEST_HEAD) else {
            if self.held.len() < LONGEST_HEAD.saturating_add(HEAD_END.len()) {
                return false;
            }
            self.state = State::Answer;
            return self.step(out);
        };
        let is_final = head.contains(FINAL) || !head.contains("<|channel|>");
        let end = Close::Message;
        self.state = if is_final { State::Final(end) } else { State::Opened(end) };
        self.held = rest.to_owned();
        true
    }
}

fn text(text: String) -> Option<Split> {
    (!text.is_empty()).then_some(Split::Text(text))
}

fn reasoning(text: String) -> Option<Split> {
    (!text.is_empty()).then_some(Split::Reasoning(text))
}

#[cfg(test)]
mod tests;
