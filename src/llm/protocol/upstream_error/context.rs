//! How long a context is, as refusals and model lists say. Pure.

/// A context of fewer tokens is a misunderstanding, and one of more too.
const PLAUSIBLE: std::ops::RangeInclusive<u64> = 256..=100_000_000;

/// The context that a refusal names: as a number of its own, else in one of its texts.
pub(super) fn limit(field: Option<u64>, texts: &[String]) -> Option<u32> {
    field.and_then(is_plausible).or_else(|| texts.iter().find_map(|text| in_prose(text)))
}

/// A number of tokens that a context can have.
pub(in crate::llm::protocol) fn is_plausible(tokens: u64) -> Option<u32> {
    PLAUSIBLE.contains(&tokens).then(|| u32::try_from(tokens).ok())?
}

fn in_prose(text: &str) -> Option<u32> {
    /// What the length of a context goes by.
    const NAMES: [&str; 16] = [
        "maximum prompt length",
        "max prompt length",
        "allowed input length",
        "context length",
        "context size",
        "context window",
        "context limit",
        "model length",
        "sequence length",
        "max_model_len",
        "max_seq_len",
        "max_num_tokens",
        "n_ctx",
        "exceeds limit",
        "tokens allowed",
        "token limit",
    ];
    let text = text.to_lowercase().replace('`', "");
    let announced = || {
        NAMES.iter().find_map(|name| {
            let places = text.match_indices(name);
            let mut after = places.filter_map(|(at, _)| text.get(at.saturating_add(name.len())..));
            after.find_map(linked_number).and_then(is_plausible)
        })
    };
    let before_name = || NAMES.iter().find_map(|name| number_before(text.split_once(name)?.0));
    compared(&text)
        .or_else(announced)
        .or_else(before_name)
        .or_else(|| called_maximum(&text))
        .or_else(|| end_of_range(&text))
}

/// The number of `4096 maximum context length`, `the 4096-token context window`.
fn number_before(text: &str) -> Option<u32> {
    let text = text.trim_end();
    let text = ["maximum", "max", "token"].iter().find_map(|word| text.strip_suffix(word))?;
    let text = text.trim_end_matches([' ', '-']);
    let is_part = |one: char| one.is_ascii_digit() || matches!(one, ',' | '_');
    let number: String =
        text.chars().rev().take_while(|one| is_part(*one)).filter(char::is_ascii_digit).collect();
    number.chars().rev().collect::<String>().parse().ok().and_then(is_plausible)
}

/// The end of `length should be [1, 4096]`.
fn end_of_range(text: &str) -> Option<u32> {
    let (_, range) = text.split_once("length should be [")?;
    leading_number(range.split_once(", ")?.1).and_then(is_plausible)
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
        // No link is longer, and a word may be as long as the text.
        let near = rest.get(..rest.floor_char_boundary(16))?;
        let word = near.split(is_link).next()?;
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

/// `at most 4096 tokens`, `maximum of 8192`, `cannot exceed 4096`, where tokens are spoken of and it
/// is not the answer's.
fn called_maximum(text: &str) -> Option<u32> {
    const BEFORE: [&str; 16] = [
        "maximum allowed",
        "maximum of",
        "maximum is",
        "at most",
        "up to",
        "limit is",
        "limit of",
        "not exceed",
        "cannot exceed",
        "less than",
        "must be <=",
        "must be <",
        "lower than",
        "no more than",
        "accepts only",
        "limit:",
    ];
    /// What else has a limit.
    const OTHERS: [&str; 9] = [
        "completion token",
        "output token",
        "new token",
        "character",
        "byte",
        "image",
        "message",
        "request",
        "token per",
    ];
    if !(text.contains("token") || text.contains("length")) {
        return None;
    }
    BEFORE.iter().find_map(|before| {
        let (_, rest) = text.split_once(before)?;
        let number = leading_number(rest)?;
        let unit = rest.trim_start_matches(|one: char| !one.is_ascii_digit());
        let unit = unit.trim_start_matches(|one: char| {
            one.is_ascii_digit() || matches!(one, ',' | '_' | ' ' | '-' | '`' | ')')
        });
        let unit = unit.replace("tokens per", "token per");
        let is_other = OTHERS.iter().any(|other| unit.starts_with(other));
        let of_answer = unit.starts_with("token") && unit.contains("completion tokens");
        is_plausible(number).filter(|_| !is_other && !of_answer)
    })
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        llm::protocol::{all::wire, context::listed_context},
        types::Protocol,
    };

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
            ("`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000", Some(4096)),
            ("`inputs` must have less than 4096 tokens. Given: 5012", Some(4096)),
            (
                "Prompt contains 5012 tokens and 0 draft tokens, too large for model with 4096 \
              maximum context length",
                Some(4096),
            ),
            (
                "This model's maximum prompt length is 4096 but the request contains 5012 tokens.",
                Some(4096),
            ),
            (
                "too many tokens: total number of tokens in the prompt cannot exceed 4096 - received \
              5012. Try using a shorter prompt",
                Some(4096),
            ),
            ("prompt token count of 5012 exceeds the limit of 4096", Some(4096)),
            (
                "Please reduce the length of the messages or completion. Current length is 40960 \
              while limit is 8192",
                Some(8192),
            ),
            ("Range of input length should be [1, 4096]", Some(4096)),
            (
                "The sum of prompt length (5012.0) and query length max_tokens (100) should not \
              exceed max_num_tokens (4096)",
                Some(4096),
            ),
            (
                "input token count is 40000 but model only supports up to 32768. Reduce",
                Some(32_768),
            ),
            (
                "Messages have 40000 tokens, which exceeds the max limit of 32768 tokens.",
                Some(32_768),
            ),
            (
                "length of prompt_tokens (40000) must be less than max_seq_len (32768).",
                Some(32_768),
            ),
            ("prompt length 5012 exceeds context length 4096", Some(4096)),
            ("Requested tokens (2113) exceed context window of 2048", Some(2048)),
            ("max_total_tokens must be <= 32768, got 40000 prompt tokens", Some(32_768)),
            ("The prompt (9000 tokens) exceeds the maximum of 8192", Some(8192)),
            ("expected maxLength: 200000, actual: 250000, please reformat your input", None),
            ("max_tokens must be at least 1, got -200.", None),
            ("Your prompt of 9000 tokens is too long; this takes up to 5000 characters", None),
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
