//! Reads the body of an answer, however the upstream frames it: bytes to frames, frames to deltas.
//! Pure.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use serde_json::Value;

use super::{
    Delta, LlmErrorKind,
    answer::{Answer, Piece},
    failure::Failure,
    lines::{LINE_LIMIT, LineReader},
    mould::{Cast, Mould},
    refusal::Refusal,
    signatures::Signatures,
    sse::SseReader,
    wire::{Wire, wire},
};
use crate::types::Protocol;

/// Most bytes of a reply that is read as a whole.
const REPLY_LIMIT: usize = 32 * 1024 * 1024;

/// The body of an answer, given in chunks as they come and taken back in deltas.
pub struct ReplyReader {
    wire: &'static dyn Wire,
    framing: Framing,
    answer: Answer,
    signatures: Arc<Signatures>,
    ready: VecDeque<Delta>,
    mould: Mould,
    /// Found behind the deltas that are ready.
    failure: Option<Failure>,
    /// The answer is over, well or badly; nothing more is read for it.
    closed: bool,
}

/// How the body is cut into frames.
enum Framing {
    /// Not known before its first byte.
    Unknown,
    Sse(SseReader),
    Lines(LineReader),
    Whole(Vec<u8>),
}

impl ReplyReader {
    /// Of a stream in this protocol, as benchmarks read it.
    #[must_use]
    pub fn of_stream(protocol: Protocol) -> Self {
        let wire = wire(protocol);
        let framing = match wire.streams_lines() {
            true => Framing::Lines(LineReader::new(LINE_LIMIT)),
            false => Framing::Unknown,
        };
        Self::with(wire, framing, Answer::new(false, false), Arc::default())
    }

    /// Of a response with this content type, which servers mislabel: most is left to the first byte.
    ///
    /// # Errors
    /// When it is a web page.
    pub(super) fn new(
        wire: &'static dyn Wire,
        content_type: &str,
        answer: Answer,
        signatures: Arc<Signatures>,
    ) -> Result<Self, Failure> {
        let is = |kind: &str| {
            content_type.get(..kind.len()).is_some_and(|head| head.eq_ignore_ascii_case(kind))
        };
        if is("text/html") {
            return Err(Failure::new(LlmErrorKind::Garbled, GOT_HTML));
        }
        let framing = match wire.streams_lines() {
            false => Framing::Unknown,
            true if is("application/json") => Framing::Whole(Vec::new()),
            true => Framing::Lines(LineReader::new(LINE_LIMIT)),
        };
        Ok(Self::with(wire, framing, answer, signatures))
    }

    fn with(
        wire: &'static dyn Wire,
        framing: Framing,
        answer: Answer,
        signatures: Arc<Signatures>,
    ) -> Self {
        Self {
            wire,
            framing,
            answer,
            signatures,
            ready: VecDeque::new(),
            mould: Mould::default(),
            failure: None,
            closed: false,
        }
    }

    /// Takes a chunk as it came from the network.
    pub fn push(&mut self, bytes: Bytes) {
        if let Framing::Unknown = self.framing {
            let Some(first) = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) else {
                return; // blank lines before the body keep a connection alive
            };
            self.framing = match first {
                b'{' | b'[' => Framing::Whole(Vec::new()),
                b'<' => return self.fail(Failure::new(LlmErrorKind::Garbled, GOT_HTML)),
                _ => Framing::Sse(SseReader::new(LINE_LIMIT)),
            };
        }
        match &mut self.framing {
            Framing::Unknown => {}
            Framing::Sse(reader) => reader.push(bytes),
            Framing::Lines(reader) => reader.push(bytes),
            Framing::Whole(body) if body.len().saturating_add(bytes.len()) > REPLY_LIMIT => {
                return self.fail(Failure::new(LlmErrorKind::Garbled, "the reply is too large"));
            }
            Framing::Whole(body) => body.extend_from_slice(&bytes),
        }
        self.read_frames();
    }

    /// The end of the body.
    pub fn end(&mut self) {
        self.read_rest();
        if self.closed {
            return;
        }
        if self.answer.is_complete() {
            self.close();
        } else {
            self.fail(Failure::new(LlmErrorKind::Truncated, CUT));
        }
    }

    /// The next delta of what was pushed so far.
    pub fn next_delta(&mut self) -> Option<Delta> {
        self.ready.pop_front()
    }

    /// How many deltas there are.
    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// What is behind the last delta, when it is no good end. Told once.
    pub(super) fn failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    /// Whether the answer is over: more of the body changes nothing.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// The books of the answer.
    pub(super) fn answer(&self) -> &Answer {
        &self.answer
    }

    /// Reads every frame that is complete.
    fn read_frames(&mut self) {
        let mut framing = std::mem::replace(&mut self.framing, Framing::Unknown);
        while !self.closed {
            let is_read = match &mut framing {
                Framing::Unknown | Framing::Whole(_) => break,
                Framing::Sse(reader) => reader
                    .next_event()
                    .map(|event| event.map(|event| self.read(&event.data, event.is_error))),
                Framing::Lines(reader) => {
                    reader.next_line().map(|line| line.map(|line| self.read(&line, false)))
                }
            };
            match is_read {
                Ok(Some(())) => {}
                Ok(None) => break,
                Err(_) => self.fail(Failure::new(LlmErrorKind::Garbled, "a line has no end")),
            }
        }
        self.framing = framing;
    }

    /// Reads what the end of the body completes.
    fn read_rest(&mut self) {
        let (is_error, data) = match std::mem::replace(&mut self.framing, Framing::Unknown) {
            Framing::Unknown => return,
            Framing::Whole(body) => return self.read_whole(&body),
            Framing::Sse(mut reader) => match reader.finish() {
                Ok(Some(event)) => (event.is_error, event.data.into_owned()),
                Ok(None) | Err(_) => return,
            },
            Framing::Lines(mut reader) => match reader.rest() {
                Some(line) => (false, line),
                None => return,
            },
        };
        // The tail of a stream that was cut is rarely JSON: that is a cut, not nonsense.
        let whole =
            data.trim() == "[DONE]" || serde_json::from_str::<serde::de::IgnoredAny>(&data).is_ok();
        if whole && !self.closed {
            self.read(&data, is_error);
        }
    }

    /// Reads one frame of a stream.
    fn read(&mut self, data: &str, is_error: bool) {
        let data = data.trim();
        if data.is_empty() {
            return;
        }
        if data == "[DONE]" {
            self.tell(Piece::End);
        } else if !is_error && (self.read_like_before(data) || self.read_usual(data)) {
            // all of it is told
        } else {
            self.read_any(data, is_error);
        }
        self.look_for_end();
    }

    /// Reads a frame that differs in nothing but its text from one before.
    fn read_like_before(&mut self, data: &str) -> bool {
        let Some(piece) = self.mould.piece(data) else { return false };
        self.answer.take(piece, &mut self.ready);
        true
    }

    /// Reads a frame, or a whole reply, in which nothing is out of the ordinary.
    fn read_usual(&mut self, data: &str) -> bool {
        let Self { wire, answer, ready, signatures, mould, .. } = self;
        let mut cast = Cast::new(data);
        let is_usual = wire.usual(data, &mut |piece| {
            cast.see(&piece);
            tell(piece, answer, ready, signatures);
        });
        mould.fill(cast);
        is_usual
    }

    /// Reads any frame.
    fn read_any(&mut self, data: &str, is_error: bool) {
        let value = serde_json::from_str::<Value>(data);
        if is_error {
            let value = value.unwrap_or_else(|_| data.into());
            let value = serde_json::json!({ "error": value.get("error").unwrap_or(&value) });
            return self.refuse(Refusal::inside(&value));
        }
        match value.as_ref().map(|value| self.wire.pieces(value)) {
            Ok(Ok(pieces)) => pieces.into_iter().for_each(|piece| self.tell(piece)),
            Ok(Err(refusal)) => self.refuse(refusal),
            Err(_) => self.fail(Failure::new(LlmErrorKind::Garbled, "a frame is not JSON")),
        }
    }

    /// Reads a body that came as a whole, though it may be lines after all.
    fn read_whole(&mut self, body: &[u8]) {
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        if let Ok(text) = std::str::from_utf8(body)
            && self.read_usual(text)
        {
            return self.end_whole();
        }
        match serde_json::from_slice::<Value>(body) {
            Ok(value) if self.wire.is_reply(&value) => match self.wire.pieces(&value) {
                Ok(pieces) => {
                    pieces.into_iter().for_each(|piece| self.tell(piece));
                    self.end_whole();
                }
                Err(refusal) => self.refuse(refusal),
            },
            Ok(value) => match Refusal::instead_of_answer(&value) {
                Some(refusal) => self.refuse(refusal),
                None => self.fail(Failure::new(LlmErrorKind::Garbled, "the reply has no answer")),
            },
            Err(_) if self.wire.streams_lines() && body.contains(&b'\n') => {
                let mut lines = LineReader::new(REPLY_LIMIT);
                lines.push([body, b"\n"].concat().into());
                self.framing = Framing::Lines(lines);
                self.read_frames();
            }
            Err(error) if error.is_eof() => {
                self.fail(Failure::new(LlmErrorKind::Truncated, "the reply was cut off"));
            }
            Err(_) => self.fail(Failure::new(LlmErrorKind::Garbled, "the reply is not JSON")),
        }
    }

    /// A whole reply was read.
    fn end_whole(&mut self) {
        if self.wire.ends_with_body() {
            self.tell(Piece::End); // a whole body has no other terminator
        }
        self.look_for_end();
    }

    fn tell(&mut self, piece: Piece<'_>) {
        tell(piece, &mut self.answer, &mut self.ready, &self.signatures);
    }

    /// Whether the last frame ended the answer, or should have.
    fn look_for_end(&mut self) {
        if self.closed {
            return;
        }
        if self.answer.is_flooded() {
            self.fail(Failure::new(LlmErrorKind::Garbled, "the reply is too large"));
        } else if self.answer.is_ended() {
            self.close();
        }
    }

    fn close(&mut self) {
        self.closed = true;
        self.answer.close(&mut self.ready);
    }

    /// Behind a finish reason nothing can fail any more.
    pub(super) fn fail(&mut self, failure: Failure) {
        if self.answer.is_complete() {
            return self.close();
        }
        self.closed = true;
        self.failure = Some(failure);
    }

    /// An error inside the answer.
    fn refuse(&mut self, refusal: Refusal) {
        self.fail(Failure::in_band(refusal));
    }
}

fn tell(
    piece: Piece<'_>,
    answer: &mut Answer,
    ready: &mut VecDeque<Delta>,
    signatures: &Signatures,
) {
    match piece {
        Piece::Signed { call, signature } => signatures.remember(call, signature),
        piece => answer.take(piece, ready),
    }
}

const GOT_HTML: &str = "a web page came instead of an answer; is api_base right?";
/// What is said of a body that ends too soon.
pub(super) const CUT: &str = "the answer was cut off";
