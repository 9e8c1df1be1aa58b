//! Frames waiting to be written, in a stream's framing.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;

use super::{
    one_line,
    template::{FrameTemplate, Gap},
};
use crate::server::{dialect::Dialect, error::AppError};

/// Room for a frame with a token in it.
const FRAME_BYTES: usize = 512;
/// Room for a short answer.
const OBJECT_BYTES: usize = 1024;

/// How objects become bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Framing {
    /// `data: {...}` and a blank line; ends with `data: [DONE]`.
    Sse,
    /// The same without `[DONE]`, for clients that fail on it, and on comments.
    PlainSse,
    /// One object a line.
    Ndjson,
    /// A JSON array, an element a line.
    Array,
}

impl Framing {
    /// The framing of a dialect's streams.
    pub(super) fn of(dialect: Dialect) -> Self {
        match dialect {
            Dialect::OpenAi | Dialect::Script => Self::Sse,
            Dialect::Anthropic | Dialect::Gemini { sse: true } => Self::PlainSse,
            Dialect::Ollama => Self::Ndjson,
            Dialect::Gemini { sse: false } => Self::Array,
        }
    }

    /// The value of the `content-type` header.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Sse | Self::PlainSse => "text/event-stream",
            Self::Ndjson => "application/x-ndjson",
            Self::Array => "application/json",
        }
    }

    fn begin(self, name: &str, buffer: &mut BytesMut) {
        match self {
            Self::Sse | Self::PlainSse => {
                if !name.is_empty() {
                    buffer.put_slice(b"event: ");
                    buffer.put_slice(name.as_bytes());
                    buffer.put_slice(b"\n");
                }
                buffer.put_slice(b"data: ");
            }
            Self::Ndjson => {}
            // What the first element has instead, see `append`.
            Self::Array => buffer.put_u8(b','),
        }
    }

    fn end(self) -> &'static [u8] {
        match self {
            Self::Sse | Self::PlainSse => b"\n\n",
            Self::Ndjson | Self::Array => b"\n",
        }
    }
}

/// Whole frames that wait for the next write, in one buffer that is used again and again.
#[derive(Debug)]
pub(in super::super) struct Frames {
    framing: Framing,
    waiting: BytesMut,
    /// No object was appended yet.
    first: bool,
    /// How long each line is; only where each has a write of its own.
    lines: VecDeque<usize>,
}

impl Frames {
    /// None yet.
    pub(super) fn new(framing: Framing) -> Self {
        Self { framing, waiting: BytesMut::new(), first: true, lines: VecDeque::new() }
    }

    /// How they are framed.
    pub(super) fn framing(&self) -> Framing {
        self.framing
    }

    /// Appends an object, as one line in either framing.
    pub(in super::super) fn push(&mut self, object: &impl Serialize) {
        self.push_event("", object);
    }

    /// Appends an object as an event of that name, unless it is empty; NDJSON has no names.
    pub(in super::super) fn push_event(&mut self, name: &str, object: &impl Serialize) {
        self.append(|framing, buffer| {
            framing.begin(name, buffer);
            one_line::write(buffer.writer(), object)?;
            buffer.put_slice(framing.end());
            Ok(())
        });
    }

    /// A template of an object in this framing; see [`FrameTemplate::cut`].
    pub(in super::super) fn template(
        &self,
        object: &impl Serialize,
        marks: &[Gap<'_>],
    ) -> FrameTemplate {
        self.event_template("", object, marks)
    }

    /// The same of an object as an event of that name.
    pub(in super::super) fn event_template(
        &self,
        name: &str,
        object: &impl Serialize,
        marks: &[Gap<'_>],
    ) -> FrameTemplate {
        let mut one = Self { first: false, ..Self::new(self.framing) };
        one.push_event(name, object);
        FrameTemplate::cut(&one.waiting, marks).unwrap_or_else(|| {
            // The marks are set by those who name them: there is no such case.
            tracing::error!("a frame has no place for what it should tell");
            FrameTemplate::default()
        })
    }

    /// Appends a frame that differs from others in its gaps only; more of them than it has are
    /// left over.
    pub(in super::super) fn push_filled(&mut self, template: &FrameTemplate, gaps: &[Gap<'_>]) {
        self.append(|_, buffer| {
            let (heads, tail) = template.pieces();
            for (head, gap) in heads.zip(gaps) {
                buffer.put_slice(head);
                one_line::write(buffer.writer(), gap)?;
            }
            buffer.put_slice(tail);
            Ok(())
        });
    }

    fn append(&mut self, write: impl FnOnce(Framing, &mut BytesMut) -> serde_json::Result<()>) {
        let before = self.waiting.len();
        self.waiting.reserve(FRAME_BYTES);
        if let Err(error) = write(self.framing, &mut self.waiting) {
            // The shapes are structs with fields of text and numbers: there is no such case.
            tracing::error!(%error, "a frame cannot be written");
            self.waiting.truncate(before);
            return;
        }
        if self.framing == Framing::Array
            && self.first
            && let Some(comma) = self.waiting.get_mut(before)
        {
            *comma = b'[';
        }
        self.first = false;
        if self.framing == Framing::Ndjson {
            self.lines.push_back(self.waiting.len() - before);
        }
    }

    /// Appends what ends a stream; NDJSON needs nothing beyond the last object.
    pub(super) fn push_terminator(&mut self) {
        match self.framing {
            Framing::Sse => self.waiting.extend_from_slice(b"data: [DONE]\n\n"),
            Framing::PlainSse | Framing::Ndjson => {}
            Framing::Array if self.first => self.waiting.extend_from_slice(b"[]\n"),
            Framing::Array => self.waiting.extend_from_slice(b"]\n"),
        }
    }

    /// Appends a sign of life that no client takes for an event; `false` in a framing that has none.
    pub(super) fn push_comment(&mut self) -> bool {
        match self.framing {
            Framing::Sse => self.waiting.extend_from_slice(b": keep-alive\n\n"),
            Framing::Array => self.waiting.extend_from_slice(b"\n"),
            Framing::PlainSse | Framing::Ndjson => return false,
        }
        true
    }

    /// How many bytes wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// What goes into one write: every waiting SSE event, but a single NDJSON line, because some
    /// clients parse what one read gives them.
    pub(in super::super) fn next_write(&mut self) -> Option<Bytes> {
        if self.waiting.is_empty() {
            return None;
        }
        let line = self.lines.pop_front().filter(|line| *line < self.waiting.len());
        let write = match line {
            Some(line) => self.waiting.split_to(line),
            None => self.waiting.split(),
        };
        Some(write.freeze())
    }
}

/// An object as a body.
///
/// # Errors
/// 500 for what JSON cannot say, which no shape of ours is.
pub(in super::super) fn object_bytes(object: &impl Serialize) -> Result<Bytes, AppError> {
    let mut written = Vec::with_capacity(OBJECT_BYTES);
    match serde_json::to_writer(&mut written, object) {
        Ok(()) => Ok(written.into()),
        Err(_) => Err(AppError::Internal("the answer cannot be written")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::TEXT, *};

    #[test]
    fn a_frame_is_one_line_whatever_breaks_lines() {
        let text = "a\u{2028}b\u{85}c";
        for framing in [Framing::Sse, Framing::Ndjson] {
            let mut frames = Frames::new(framing);
            let template = frames
                .template(&json!({"t": super::super::TEXT}), &[Gap::Text(super::super::TEXT)]);
            frames.push(&json!({ "t": text }));
            let whole = frames.next_write().unwrap();
            frames.push_filled(&template, &[Gap::Text(text)]);
            assert_eq!(whole, frames.next_write().unwrap());
            assert!(whole.ends_with(framing.end()) && whole.is_ascii());
        }
    }

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
    fn an_array_is_whole_once_it_is_ended() {
        let mut empty = Frames::new(Framing::Array);
        assert!(empty.push_comment());
        empty.push_terminator();
        assert_eq!(empty.next_write().unwrap(), "\n[]\n");
        let mut frames = frames(Framing::Array);
        assert_eq!(frames.next_write().unwrap(), "[{\"a\":\"x\\ny\"}\n]\n");
        frames = Frames::new(Framing::Array);
        let template = frames.template(&json!({"b": TEXT}), &[Gap::Text(TEXT)]);
        frames.push_filled(&template, &[Gap::Text("c")]);
        assert!(frames.push_comment());
        frames.push_filled(&template, &[Gap::Text("d")]);
        frames.push_terminator();
        assert_eq!(frames.next_write().unwrap(), "[{\"b\":\"c\"}\n\n,{\"b\":\"d\"}\n]\n");
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
