//! Reads the body of an answer, however the upstream frames it: bytes to frames, frames to deltas.
//! Pure.

pub(super) mod answer;
mod apply;
mod frame;
mod lines;
mod mend;
mod repeat;
mod scan;
pub mod sse;
pub(super) mod think;
mod whole;

use std::collections::VecDeque;

use bytes::Bytes;
use serde_json::{Deserializer, Value};

use super::{
    Delta, LlmErrorKind,
    call::failure::Failure,
    protocol::{Wire, all::wire, piece::Piece, state::Recorder, upstream_error::Refusal},
};
use crate::types::Protocol;
use answer::Answer;
use apply::apply;
use frame::{DONE, bare, failure_in, is_keep_alive, is_news, named_error};
use lines::{JsonLines, LINE_LIMIT};
use mend::Mender;
use repeat::{FrameTemplate, TemplateBuilder};
use sse::SseReader;

/// Most bytes of a reply that is read as a whole.
const REPLY_LIMIT: usize = 32 * 1024 * 1024;

/// The body of an answer, given in chunks as they come and taken back in deltas.
pub struct ReplyReader {
    wire: &'static dyn Wire,
    framing: Framing,
    /// What came before the framing was known: the beginning of a byte order mark.
    head: Vec<u8>,
    /// It was announced as a web page, and nothing of it was read yet.
    may_be_page: bool,
    answer: Answer,
    recorder: Recorder,
    /// Held back until what has to come before it was handed on.
    held: Option<Delta>,
    ready: VecDeque<Delta>,
    template: FrameTemplate,
    mender: Mender,
    /// Found behind the deltas that are ready.
    failure: Option<Failure>,
    /// The answer is over, well or badly; nothing more is read for it.
    closed: bool,
}

/// How the body is cut into frames. Boxed, as it is moved with every chunk.
enum Framing {
    /// Not known before its first byte.
    Unknown,
    Sse(Box<SseReader>),
    Lines(Box<JsonLines>),
    Whole(Vec<u8>),
}

impl ReplyReader {
    /// Reads a stream in this protocol, as benchmarks do.
    #[must_use]
    pub fn of_stream(protocol: Protocol) -> Self {
        Self::new(wire(protocol), "", Answer::new(false, false), Recorder::default())
    }

    /// Reads a response with this content type. Servers mislabel, so its first byte decides how it
    /// is framed.
    pub(super) fn new(
        wire: &'static dyn Wire,
        content_type: &str,
        answer: Answer,
        recorder: Recorder,
    ) -> Self {
        let html = "text/html";
        let label = content_type.get(..html.len());
        Self {
            wire,
            framing: Framing::Unknown,
            head: Vec::new(),
            may_be_page: label.is_some_and(|label| label.eq_ignore_ascii_case(html)),
            answer,
            recorder,
            held: None,
            ready: VecDeque::new(),
            template: FrameTemplate::default(),
            mender: Mender::default(),
            failure: None,
            closed: false,
        }
    }

    /// Takes a chunk as it came from the network.
    pub fn push(&mut self, bytes: Bytes) {
        let bytes = match self.framing {
            Framing::Unknown => match self.begin(bytes) {
                Some(bytes) => bytes,
                None => return,
            },
            _ => bytes,
        };
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

    /// Finds out how the body is framed, by its first byte behind blank lines, which keep a
    /// connection alive, and a byte order mark. What there is to read, if it has come.
    fn begin(&mut self, bytes: Bytes) -> Option<Bytes> {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        let bytes = match self.head.is_empty() {
            true => bytes,
            false => [std::mem::take(&mut self.head), bytes.to_vec()].concat().into(),
        };
        let text = bytes.trim_ascii_start();
        let text = text.strip_prefix(MARK).unwrap_or(text).trim_ascii_start();
        if MARK.starts_with(text) {
            self.head = text.to_vec();
            return None;
        }
        self.framing = match text.first() {
            Some(b'<') => {
                self.fail(Failure::new(LlmErrorKind::Garbled, GOT_HTML));
                return None;
            }
            Some(b'{') if self.wire.streams_lines() => {
                Framing::Lines(Box::new(JsonLines::new(LINE_LIMIT)))
            }
            Some(b'{' | b'[') => Framing::Whole(Vec::new()),
            _ => Framing::Sse(Box::new(SseReader::new(LINE_LIMIT))),
        };
        let start = bytes.len().saturating_sub(text.len());
        Some(bytes.slice(start..))
    }

    /// The end of the body.
    pub fn end(&mut self) {
        self.read_rest();
        if self.closed {
            return;
        }
        if self.answer.is_complete() {
            self.close();
        } else if self.may_be_page {
            self.fail(Failure::new(LlmErrorKind::Garbled, GOT_HTML));
        } else {
            self.fail(Failure::new(LlmErrorKind::Truncated, CUT));
        }
    }

    /// The next delta of what was pushed so far.
    pub fn next_delta(&mut self) -> Option<Delta> {
        if let Some(held) = self.held.take() {
            return Some(held);
        }
        let delta = self.ready.pop_front()?;
        if self.recorder.is_on()
            && let Some(before) = self.recorder.see(&delta)
        {
            self.held = Some(delta);
            return Some(before);
        }
        Some(delta)
    }

    /// How many deltas there are.
    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// The failure behind the last delta, if any. Given once.
    pub(super) fn failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    /// Whether the answer is over: more of the body changes nothing.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// What the answer leaves for its model.
    pub(super) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// What is known of the answer so far.
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
                    reader.next_frame().map(|frame| frame.map(|frame| self.read(&frame, false)))
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
        let mut values = Deserializer::from_str(&data).into_iter::<serde::de::IgnoredAny>();
        let whole = data.trim() == DONE || values.next().is_some_and(|value| value.is_ok());
        if (whole || failure_in(data.trim()).is_some()) && !self.closed {
            self.read(&data, is_error);
        }
    }

    /// Reads one frame of a stream.
    fn read(&mut self, data: &str, is_error: bool) {
        let data = data.trim();
        if is_keep_alive(data) && !is_error {
            return;
        }
        self.may_be_page = false;
        self.answer.begin_frame();
        let is_framed = data.starts_with('{')
            && !is_error
            && (self.read_by_template(data) || self.read_fast_path(data));
        if !is_framed {
            self.read_any(data, is_error);
        }
        self.look_for_field(data);
        self.look_for_end();
    }

    /// The first frame with thoughts shows which field this model has them in.
    fn look_for_field(&mut self, frame: &str) {
        let (_, reasoning_bytes, _) = self.answer.lengths();
        if reasoning_bytes > 0 && self.recorder.wants_field() {
            let frame = serde_json::from_str(frame).unwrap_or(Value::Null);
            self.recorder.field(self.wire.thoughts_field(&frame));
        }
    }

    /// Reads a frame that differs in nothing but its text from one before.
    fn read_by_template(&mut self, data: &str) -> bool {
        let Some(piece) = self.template.piece(data) else { return false };
        if let Piece::Reasoning(text) = &piece {
            self.recorder.block_text(text);
        }
        self.answer.take(piece, &mut self.ready);
        true
    }

    /// Reads a frame, or a whole reply, in which nothing is out of the ordinary.
    fn read_fast_path(&mut self, data: &str) -> bool {
        let Self { wire, answer, ready, recorder, template, .. } = self;
        let mut builder = TemplateBuilder::new(data);
        let is_read = wire.fast_path(data, &mut |piece| {
            builder.see(&piece);
            apply(piece, answer, ready, recorder);
        });
        template.fill(builder);
        is_read
    }

    /// Reads any frame; some servers put several into one.
    fn read_any(&mut self, data: &str, is_error: bool) {
        let mut rest = data;
        while !self.closed {
            rest = bare(rest);
            if rest.is_empty() {
                if is_error && data.is_empty() {
                    self.refuse(Refusal::wordless());
                }
                return;
            }
            if let Some(more) = rest.strip_prefix(DONE) {
                self.apply(Piece::End);
                rest = more;
                continue;
            }
            let mut values = Deserializer::from_str(rest).into_iter::<Value>();
            match values.next() {
                Some(Ok(value)) if is_error => self.refuse(named_error(&value)),
                Some(Ok(value)) => self.read_value(&value),
                _ if is_error => self.refuse(named_error(&rest.into())),
                _ => return self.read_odd(rest),
            }
            rest = rest.get(values.byte_offset()..).unwrap_or_default();
        }
    }

    /// Reads what is no JSON, or not quite.
    fn read_odd(&mut self, rest: &str) {
        let mended = self.mender.mend(rest).and_then(|text| serde_json::from_str(&text).ok());
        if let Some(value) = mended {
            self.read_value(&value);
        } else if let Some(refusal) = failure_in(rest) {
            self.refuse(refusal);
        } else if !is_news(rest) {
            self.fail(Failure::new(LlmErrorKind::Garbled, "a frame is not JSON"));
        }
    }

    fn read_value(&mut self, value: &Value) {
        self.answer.begin_frame();
        match self.wire.pieces(value) {
            Ok(pieces) => pieces.into_iter().for_each(|piece| self.apply(piece)),
            Err(refusal) => self.refuse(refusal),
        }
    }

    fn apply(&mut self, piece: Piece<'_>) {
        apply(piece, &mut self.answer, &mut self.ready, &mut self.recorder);
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

    /// The answer is complete, though its end was not seen.
    pub(super) fn finish(&mut self) {
        if !self.closed {
            self.close();
        }
    }

    /// Ends the reading with a failure, unless all of the answer has come.
    pub(super) fn fail(&mut self, failure: Failure) {
        if self.answer.is_sure() {
            return self.finish();
        }
        self.closed = true;
        self.failure = Some(failure);
    }

    /// An error inside the answer, whatever reason it gave before.
    fn refuse(&mut self, refusal: Refusal) {
        self.closed = true;
        self.failure = Some(Failure::in_band(refusal));
    }
}

const GOT_HTML: &str = "a web page came instead of an answer; is api_base right?";
/// What is said of a body that ends too soon.
pub(super) const CUT: &str = "the answer was cut off";

#[cfg(test)]
mod tests;
