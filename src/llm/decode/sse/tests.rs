//! Events, however their bytes are split.

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
    for sample in [SAMPLE.to_owned(), SAMPLE.replace('\n', "\r\n"), SAMPLE.replace('\n', "\r")] {
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

/// Each event, and whether it is an error; the bytes come one by one, or all at once.
fn named(text: &str, is_split: bool) -> Vec<(bool, String)> {
    let mut reader = SseReader::new(LINE_LIMIT);
    let mut events = Vec::new();
    for piece in text.as_bytes().chunks(if is_split { 1 } else { text.len() }) {
        reader.push(Bytes::copy_from_slice(piece));
        while let Some(event) = reader.next_event().unwrap() {
            events.push((event.is_error, event.data.into_owned()));
        }
    }
    events
}

#[test]
fn an_error_is_that_of_the_event_it_stands_with_however_its_bytes_come() {
    for (text, want) in [
        // Without a blank line it is the next one's.
        (
            "data: {\"a\":1}\nevent: error\ndata: {\"b\":2}\n\n",
            &[(false, "{\"a\":1}"), (true, "{\"b\":2}")][..],
        ),
        ("[DONE]\nevent: error\ndata: x\n\n", &[(false, "[DONE]"), (true, "x")]),
        // Behind its own data, which may be with the caller already.
        ("data: {\"a\":1}\nevent: error\n\n", &[(false, "{\"a\":1}"), (true, "")]),
        ("data: boom\nevent: error\n\n", &[(true, "boom")]),
        // An event of nothing but its name is none.
        ("data: {\"a\":1}\n\nevent: error\n\n", &[(false, "{\"a\":1}")]),
        ("event: error\n\ndata: {\"a\":1}\n\n", &[(false, "{\"a\":1}")]),
    ] {
        let want: Vec<(bool, String)> =
            want.iter().map(|(is_error, data)| (*is_error, (*data).to_owned())).collect();
        assert_eq!(named(text, false), want, "{text:?}");
        assert_eq!(named(text, true), want, "{text:?}, byte by byte");
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
        let want = ["{\"a\":1}", "Internal Server Error", "RuntimeError: boom went it", "[DONE]"];
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
        pieces in prop::collection::vec("(data: ?|event: |error|\\[DONE\\]|: |\r?\n|\r?\n\r?\n|[a-z{}你好]{0,4})", 0..30),
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
        let text = String::from_utf8_lossy(&whole);
        prop_assert!(text.is_empty() || named(&text, true) == named(&text, false));
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read(&[&bytes]);
    }
}
