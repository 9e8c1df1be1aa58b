//! Bytes to complete lines, split anywhere: NDJSON as it is, and the base of SSE. Pure.

use std::{borrow::Cow, ops::Range};

use bytes::Bytes;

use super::scan::Scanner;

/// Longest line (or SSE event) that is read; an upstream that sends more is not speaking the
/// protocol, and memory must stay bounded.
pub(super) const LINE_LIMIT: usize = 8 * 1024 * 1024;

/// A line or event grew beyond its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// Takes the chunks of a body and gives them back line by line, without LF, CRLF or CR. Bytes stay
/// bytes until a line is complete, so a character may straddle two chunks. What came in one chunk is
/// lent from there; only a line that was split is put together.
#[derive(Debug)]
pub(super) struct LineReader {
    chunk: Bytes,
    /// Start of the first line of the chunk not yet given out.
    start: usize,
    /// The line that began in an earlier chunk.
    split: Vec<u8>,
    /// The line at `start` was given out.
    is_given: bool,
    /// The last line ended with a CR, to which the next LF belongs.
    after_return: bool,
    limit: usize,
}

/// The place of a line, until the next one is looked for.
#[derive(Clone, Debug)]
pub(super) enum Line {
    InChunk(Range<usize>),
    Split,
}

impl LineReader {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            chunk: Bytes::new(),
            start: 0,
            split: Vec::new(),
            is_given: false,
            after_return: false,
            limit,
        }
    }

    /// Takes a chunk as it came from the network, best when all lines of the one before were read.
    pub(super) fn push(&mut self, bytes: Bytes) {
        let rest = self.chunk.get(self.start..).unwrap_or_default();
        self.chunk = if rest.is_empty() { bytes } else { [rest, &bytes].concat().into() };
        self.start = 0;
    }

    /// Finds the next complete line; `None` until more bytes come.
    pub(super) fn find(&mut self) -> Result<Option<Line>, TooLong> {
        if std::mem::take(&mut self.is_given) {
            self.split.clear();
        }
        self.skip_line_feed();
        let rest = self.chunk.get(self.start..).unwrap_or_default();
        let Some(length) = memchr::memchr2(b'\n', b'\r', rest) else {
            self.split.extend_from_slice(rest);
            // Its memory belongs to the connection, which can use it again.
            self.chunk = Bytes::new();
            self.start = 0;
            return if self.split.len() > self.limit { Err(TooLong) } else { Ok(None) };
        };
        if self.split.len().saturating_add(length) > self.limit {
            return Err(TooLong);
        }
        let (from, end) = (self.start, self.start.saturating_add(length));
        self.start = end.saturating_add(1);
        self.after_return = self.chunk.get(end) == Some(&b'\r');
        self.skip_line_feed();
        if self.split.is_empty() {
            return Ok(Some(Line::InChunk(from..end)));
        }
        self.split.extend_from_slice(self.chunk.get(from..end).unwrap_or_default());
        self.is_given = true;
        Ok(Some(Line::Split))
    }

    /// Passes over an empty line, if that is what comes next and it is here already.
    pub(super) fn skip_empty(&mut self) -> bool {
        let rest = self.chunk.get(self.start..).unwrap_or_default();
        let length = match rest {
            [b'\n', ..] => 1,
            [b'\r', b'\n', ..] => 2,
            [b'\r'] => {
                self.after_return = true;
                1
            }
            [b'\r', ..] => 1,
            _ => return false,
        };
        self.start = self.start.saturating_add(length);
        true
    }

    /// Passes over the rest of a CRLF, which may come with the next chunk.
    fn skip_line_feed(&mut self) {
        if self.after_return
            && let Some(next) = self.chunk.get(self.start)
        {
            self.after_return = false;
            self.start = self.start.saturating_add(usize::from(*next == b'\n'));
        }
    }

    /// The bytes of the line that was found last.
    pub(super) fn bytes(&self, line: &Line) -> &[u8] {
        match line {
            Line::InChunk(range) => self.chunk.get(range.clone()).unwrap_or_default(),
            Line::Split => &self.split,
        }
    }

    /// The line that was found last.
    pub(super) fn text(&self, line: &Line) -> Cow<'_, str> {
        text(self.bytes(line))
    }

    /// What stands after the last line end, once the body is over and `None` was given.
    pub(super) fn rest(&mut self) -> Option<String> {
        let rest = text(&std::mem::take(&mut self.split)).into_owned();
        (!rest.is_empty()).then_some(rest)
    }
}

/// A body of JSON objects, one a line as a rule; one that was laid out over several lines is put
/// together.
#[derive(Debug)]
pub(super) struct JsonLines {
    lines: LineReader,
    /// An object that is not complete.
    open: String,
    scan: Scanner,
    limit: usize,
}

impl JsonLines {
    pub(super) fn new(limit: usize) -> Self {
        let lines = LineReader::new(limit);
        Self { lines, open: String::new(), scan: Scanner::default(), limit }
    }

    /// Takes a chunk as it came from the network.
    pub(super) fn push(&mut self, bytes: Bytes) {
        self.lines.push(bytes);
    }

    /// The next object, or whatever else a line says; `None` until more bytes come.
    pub(super) fn next_frame(&mut self) -> Result<Option<Cow<'_, str>>, TooLong> {
        while let Some(line) = self.lines.find()? {
            let bytes = self.lines.bytes(&line);
            let is_open = bytes.trim_ascii_start().starts_with(b"{")
                && !bytes.trim_ascii_end().ends_with(b"}");
            if self.open.is_empty() && !is_open {
                return Ok(Some(self.lines.text(&line)));
            }
            let text = self.lines.text(&line);
            self.scan.feed_all(&text);
            self.open.push_str(&text);
            self.open.push('\n');
            if self.open.len() > self.limit {
                return Err(TooLong);
            }
            if self.scan.is_ended() {
                self.scan = Scanner::default();
                return Ok(Some(Cow::Owned(std::mem::take(&mut self.open))));
            }
        }
        Ok(None)
    }

    /// What is not complete, once the body is over and `None` was given.
    pub(super) fn rest(&mut self) -> Option<String> {
        let mut open = std::mem::take(&mut self.open);
        open.push_str(&self.lines.rest().unwrap_or_default());
        (!open.is_empty()).then_some(open)
    }
}

fn text(line: &[u8]) -> Cow<'_, str> {
    // Reads many bytes at once, while the lossy decoder counts each, also of what needs no repair.
    match std::str::from_utf8(line) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(line),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl LineReader {
        fn next_line(&mut self) -> Result<Option<Cow<'_, str>>, TooLong> {
            let line = self.find()?;
            Ok(line.map(|line| self.text(&line)))
        }
    }

    fn read(chunks: &[&[u8]]) -> Vec<String> {
        let mut reader = LineReader::new(LINE_LIMIT);
        let mut lines = Vec::new();
        for chunk in chunks {
            reader.push(Bytes::copy_from_slice(chunk));
            while let Some(line) = reader.next_line().unwrap() {
                lines.push(line.into_owned());
            }
        }
        lines.extend(reader.rest());
        lines
    }

    const SAMPLE: &str = "{\"a\":\"你好，世界\"}\r\n\n{\"b\":1}\n{\"c\":\"末行\"}";

    #[test]
    fn every_split_gives_the_same_lines() {
        let want = ["{\"a\":\"你好，世界\"}", "", "{\"b\":1}", "{\"c\":\"末行\"}"];
        for split in 0..=SAMPLE.len() {
            let (head, tail) = SAMPLE.as_bytes().split_at(split);
            assert_eq!(read(&[head, tail]), want, "split at {split}");
        }
        let bytes: Vec<&[u8]> = SAMPLE.as_bytes().chunks(1).collect();
        assert_eq!(read(&bytes), want);
    }

    #[test]
    fn a_carriage_return_alone_ends_a_line() {
        let sample = "a\r\rb\r\nc\nd\r";
        for split in 0..=sample.len() {
            let (head, tail) = sample.as_bytes().split_at(split);
            assert_eq!(read(&[head, tail]), ["a", "", "b", "c", "d"], "split at {split}");
        }
    }

    #[test]
    fn an_object_over_several_lines_is_one() {
        let sample = "{\"a\":1}\n{\n  \"b\": {\r\n    \"c\": \"}\"\n  }\n}\n\n{\"d\":2}\n{\"e\":";
        for split in 0..=sample.len() {
            let (head, tail) = sample.split_at(split);
            let mut reader = JsonLines::new(LINE_LIMIT);
            let mut frames = Vec::new();
            for chunk in [head, tail] {
                reader.push(Bytes::copy_from_slice(chunk.as_bytes()));
                while let Some(frame) = reader.next_frame().unwrap() {
                    frames.push(frame.split_whitespace().collect::<String>());
                }
            }
            frames.retain(|frame| !frame.is_empty());
            let want = ["{\"a\":1}", "{\"b\":{\"c\":\"}\"}}", "{\"d\":2}"];
            assert_eq!(frames, want, "split at {split}");
            assert_eq!(reader.rest().as_deref(), Some("{\"e\":"));
        }
        let mut reader = JsonLines::new(8);
        reader.push(Bytes::from_static(b"{\n1,2,3\n4\n"));
        assert_eq!(reader.next_frame(), Err(TooLong));
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut reader = LineReader::new(8);
        reader.push(Bytes::from_static(b"12345678"));
        assert_eq!(reader.next_line(), Ok(None));
        reader.push(Bytes::from_static(b"9"));
        assert_eq!(reader.next_line(), Err(TooLong));
        let mut reader = LineReader::new(8);
        reader.push(Bytes::from_static(b"123456789\n"));
        assert_eq!(reader.next_line(), Err(TooLong));
    }

    #[test]
    fn lines_within_a_chunk_are_lent() {
        let mut reader = LineReader::new(LINE_LIMIT);
        reader.push(Bytes::from_static("a\n你好\r\nrest".as_bytes()));
        for want in ["a", "你好"] {
            assert!(matches!(reader.next_line(), Ok(Some(Cow::Borrowed(line))) if line == want));
        }
        assert!(reader.split.is_empty(), "nothing was copied");
        assert_eq!(reader.next_line(), Ok(None));
        assert_eq!(reader.split, b"rest");
    }

    #[test]
    fn chunks_may_come_before_the_lines_are_read() {
        let mut reader = LineReader::new(LINE_LIMIT);
        for chunk in ["a\nb", "c\n", "d\n"] {
            reader.push(Bytes::from_static(chunk.as_bytes()));
        }
        for want in ["a", "bc", "d"] {
            assert_eq!(reader.next_line().unwrap().as_deref(), Some(want));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn random_bytes_in_random_chunks_lose_nothing(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..12),
        ) {
            let slices: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
            let whole = slices.concat();
            prop_assert_eq!(read(&slices), read(&[&whole]));
        }
    }
}
