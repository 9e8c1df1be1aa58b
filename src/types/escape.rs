//! Foreign text as a log, a terminal or a record may show it. Pure.
//!
//! What moves a terminal's cursor, colours it, sends it commands or turns the direction of writing is
//! replaced by its number. Whatever shows texts of upstreams, clients or files has this done to them.

use std::{borrow::Cow, fmt::Write};

/// A text with every such character as `\u{1b}`.
#[must_use]
pub fn escaped(text: &str) -> Cow<'_, str> {
    escape(text, |shown, letter| write!(shown, "{}", letter.escape_unicode()))
}

/// The text of a JSON document with every such character as JSON has it, `\u001b`. It means the same.
#[must_use]
pub fn escaped_json(json: &str) -> Cow<'_, str> {
    escape(json, |shown, letter| {
        let mut units = [0; 2];
        letter.encode_utf16(&mut units).iter().try_for_each(|unit| write!(shown, "\\u{unit:04x}"))
    })
}

/// What [`escaped`] does, but for line feeds, tabs and the colours (`ESC [ 31 m`) that screens of our own have.
#[must_use]
pub fn escaped_screen(text: &str) -> Cow<'_, str> {
    if text.chars().all(|letter| matches!(letter, '\n' | '\t') || is_harmless(letter)) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let length = match letter {
            '\n' | '\t' => 1,
            '\u{1b}' => colour(rest),
            _ => 0,
        };
        let (kept, escapes) = if length > 0 { (length, false) } else { (letter.len_utf8(), true) };
        let (piece, after) = rest.split_at_checked(kept).unwrap_or((rest, ""));
        shown.push_str(&if escapes { escaped(piece) } else { Cow::Borrowed(piece) });
        rest = after;
    }
    Cow::Owned(shown)
}

/// How long the colour is that a text begins with.
fn colour(text: &str) -> usize {
    let Some(rest) = text.strip_prefix("\u{1b}[") else { return 0 };
    let numbers = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b';').count();
    let ends = rest.as_bytes().get(numbers) == Some(&b'm');
    if ends { text.len() - rest.len() + numbers + 1 } else { 0 }
}

fn escape(text: &str, replace: impl Fn(&mut String, char) -> std::fmt::Result) -> Cow<'_, str> {
    // Nearly every text.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) || text.chars().all(is_harmless) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_harmless(letter) || replace(&mut shown, letter).is_err() {
            shown.push(letter);
        }
    }
    Cow::Owned(shown)
}

/// No control character, and none that turns the direction of writing, ends a line or is not seen.
fn is_harmless(letter: char) -> bool {
    let is_hidden = matches!(letter, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}');
    !(letter.is_control() || is_hidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_character_is_shown_by_its_number() {
        for (text, plain, json) in [
            ("plain \\ words \"你好\" é", "plain \\ words \"你好\" é", "plain \\ words \"你好\" é"),
            ("a\u{1b}[2J", "a\\u{1b}[2J", "a\\u001b[2J"),
            (
                "\u{0}\u{7}\u{8}\r\n\t",
                "\\u{0}\\u{7}\\u{8}\\u{d}\\u{a}\\u{9}",
                "\\u0000\\u0007\\u0008\\u000d\\u000a\\u0009",
            ),
            ("\u{7f}\u{9b}31m\u{85}", "\\u{7f}\\u{9b}31m\\u{85}", "\\u007f\\u009b31m\\u0085"),
            (
                "\u{202e}\u{2066}\u{200f}\u{61c}",
                "\\u{202e}\\u{2066}\\u{200f}\\u{61c}",
                "\\u202e\\u2066\\u200f\\u061c",
            ),
            (
                "\u{2028}\u{feff}\u{e0041}",
                "\\u{2028}\\u{feff}\\u{e0041}",
                "\\u2028\\ufeff\\udb40\\udc41",
            ),
        ] {
            assert_eq!(escaped(text), plain, "{text:?}");
            assert_eq!(escaped_json(text), json, "{text:?}");
        }
    }

    #[test]
    fn json_means_the_same() {
        let text = "\u{7f}\u{9b}\u{202e}\u{e0041}你";
        let json = serde_json::to_string(text).unwrap();
        let back: String = serde_json::from_str(&escaped_json(&json)).unwrap();
        assert_eq!(back, text);
    }

    #[test]
    fn a_screen_keeps_its_lines_and_colours_and_nothing_else() {
        for (text, want) in [
            ("a\n\tb", "a\n\tb"),
            ("\u{1b}[1;31merror\u{1b}[0m\n", "\u{1b}[1;31merror\u{1b}[0m\n"),
            ("\u{1b}[2J\u{1b}]0;title\u{7}", "\\u{1b}[2J\\u{1b}]0;title\\u{7}"),
            ("你\u{1b}[3\u{202e}\r", "你\\u{1b}[3\\u{202e}\\u{d}"),
            ("\u{1b}", "\\u{1b}"),
        ] {
            assert_eq!(escaped_screen(text), want, "{text:?}");
        }
    }
}
