//! A text within a string of the config: where each of its bytes is written.

/// The place in a config's string, as it is written with its quotes, of each byte of its text; one
/// more for its end. `None` when the two do not fit.
pub(in crate::config) fn offsets(written: &str, text: &str) -> Option<Vec<usize>> {
    let quotes = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|it| written.starts_with(it))?;
    let end = written.len().checked_sub(quotes.len())?;
    let mut at = quotes.len();
    if quotes.len() == 3 {
        let body = written.get(at..end)?;
        let rest = body.strip_prefix("\r\n").or_else(|| body.strip_prefix('\n')).unwrap_or(body);
        at = end.checked_sub(rest.len())?;
    }
    let escapes = quotes.starts_with('"');
    let mut found = Vec::with_capacity(text.len().saturating_add(1));
    let mut letters = text.chars().peekable();
    while at < end {
        let rest = written.get(at..end)?;
        let first = rest.chars().next()?;
        let length = if escapes && first == '\\' { escape(rest)? } else { Written::Of(1) };
        let bytes = match length {
            Written::Nothing(bytes) => bytes,
            Written::Of(_) if first == '\r' && letters.peek() != Some(&'\r') => 1,
            Written::Of(chars) => {
                let letter = letters.next()?;
                found.extend(std::iter::repeat_n(at, letter.len_utf8()));
                rest.chars().take(chars).map(char::len_utf8).sum()
            }
        };
        at = at.checked_add(bytes)?;
    }
    found.push(at);
    (letters.next().is_none() && found.len() == text.len().saturating_add(1)).then_some(found)
}

/// What a stretch of a string as it is written stands for.
enum Written {
    /// So many bytes: a line that goes on below.
    Nothing(usize),
    /// So many characters: one letter.
    Of(usize),
}

fn escape(rest: &str) -> Option<Written> {
    let after = rest.strip_prefix('\\')?;
    Some(match after.chars().next()? {
        'x' => Written::Of(4),
        'u' => Written::Of(6),
        'U' => Written::Of(10),
        ' ' | '\t' | '\n' | '\r' => {
            let blank = after.len().saturating_sub(after.trim_start_matches(BLANKS).len());
            Written::Nothing(blank.saturating_add(1))
        }
        _ => Written::Of(2),
    })
}

const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_is_found_in_its_string_however_it_is_written() {
        for (written, text, byte, at) in [
            ("'{\"a\":1}'", "{\"a\":1}", 1, Some(2)),
            ("\"{\\\"a\\\":1}\"", "{\"a\":1}", 2, Some(4)),
            ("'''\n{\"a\":1}'''", "{\"a\":1}", 0, Some(4)),
            ("\"\"\"\r\n{\r\n}\"\"\"", "{\n}", 2, Some(8)),
            ("\"\"\"\r\n{\r\n}\"\"\"", "{\r\n}", 3, Some(8)),
            ("\"\"\"a\\\n   b\"\"\"", "ab", 1, Some(9)),
            ("\"\\u4f60b\"", "你b", 3, Some(7)),
            ("\"ab\"", "abc", 0, None),
        ] {
            let found = offsets(written, text).and_then(|found| found.get(byte).copied());
            assert_eq!(found, at, "{written}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn offsets_are_those_of_the_parser(text in "(?s)[a-z\"'\\\\\n\t 键\u{7f}]{0,24}") {
            let written = toml_edit::Value::from(text.clone()).to_string();
            let found = offsets(&written, &text);
            prop_assert!(found.is_some(), "{}", written);
            let found = found.unwrap();
            prop_assert!(found.is_sorted());
            for (offset, letter) in text.char_indices().filter(|(_, letter)| letter.is_ascii_lowercase()) {
                prop_assert!(written.get(found[offset]..).unwrap().starts_with(letter), "{} at {}", written, offset);
            }
        }
    }
}
