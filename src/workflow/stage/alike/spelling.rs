//! Characters and lines as they are written. Pure.

use super::numbers::Characters;

/// Whether a line holds no sign of code, formulas, data or markup, so that a break in it says nothing.
pub(super) fn is_prose(line: &str) -> bool {
    const SIGNS: &[char] =
        &['=', '{', '}', '<', '>', '#', '\\', '_', '|', '&', '$', '@', '^', '~', '+', '[', ']'];
    let line = line.trim();
    let begins =
        |one: char| !one.is_ascii_punctuation() || matches!(one, '"' | '\'' | '(' | '*' | '`');
    let is_call = |(at, _): (usize, &str)| {
        line.get(..at)
            .is_some_and(|before| before.ends_with(|one: char| one.is_ascii_alphanumeric()))
    };
    line.starts_with(begins)
        && !line.contains(SIGNS)
        && !["//", "--", " * "].iter().any(|sign| line.contains(sign))
        && !line.ends_with(';')
        && !line.match_indices('(').any(is_call)
}

/// One spelling for what is written in several: full-width forms, minus signs, quotes, relations. Code
/// between backticks stays as it is.
pub(super) fn plain(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut in_code = false;
    for character in line.chars() {
        in_code ^= character == '`';
        match character {
            '\r' => {}
            other if in_code => out.push(other),
            '\u{ff01}'..='\u{ff5e}' => {
                let ascii = u32::from(character) - 0xff01 + 0x21;
                out.push(char::from_u32(ascii).unwrap_or(character));
            }
            '−' | '–' | '‐' | '‑' => out.push('-'),
            '’' | '‘' => out.push('\''),
            '“' | '”' => out.push('"'),
            '。' => out.push('.'),
            '、' => out.push(','),
            '²' => out.push_str("^2"),
            '³' => out.push_str("^3"),
            '≤' => out.push_str("<="),
            '≥' => out.push_str(">="),
            '≠' => out.push_str("!="),
            '⋅' => out.push('·'),
            '÷' => out.push_str(" / "),
            other => out.push(other),
        }
    }
    out
}

/// A character that is a word by itself.
pub(super) fn is_lone(character: char) -> bool {
    matches!(u32::from(character), 0x3005..=0x3007 | 0x3400..=0x9fff | 0xf900..=0xfaff | 0x2_0000..=0x3_ffff)
}

/// Whether what comes next is one.
pub(super) fn is_lone_next(after: Option<char>) -> bool {
    after.is_some_and(is_lone)
}

/// Marks that nobody sees. Pictures are seen.
pub(super) fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{feff}' | '\u{2060}' | '\u{fe0f}')
}

/// A name of a program's: capitals inside, digits, dots or underscores.
pub(super) fn is_identifier(word: &str) -> bool {
    word.chars()
        .skip(1)
        .any(|one| one.is_uppercase() || one.is_ascii_digit() || matches!(one, '.' | '_' | '@'))
}

/// Whether a mark between these ends what one before it began.
pub(super) fn closes(before: char, after: char) -> bool {
    !before.is_whitespace() && !after.is_alphanumeric() && after != '('
}

/// Whether the line goes on to a mark that ends what this one begins.
pub(super) fn is_closed(run: &str, sign: char, characters: &Characters<'_>) -> bool {
    let mut ahead = characters.clone();
    let mut before = ' ';
    while let Some(one) = ahead.next() {
        if one == sign {
            let mut length = 1_usize;
            while ahead.next_if_eq(&sign).is_some() {
                length = length.saturating_add(1);
            }
            let after = ahead.peek().copied().unwrap_or(' ');
            if length == run.len() {
                return closes(before, after);
            }
        }
        before = one;
    }
    false
}
