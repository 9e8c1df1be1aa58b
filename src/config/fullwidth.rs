//! Characters that an input method writes where a file's syntax wants ASCII: full-width quotes,
//! commas, colons and the like. They look almost the same, so a message has to name them. Pure.

use std::ops::Range;

/// What ASCII has for a character that is taken for it; `None`: it is not one of those.
pub(super) fn ascii(letter: char) -> Option<char> {
    Some(match letter {
        '“' | '”' | '„' | '〝' | '〞' => '"',
        '‘' | '’' | '‚' => '\'',
        '、' => ',',
        '。' => '.',
        '【' | '〔' | '「' | '『' => '[',
        '】' | '〕' | '」' | '』' => ']',
        '\u{3000}' | '\u{a0}' => ' ',
        // The block holds ASCII in its order.
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(letter).checked_sub(0xfee0)?)?,
        _ => return None,
    })
}

/// A text with ASCII where full-width characters stand.
pub(super) fn folded(text: &str) -> String {
    text.chars().map(|letter| ascii(letter).unwrap_or(letter)).collect()
}

/// The full-width characters of a text: `“ and ： are full-width characters`, and what to write
/// instead. `None`: there are none.
pub(super) fn named(text: &str) -> Option<(String, String)> {
    let mut found: Vec<(char, char)> = Vec::new();
    for letter in text.chars() {
        if let Some(plain) = ascii(letter)
            && !found.iter().any(|(known, _)| *known == letter)
        {
            found.push((letter, plain));
        }
    }
    let shown = |letter: char| match letter {
        '\u{3000}' => "U+3000".to_owned(),
        '\u{a0}' => "U+00A0".to_owned(),
        letter => letter.to_string(),
    };
    let plain =
        |plain: char| if plain == ' ' { "a space".to_owned() } else { format!("`{plain}`") };
    let what: Vec<String> = found.iter().map(|(wide, _)| format!("`{}`", shown(*wide))).collect();
    let instead: Vec<String> = found
        .iter()
        .map(|(wide, ascii)| format!("{} for `{}`", plain(*ascii), shown(*wide)))
        .collect();
    let what = match what.as_slice() {
        [] => return None,
        [one] => format!("{one} is a full-width character"),
        several => format!("{} are full-width characters", several.join(" ")),
    };
    Some((what, format!("write {}", instead.join(", "))))
}

/// The line around a place, from the first full-width character on that stands outside of its
/// quotes; `None`: it has none there.
pub(super) fn outside_quotes(text: &str, at: usize) -> Option<Range<usize>> {
    let before = text.get(..at.min(text.len())).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |end| end.saturating_add(1));
    let line = text.get(start..)?.split('\n').next()?;
    let (mut quote, mut first, mut end) = (None, None, 0);
    for (offset, letter) in line.char_indices() {
        match (quote, letter) {
            (None, '"' | '\'') => quote = Some(letter),
            (Some(open), letter) if open == letter => quote = None,
            (None, letter) if ascii(letter).is_some() => {
                first.get_or_insert(offset);
                end = offset.saturating_add(letter.len_utf8());
            }
            _ => {}
        }
    }
    let first = first?;
    Some(start.saturating_add(first)..start.saturating_add(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_ascii_is_named_with_what_to_write() {
        for (text, want) in [
            ("“a”", Some("`“` `”` are full-width characters; write `\"` for `“`, `\"` for `”`")),
            ("：", Some("`：` is a full-width character; write `:` for `：`")),
            ("，，", Some("`，` is a full-width character; write `,` for `，`")),
            ("｛８", Some("`｛` `８` are full-width characters; write `{` for `｛`, `8` for `８`")),
            ("a\u{3000}b", Some("`U+3000` is a full-width character; write a space for `U+3000`")),
            ("\"a\": 1 你好", None),
            ("", None),
        ] {
            let found = named(text).map(|(what, remedy)| format!("{what}; {remedy}"));
            assert_eq!(found.as_deref(), want, "{text}");
        }
        assert_eq!(folded("｛“ｋey”：１｝"), "{\"key\":1}");
    }

    #[test]
    fn what_stands_in_quotes_is_a_text_and_no_mistake() {
        for (text, at, want) in [
            ("name = “a”", 8, Some("“a”")),
            ("x\nname = \"你好，a\"， b：\ny", 5, Some("， b：")),
            ("name = \"你好，a\"", 3, None),
            ("name = “a\nb = 1", 10, Some("“")),
        ] {
            assert_eq!(outside_quotes(text, at).and_then(|range| text.get(range)), want, "{text}");
        }
    }
}
