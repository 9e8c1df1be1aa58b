//! Finds the end of a JSON text, piece by piece and without reading it. Pure.

/// Follows one object or list through pieces of its text. Other values have no end of their own, so
/// none is found for them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scanner {
    state: State,
    depth: u32,
    in_string: bool,
    escaped: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Nothing but white space so far.
    #[default]
    Blank,
    Inside,
    Ended,
    /// Neither an object nor a list.
    Other,
}

impl Scanner {
    /// Takes the next piece; how much of it belongs to the value, when that ends in it.
    pub(super) fn feed(&mut self, text: &str) -> Option<usize> {
        for (at, byte) in text.bytes().enumerate() {
            match self.state {
                State::Ended | State::Other => return None,
                State::Blank => self.begin(byte),
                State::Inside => self.step(byte),
            }
            if self.state == State::Ended {
                return Some(at.saturating_add(1));
            }
        }
        None
    }

    /// Like [`Scanner::feed`], for values that may follow each other.
    pub(super) fn feed_all(&mut self, mut text: &str) {
        while !text.trim().is_empty() {
            if self.is_ended() {
                *self = Self::default();
            }
            let Some(end) = self.feed(text) else { return };
            text = text.get(end..).unwrap_or_default();
        }
    }

    /// Whether the value is there to its end.
    pub(super) fn is_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Whether the value has begun and not ended.
    pub(super) fn is_inside(&self) -> bool {
        self.state == State::Inside
    }

    fn begin(&mut self, byte: u8) {
        match byte {
            b'{' | b'[' => (self.state, self.depth) = (State::Inside, 1),
            _ if byte.is_ascii_whitespace() => {}
            _ => self.state = State::Other,
        }
    }

    fn step(&mut self, byte: u8) {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 {
                    self.state = State::Ended;
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found_wherever_the_text_is_split() {
        for (text, end) in [
            ("{}", Some(2)),
            (" {\"a\":\"}\\\"\"} x", Some(12)),
            ("[{\"a\":[1]},2]", Some(13)),
            ("{\"a\":", None),
            ("\"text\"", None),
            ("  ", None),
            ("[DONE]", Some(6)),
        ] {
            for (at, _) in text.char_indices() {
                let (head, tail) = text.split_at(at);
                let mut scanner = Scanner::default();
                let found = scanner.feed(head);
                let found = found.or_else(|| scanner.feed(tail).map(|end| at + end));
                assert_eq!(found, end, "{text:?} at {at}");
                assert_eq!(scanner.is_ended(), end.is_some());
            }
        }
    }

    #[test]
    fn values_may_follow_each_other() {
        for (pieces, ended) in [
            (vec!["{}{", "}"], true),
            (vec!["{}", "\n", "{"], false),
            (vec!["{\"a\":1} ", ""], true),
            (vec!["{} x"], false),
        ] {
            let mut scanner = Scanner::default();
            pieces.iter().for_each(|piece| scanner.feed_all(piece));
            assert_eq!(scanner.is_ended(), ended, "{pieces:?}");
        }
    }
}
