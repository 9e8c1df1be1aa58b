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
                event = self.complete();
                (self.is_error, self.is_idle) = (false, false);
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
                // A name stands before its data as a rule; behind it only an error's is believed.
                let is_error = names_error(value);
                if self.scan.is_ended() && !is_error {
                    event = self.complete();
                }
                (self.is_error, self.is_idle) = (is_error, names_life(value));
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
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::llm::decode::lines::LINE_LIMIT;

    fn read(chunks: &[&[u8]]) -> Vec<String> {
        let mut reader = SseReader::new(LINE_LIMIT);
        let mut events = Vec::new();
        for chunk in chunks {
            reader.push(Bytes::copy_from_slice(chunk));
            while let Some(event) = reader.next_event().unwrap() {
                events.push(event.data.into_owned());
            }
        }
        events.extend(reader.finish().unwrap().map(|event| event.data.into_owned()));
        events
    }

    const SAMPLE: &str = ": keep-alive\n\nevent: message\ndata: {\"t\":\"你好\"}\nid: 7\n\n\
        data:{\"t\":\ndata: \"世界\"}\n\n\ndata:\n\nretry: 5\n\ndata: [DONE]";

    #[test]
    fn every_split_gives_the_same_events_with_lf_crlf_and_cr() {
        let want = ["{\"t\":\"你好\"}", "{\"t\":\n\"世界\"}", "", "[DONE]"];
        for sample in [SAMPLE.to_owned(), SAMPLE.replace('\n', "\r\n"), SAMPLE.replace('\n', "\r")]
        {
            for split in 0..=sample.len() {
                let (head, tail) = sample.as_bytes().split_at(split);
                assert_eq!(read(&[head, tail]), want, "split at {split}");
            }
            let bytes: Vec<&[u8]> = sample.as_bytes().chunks(1).collect();
            assert_eq!(read(&bytes), want);
        }
    }

    #[test]
    fn an_error_line_is_an_error_event() {
        let mut reader = SseReader::new(LINE_LIMIT);
        for (text, is_error) in [
            ("error: {\"code\":500}\n\n", true),
            ("event: error\ndata: {\"code\":500}\n\n", true),
            ("data: {\"code\":500}\nevent: error\n\n", true),
            ("event: exception\ndata: {\"code\":500}\n\n", true),
            (" event: Error\n Data: {\"code\":500}\n\n", true),
            ("event: ping\ndata: now\n\ndata: {\"code\":500}\n\n", false),
            ("event: error\n\ndata: {\"code\":500}\n\n", false),
            ("event: message\ndata: {\"code\":500}\n\n", false),
        ] {
            reader.push(Bytes::from_static(text.as_bytes()));
            let event = reader.next_event().unwrap().unwrap();
            assert_eq!((event.is_error, &*event.data), (is_error, "{\"code\":500}"), "{text}");
        }
    }

    #[test]
    fn an_event_that_came_whole_is_lent() {
        let mut reader = SseReader::new(LINE_LIMIT);
        reader.push(Bytes::from_static(b"event: x\r\ndata: 1\r\n\r\ndata:2\n\n: hm\n\ndata: 3\n"));
        for want in ["1", "2"] {
            let event = reader.next_event().unwrap().unwrap();
            assert!(matches!(event.data, Cow::Borrowed(data) if data == want));
        }
        assert_eq!(reader.next_event(), Ok(None));
        reader.push(Bytes::from_static(b"\n"));
        assert_eq!(reader.next_event().unwrap().unwrap().data, "3");
    }

    #[test]
    fn events_without_blank_lines_are_separated() {
        let sample = ": hm\ndata: {\"a\":1}\ndata:{\"b\":[\ndata: 2]}\r\
            event: x\ndata: {\"c\":3}\nid: 1\ndata: [DONE]\n";
        for split in 0..=sample.len() {
            let (head, tail) = sample.as_bytes().split_at(split);
            let want = ["{\"a\":1}", "{\"b\":[\n2]}", "{\"c\":3}", "[DONE]"];
            assert_eq!(read(&[head, tail]), want, "split at {split}");
        }
        let mut reader = SseReader::new(LINE_LIMIT);
        reader.push(Bytes::from_static(b"data: {\"a\":1}\n"));
        assert_eq!(reader.next_event().unwrap().unwrap().data, "{\"a\":1}", "it waits for nothing");
    }

    #[test]
    fn json_without_a_field_is_looked_at() {
        let sample = "data: {\"a\":1}\n\n{\"error\":\"x\"}\n\n{\n  \"error\": {\n    \"id\": 7\n  }\n}\n\
            data: 1\n\ndata: {\n\"b\": 2}\n\n[DONE]\n";
        for split in 0..=sample.len() {
            let (head, tail) = sample.as_bytes().split_at(split);
            let events: Vec<String> =
                read(&[head, tail]).iter().map(|data| data.split_whitespace().collect()).collect();
            let want = [
                "{\"a\":1}",
                "{\"error\":\"x\"}",
                "{\"error\":{\"id\":7}}",
                "1",
                "{\"b\":2}",
                "[DONE]",
            ];
            assert_eq!(events, want, "split at {split}");
        }
    }

    #[test]
    fn words_of_a_failure_without_a_field_are_looked_at() {
        let sample = "data: {\"a\":1}\n\nInternal Server Error\n\n: upstream failed\n\
            x-note: the limit is near\nx-flag\nRuntimeError: boom went it\n\ndata: [DONE]\n\n";
        for split in 0..=sample.len() {
            let (head, tail) = sample.as_bytes().split_at(split);
            let want =
                ["{\"a\":1}", "Internal Server Error", "RuntimeError: boom went it", "[DONE]"];
            assert_eq!(read(&[head, tail]), want, "split at {split}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        assert_eq!(read(&["\u{feff}data: 1\n\n".as_bytes()]), ["1"]);
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut reader = SseReader::new(10);
        reader.push(Bytes::from_static(b"data: 123456\ndata: 123456\n"));
        assert_eq!(reader.next_event(), Err(TooLong));
        let mut reader = SseReader::new(10);
        reader.push(Bytes::from_static(b"data: 123456789"));
        assert_eq!(reader.next_event(), Err(TooLong));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn chunking_does_not_matter(
            pieces in prop::collection::vec("(data: ?|event: |: |\r?\n|\r?\n\r?\n|[a-z{}你好]{0,4})", 0..30),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let whole = pieces.concat().into_bytes();
            let mut at: Vec<usize> =
                cuts.iter().map(|cut| cut.index(whole.len() + 1)).collect();
            at.sort_unstable();
            let mut chunks = Vec::new();
            let mut from = 0;
            for to in at.into_iter().chain([whole.len()]) {
                chunks.push(&whole[from..to]);
                from = to;
            }
            prop_assert_eq!(read(&chunks), read(&[&whole]));
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            read(&[&bytes]);
        }
    }
}
