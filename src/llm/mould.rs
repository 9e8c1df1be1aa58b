//! What the frames of a stream have in common. Most streams repeat all of a frame but its text
//! (id, model, time, index), and reading that again and again is most of what a token costs. Pure.

use memchr::memmem;

use super::answer::Piece;

/// Frames that are looked at for what they have in common. Where each has a time or a number of its
/// own nothing is, and looking on would be for nothing.
const TRIES: u8 = 8;

/// A frame without its text, once two frames have shown where that stands.
#[derive(Debug, Default)]
pub(super) struct Mould {
    /// What stands before and after the text.
    proved: Option<(String, String)>,
    /// A frame that was read, and the text that was all it said.
    seen: (String, String),
    tries: u8,
}

impl Mould {
    /// The text of a frame that has nothing else to say; `None` where it has to be read.
    pub(super) fn text<'f>(&self, frame: &'f str) -> Option<&'f str> {
        let (head, tail) = self.proved.as_ref()?;
        cut(frame, head, tail)
    }

    /// Takes note of a frame that was read, and what it said.
    ///
    /// Two frames prove where the text stands. All that differs between them is one string of the
    /// JSON, and what they say differs: so it comes from that string, and as it stands there.
    pub(super) fn note(&mut self, frame: &str, pieces: &[Piece]) {
        let [Piece::Text(text)] = pieces else { return };
        if self.tries == TRIES || !is_plain(text) {
            return;
        }
        self.tries = self.tries.saturating_add(1);
        let (seen, seen_text) = &self.seen;
        self.proved = around(seen, seen_text).and_then(|(head, tail)| {
            let differs = text != seen_text && cut(frame, head, tail) == Some(text);
            differs.then(|| (head.to_owned(), tail.to_owned()))
        });
        if self.proved.is_none() {
            self.seen = (frame.to_owned(), text.clone());
        }
    }
}

/// What stands around the first string of a frame that is this text.
fn around<'f>(frame: &'f str, text: &str) -> Option<(&'f str, &'f str)> {
    let quoted = format!("\"{text}\"");
    let at = memmem::find(frame.as_bytes(), quoted.as_bytes())?;
    let (head, rest) = frame.split_at_checked(at.saturating_add(1))?;
    Some((head, rest.strip_prefix(text)?))
}

fn cut<'f>(frame: &'f str, head: &str, tail: &str) -> Option<&'f str> {
    let text = frame.strip_prefix(head)?.strip_suffix(tail)?;
    is_plain(text).then_some(text)
}

/// Whether a text stands in JSON as it is, and says something.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.bytes().any(|byte| matches!(byte, ..b' ' | b'"' | b'\\'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{llm::wire::wire, types::Protocol};

    fn frame(object: &str, text: &str, more: &str) -> String {
        let text = serde_json::to_string(text).unwrap();
        format!(r#"{{"object":"{object}","choices":[{{"delta":{{"content":{text}}}}}]{more}}}"#)
    }

    fn read(frame: &str) -> Vec<Piece> {
        let mut pieces = Vec::new();
        assert!(wire(Protocol::OpenAi).usual(frame, &mut pieces), "{frame}");
        pieces
    }

    /// What a mould says that has seen these frames.
    fn after(frames: &[&str]) -> Mould {
        let mut mould = Mould::default();
        frames.iter().for_each(|frame| mould.note(frame, &read(frame)));
        mould
    }

    #[test]
    fn two_frames_that_differ_in_their_text_are_enough() {
        let frames = ["One", " two"].map(|text| frame("chunk", text, ""));
        let [one, two] = frames.each_ref().map(String::as_str);
        assert_eq!(after(&[one]).text(two), None);
        assert_eq!(after(&[one, one]).text(two), None, "the same again proves nothing");
        let mould = after(&[one, two]);
        assert_eq!(mould.text(&frame("chunk", "三 {}", "")), Some("三 {}"));
        for other in [
            frame("chunk", "", ""),
            frame("chunk", "a \"word\"", ""),
            frame("chunk", "a\nline", ""),
            frame("chunk", "x", r#","usage":{}"#),
            frame("chunks", "x", ""),
            "{}".to_owned(),
            String::new(),
        ] {
            assert_eq!(mould.text(&other), None, "{other}");
        }
    }

    #[test]
    fn a_text_that_stands_elsewhere_too_is_not_mistaken() {
        let frames =
            ["chunk", "chunk", "two", "three", "four"].map(|text| frame("chunk", text, ""));
        let [one, again, two, three, four] = frames.each_ref().map(String::as_str);
        assert_eq!(after(&[one, again, two]).text(three), None);
        assert_eq!(after(&[one, again, two, three]).text(four), Some("four"));
    }

    #[test]
    fn frames_that_have_nothing_in_common_are_given_up() {
        let frames: Vec<String> =
            (0..20).map(|at| frame("chunk", "word", &format!(",\"at\":{at}"))).collect();
        let frames: Vec<&str> = frames.iter().map(String::as_str).collect();
        let mould = after(&frames);
        assert_eq!((mould.tries, mould.proved), (TRIES, None));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn what_a_mould_says_is_what_the_frame_says(
            frames in prop::collection::vec(
                (
                    prop_oneof![7 => Just("chunk"), 1 => Just("text"), 1 => Just("a")],
                    "[ab\"\\\\\\n你]{0,3}|chunk|text",
                    prop_oneof![7 => Just(""), 1 => Just(",\"x\":\"a\""), 1 => Just(",\"x\":\"text\"")],
                ),
                0..24,
            ),
        ) {
            let mut mould = Mould::default();
            for (object, text, more) in frames {
                let frame = frame(object, &text, more);
                let pieces = read(&frame);
                match mould.text(&frame) {
                    Some(text) => prop_assert_eq!(&pieces, &[Piece::Text(text.to_owned())]),
                    None => mould.note(&frame, &pieces),
                }
            }
        }
    }
}
