//! A frame that is sent again and again and is the same but for a text, a number or a time:
//! serialised once, cut where it changes, and put together from its pieces ever after.

use serde::Serialize;

use crate::server::wire::Microseconds;

/// Stands for the text in the frame that a template is cut from.
pub(in crate::server) const TEXT: &str = "\u{1}text\u{1}";
/// Stands for the number.
pub(in crate::server) const NUMBER: u32 = u32::MAX;

/// What changes from frame to frame.
#[derive(Clone, Copy, Serialize)]
#[serde(untagged)]
pub(in crate::server) enum Gap<'a> {
    /// [`TEXT`] in the frame that is cut.
    Text(&'a str),
    /// [`NUMBER`] in the frame that is cut.
    Number(u64),
    /// [`Microseconds::MARK`] in the frame that is cut.
    Time(Microseconds),
}

/// A frame without what changes.
#[derive(Debug, Default)]
pub(in crate::server) struct FrameTemplate {
    /// What stands before each gap.
    heads: Vec<Box<[u8]>>,
    tail: Box<[u8]>,
}

impl FrameTemplate {
    /// Cuts a frame at its marks, which are given in the order they stand in it. They are looked
    /// for from the end: what a client chose, the name of the model, stands before all of them,
    /// so that it cannot be taken for one. `None` when one is missing.
    pub(super) fn cut(frame: &[u8], marks: &[Gap<'_>]) -> Option<Self> {
        let mut rest = frame;
        let mut tails = Vec::with_capacity(marks.len());
        for mark in marks.iter().rev() {
            let mark = serde_json::to_vec(mark).ok()?;
            let at = memchr::memmem::rfind(rest, &mark)?;
            let (head, tail) = rest.split_at_checked(at)?;
            tails.push(Box::from(tail.strip_prefix(mark.as_slice())?));
            rest = head;
        }
        tails.push(Box::from(rest));
        tails.reverse();
        let tail = tails.pop()?;
        Some(Self { heads: tails, tail })
    }

    /// What stands before each gap, and after the last.
    pub(super) fn pieces(&self) -> (impl Iterator<Item = &[u8]>, &[u8]) {
        (self.heads.iter().map(AsRef::as_ref), &self.tail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &FrameTemplate, gaps: &[Gap<'_>]) -> String {
        let (heads, tail) = template.pieces();
        let mut frame = Vec::new();
        for (head, gap) in heads.zip(gaps) {
            frame.extend_from_slice(head);
            serde_json::to_writer(&mut frame, gap).unwrap();
        }
        frame.extend_from_slice(tail);
        String::from_utf8(frame).unwrap()
    }

    #[test]
    fn a_name_that_looks_like_a_mark_is_left_alone() {
        #[derive(Serialize)]
        struct Line<'a> {
            model: &'a str,
            number: u64,
            text: &'a str,
            done: bool,
        }
        for model in ["m", TEXT, "4294967295"] {
            let line = |number, text| Line { model, number, text, done: false };
            let marks = [Gap::Number(NUMBER.into()), Gap::Text(TEXT)];
            let frame = serde_json::to_vec(&line(NUMBER.into(), TEXT)).unwrap();
            let template = FrameTemplate::cut(&frame, &marks).unwrap();
            for (number, text) in [(0, "a"), (7, "\"\n\u{1}"), (u64::MAX, TEXT)] {
                let want = serde_json::to_string(&line(number, text)).unwrap();
                assert_eq!(filled(&template, &[Gap::Number(number), Gap::Text(text)]), want);
            }
        }
        assert!(FrameTemplate::cut(b"{}", &[Gap::Text(TEXT)]).is_none());
    }
}
