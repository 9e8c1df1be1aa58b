//! Bytes to complete server-sent events, split anywhere. Pure.
//!
//! Lenient where upstreams are loose: LF or CRLF, comments (OpenRouter and DeepSeek send them as
//! keep-alives), several `data:` lines, no space after the colon, a last event without its blank
//! line, and llama.cpp's old `error:` lines.

use super::lines::{LineReader, TooLong};

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SseEvent {
    /// The `event:` field, `error` when the data stood in an `error:` line.
    pub(super) name: String,
    /// The `data:` lines, joined by LF.
    pub(super) data: String,
}

/// Collects bytes and gives them back event by event.
#[derive(Debug)]
pub(super) struct SseReader {
    lines: LineReader,
    pending: SseEvent,
    has_data: bool,
    limit: usize,
    at_start: bool,
}

impl SseReader {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            lines: LineReader::new(limit),
            pending: SseEvent::default(),
            has_data: false,
            limit,
            at_start: true,
        }
    }

    /// Takes a chunk as it came from the network.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.lines.push(bytes);
    }

    /// The next complete event; `None` until more bytes come.
    pub(super) fn next_event(&mut self) -> Result<Option<SseEvent>, TooLong> {
        while let Some(line) = self.lines.next_line()? {
            if let Some(event) = self.take(&line)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// The event that the end of the body completes. Call it after `next_event` gave `None`.
    pub(super) fn finish(&mut self) -> Result<Option<SseEvent>, TooLong> {
        if let Some(line) = self.lines.rest() {
            self.take(&line)?;
        }
        Ok(self.dispatch())
    }

    fn take(&mut self, line: &str) -> Result<Option<SseEvent>, TooLong> {
        let line = if self.at_start { line.trim_start_matches('\u{feff}') } else { line };
        self.at_start = false;
        if line.is_empty() {
            return Ok(self.dispatch());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => self.add(value)?,
            "error" => {
                self.add(value)?;
                "error".clone_into(&mut self.pending.name);
            }
            "event" => value.clone_into(&mut self.pending.name),
            _ => {}
        }
        Ok(None)
    }

    fn add(&mut self, value: &str) -> Result<(), TooLong> {
        if self.has_data {
            self.pending.data.push('\n');
        }
        self.has_data = true;
        self.pending.data.push_str(value);
        if self.pending.data.len() > self.limit { Err(TooLong) } else { Ok(()) }
    }

    fn dispatch(&mut self) -> Option<SseEvent> {
        let event = std::mem::take(&mut self.pending);
        std::mem::take(&mut self.has_data).then_some(event)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::llm::lines::LINE_LIMIT;

    fn read(chunks: &[&[u8]]) -> Vec<String> {
        let mut reader = SseReader::new(LINE_LIMIT);
        let mut events = Vec::new();
        for chunk in chunks {
            reader.push(chunk);
            while let Some(event) = reader.next_event().unwrap() {
                events.push(event.data);
            }
        }
        events.extend(reader.finish().unwrap().map(|event| event.data));
        events
    }

    const SAMPLE: &str = ": keep-alive\n\nevent: message\ndata: {\"t\":\"你好\"}\nid: 7\n\n\
        data:{\"t\":\ndata: \"世界\"}\n\n\ndata:\n\nretry: 5\n\ndata: [DONE]";

    #[test]
    fn every_split_gives_the_same_events_with_lf_and_crlf() {
        let want = ["{\"t\":\"你好\"}", "{\"t\":\n\"世界\"}", "", "[DONE]"];
        for sample in [SAMPLE.to_owned(), SAMPLE.replace('\n', "\r\n")] {
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
        reader.push(b"error: {\"code\":500}\n\n");
        let event = reader.next_event().unwrap().unwrap();
        assert_eq!((event.name.as_str(), event.data.as_str()), ("error", "{\"code\":500}"));
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        assert_eq!(read(&["\u{feff}data: 1\n\n".as_bytes()]), ["1"]);
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut reader = SseReader::new(10);
        reader.push(b"data: 123456\ndata: 123456\n");
        assert_eq!(reader.next_event(), Err(TooLong));
        let mut reader = SseReader::new(10);
        reader.push(b"data: 123456789");
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
