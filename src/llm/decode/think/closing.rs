//! The end of a thought whose opening tag is known: the tag of its pair, or another's, since
//! models mix them up. Which of them it was is known when the right one did not come soon. Pure.

use super::tag::{Found, close_tags, find};

/// The right tag within so many bytes shows that the wrong one was a part of the thought. The answer
/// behind a wrong one is held back for as long.
const SOON: usize = 1024;

/// The end of a thought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closing {
    /// Here, with a tag of so many bytes.
    At(usize, usize),
    /// Not before this index; what comes next decides.
    NotBefore(usize),
}

/// Finds the end of a thought in what came of it behind `last`.
pub(super) fn closing(text: &str, tag: &str, last: Option<char>, is_over: bool) -> Closing {
    let right = find(text, tag);
    let others = close_tags().filter(|other| *other != tag);
    let others: Vec<Found> = others.map(|other| wrong(text, other, last)).collect();
    let place = |found: &Found| match found {
        Found::At(at, length) => Some((*at, *length)),
        Found::Begun(_) | Found::Nowhere => None,
    };
    let begun = |found: &Found| if let Found::Begun(at) = found { Some(*at) } else { None };
    let Some((at, length)) = others.iter().filter_map(place).min() else {
        let begun = others.iter().chain([&right]).filter_map(begun).min();
        return place(&right).map_or_else(
            || Closing::NotBefore(begun.unwrap_or(text.len())),
            |(at, length)| Closing::At(at, length),
        );
    };
    let soon = at.saturating_add(length).saturating_add(SOON);
    match place(&right) {
        Some((right, length)) if right <= soon => Closing::At(right, length),
        None if !is_over && (text.len() <= soon || begun(&right).is_some_and(|at| at <= soon)) => {
            Closing::NotBefore(at)
        }
        Some(_) | None => Closing::At(at, length),
    }
}

/// The first of a tag that does not stand in quotes or in code.
fn wrong(text: &str, tag: &str, last: Option<char>) -> Found {
    let mut from = 0;
    loop {
        match find(text.get(from..).unwrap_or_default(), tag) {
            Found::At(at, length) => {
                let at = at.saturating_add(from);
                from = at.saturating_add(length);
                let before = text.get(..at).and_then(|before| before.chars().next_back()).or(last);
                let behind = text.get(from..).and_then(|behind| behind.chars().next());
                let is_quoted = |(left, right)| before == Some(left) && behind == Some(right);
                if !QUOTES.into_iter().any(is_quoted) {
                    return Found::At(at, length);
                }
            }
            Found::Begun(at) => return Found::Begun(at.saturating_add(from)),
            Found::Nowhere => return Found::Nowhere,
        }
    }
}

const QUOTES: [(char, char); 6] =
    [('`', '`'), ('"', '"'), ('\'', '\''), ('“', '”'), ('‘', '’'), ('「', '」')];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_tag_ends_a_thought_that_the_right_one_does_not_end_soon() {
        let wrong = "a</thinking>".to_owned();
        let far = |bytes: usize, end: &str| format!("{wrong}{}{end}", "b".repeat(bytes));
        let (here, later) = (Closing::At(1, 11), Closing::NotBefore(1));
        for (text, is_over, want) in [
            (wrong.clone(), false, later),
            (wrong.clone(), true, here),
            (far(SOON, ""), false, later),
            (far(SOON + 1, ""), false, here),
            (far(SOON, "</thi"), false, later),
            (far(SOON, "</thi"), true, here),
            (far(SOON, "</think>"), false, Closing::At(12 + SOON, 8)),
            (far(SOON + 1, "</think>"), false, here),
            ("a `</thinking>` b".to_owned(), true, Closing::NotBefore(17)),
            ("a `</thinking>` </th".to_owned(), false, Closing::NotBefore(16)),
        ] {
            assert_eq!(closing(&text, "</think>", None, is_over), want, "{text}");
        }
        assert_eq!(closing("</b>", "</think>", Some('a'), true), Closing::NotBefore(4));
        assert_eq!(closing("</thought>\"", "</think>", Some('"'), true), Closing::NotBefore(11));
    }
}
