//! What looks like a key in a text, so that nothing shows one that stands where none belongs. Pure.

use std::ops::Range;

/// A word behind `Bearer` that is shorter than this is a word.
const SHORTEST: usize = 6;

/// A text in which `***` stands for everything that looks like a key: see [`keys_in`].
#[must_use]
pub fn without_keys(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut at = 0;
    for Range { start, end } in keys_in(text) {
        shown.push_str(text.get(at..start).unwrap_or_default());
        shown.push_str("***");
        at = end;
    }
    shown.push_str(text.get(at..).unwrap_or_default());
    shown
}

/// The stretches of a text that look like keys, in their order and in bytes: words that begin as
/// well-known keys do, words with a long run of letters and digits, what follows `Bearer`, and user,
/// password and parameters of a path (`;k=v`) of a URL.
#[must_use]
pub fn keys_in(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = None;
    let mut after_bearer = false;
    for (at, letter) in text.char_indices().chain([(text.len(), '\0')]) {
        if is_part(letter) {
            start.get_or_insert(at);
            continue;
        }
        if let Some(start) = start.take() {
            let word = text.get(start..at).unwrap_or_default();
            if looks_like_key(word) || (after_bearer && word.len() >= SHORTEST) {
                found.push(start..at);
            }
            after_bearer = word.eq_ignore_ascii_case("bearer");
        }
    }
    let mut read = 0;
    for (mark, _) in text.match_indices("://") {
        let start = mark.saturating_add("://".len());
        let rest = text.get(start..).unwrap_or_default();
        let ends = |letter: char| letter.is_whitespace() || "/?#\\\"'`<>".contains(letter);
        let host = rest.split(ends).next().unwrap_or_default();
        if let Some(user) = host.rfind('@').filter(|user| *user > 0) {
            found.push(start..start.saturating_add(user));
        }
        // The parameters behind an address within another one were those of that already.
        if start < read {
            continue;
        }
        let ends = |letter: char| letter.is_whitespace() || "?#\\\"'`<>".contains(letter);
        let url = rest.split(ends).next().unwrap_or_default();
        read = start.saturating_add(url.len());
        for (mark, _) in url.match_indices(';') {
            let behind = url.get(mark.saturating_add(1)..).unwrap_or_default();
            let parameter = behind.split(['/', ';']).next().unwrap_or_default();
            let from = start.saturating_add(mark).saturating_add(1);
            let to = from.saturating_add(parameter.len());
            found.extend((from < to).then_some(from..to));
        }
    }
    found.sort_by_key(|range| range.start);
    found.dedup_by(|next, last| {
        let overlaps = next.start < last.end;
        if overlaps {
            last.end = last.end.max(next.end);
        }
        overlaps
    });
    found
}

fn is_part(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.' | '*')
}

/// Prefixes of well-known keys, or any unbroken run of 20 letters and digits that has both.
fn looks_like_key(word: &str) -> bool {
    const PREFIXES: [&str; 12] = [
        "sk-", "sk_", "pk-", "rk-", "gsk_", "hf_", "xai-", "AIza", "ghp_", "r8_", "nvapi-", "key-",
    ];
    let known = word.len() >= 8 && PREFIXES.iter().any(|prefix| word.starts_with(prefix));
    known
        || word.split(['-', '_', '.', '*']).any(|run| {
            run.len() >= 20
                && run.bytes().any(|byte| byte.is_ascii_digit())
                && run.bytes().any(|byte| byte.is_ascii_alphabetic())
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::growth::assert_linear;

    #[test]
    fn keys_are_hidden_and_words_are_not() {
        for (text, want) in [
            ("Incorrect API key: sk-ab***********xyz.", "Incorrect API key: ***"),
            ("header was 'Bearer topsecret'", "header was 'Bearer ***'"),
            ("Bearer of news", "Bearer of news"),
            ("token 0123456789abcdef0123 bad", "token *** bad"),
            (
                "llama-3.1-8b-instruct-q4_0 and env:OPENAI_API_KEY",
                "llama-3.1-8b-instruct-q4_0 and env:OPENAI_API_KEY",
            ),
            ("你好 AIzaSyD4你好", "你好 ***你好"),
            ("`https://me:pa55@x.example/v1`", "`https://***@x.example/v1`"),
            ("https://sk-abc123def@x.example", "https://***@x.example"),
            (
                "https://x.example/@me and @cf/meta/llama",
                "https://x.example/@me and @cf/meta/llama",
            ),
            ("https://x.example/sk-abc123def/v1", "https://x.example/***/v1"),
            ("http://h.example/v1;k=pa55;l/x;pa55?y at", "http://h.example/v1;***;***/x;***?y at"),
            ("see https://x.example/v1; a;b", "see https://x.example/v1; a;b"),
            ("http://me;pa55@x.example/v1", "http://***/v1"),
            ("http://a/;http://me:pa55@x.example;l", "http://a/;***//***@x.example;***"),
            ("", ""),
        ] {
            assert_eq!(without_keys(text), want, "{text}");
        }
    }

    #[test]
    fn no_text_takes_more_than_a_time_that_is_linear_in_it() {
        for piece in ["://;", "://a@b;c ", "http://a@", "sk-12345678;", ";/", "://a;b@"] {
            assert_linear(piece, |count| piece.repeat(count), |text| without_keys(&text));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn what_is_found_is_in_order_and_apart(text in "[a你 :/@.sk-]{0,60}|\\PC{0,60}") {
            let mut at = 0;
            for Range { start, end } in keys_in(&text) {
                prop_assert!(at <= start && start < end && text.get(start..end).is_some());
                at = end;
            }
        }
    }
}
