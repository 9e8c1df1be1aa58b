//! What the frames of a stream have in common. Most streams repeat all of a frame but its text
//! (id, model, time, index), and reading that again and again is most of what a token costs. Pure.

use std::ops::Range;

use crate::llm::protocol::piece::Piece;

/// How many frames become the template in turn. Where each has a time or a number of its own no
/// other fits, and going on would be for nothing.
const TRIES: u8 = 8;
/// Most bytes of a frame that becomes a template; a longer one is no token of many.
const LONGEST: usize = 4096;

/// A frame that was read, as far as others may be like it: one that has the same before and after
/// its text says the same, but for that text. What was read of the first stood there as it is, so
/// all else in it is read alike, and so is any text that needs no escape.
#[derive(Debug, Default)]
pub(super) struct FrameTemplate {
    frame: String,
    text: Range<usize>,
    is_thought: bool,
    tries: u8,
}

/// What a frame says, seen while it is read, as far as it can become a template.
#[derive(Debug)]
pub(super) struct TemplateBuilder<'f> {
    frame: &'f str,
    /// The place of the only text, and whether it is a thought.
    text: Option<(Range<usize>, bool)>,
    pieces: u32,
}

impl FrameTemplate {
    /// What a frame says that is like the one before but for its text; `None` where it has to be
    /// read.
    pub(super) fn piece<'f>(&self, frame: &'f str) -> Option<Piece<'f>> {
        let (head, tail) = (self.frame.get(..self.text.start)?, self.frame.get(self.text.end..)?);
        let text = frame.strip_prefix(head)?.strip_suffix(tail)?;
        (!self.frame.is_empty() && is_plain(text)).then(|| match self.is_thought {
            true => Piece::Reasoning(text.into()),
            false => Piece::Text(text.into()),
        })
    }

    /// Takes a frame that said one text and nothing else.
    pub(super) fn fill(&mut self, builder: TemplateBuilder<'_>) {
        let Some((text, is_thought)) = builder.text.filter(|_| builder.pieces == 1) else { return };
        if self.tries < TRIES && builder.frame.len() <= LONGEST {
            self.tries = self.tries.saturating_add(1);
            self.frame.clear();
            self.frame.push_str(builder.frame);
            (self.text, self.is_thought) = (text, is_thought);
        }
    }
}

impl<'f> TemplateBuilder<'f> {
    pub(super) fn new(frame: &'f str) -> Self {
        Self { frame, text: None, pieces: 0 }
    }

    /// Takes note of a piece.
    pub(super) fn see(&mut self, piece: &Piece<'f>) {
        self.pieces = self.pieces.saturating_add(1);
        self.text = match piece {
            Piece::Text(text) => place(text, self.frame).map(|place| (place, false)),
            Piece::Reasoning(text) => place(text, self.frame).map(|place| (place, true)),
            _ => None,
        };
    }
}

/// The place of a text in a frame, if it is lent from there and not a copy.
fn place(text: &str, frame: &str) -> Option<Range<usize>> {
    let start = text.as_ptr().addr().checked_sub(frame.as_ptr().addr())?;
    let place = start..start.checked_add(text.len())?;
    let there = frame.get(place.clone())?;
    (std::ptr::eq(there, text) && is_plain(text)).then_some(place)
}

/// Whether a text stands in JSON as it is, and says something.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.bytes().any(|byte| matches!(byte, ..b' ' | b'"' | b'\\'))
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;

    use super::*;
    use crate::{llm::protocol::all::wire, types::Protocol};

    fn frame(object: &str, text: &str, more: &str) -> String {
        let text = serde_json::to_string(text).unwrap();
        format!(r#"{{"object":"{object}","choices":[{{"delta":{{"content":{text}}}}}]{more}}}"#)
    }

    fn read(frame: &str, template: &mut FrameTemplate) -> Vec<Piece<'static>> {
        let mut builder = TemplateBuilder::new(frame);
        let mut pieces = Vec::new();
        let mut see = |piece| {
            builder.see(&piece);
            pieces.push(match piece {
                Piece::Text(text) => Piece::Text(text.into_owned().into()),
                other => panic!("these frames say no {other:?}"),
            });
        };
        assert!(wire(Protocol::OpenAi).fast_path(frame, &mut see), "{frame}");
        template.fill(builder);
        pieces
    }

    /// A template that has seen these frames.
    fn after(frames: &[&str]) -> FrameTemplate {
        let mut template = FrameTemplate::default();
        frames.iter().for_each(|frame| drop(read(frame, &mut template)));
        template
    }

    fn text<'f>(template: &FrameTemplate, frame: &'f str) -> Option<&'f str> {
        match template.piece(frame) {
            Some(Piece::Text(Cow::Borrowed(text))) => Some(text),
            None => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_frame_is_enough() {
        let template = after(&[&frame("chunk", "One", "")]);
        assert_eq!(text(&template, &frame("chunk", "三 {}", "")), Some("三 {}"));
        for other in [
            frame("chunk", "", ""),
            frame("chunk", "a \"word\"", ""),
            frame("chunk", "a\nline", ""),
            frame("chunk", "x", r#","usage":{}"#),
            frame("chunks", "x", ""),
            "{}".to_owned(),
            "7".to_owned(),
            String::new(),
        ] {
            assert_eq!(text(&template, &other), None, "{other}");
        }
    }

    #[test]
    fn without_a_frame_nothing_fits() {
        let escaped = frame("chunk", "a\nline", "");
        let twice = frame("chunk", "x", "").replace("}}", r#"},"text":"y"}"#);
        for template in [FrameTemplate::default(), after(&[&escaped]), after(&[&twice])] {
            for frame in ["7", "", "text", &escaped, &twice] {
                assert_eq!(text(&template, frame), None, "{frame}");
            }
        }
    }

    #[test]
    fn a_text_that_stands_elsewhere_too_is_not_mistaken() {
        let template = after(&[&frame("chunk", "chunk", "")]);
        assert_eq!(text(&template, &frame("chunk", "two", "")), Some("two"));
        assert_eq!(text(&template, &frame("two", "two", "")), None);
    }

    #[test]
    fn thoughts_are_read_as_thoughts() {
        let thinks = r#"{"choices":[{"delta":{"reasoning_content":"hm"}}]}"#;
        let mut template = FrameTemplate::default();
        let mut builder = TemplateBuilder::new(thinks);
        wire(Protocol::OpenAi).fast_path(thinks, &mut |piece| builder.see(&piece));
        template.fill(builder);
        let next = thinks.replace("hm", "so");
        assert_eq!(template.piece(&next), Some(Piece::Reasoning("so".into())));
    }

    #[test]
    fn frames_that_have_nothing_in_common_are_given_up() {
        let frames: Vec<String> =
            (0..20).map(|at| frame("chunk", "word", &format!(",\"at\":{at}"))).collect();
        let template = after(&frames.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!((template.tries, template.frame.as_str()), (TRIES, frames[7].as_str()));
    }

    #[test]
    fn a_long_frame_is_not_kept() {
        assert_eq!(after(&[&frame("chunk", &"x".repeat(LONGEST), "")]).frame, "");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn what_a_template_says_is_what_the_frame_says(
            frames in prop::collection::vec(
                (
                    prop_oneof![7 => Just("chunk"), 1 => Just("text"), 1 => Just("a")],
                    "[ab\"\\\\\\n你]{0,3}|chunk|text",
                    prop_oneof![7 => Just(""), 1 => Just(",\"x\":\"a\""), 1 => Just(",\"x\":\"text\"")],
                ),
                0..24,
            ),
        ) {
            let mut template = FrameTemplate::default();
            for (object, words, more) in frames {
                let frame = frame(object, &words, more);
                let templated = text(&template, &frame).map(|text| vec![Piece::Text(text.to_owned().into())]);
                let read = read(&frame, &mut template);
                prop_assert!(templated.is_none_or(|templated| templated == read), "{frame}");
            }
        }
    }
}
