//! Frames that are not quite JSON: numbers that are none (Python's `NaN`), and a character that was
//! cut in two, as servers do that count in UTF-16. Pure.

/// Keeps the first half of a character for the frame with the second one.
#[derive(Debug, Default)]
pub(super) struct Mender {
    half: Option<String>,
}

impl Mender {
    /// The frame as JSON; `None` when nothing of this kind is wrong with it.
    pub(super) fn mend(&mut self, frame: &str) -> Option<String> {
        let (mut mended, mut rest) = (String::with_capacity(frame.len()), frame);
        let (mut in_string, mut is_changed) = (false, false);
        while let Some(first) = rest.chars().next() {
            let (length, new) = match first {
                '"' => {
                    in_string = !in_string;
                    (1, None)
                }
                '\\' if in_string => self.escape(rest),
                _ if in_string => (first.len_utf8(), None),
                _ => number(rest).unwrap_or((first.len_utf8(), None)),
            };
            is_changed |= new.is_some();
            let (old, behind) = rest.split_at_checked(length).unwrap_or((rest, ""));
            mended.push_str(new.as_deref().unwrap_or(old));
            rest = behind;
        }
        is_changed.then_some(mended)
    }

    /// The length of an escape, and what has to stand in its place.
    fn escape(&mut self, text: &str) -> (usize, Option<String>) {
        let Some(unit) = unit(text) else {
            let escaped = text.chars().nth(1).map_or(0, char::len_utf8);
            return (1 + escaped, None);
        };
        let is_low = |unit: u16| (0xdc00..0xe000).contains(&unit);
        match unit {
            0xd800..0xdc00 if text.get(6..).and_then(self::unit).is_some_and(is_low) => (12, None),
            0xd800..0xdc00 => {
                self.half = text.get(..6).map(str::to_owned);
                (6, Some(String::new()))
            }
            unit if is_low(unit) => {
                let low = text.get(..6).unwrap_or_default();
                let whole = self.half.take().map(|half| half + low);
                (6, Some(whole.unwrap_or_else(|| "\u{fffd}".to_owned())))
            }
            _ => (6, None),
        }
    }
}

/// The code unit of a `\uXXXX` that a text begins with.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    u16::from_str_radix(digits, 16).ok()
}

/// The length of what is no number of JSON's, and what stands for it.
fn number(text: &str) -> Option<(usize, Option<String>)> {
    let found =
        ["NaN", "-NaN", "Infinity", "-Infinity"].iter().find(|word| text.starts_with(**word))?;
    Some((found.len(), Some("null".to_owned())))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn halves_are_put_together_and_no_number_is_null() {
        let mut mender = Mender::default();
        let mut mended = |frame: &str| {
            mender.mend(frame).map(|text| serde_json::from_str::<Value>(&text).unwrap())
        };
        assert_eq!(mended(r#"{"a":"hi \ud83d"}"#), Some(json!({"a": "hi "})));
        assert_eq!(mended(r#"{"a":"\ude00!"}"#), Some(json!({"a": "😀!"})));
        assert_eq!(mended(r#"{"a":"\ude00"}"#), Some(json!({"a": "\u{fffd}"})));
        assert_eq!(mended(r#"{"a":"\ud83d\ude00 \\ud83d NaN"}"#), None);
        assert_eq!(
            mended(r#"{"a":[NaN,-Infinity,1],"b":"NaN"}"#),
            Some(json!({"a": [null, null, 1], "b": "NaN"}))
        );
    }

    proptest! {
        #[test]
        fn json_stays_as_it_is(text in "\\PC*", number: i64) {
            let frame = json!({"text": text, "more": [number, null, {"a": text}]}).to_string();
            prop_assert_eq!(Mender::default().mend(&frame), None);
        }

        #[test]
        fn nothing_panics(frame in "[\"\\\\u0-9a-f{}NI😀-]*") {
            let _any = Mender::default().mend(&frame);
        }
    }
}
