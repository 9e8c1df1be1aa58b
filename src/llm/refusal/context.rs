//! How long a context is, as refusals and model lists say. Pure.

use serde_json::Value;

use crate::llm::wire::Wire;

/// A context of fewer tokens is a misunderstanding, and one of more too.
const PLAUSIBLE: std::ops::RangeInclusive<u64> = 256..=100_000_000;

/// The context that a refusal names: as a number of its own, else in one of its texts.
pub(super) fn limit(field: Option<u64>, texts: &[String]) -> Option<u32> {
    field.and_then(is_plausible).or_else(|| texts.iter().find_map(|text| in_prose(text)))
}

/// A number of tokens that a context can have.
fn is_plausible(tokens: u64) -> Option<u32> {
    PLAUSIBLE.contains(&tokens).then(|| u32::try_from(tokens).ok())?
}

fn in_prose(text: &str) -> Option<u32> {
    /// What the length of a context goes by.
    const NAMES: [&str; 11] = [
        "context length",
        "context size",
        "context window",
        "context limit",
        "model length",
        "sequence length",
        "max_model_len",
        "n_ctx",
        "exceeds limit",
        "tokens allowed",
        "token limit",
    ];
    let text = text.to_lowercase();
    let announced = || {
        NAMES.iter().find_map(|name| {
            let places = text.match_indices(name);
            let mut after = places.filter_map(|(at, _)| text.get(at.saturating_add(name.len())..));
            after.find_map(linked_number).and_then(is_plausible)
        })
    };
    compared(&text).or_else(announced).or_else(|| called_maximum(&text))
}

/// The number that only these words stand before: `is 8192`, `(4096 tokens)`, `of this model is 2k`.
fn linked_number(rest: &str) -> Option<u64> {
    const LINKS: [&str; 11] =
        ["is", "of", "was", "for", "this", "the", "model", "only", "limit", "limited", "to"];
    let is_link = |character: char| {
        character.is_whitespace() || matches!(character, ':' | '=' | '(' | '`' | '\'' | '"' | '[')
    };
    let mut rest = rest.trim_start_matches(is_link);
    for _ in 0..6 {
        if let Some(number) = leading_number(rest) {
            return Some(number);
        }
        let word = rest.split(is_link).next()?;
        rest = rest.get(word.len()..).filter(|_| LINKS.contains(&word))?;
        rest = rest.trim_start_matches(is_link);
    }
    None
}

/// `210000 tokens > 200000 maximum`, `188240 + 21333 > 200000`.
fn compared(text: &str) -> Option<u32> {
    let (before, after) = text.split_once('>')?;
    let tokens = before.contains("token") || text.contains("max_tokens");
    leading_number(after).filter(|_| tokens).and_then(is_plausible)
}

/// `at most 4096 tokens`, `maximum of 8192 tokens`, `the 4096 token context`.
fn called_maximum(text: &str) -> Option<u32> {
    const BEFORE: [&str; 6] =
        ["maximum allowed", "maximum of", "maximum is", "at most", "up to", "limit is"];
    let found = BEFORE.iter().find_map(|before| {
        let (_, rest) = text.split_once(before)?;
        let number = leading_number(rest)?;
        let after = rest.trim_start_matches(|character: char| !character.is_ascii_digit());
        let after = after.trim_start_matches(|character: char| {
            character.is_ascii_digit() || matches!(character, ',' | '_' | ' ' | '-')
        });
        let counts = after.starts_with("token") || after.starts_with("input token");
        let of_answer = after.starts_with("token") && after.contains("completion tokens");
        (counts && !of_answer).then_some(number)
    });
    found.and_then(is_plausible)
}

/// The number that a text begins with, behind a few signs: `: 8192`, ` = 8,192 tokens`, `32k`.
fn leading_number(text: &str) -> Option<u64> {
    let text = text.trim_start_matches([' ', ':', '=', '(', '`', '\'', '"', '[']);
    let mut number = String::new();
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next_if(|one| one.is_ascii_digit() || matches!(one, ',' | '_'))
    {
        if character.is_ascii_digit() {
            number.push(character);
        }
    }
    let thousands = rest.next_if(|unit| *unit == 'k').is_some();
    let number: u64 = number.parse().ok()?;
    Some(if thousands { number.saturating_mul(1024) } else { number })
}

/// The context that a model list tells of one of its models, in tokens.
pub(in crate::llm) fn listed_context(list: &Value, wire: &dyn Wire, wanted: &str) -> Option<u32> {
    const NAMES: [&str; 3] = ["id", "name", "model"];
    let lists = [list.get("data"), list.get("models"), Some(list)];
    let mut entries = lists.into_iter().flatten().filter_map(Value::as_array);
    // What serves one model has it under whatever name.
    let any_name = wire.takes_any_name(list);
    entries.find_map(|entries| {
        let lone = any_name && entries.len() == 1;
        let is_it = |entry: &&Value| {
            let names = NAMES.iter().filter_map(|name| entry.get(name)?.as_str());
            lone || names.into_iter().any(|name| wire.is_named(name, wanted))
        };
        entries.iter().filter(is_it).find_map(entry_context)
    })
}

/// What is loaded comes before what the model could have.
pub(in crate::llm) fn entry_context(entry: &Value) -> Option<u32> {
    const PLACES: [&str; 12] = [
        "/loaded_context_length",
        "/meta/n_ctx",
        "/n_ctx",
        "/max_model_len",
        "/top_provider/context_length",
        "/context_length",
        "/context_window",
        "/max_context_length",
        "/max_context_tokens",
        "/contextLength",
        "/inputTokenLimit",
        "/max_input_tokens",
    ];
    let found = PLACES.iter().find_map(|place| entry.pointer(place)?.as_u64().filter(|n| *n > 0));
    found.and_then(is_plausible)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{llm::wire::wire, types::Protocol};

    #[test]
    fn refusals_name_the_context() {
        for (text, want) in [
            (
                "This model's maximum context length is 8192 tokens. However, you requested 9000 \
              tokens (1000 in the messages, 8000 in the completion).",
                Some(8192),
            ),
            ("the maximum context length is 2,048 tokens, but 8 input tokens came", Some(2048)),
            (
                "request (5012 tokens) exceeds the available context size (4096 tokens), try \
              increasing it",
                Some(4096),
            ),
            ("prompt is too long: 210000 tokens > 200000 maximum", Some(200_000)),
            (
                "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000, \
              decrease input length",
                Some(200_000),
            ),
            (
                "The input token count (1048577) exceeds the maximum number of tokens allowed \
              (1048576).",
                Some(1_048_576),
            ),
            (
                "The decoder prompt (length 17772) is longer than the maximum model length of \
              16384.",
                Some(16_384),
            ),
            ("Input prompt (36893 tokens) is too long and exceeds limit of 1000", Some(1000)),
            (
                "The prompt (total length 25938) is too long to fit into the model (context length \
              4096).",
                Some(4096),
            ),
            ("Prompt is 11543 tokens but the model context window is 4096 tokens.", Some(4096)),
            ("`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000", None),
            ("input exceeds the context window of this model", None),
            ("context size has been exceeded.", None),
            (
                "max_tokens is too large: 90000. This model supports at most 16384 completion \
              tokens",
                None,
            ),
            ("the input has 9000 tokens, at most 8192 tokens are taken", Some(8192)),
            ("the model has a context window of 32k tokens", Some(32_768)),
        ] {
            assert_eq!(limit(None, &[text.to_owned()]), want, "{text}");
        }
        assert_eq!(limit(Some(4096), &["context length is 8192".to_owned()]), Some(4096));
    }

    #[test]
    fn lists_name_the_context_of_a_model() {
        for (list, want) in [
            (
                json!({"data": [{"id": "m", "meta": {"n_ctx": 4096, "n_ctx_train": 8192}}]}),
                Some(4096),
            ),
            (
                json!({"data": [{"id": "x", "max_model_len": 1}, {"id": "m", "max_model_len": 16384}]}),
                Some(16_384),
            ),
            (json!([{"id": "m", "context_length": 131_072}]), Some(131_072)),
            (json!({"data": [{"id": "m", "context_window": 32_768}]}), Some(32_768)),
            (
                json!({"data": [{"id": "m", "context_length": 131_072,
                "top_provider": {"context_length": 65_536}}]}),
                Some(65_536),
            ),
            (json!({"data": [{"id": "m"}]}), None),
            (json!({"data": [{"id": "other", "max_model_len": 16384}]}), None),
            (json!({"data": [{"id": "m", "max_model_len": 0}]}), None),
        ] {
            assert_eq!(listed_context(&list, wire(Protocol::OpenAi), "m"), want, "{list}");
        }
        let gemini = json!({"models": [{"name": "models/m", "inputTokenLimit": 1_048_576}]});
        assert_eq!(listed_context(&gemini, wire(Protocol::Gemini), "m"), Some(1_048_576));
    }
}
