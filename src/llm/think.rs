//! Splits `<think>...</think>` off the start of an answer, piece by piece. Pure.
//!
//! Only at the start: an answer may well talk about the tag. A lone `</think>` there (from a
//! template that opened the tag in the prompt) is dropped too.

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";
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
    /// Between the tags, before the first character of the thought.
    Opened,
    /// Between the tags.
    Inside,
    /// Behind the closing tag, before the first character of the answer.
    Closed,
    /// In the answer.
    Answer,
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

    /// Never splits: for output that was asked for verbatim.
    pub(super) fn verbatim() -> Self {
        Self { state: State::Answer, held: String::new() }
    }

    /// Whether the answer has begun: all that comes is text of it, and need not be pushed.
    pub(super) fn is_answer(&self) -> bool {
        self.state == State::Answer
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
            State::Opened | State::Inside => reasoning(held),
            State::Start | State::Closed | State::Answer if held.trim().is_empty() => None,
            State::Start | State::Closed | State::Answer => text(held),
        }
    }

    /// One transition; `false` when nothing more can be said before more text comes.
    fn step(&mut self, out: &mut Vec<Split>) -> bool {
        match self.state {
            State::Start => self.at_start(out),
            State::Opened => self.skip_space(State::Inside),
            State::Inside => self.inside(out),
            State::Closed => self.skip_space(State::Answer),
            State::Answer => {
                out.extend(text(std::mem::take(&mut self.held)));
                false
            }
        }
    }

    fn at_start(&mut self, out: &mut Vec<Split>) -> bool {
        let trimmed = self.held.trim_start();
        if let Some(rest) = trimmed.strip_prefix(OPEN) {
            self.held = rest.to_owned();
            self.state = State::Opened;
            return true;
        }
        if let Some(rest) = trimmed.strip_prefix(CLOSE) {
            self.held = rest.to_owned();
            self.state = State::Closed;
            return true;
        }
        let may_be_tag = OPEN.starts_with(trimmed) || CLOSE.starts_with(trimmed);
        if may_be_tag && self.held.len() <= MOST_SPACE {
            return false; // nothing, or the beginning of a tag
        }
        self.state = State::Answer;
        self.step(out)
    }

    fn skip_space(&mut self, next: State) -> bool {
        let rest = self.held.trim_start().to_owned();
        self.held = rest;
        if self.held.is_empty() {
            return false;
        }
        self.state = next;
        true
    }

    fn inside(&mut self, out: &mut Vec<Split>) -> bool {
        if let Some((thought, rest)) = self.held.split_once(CLOSE) {
            out.extend(reasoning(thought.to_owned()));
            self.held = rest.to_owned();
            self.state = State::Closed;
            return true;
        }
        let keep = partial_suffix(&self.held, CLOSE);
        let held = self.held.split_off(self.held.len().saturating_sub(keep));
        out.extend(reasoning(std::mem::replace(&mut self.held, held)));
        false
    }
}

/// How many bytes at the end of `text` may be the beginning of `tag`.
fn partial_suffix(text: &str, tag: &str) -> usize {
    (1..tag.len())
        .rev()
        .find(|length| tag.get(..*length).is_some_and(|head| text.ends_with(head)))
        .unwrap_or(0)
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
