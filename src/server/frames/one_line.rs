//! JSON that is one line to every reader. JSON may hold line breaks of Unicode as they are, at which
//! some readers of lines (Python's `str.splitlines`, and so `httpx` and `ollama`) break, too.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// The line breaks that JSON need not escape, and how it may.
const BREAKS: [(&str, &[u8]); 3] =
    [("\u{85}", b"\\u0085"), ("\u{2028}", b"\\u2028"), ("\u{2029}", b"\\u2029")];

/// Writes an object.
///
/// # Errors
/// For what JSON cannot say, and the writer's.
pub(super) fn write(writer: impl Write, object: &impl Serialize) -> serde_json::Result<()> {
    object.serialize(&mut Serializer::with_formatter(writer, OneLine))
}

struct OneLine;

impl Formatter for OneLine {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        // These begin the three of them, and few other letters.
        let mut from = 0_usize;
        while let Some(at) =
            rest.as_bytes().get(from..).and_then(|it| memchr::memchr2(0xc2, 0xe2, it))
        {
            let at = from.saturating_add(at);
            let found = rest.get(at..).and_then(|here| {
                BREAKS
                    .iter()
                    .find_map(|(letter, escaped)| Some((here.strip_prefix(letter)?, escaped)))
            });
            match found {
                Some((behind, escaped)) => {
                    writer.write_all(rest.as_bytes().get(..at).unwrap_or_default())?;
                    writer.write_all(escaped)?;
                    (rest, from) = (behind, 0);
                }
                None => from = at.saturating_add(1),
            }
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn written(text: &str) -> String {
        let mut bytes = Vec::new();
        write(&mut bytes, &text).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn what_breaks_lines_anywhere_is_escaped_and_nothing_else() {
        assert_eq!(written("a\u{2028}\u{2029}b\u{85}"), r#""a\u2028\u2029b\u0085""#);
        let plain = "caf\u{e9} \u{2014} \u{a0}\u{84}\u{2027} \u{4f60}\u{597d}";
        assert_eq!(written(plain), format!("\"{plain}\""));
    }

    proptest! {
        #[test]
        fn every_text_is_one_line_and_reads_back(text in "(\\PC|[\u{85}\u{2028}\u{2029}\n\"])*") {
            let written = written(&text);
            let is_broken = written.contains(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']);
            prop_assert!(!is_broken);
            prop_assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), Value::from(text));
        }
    }
}
