//! Numbers as they are written in texts, in one form for each value.

use std::iter::Peekable;
/// A number without separators of thousands: `1,499` is `1499`, `.50` is `0.50`. Other zeros stay: what
/// begins with them is no quantity, and what ends with them may be a version. `is_listed`: it stands in
/// brackets, where a comma separates two numbers: `(1,200)`.
pub(super) fn number(
    first: char,
    is_listed: bool,
    characters: &mut Characters<'_>,
) -> (String, char) {
    let mut text = String::from(first);
    let mut last = first;
    while let Some(one) = characters.peek().copied() {
        let after = characters.clone().nth(1);
        let goes_on = match one {
            '0'..='9' => true,
            ',' if is_listed => false,
            '.' | ',' | '_' | '\'' => after.is_some_and(|after| after.is_ascii_digit()),
            'e' | 'E' => exponent(characters),
            '+' | '-' => matches!(last, 'e' | 'E') && exponent_sign(&text),
            _ => false,
        };
        if !goes_on {
            break;
        }
        characters.next();
        text.push(one);
        last = one;
    }
    (canonical(&text), last)
}

/// A number without separators of thousands and with a digit before the point. What is no plain number
/// (a version, a date) stays as it is.
fn canonical(number: &str) -> String {
    let (whole, fraction) =
        number.split_once('.').map_or((number, None), |(whole, rest)| (whole, Some(rest)));
    let groups: Vec<&str> = whole.split([',', '_', '\'']).collect();
    let grouped = groups.len() > 1
        && groups.first().is_some_and(|first| (1..=3).contains(&first.len()) && *first != "0")
        && groups.iter().skip(1).all(|group| group.len() == 3);
    let is_plain = (groups.len() == 1 || grouped)
        && fraction.is_none_or(|fraction| fraction.bytes().all(|one| one.is_ascii_digit()));
    if !is_plain {
        return number.to_owned();
    }
    let whole = groups.concat();
    let whole = if whole.is_empty() { "0" } else { whole.as_str() };
    fraction.map_or_else(|| whole.to_owned(), |fraction| format!("{whole}.{fraction}"))
}

/// A quantity in its shortest form: `1,499.00` is `1499`. Other texts stay as they are.
pub(super) fn shortest(text: &str) -> String {
    let number = canonical(text);
    match number.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|one| one.is_ascii_digit()) => {
            match fraction.trim_end_matches('0') {
                "" => whole.to_owned(),
                fraction => format!("{whole}.{fraction}"),
            }
        }
        _ => number,
    }
}

/// A number of JSON in one form for each value: its digits and the power of ten of the last one.
pub(super) fn by_value(number: &str) -> String {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let Ok(exponent) = exponent.parse::<i64>() else { return number.to_owned() };
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(mantissa) => ("-", mantissa),
        None => ("", mantissa),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let short = digits.trim_end_matches('0');
    let places = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let exponent = exponent
        .saturating_sub(places(fraction.len()))
        .saturating_add(places(digits.len().saturating_sub(short.len())));
    match short.trim_start_matches('0') {
        "" => "0".to_owned(),
        digits => format!("{sign}{digits}e{exponent}"),
    }
}

/// Whether an `e` is an exponent's.
fn exponent(characters: &Characters<'_>) -> bool {
    let mut ahead = characters.clone().skip(1);
    match ahead.next() {
        Some('0'..='9') => true,
        Some('+' | '-') => ahead.next().is_some_and(|one| one.is_ascii_digit()),
        _ => false,
    }
}

fn exponent_sign(text: &str) -> bool {
    text.bytes().filter(u8::is_ascii_digit).count() > 0
}

/// What a character is to its neighbours.
pub(super) type Characters<'t> = Peekable<std::str::Chars<'t>>;
