//! Bytes to complete server-sent events, split anywhere. Pure.
//!
//! Lenient where upstreams are loose: LF, CRLF or CR, comments (OpenRouter and DeepSeek send them as
//! keep-alives), several `data:` lines, no space after the colon, events without blank lines between
//! them, llama.cpp's old `error:` lines, and JSON that stands in lines of its own without `data:`, as
//! a server writes it that fails in the middle of a stream, or plain words of a failure.

use std::borrow::Cow;

use bytes::Bytes;

use super::{
    lines::{LineReader, TooLong},
    scan::Scanner,
};
use crate::llm::protocol::error_frame::is_failure_in_words;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SseEvent<'a> {
    /// It was named `error`, or its data stood in an `error:` line.
    pub is_error: bool,
    /// The `data:` lines, joined by LF.
    pub data: Cow<'a, str>,
}

/// Takes the chunks of a body and gives them back event by event. An event whose data is one line
/// and that came whole in one chunk, as nearly all do, is lent from there.
#[derive(Debug)]
pub struct SseReader {
    lines: LineReader,
    open: OpenEvent,
    at_start: bool,
}

/// An event that is not complete.
#[derive(Debug)]
struct OpenEvent {
    is_error: bool,
    /// It was named a sign of life: nothing in it is part of an answer.
    is_idle: bool,
    /// No blank line has come since an event that was handed on.
    is_behind: bool,
    data: Option<String>,
    /// Follows the data: JSON that has ended waits for no blank line.
    scan: Scanner,
    limit: usize,
}

impl SseReader {
    /// Reads events of at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        let open = OpenEvent {
            is_error: false,
            is_idle: false,
            is_behind: false,
            data: None,
            scan: Scanner::default(),
            limit,
        };
        Self { lines: LineReader::new(limit), open, at_start: true }
    }

    /// Takes a chunk as it came from the network.
    pub fn push(&mut self, bytes: Bytes) {
        self.lines.push(bytes);
    }

    /// The next complete event; `None` until more bytes come.
    ///
    /// # Errors
    /// When an event is longer than the limit.
    pub fn next_event(&mut self) -> Result<Option<SseEvent<'_>>, TooLong> {
        while let Some(line) = self.lines.find()? {
            let is_data = self.open.takes_whole() && self.lines.bytes(&line).starts_with(b"data:");
            if is_data && self.lines.skip_empty() {
                self.at_start = false;
                let is_error = std::mem::take(&mut self.open.is_error);
                self.open.is_behind = false;
                let data = match self.lines.text(&line) {
                    Cow::Borrowed(line) => Cow::Borrowed(data(line)),
                    Cow::Owned(line) => Cow::Owned(data(&line).to_owned()),
                };
                return Ok(Some(SseEvent { is_error, data }));
            }
            let text = self.lines.text(&line);
            let text = if self.at_start { text.trim_start_matches('\u{feff}') } else { &text };
            self.at_start = false;
            let is_inside = self.open.scan.is_inside();
            let (name, value) = field(text);
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            let (field, value) = match name {
                _ if text.is_empty() => (Field::End, ""),
                _ if is("data") => (Field::Data, value),
                _ if is("error") => (Field::Error, value),
                _ if is("event") => (Field::Name, value),
                _ if is_bare(text) => (Field::Data, text),
                "" | "id" | "retry" => (Field::Other, ""),
                // Laid out over several lines, of which the first alone has a name, if any.
                _ if is_inside => (Field::More, text),
                // A page or a failure in plain words, in the middle of a stream.
                _ if name.starts_with('<') || is_failure(name, text) => (Field::Data, text),
                _ => (Field::Other, ""),
            };
            if let Some(event) = self.open.take(field, value)? {
                return Ok(Some(event));
            }
        }
        // Whole, though no blank line has come: some servers send none.
        Ok(if self.open.scan.is_ended() { self.open.complete() } else { None })
    }

    /// The event that the end of the body completes. Call it after `next_event` gave `None`.
    ///
    /// # Errors
    /// When it is longer than the limit.
    pub fn finish(&mut self) -> Result<Option<SseEvent<'_>>, TooLong> {
        self.lines.push(Bytes::from_static(b"\n\n"));
        self.next_event()
    }
}

impl OpenEvent {
    /// Takes a line; an event that it completes.
    fn take(&mut self, field: Field, value: &str) -> Result<Option<SseEvent<'static>>, TooLong> {
        let mut event = None;
        match field {
            Field::End => {
                let is_said_late = self.is_error && self.is_behind && self.data.is_none();
                event = match is_said_late {
                    true => Some(SseEvent { is_error: true, data: Cow::Borrowed("") }),
                    false => self.complete(),
                };
                (self.is_error, self.is_idle, self.is_behind) = (false, false, false);
            }
            Field::Data | Field::Error => {
                if self.scan.is_ended() {
                    event = self.complete();
                }
                self.is_error |= matches!(field, Field::Error);
                self.add(value)?;
            }
            Field::More => self.add(value)?,
            Field::Name => {
                // A name stands before its data as a rule. What is whole may have been handed on by
                // now, so that an error that was its own follows it without words.
                if self.scan.is_ended() {
                    event = self.complete();
                }
                (self.is_error, self.is_idle) = (names_error(value), names_life(value));
            }
            Field::Other => {}
        }
        Ok(event)
    }

    /// Whether a line of data may be the whole of it.
    fn takes_whole(&self) -> bool {
        self.data.is_none() && !self.is_idle
    }

    /// The event that was put together.
    fn complete(&mut self) -> Option<SseEvent<'static>> {
        self.scan = Scanner::default();
        let data = self.data.take().filter(|_| !self.is_idle)?;
        self.is_behind = true;
        Some(SseEvent { is_error: std::mem::take(&mut self.is_error), data: data.into() })
    }

    /// Adds a line to the data.
    fn add(&mut self, value: &str) -> Result<(), TooLong> {
        self.scan.feed_all(value);
        match &mut self.data {
            Some(data) => {
                data.push('\n');
                data.push_str(value);
            }
            None => self.data = Some(value.to_owned()),
        }
        if self.data.as_ref().is_some_and(|data| data.len() > self.limit) {
            return Err(TooLong);
        }
        Ok(())
    }
}

/// What a line is.
#[derive(Clone, Copy, Debug)]
enum Field {
    /// The blank line behind an event.
    End,
    Data,
    Error,
    Name,
    /// A further line of data that has begun.
    More,
    /// A comment, an id, or nothing known.
    Other,
}

/// Whether an event is one by its name.
fn names_error(name: &str) -> bool {
    let name = name.trim().to_ascii_lowercase();
    ["error", "exception", "failed", "failure"].iter().any(|end| name.ends_with(end))
}

/// Whether an event is a sign of life by its name.
fn names_life(name: &str) -> bool {
    const NAMES: [&str; 5] = ["ping", "heartbeat", "keepalive", "keep-alive", "keep_alive"];
    NAMES.iter().any(|known| name.trim().eq_ignore_ascii_case(known))
}

/// Whether a line is JSON without a field's name.
fn is_bare(line: &str) -> bool {
    line.trim_ascii_start().starts_with(['{', '['])
}

/// Whether a line is no field but words about a failure. A field's name has no gaps, and none
/// stands alone but for `data`.
fn is_failure(name: &str, line: &str) -> bool {
    let is_field = line.contains(':') && !name.contains(char::is_whitespace) && !names_error(name);
    !is_field && is_failure_in_words(line)
}

/// The value of a `data:` line.
fn data(line: &str) -> &str {
    let value = line.strip_prefix("data:").unwrap_or(line);
    value.strip_prefix(' ').unwrap_or(value)
}

/// A line's field and value.
fn field(line: &str) -> (&str, &str) {
    let (field, value) = line.split_once(':').unwrap_or((line, ""));
    (field.trim_ascii(), value.strip_prefix(' ').unwrap_or(value))
}

#[cfg(test)]
mod tests;
