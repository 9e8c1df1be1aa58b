//! How final answers are written: what only sets them in type, options' letters, fractions, capitals and
//! zeros. Pure.

use super::{numbers::shortest, tokens::Token};

/// Answers of one word, in whatever case.
pub(super) const VERDICTS: [&str; 14] = [
    "yes", "no", "true", "false", "是", "否", "不是", "对", "错", "ja", "nein", "oui", "non", "sí",
];

/// An answer without what only sets it in type: `$…$`, `\text{…}`, and the verb that ends a sentence of
/// Japanese or Korean. A plain fraction is written with a stroke.
pub(super) fn bare(text: &str) -> String {
    let is_end = |one: char| one.is_whitespace() || matches!(one, '.' | '。' | ',');
    let mut text = text.trim().trim_end_matches(is_end);
    for ending in ["です", "である", "だ", "입니다", "이다"] {
        text = text.strip_suffix(ending).unwrap_or(text).trim_end();
    }
    for (open, close) in [("\"", "\""), ("“", "”"), ("「", "」"), ("$$", "$$"), ("$", "$")] {
        let inside = text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
        text = inside
            .filter(|inside| !(inside.contains(open) || inside.contains(close)))
            .unwrap_or(text);
    }
    let mut out = without_label(text);
    for command in ["\\text{", "\\textbf{", "\\mathrm{", "\\mathbf{", "\\mathit{"] {
        while let Some((before, rest)) = out.split_once(command)
            && let Some((inside, after)) = group(rest)
        {
            out = format!("{before}{inside}{after}");
        }
    }
    for command in ["\\frac{", "\\dfrac{", "\\tfrac{"] {
        while let Some((before, rest)) = out.split_once(command)
            && let Some((over, rest)) = group(rest)
            && let Some((under, after)) = rest.strip_prefix('{').and_then(group)
        {
            out = with_stroke(before, over, under, after);
        }
    }
    out
}

/// A fraction in a line, in brackets where what stands beside it could be taken for a part of it. Behind
/// a digit it is part of a mixed number: `1 1/2`.
fn with_stroke(before: &str, over: &str, under: &str, after: &str) -> String {
    let part = |part: &str| {
        let is_letter = part.chars().count() == 1 && part.chars().all(char::is_alphabetic);
        match is_letter || part.bytes().all(|one| one.is_ascii_digit()) {
            true => part.to_owned(),
            false => format!("({part})"),
        }
    };
    let fraction = format!("{}/{}", part(over), part(under));
    let (left, right) = (before.trim_end(), after.trim_start());
    let is_mixed = left.ends_with(|one: char| one.is_ascii_digit());
    let is_free = |text: &str, beside: Option<char>, signs: &str| {
        text.is_empty() || beside.is_some_and(|one| signs.contains(one))
    };
    let is_alone = (is_mixed || is_free(left, left.chars().next_back(), "+-=,;:<>([$"))
        && is_free(right, right.chars().next(), "+-=,;:<>)]$.%");
    match (is_mixed, is_alone) {
        (true, true) => format!("{left} {fraction}{after}"),
        (true, false) => format!("{left} ({fraction}){after}"),
        (false, true) => format!("{before}{fraction}{after}"),
        (false, false) => format!("{before}({fraction}){after}"),
    }
}

/// An option without what only sets its letter off: `(B)`, `B.`, `b)`. Bare, a small letter is a
/// variable or an allele as well, so that `b` is not `B`.
fn without_label(text: &str) -> String {
    let bare = text.strip_prefix('(').unwrap_or(text);
    let mut rest = bare.chars();
    let letter = rest.next().filter(|one| one.is_alphanumeric());
    let ends: &[char] = if bare.len() < text.len() { &[')'] } else { &['.', ')'] };
    let rest = rest
        .as_str()
        .strip_prefix(ends)
        .filter(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
    match (letter, rest) {
        (Some(letter), Some(rest)) => format!("{}{rest}", letter.to_uppercase()),
        _ => text.to_owned(),
    }
}

/// What is inside a group that has begun, and what stands behind its bracket.
pub(super) fn group(text: &str) -> Option<(&str, &str)> {
    let mut depth = 1_usize;
    let end = text.char_indices().find_map(|(at, one)| {
        match one {
            '{' => depth = depth.saturating_add(1),
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        (depth == 0).then_some(at)
    })?;
    Some((text.get(..end)?, text.get(end.saturating_add(1)..)?))
}

/// An answer's tokens as they are compared, with the text they come from: `Paris` is `paris`, but `mW`
/// is not `MW`; `$2.50$` is `$2.5$`, but as a version or a price 2.50 may be something else.
pub(super) fn words(tokens: &[Token], source: &str) -> Vec<String> {
    let source = source.trim();
    let mut is_amount = source.starts_with(['$', '\\']) && source.ends_with(['$', ')', ']'])
        || has_thousands(source);
    let has_code = source.contains('`');
    let mut before = None;
    let mut after = tokens.iter().skip(1);
    let mut out = Vec::with_capacity(tokens.len());
    for token in tokens {
        let next = after.next();
        // Behind a name a number is no amount: Python 3.10.
        is_amount &= token.is_number() || !token.text.chars().any(char::is_alphabetic);
        out.push(match token.text.as_str() {
            number if is_amount => shortest(number),
            word if !has_code && is_foldable(word, before, next) => word.to_lowercase(),
            word => word.to_owned(),
        });
        before = Some(token);
    }
    out
}

/// Whether a number has separators of thousands: then it is no version.
fn has_thousands(text: &str) -> bool {
    text.match_indices(',').any(|(at, _)| {
        let is_digit = |one: &u8| one.is_ascii_digit();
        let bytes = text.as_bytes();
        let before = at.checked_sub(1).and_then(|before| bytes.get(before)).is_some_and(is_digit);
        before
            && bytes.iter().skip(at.saturating_add(1)).take_while(|one| is_digit(one)).count() == 3
    })
}

/// Whether a word's capital says nothing: it is a yes or a no, or a longer word with one capital that
/// stands among words. Short ones are symbols, and so is what stands behind a number or beside a sign.
fn is_foldable(word: &str, before: Option<&Token>, after: Option<&Token>) -> bool {
    let is_pause = |token: &Token| matches!(token.text.as_str(), "," | ".");
    if before.is_none()
        && after.is_none_or(is_pause)
        && VERDICTS.contains(&word.to_lowercase().as_str())
    {
        return true;
    }
    let is_word = |token: &Token| token.text.starts_with(char::is_alphabetic) || is_pause(token);
    let mut letters = word.chars();
    letters.next().is_some_and(char::is_uppercase)
        && letters.clone().count() >= 3
        && letters.all(char::is_lowercase)
        && before.is_none_or(is_word)
        && after.is_none_or(|token| is_word(token) || token.is_number())
}
