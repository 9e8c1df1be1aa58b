//! Frames waiting to be written, in a stream's framing.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use serde::Serialize;

use super::super::{dialect::Dialect, error::AppError};

/// Room for a frame with a token in it.
const FRAME_BYTES: usize = 512;

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
    pub(in super::super) fn push(&mut self, object: &impl Serialize) {
        match self.framing {
            Framing::Sse => self.frame(&[b"data: "], object, b"\n\n"),
            Framing::Ndjson => self.frame(&[], object, b"\n"),
        }
    }

    /// Appends an object as an event of that name; NDJSON has no names.
    pub(in super::super) fn push_event(&mut self, name: &str, object: &impl Serialize) {
        match self.framing {
            Framing::Sse => {
                self.frame(&[b"event: ", name.as_bytes(), b"\ndata: "], object, b"\n\n");
            }
            Framing::Ndjson => self.push(object),
        }
    }

    fn frame(&mut self, before: &[&[u8]], object: &impl Serialize, after: &[u8]) {
        let mut frame = Vec::with_capacity(FRAME_BYTES);
        before.iter().for_each(|bytes| frame.extend_from_slice(bytes));
        match serde_json::to_writer(&mut frame, object) {
            Ok(()) => {
                frame.extend_from_slice(after);
                self.waiting.push_back(frame.into());
            }
            // The shapes are structs with fields of text and numbers: there is no such case.
            Err(error) => tracing::error!(%error, "a frame cannot be written"),
        }
    }

    /// Appends what ends a stream; NDJSON needs nothing beyond the last object.
    pub(super) fn push_terminator(&mut self) {
        match self.framing {
            Framing::Sse => self.waiting.push_back(Bytes::from_static(b"data: [DONE]\n\n")),
            Framing::Ndjson => {}
        }
    }

    /// Appends a sign of life that no client takes for an event.
    pub(super) fn push_comment(&mut self) {
        self.waiting.push_back(Bytes::from_static(b": keep-alive\n\n"));
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

/// An object as a body.
///
/// # Errors
/// 500 for what JSON cannot say, which no shape of ours is.
pub(in super::super) fn object_bytes(object: &impl Serialize) -> Result<Bytes, AppError> {
    let told = serde_json::to_vec(object);
    told.map(Bytes::from).map_err(|_| AppError::Internal("the answer cannot be written"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn frames(framing: Framing) -> Frames {
        let mut frames = Frames::new(framing);
        frames.push(&json!({"a": "x\ny"}));
        frames.push_terminator();
        frames
    }

    #[test]
    fn sse_events_share_a_write() {
        let mut frames = frames(Framing::Sse);
        frames.push_event("b", &json!({"b": 1}));
        frames.push_comment();
        let text = "data: {\"a\":\"x\\ny\"}\n\ndata: [DONE]\n\n\
                    event: b\ndata: {\"b\":1}\n\n: keep-alive\n\n";
        assert_eq!(frames.next_write().unwrap(), text);
        assert_eq!(frames.next_write(), None);
    }

    #[test]
    fn ndjson_lines_do_not() {
        let mut frames = frames(Framing::Ndjson);
        assert_eq!(frames.next_write().unwrap(), "{\"a\":\"x\\ny\"}\n");
        assert_eq!(frames.next_write(), None);
        frames.push_event("b", &json!({"b": 1}));
        frames.push(&json!({"c": 2}));
        assert_eq!(frames.next_write().unwrap(), "{\"b\":1}\n");
        assert_eq!(frames.next_write().unwrap(), "{\"c\":2}\n");
    }
}
