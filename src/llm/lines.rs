//! Bytes to complete lines, split anywhere: NDJSON as it is, and the base of SSE. Pure.

/// Longest line (or SSE event) that is read; an upstream that sends more is not speaking the
/// protocol, and memory must stay bounded.
pub(super) const LINE_LIMIT: usize = 8 * 1024 * 1024;

/// A line or event grew beyond its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// Collects bytes and gives them back line by line, without LF or CRLF. Bytes stay bytes until a
/// line is complete, so a character may straddle two chunks.
#[derive(Debug)]
pub(super) struct LineReader {
    buffer: Vec<u8>,
    /// Start of the first line not yet given out.
    start: usize,
    /// Everything before this is known to hold no line end.
    scanned: usize,
    limit: usize,
}

impl LineReader {
    pub(super) fn new(limit: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, scanned: 0, limit }
    }

    /// Takes a chunk as it came from the network.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.scanned = self.scanned.saturating_sub(self.start);
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete line, lossily decoded; `None` until more bytes come.
    pub(super) fn next_line(&mut self) -> Result<Option<String>, TooLong> {
        let unscanned = self.buffer.get(self.scanned..).unwrap_or_default();
        let Some(found) = memchr::memchr(b'\n', unscanned) else {
            self.scanned = self.buffer.len();
            let waiting = self.buffer.len().saturating_sub(self.start);
            return if waiting > self.limit { Err(TooLong) } else { Ok(None) };
        };
        let end = self.scanned.saturating_add(found);
        let line = self.buffer.get(self.start..end).unwrap_or_default();
        if line.len() > self.limit {
            return Err(TooLong);
        }
        let line = text(line);
        self.start = end.saturating_add(1);
        self.scanned = self.start;
        Ok(Some(line))
    }

    /// What stands after the last line end, once the body is over.
    pub(super) fn rest(&mut self) -> Option<String> {
        let rest = text(self.buffer.get(self.start..).unwrap_or_default());
        self.buffer.clear();
        (self.start, self.scanned) = (0, 0);
        (!rest.is_empty()).then_some(rest)
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(chunks: &[&[u8]]) -> Vec<String> {
        let mut reader = LineReader::new(LINE_LIMIT);
        let mut lines = Vec::new();
        for chunk in chunks {
            reader.push(chunk);
            while let Some(line) = reader.next_line().unwrap() {
                lines.push(line);
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
    fn a_line_without_end_is_refused() {
        let mut reader = LineReader::new(8);
        reader.push(b"12345678");
        assert_eq!(reader.next_line(), Ok(None));
        reader.push(b"9");
        assert_eq!(reader.next_line(), Err(TooLong));
        let mut reader = LineReader::new(8);
        reader.push(b"123456789\n");
        assert_eq!(reader.next_line(), Err(TooLong));
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
