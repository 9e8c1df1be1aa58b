//! Splits a model's thoughts off the start of an answer, piece by piece. Pure.
//!
//! Only at the start, block after block: an answer may well talk about the tags. A lone closing tag
//! there (from a template that opened the tag in the prompt) is dropped too. Where in a text such a
//! tag stands is known only of one that has come to its end ([`folded`]), or when the model is
//! configured to begin inside a thought.

pub(super) mod folded;
mod tag;

use tag::{Found, Match, Opening, find, matches, opening_tag};

/// The tags that thoughts stand between: of most models, Mistral's, ByteDance's Seed, Kimi's,
/// OpenThoughts', Cohere's, and Gemma's channel. They count in any case, with attributes and white
/// space in them.
const PAIRS: [(&str, &str); 11] = [
    ("<think>", THINK_END),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<reason>", "</reason>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|channel>thought", "<channel|>"),
];
const THINK_END: &str = "</think>";

/// What begins a header of harmony, the format of gpt-oss, and what ends it.
const HEADS: [&str; 2] = ["<|start|>", "<|channel|>"];
const HEAD_END: &str = "<|message|>";
/// The channel that is the answer; all others are thoughts.
const FINAL: &str = "<|channel|>final";
/// No header is as long.
const LONGEST_HEAD: usize = 512;
/// What ends a message of harmony.
const ENDS: [&str; 3] = ["<|end|>", "<|return|>", "<|call|>"];

/// So many bytes of white space before the answer are held back; with more they are the answer.
const MOST_SPACE: usize = 4096;

/// A piece of the upstream's text, told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Split {
    /// Answer text, never empty.
    Text(String),
    /// Chain of thought, never empty.
    Reasoning(String),
}

/// Where in the answer we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing but white space, or the beginning of a tag, has come.
    Start,
    /// Between tags, before the first character of the thought.
    Opened(Close),
    /// Between tags.
    Inside(Close),
    /// Behind a closing tag, before the first character of the answer or of another thought.
    Closed,
    /// In a header of harmony's.
    Head,
    /// In harmony's answer, which has an end.
    Final,
    /// In the answer.
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
}

impl ThinkSplitter {
    pub(super) fn new() -> Self {
        Self { state: State::Start, held: String::new() }
    }

    /// Of an answer that begins inside a thought.
    pub(super) fn opened() -> Self {
        Self { state: State::Opened(Close::Any), held: String::new() }
    }

    /// Never splits: for output that was asked for verbatim.
    pub(super) fn verbatim() -> Self {
        Self { state: State::Answer, held: String::new() }
    }

    /// Whether the answer has begun: all that comes is text of it, and need not be pushed.
    pub(super) fn is_answer(&self) -> bool {
        self.state == State::Answer
    }

    /// The upstream tells thoughts in a field of their own: its text does not begin inside one.
    pub(super) fn told_apart(&mut self) {
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
    pub(super) fn finish(&mut self) -> Option<Split> {
        let held = std::mem::take(&mut self.held);
        match self.state {
            State::Opened(_) | State::Inside(_) => reasoning(held),
            _ if held.trim().is_empty() => None,
            _ => text(held),
        }
    }

    /// One transition; `false` when nothing more can be said before more text comes.
    fn step(&mut self, out: &mut Vec<Split>) -> bool {
        match self.state {
            State::Start | State::Closed => self.at_start(out),
            State::Opened(close) => self.opening(close),
            State::Inside(close) => self.inside(close, out),
            State::Head => self.head(out),
            State::Final => self.inside(Close::Message, out),
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
        is_begun |= HEADS.iter().any(|head| head.starts_with(trimmed));
        if is_begun && self.held.len() <= MOST_SPACE {
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
        if close == Close::Any {
            match opening_tag(&self.held) {
                Opening::Tag(close, length) => {
                    let rest = self.held.get(length..).unwrap_or_default().to_owned();
                    (self.state, self.held) = (State::Opened(Close::Tag(close)), rest);
                    return true;
                }
                Opening::Begun if self.held.len() <= MOST_SPACE => return false,
                Opening::Begun | Opening::None => {}
            }
        }
        self.state = State::Inside(close);
        true
    }

    /// In what ends with a tag: a thought, or harmony's answer.
    fn inside(&mut self, close: Close, out: &mut Vec<Split>) -> bool {
        let is_final = self.state == State::Final;
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

    /// In `<|start|>assistant<|channel|>analysis<|message|>`, or a part of it.
    fn head(&mut self, out: &mut Vec<Split>) -> bool {
        let Some((head, rest)) = self.held.split_once(HEAD_END) else {
            if self.held.len() <= LONGEST_HEAD {
                return false;
            }
            self.state = State::Answer;
            return self.step(out);
        };
        let is_final = head.contains(FINAL) || !head.contains("<|channel|>");
        self.state = if is_final { State::Final } else { State::Opened(Close::Message) };
        self.held = rest.to_owned();
        true
    }
}

fn close_tags() -> impl Iterator<Item = &'static str> {
    PAIRS.iter().map(|(_, close)| *close)
}

fn text(text: String) -> Option<Split> {
    (!text.is_empty()).then_some(Split::Text(text))
}

fn reasoning(text: String) -> Option<Split> {
    (!text.is_empty()).then_some(Split::Reasoning(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reasoning and answer of a text fed in these pieces.
    fn split(pieces: &[&str]) -> (String, String) {
        let mut splitter = ThinkSplitter::new();
        let mut all: Vec<Split> = pieces.iter().flat_map(|piece| splitter.push(piece)).collect();
        all.extend(splitter.finish());
        let (mut reasoning, mut text) = (String::new(), String::new());
        for one in all {
            match one {
                Split::Text(piece) => text.push_str(&piece),
                Split::Reasoning(piece) => reasoning.push_str(&piece),
            }
        }
        (reasoning, text)
    }

    #[test]
    fn only_the_start_is_split_whatever_the_pieces() {
        for (input, reasoning, answer) in [
            ("hello", "", "hello"),
            ("<think>先想\n</think>\n\n好的", "先想\n", "好的"),
            ("\n<think>\na < b </thin</think>c", "a < b </thin", "c"),
            ("<think></think>hi", "", "hi"),
            ("</think>\nhi", "", "hi"),
            ("use <think>x</think> tags", "", "use <think>x</think> tags"),
            ("<think>a</think>b <think>c</think>", "a", "b <think>c</think>"),
            ("<think>a</think>\n\n<think>b</think>\nc", "ab", "c"),
            ("<think>a</think></think>c", "a", "c"),
            ("<thinking>a</think>b</thinking>c", "a</think>b", "c"),
            ("<thought>a</thought>c", "a", "c"),
            ("<think foo=\"b\">a</think>c", "a", "c"),
            ("<THINK>a</Think>\nc", "a", "c"),
            ("<think >a</think >c", "a", "c"),
            ("<think>a </thin> </think\n>c", "a </thin> ", "c"),
            ("<thinker>c", "", "<thinker>c"),
            ("<think a<b>c", "", "<think a<b>c"),
            ("<|START_THINKING|>a<|END_THINKING|>c", "a", "c"),
            ("[THINK]a[/THINK]c", "a", "c"),
            ("[1, 2]", "", "[1, 2]"),
            ("<seed:think>a</seed:think>c", "a", "c"),
            ("◁think▷想◁/think▷好", "想", "好"),
            ("<|channel>thought\na\n<channel|>c", "a\n", "c"),
            ("<|channel>thought\n<channel|>c", "", "c"),
            (
                "<|channel|>analysis<|message|>a < b<|end|><|start|>assistant<|channel|>final\
                 <|message|>c <d><|return|>",
                "a < b",
                "c <d>",
            ),
            (
                "<|start|>assistant<|channel|>analysis<|message|>a<|end|><|start|>assistant\
                 <|channel|>commentary<|message|>b<|end|><|channel|>final<|message|>c",
                "ab",
                "c",
            ),
            ("<|channel|>analysis<|message|>a", "a", ""),
            ("<|channel|>no header", "", "<|channel|>no header"),
            ("<thing>", "", "<thing>"),
            ("<", "", "<"),
            ("  \n", "", ""),
            ("<think>never closed", "never closed", ""),
            ("<think>a</think>  \n", "a", ""),
            ("  indented", "", "  indented"),
        ] {
            let want = (reasoning.to_owned(), answer.to_owned());
            assert_eq!(split(&[input]), want, "{input:?} whole");
            for (at, _) in input.char_indices() {
                let (head, tail) = input.split_at(at);
                assert_eq!(split(&[head, tail]), want, "{input:?} at {at}");
            }
            let letters: Vec<String> = input.chars().map(String::from).collect();
            let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
            assert_eq!(split(&letters), want, "{input:?} by letter");
        }
    }

    #[test]
    fn a_template_may_have_opened_the_thought() {
        for (input, reasoning, answer) in [
            ("plan\n</think>\n\nanswer", "plan\n", "answer"),
            ("<think>plan</think>answer", "plan", "answer"),
            ("plan[/THINK]answer </think>", "plan", "answer </think>"),
            ("never closed", "never closed", ""),
        ] {
            for (at, _) in input.char_indices() {
                let (head, tail) = input.split_at(at);
                let mut splitter = ThinkSplitter::opened();
                let mut all = splitter.push(head);
                all.extend(splitter.push(tail));
                all.extend(splitter.finish());
                let (mut thought, mut text) = (String::new(), String::new());
                for one in all {
                    match one {
                        Split::Text(piece) => text.push_str(&piece),
                        Split::Reasoning(piece) => thought.push_str(&piece),
                    }
                }
                assert_eq!(
                    (thought.as_str(), text.as_str()),
                    (reasoning, answer),
                    "{input:?} {at}"
                );
            }
        }
        let mut splitter = ThinkSplitter::opened();
        splitter.told_apart();
        assert_eq!(splitter.push("answer"), [Split::Text("answer".into())]);
    }

    #[test]
    fn a_flood_of_white_space_is_not_held_back() {
        let mut splitter = ThinkSplitter::new();
        let shown: usize = (0..100).map(|_| splitter.push(&" ".repeat(1000)).len()).sum();
        assert!(shown > 0 && splitter.held.len() <= MOST_SPACE, "{shown}");
    }

    #[test]
    fn an_answer_is_not_held_back() {
        let mut splitter = ThinkSplitter::new();
        assert_eq!(splitter.push("H"), [Split::Text("H".into())]);
        assert_eq!(splitter.push("<think>"), [Split::Text("<think>".into())]);
        let mut splitter = ThinkSplitter::verbatim();
        assert_eq!(splitter.push("<think>"), [Split::Text("<think>".into())]);
    }
}
