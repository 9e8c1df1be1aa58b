//! Frames waiting to be written, in a stream's framing.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use serde_json::Value;

use super::super::dialect::Dialect;

/// How objects become bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Framing {
    /// `data: {...}` and a blank line; ends with `data: [DONE]`.
    Sse,
    /// One object a line.
    Ndjson,
}

impl Framing {
    /// The framing of a dialect's streams.
    pub(super) fn of(dialect: Dialect) -> Self {
        match dialect {
            Dialect::OpenAi | Dialect::Script => Self::Sse,
            Dialect::Ollama => Self::Ndjson,
        }
    }

    /// For the header.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Sse => "text/event-stream",
            Self::Ndjson => "application/x-ndjson",
        }
    }
}

/// Whole frames that wait for the next write.
#[derive(Debug)]
pub(in super::super) struct Frames {
    framing: Framing,
    waiting: VecDeque<Bytes>,
}

impl Frames {
    /// None yet.
    pub(super) fn new(framing: Framing) -> Self {
        Self { framing, waiting: VecDeque::new() }
    }

    /// How they are framed.
    pub(super) fn framing(&self) -> Framing {
        self.framing
    }

    /// Appends an object. Its text has no line breaks, so it is one line in either framing.
    pub(in super::super) fn push(&mut self, object: &Value) {
        let frame = match self.framing {
            Framing::Sse => format!("data: {object}\n\n"),
            Framing::Ndjson => format!("{object}\n"),
        };
        self.waiting.push_back(frame.into());
    }

    /// Appends an object as an event of that name; NDJSON has no names.
    pub(in super::super) fn push_event(&mut self, name: &str, object: &Value) {
        if self.framing == Framing::Sse {
            let frame = format!("event: {name}\ndata: {object}\n\n");
            self.waiting.push_back(frame.into());
        } else {
            self.push(object);
        }
    }

    /// Appends what ends a stream; NDJSON needs nothing beyond the last object.
    pub(super) fn push_terminator(&mut self) {
        match self.framing {
            Framing::Sse => self.waiting.push_back(Bytes::from_static(b"data: [DONE]\n\n")),
            Framing::Ndjson => {}
        }
    }

    /// Appends a sign of life: a comment, or `empty` where there are no comments.
    pub(super) fn push_heartbeat(&mut self, empty: impl FnOnce() -> Value) {
        match self.framing {
            Framing::Sse => self.waiting.push_back(Bytes::from_static(b": keep-alive\n\n")),
            // Never a blank line: most readers fail on it.
            Framing::Ndjson => self.push(&empty()),
        }
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// What goes into one write: every waiting SSE event, but a single NDJSON line, because some
    /// clients parse what one read gives them.
    pub(super) fn next_write(&mut self) -> Option<Bytes> {
        let first = self.waiting.pop_front()?;
        if self.framing == Framing::Ndjson || self.waiting.is_empty() {
            return Some(first);
        }
        let mut together = BytesMut::from(first);
        for frame in self.waiting.drain(..) {
            together.extend_from_slice(&frame);
        }
        Some(together.freeze())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn frames(framing: Framing) -> Frames {
        let mut frames = Frames::new(framing);
        frames.push(&json!({"a": "x\ny"}));
        frames.push_heartbeat(|| json!({"empty": true}));
        frames.push_terminator();
        frames
    }

    #[test]
    fn sse_events_share_a_write() {
        let mut frames = frames(Framing::Sse);
        let text = "data: {\"a\":\"x\\ny\"}\n\n: keep-alive\n\ndata: [DONE]\n\n";
        assert_eq!(frames.next_write().unwrap(), text);
        assert_eq!(frames.next_write(), None);
    }

    #[test]
    fn ndjson_lines_do_not() {
        let mut frames = frames(Framing::Ndjson);
        assert_eq!(frames.next_write().unwrap(), "{\"a\":\"x\\ny\"}\n");
        assert_eq!(frames.next_write().unwrap(), "{\"empty\":true}\n");
        assert_eq!(frames.next_write(), None);
    }
}
