//! What may be shown of payloads and of an upstream's own words. Pure.

use std::collections::{HashMap, VecDeque};

use indexmap::IndexMap;
use serde_json::{Value, value::RawValue};

use crate::types::{escaped, without_keys};

/// Characters of an upstream's message that are shown.
pub(super) const MESSAGE_LIMIT: usize = 300;
/// Bytes of a payload that `CHORUS_LOG_PAYLOADS=1` shows.
pub(super) const EXCERPT_LIMIT: usize = 512;
/// A run of this many characters shared with a prompt makes a message an echo of it.
const ECHO_RUN: usize = 14;
/// The same with everything but letters and digits taken out, so that escapes and changed white
/// space do not hide an echo.
const BARE_ECHO_RUN: usize = 12;
/// A prompt shorter than a run is echoed when all of it is there, unless it is shorter than this:
/// "hi" is part of too many words.
const SHORTEST_ECHO: usize = 6;
/// A configured secret shorter than this is left alone: replacing it would garble every word.
const SHORTEST_SECRET: usize = 6;

/// Takes these secrets, and everything that looks like a key, out of a text.
pub(super) fn scrub(text: &str, secrets: &[&str]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| secret.len() >= SHORTEST_SECRET) {
        text = text.replace(secret, "***");
    }
    without_keys(&text)
}

/// The text on one line and [`escaped`], in at most `limit` characters, the last three dots when it was
/// cut.
pub(super) fn cut(text: &str, limit: usize) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = escaped(&text);
    if text.chars().nth(limit).is_none() {
        return text.into_owned();
    }
    let kept: String = text.chars().take(limit.saturating_sub(3)).collect();
    format!("{kept}...")
}

/// Which messages, each in some forms, may hold a piece of one of these texts: a shared run of 14
/// characters, or the whole of a shorter text. When in doubt it says yes. The texts are read once, in
/// a time that does not depend on the messages' length.
pub(super) fn echoes<'a, const N: usize>(
    messages: &[[&str; N]],
    texts: impl Iterator<Item = &'a str>,
) -> Vec<bool> {
    let mut raw_runs = Runs::default();
    let mut bare_runs = Runs::default();
    let mut wholes = [const { None::<Runs> }; BARE_ECHO_RUN - SHORTEST_ECHO];
    for (number, message) in messages.iter().enumerate() {
        for form in message.iter().map(|form| unescape(form)) {
            let (raw, bare): (Vec<char>, Vec<char>) =
                (form.chars().collect(), bare(&form).collect());
            raw_runs.add(&raw, ECHO_RUN, number);
            bare_runs.add(&bare, BARE_ECHO_RUN, number);
            for (length, runs) in (SHORTEST_ECHO..).zip(&mut wholes) {
                runs.get_or_insert_default().add(&bare, length, number);
            }
        }
    }
    let all = (0..messages.len()).fold(0, |all, number| all | bit(number));
    let mut found = 0;
    for text in texts {
        found |= raw_runs.find(text.chars(), ECHO_RUN);
        found |= bare_runs.find(bare(text), BARE_ECHO_RUN);
        let length = bare(text).take(BARE_ECHO_RUN).count();
        let whole = length.checked_sub(SHORTEST_ECHO).and_then(|place| wholes.get(place)?.as_ref());
        found |= whole.map_or(0, |whole| whole.find(bare(text), length));
        if found == all {
            break;
        }
    }
    (0..messages.len()).map(|number| found & bit(number) != 0).collect()
}

/// The bit of a message in a set of them. Never are there more than it has bits for.
fn bit(message: usize) -> u32 {
    u32::try_from(message).ok().and_then(|message| 1_u32.checked_shl(message)).unwrap_or(u32::MAX)
}

/// Letters and digits only, in lower case.
fn bare(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars().filter(|character| character.is_alphanumeric()).flat_map(char::to_lowercase)
}

/// Undoes one level of JSON escapes, for bodies that quote a request as a string.
fn unescape(message: &str) -> String {
    if !message.contains('\\') {
        return message.to_owned();
    }
    let quoted = format!("\"{}\"", message.replace("\\\"", "\"").replace('"', "\\\""));
    serde_json::from_str(&quoted).unwrap_or_else(|_| message.replace("\\n", " "))
}

const BASE: u64 = 0x0100_0000_01b3;

/// Hashes of every run of one length, with the set of messages that it stands in.
#[derive(Default)]
struct Runs(HashMap<u64, u32>);

impl Runs {
    fn add(&mut self, characters: &[char], length: usize, message: usize) {
        for run in characters.windows(length) {
            let hash = run.iter().fold(0, |hash, one| mix(hash, *one));
            *self.0.entry(hash).or_default() |= bit(message);
        }
    }

    /// The messages that have a run of this length in common with a text (a rolling hash: texts can be
    /// long).
    fn find(&self, text: impl Iterator<Item = char>, length: usize) -> u32 {
        let mut found = 0;
        if self.0.is_empty() {
            return found;
        }
        let leaving_weight = (0..length).fold(1_u64, |weight, _| weight.wrapping_mul(BASE));
        let mut window = VecDeque::with_capacity(length.saturating_add(1));
        let mut hash = 0;
        for character in text {
            hash = mix(hash, character);
            window.push_back(character);
            if window.len() > length
                && let Some(left) = window.pop_front()
            {
                let left = u64::from(u32::from(left)).wrapping_mul(leaving_weight);
                hash = hash.wrapping_sub(left);
            }
            if window.len() == length {
                found |= self.0.get(&hash).copied().unwrap_or_default();
            }
        }
        found
    }
}

fn mix(hash: u64, character: char) -> u64 {
    hash.wrapping_mul(BASE).wrapping_add(u64::from(u32::from(character)))
}

/// A payload's top-level fields with the lengths of their JSON, never a value.
pub(super) fn fields(payload: &IndexMap<String, Box<RawValue>>) -> String {
    let mut shown = Vec::with_capacity(payload.len());
    for (name, value) in payload {
        shown.push(format!("{name}=<{} bytes>", value.get().len()));
    }
    shown.join(" ")
}

/// A value's kind and length.
pub(super) fn shape(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::String(text) => format!("<{} bytes>", text.len()),
        Value::Array(items) => shape_of_list(items.len()),
        Value::Object(fields) => format!("{{{} fields}}", fields.len()),
    }
}

/// The same of an array of so many items.
pub(super) fn shape_of_list(items: usize) -> String {
    format!("[{items} items]")
}

/// The first 512 bytes of a payload, keys masked; only for `CHORUS_LOG_PAYLOADS=1`.
pub(super) fn excerpt(text: &str, secrets: &[&str]) -> String {
    let end = text.floor_char_boundary(EXCERPT_LIMIT);
    // Scrub a little more than is shown, or a key cut in two would show its first half.
    let more = text.floor_char_boundary(EXCERPT_LIMIT.saturating_add(256));
    let scrubbed = scrub(text.get(..more).unwrap_or(text), secrets);
    let end = scrubbed.floor_char_boundary(end);
    scrubbed.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_scrubbed_and_words_are_not() {
        for (text, want) in [
            ("Incorrect API key provided: sk-abc123def.", "Incorrect API key provided: ***"),
            ("Incorrect API key: sk-ab***********xyz", "Incorrect API key: ***"),
            ("header was 'Bearer topsecret'", "header was 'Bearer ***'"),
            ("token 0123456789abcdef0123 bad", "token *** bad"),
            ("my own secret word: hunter22", "my own secret word: ***"),
            (
                "model llama-3.1-8b-instruct-q4_0 not found",
                "model llama-3.1-8b-instruct-q4_0 not found",
            ),
            ("max_completion_tokens is not supported", "max_completion_tokens is not supported"),
            ("你好 AIzaSyD4你好", "你好 ***你好"),
        ] {
            assert_eq!(scrub(text, &["hunter22", "no"]), want);
        }
    }

    #[test]
    fn cutting_respects_characters() {
        assert_eq!(cut("a  b\n c", 10), "a b c");
        assert_eq!(cut("你好世界你好", 5), "你好...");
        assert_eq!(cut("你好", 2), "你好");
        assert_eq!(cut("a\u{1b}[2J\r\nb\u{9b}\u{202e}模", 99), "a\\u{1b}[2J b\\u{9b}\\u{202e}模");
    }

    #[test]
    fn a_message_that_quotes_the_prompt_is_an_echo() {
        let prompt = "Please tell me the story of the seven lazy dogs, and nothing else.";
        let chinese = "请用三句话解释为什么天空是蓝色的，并且给出一个生活中的例子作为补充说明。";
        for (message, texts, want) in [
            ("bad request: tell me the story of the seven lazy", vec![prompt], true),
            ("TELL ME: the\\nstory of the seven lazy", vec![prompt], true),
            (
                "cannot parse 解释为什么天空是蓝色的，并且给出一个生活中的例子",
                vec![prompt, chinese],
                true,
            ),
            (
                "cannot parse \\u89e3\\u91ca\\u4e3a\\u4ec0\\u4e48\\u5929\\u7a7a\\u662f\\u84dd\\u8272\\u7684\
                 \\uff0c\\u5e76\\u4e14\\u7ed9\\u51fa\\u4e00\\u4e2a\\u751f\\u6d3b\\u4e2d\\u7684\\u4f8b\\u5b50",
                vec![chinese],
                true,
            ),
            ("I will not say marker-4711.", vec!["marker-4711"], true),
            ("this is bad", vec!["hi"], false),
            ("tell me the story", vec![prompt], true),
            ("tell me more", vec![prompt], false),
            ("maximum context length is 8192 tokens", vec![prompt, chinese], false),
            ("", vec![""], false),
        ] {
            assert_eq!(echoes(&[[message]], texts.iter().copied()), [want], "{message}");
        }
    }

    #[test]
    fn payloads_show_fields_and_lengths() {
        let body = r#"{"model":"m","input":["SECRET"],"dimensions":5}"#;
        let body = serde_json::from_str(body).unwrap();
        assert_eq!(fields(&body), "model=<3 bytes> input=<10 bytes> dimensions=<1 bytes>");
        for (value, want) in [
            (json!("m"), "<1 bytes>"),
            (json!([1]), "[1 items]"),
            (json!(0.5), "0.5"),
            (json!(true), "true"),
            (json!({"a": 1}), "{1 fields}"),
            (json!(null), "null"),
        ] {
            assert_eq!(shape(&value), want);
        }
    }

    #[test]
    fn an_excerpt_is_short_and_masked() {
        let text = format!("{} sk-12345678901234567890", "好".repeat(168));
        let shown = excerpt(&text, &[]);
        assert!(shown.len() <= EXCERPT_LIMIT, "{}", shown.len());
        assert!(!shown.contains("sk-1"), "{shown}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn any_long_quote_is_found(
            prompt in "[a-z你好，。 ]{30,90}", at in any::<prop::sample::Index>(), tail in "[A-Z]{0,9}",
        ) {
            let letters: Vec<char> = prompt.chars().collect();
            let from = at.index(letters.len() - ECHO_RUN);
            let quote: String = letters[from..from + ECHO_RUN].iter().collect();
            let message = format!("bad: {quote}{tail}");
            let echo = echoes(&[["fine"], [message.as_str()]], [prompt.as_str()].into_iter());
            prop_assert_eq!(echo, [false, true]);
        }

        #[test]
        fn nothing_panics(text in "\\PC{0,80}", limit in 0..90_usize) {
            scrub(&text, &["secret"]);
            cut(&text, limit);
            excerpt(&text, &[]);
            echoes(&[[text.as_str()]], [text.as_str()].into_iter());
        }
    }
}
