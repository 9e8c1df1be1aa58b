//! A body that comes as a whole: one reply, a list of frames, or a stream after all. Pure.

use serde_json::{Deserializer, Value};

use super::{
    ReplyReader,
    frame::{DONE, bare},
};
use crate::llm::{LlmErrorKind, call::failure::Failure, protocol::upstream_error::Refusal};

impl ReplyReader {
    /// Reads a body that came as a whole, though it may be a stream after all.
    pub(super) fn read_whole(&mut self, body: &[u8]) {
        self.may_be_page = false;
        let text = String::from_utf8_lossy(body);
        if self.read_fast_path(&text) {
            self.look_for_field(&text);
            return self.end_whole();
        }
        let mut values = Deserializer::from_str(&text).into_iter::<Value>();
        match values.next() {
            Some(Ok(value)) => {
                let rest = bare(text.get(values.byte_offset()..).unwrap_or_default());
                if !matches!(rest, "" | DONE) {
                    self.read_any(&text, false);
                    self.look_for_end();
                } else if let Value::Array(frames) = &value {
                    self.read_list(frames);
                } else {
                    self.read_reply(&value);
                }
            }
            Some(Err(error)) if error.is_eof() => {
                self.fail(Failure::new(LlmErrorKind::Truncated, "the reply was cut off"));
            }
            _ => match self.mender.mend(&text).and_then(|text| serde_json::from_str(&text).ok()) {
                Some(value) => self.read_reply(&value),
                None => self.fail(Failure::new(LlmErrorKind::Garbled, "the reply is not JSON")),
            },
        }
    }

    /// Reads a stream that came as one list, as Gemini sends it when it is not asked for events.
    fn read_list(&mut self, frames: &[Value]) {
        if !frames.iter().any(|frame| self.wire.is_reply(frame)) {
            return self.read_reply(frames.first().unwrap_or(&Value::Null));
        }
        for frame in frames {
            if !self.closed {
                self.read_value(frame);
            }
        }
        self.look_for_end();
    }

    /// Reads a whole reply, or the error that came instead.
    fn read_reply(&mut self, value: &Value) {
        if self.wire.is_reply(value) {
            self.read_value(value);
            if self.recorder.wants_field() {
                self.recorder.field(self.wire.thoughts_field(value));
            }
            return self.end_whole();
        }
        match Refusal::instead_of_answer(value) {
            Some(refusal) => self.refuse(refusal),
            None => self.fail(Failure::new(LlmErrorKind::Garbled, "the reply has no answer")),
        }
    }

    /// A whole reply was read.
    fn end_whole(&mut self) {
        if self.closed {
            return;
        }
        if self.wire.ends_with_body() {
            self.answer.end(); // a whole body has no other terminator
        }
        self.look_for_end();
    }
}
