//! The fields in which OpenAI-compatible servers put what an answer cost.

use serde_json::Value;

use crate::llm::protocol::{
    counts::{Counts, count},
    lookup::get_path,
};

/// Beside the choices, inside of the first (Moonshot) or of what it says, in a list, in Groq's own
/// object, or in Cohere's.
const PLACES: [&str; 7] = [
    "usage",
    "usage/0",
    "choices/0/usage",
    "choices/0/delta/usage",
    "choices/0/message/usage",
    "x_groq/usage",
    "meta/billed_units",
];
const PROMPT: [&str; 4] = ["prompt_tokens", "input_tokens", "promptTokens", "inputTokens"];
const COMPLETION: [&str; 4] =
    ["completion_tokens", "output_tokens", "completionTokens", "outputTokens"];
const TOTAL: [&str; 2] = ["total_tokens", "totalTokens"];
/// DeepSeek, Moonshot, and those that speak of `input` have names of their own.
const CACHED: [&str; 5] = [
    "prompt_tokens_details/cached_tokens",
    "input_tokens_details/cached_tokens",
    "cached_tokens",
    "prompt_cache_hit_tokens",
    "cache_read_input_tokens",
];
const REASONING: [&str; 3] = [
    "completion_tokens_details/reasoning_tokens",
    "output_tokens_details/reasoning_tokens",
    "reasoning_tokens",
];

/// The counts of a chunk or a reply, if it has any.
pub(in crate::llm) fn read(value: &Value) -> Option<Counts> {
    let usages = PLACES.iter().filter_map(|path| get_path(value, path));
    let reported = usages.filter(|usage| usage.is_object()).map(counts);
    reported
        .reduce(|mut counts, other| {
            counts.update(&other);
            counts
        })
        .or_else(|| value.get("timings").and_then(timings))
}

fn counts(usage: &Value) -> Counts {
    // A zero is often said by those that do not know; a number beside it does.
    let found = |paths: &[&str]| {
        let counts = paths.iter().filter_map(|path| get_path(usage, path).and_then(count));
        counts.reduce(|one, other| if one == 0 { other } else { one })
    };
    let counts = Counts {
        prompt: found(&PROMPT),
        completion: found(&COMPLETION),
        cached: found(&CACHED),
        reasoning: found(&REASONING),
        prompt_time: None,
        completion_time: None,
    };
    counts.within(found(&TOTAL))
}

/// llama.cpp's, where usage was not asked for; what it had cached is not among the prompt's.
fn timings(timings: &Value) -> Option<Counts> {
    let found = |name: &str| timings.get(name).and_then(count);
    let (fresh, cached) = (found("prompt_n")?, found("cache_n"));
    Some(Counts {
        prompt: Some(fresh.saturating_add(cached.unwrap_or(0))),
        completion: found("predicted_n"),
        cached,
        ..Counts::default()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn counts_are_found_wherever_they_stand() {
        for (chunk, want) in [
            (json!({"usage": {"prompt_tokens": 9, "completion_tokens": 4}}), (9, 4, None, None)),
            (json!({"usage": {"input_tokens": 9, "output_tokens": 4.0}}), (9, 4, None, None)),
            (
                json!({"choices": [{"usage": {"prompt_tokens": 9, "completion_tokens": 4,
                    "cached_tokens": 3}}]}),
                (9, 4, Some(3), None),
            ),
            (
                json!({"usage": null, "x_groq": {"usage": {"prompt_tokens": 9,
                    "completion_tokens": 4}}}),
                (9, 4, None, None),
            ),
            (
                json!({"usage": {"prompt_tokens": 9, "completion_tokens": 4,
                    "prompt_cache_hit_tokens": 5, "prompt_tokens_details": {"cached_tokens": 0},
                    "completion_tokens_details": {"reasoning_tokens": 2}}}),
                (9, 4, Some(5), Some(2)),
            ),
            (
                json!({"usage": {"prompt_tokens": 0, "completion_tokens": 0},
                    "choices": [{"usage": {"prompt_tokens": 9, "completion_tokens": 4}}]}),
                (9, 4, None, None),
            ),
            (json!({"usage": {"promptTokens": "9", "completionTokens": "4"}}), (9, 4, None, None)),
            (json!({"usage": [{"prompt_tokens": 9, "total_tokens": 13}]}), (9, 4, None, None)),
            (
                json!({"choices": [{"message": {"usage": {"prompt_tokens": 9,
                    "completion_tokens": "4.0"}}}]}),
                (9, 4, None, None),
            ),
            (
                json!({"timings": {"prompt_n": 7, "cache_n": 2, "predicted_n": 4}}),
                (9, 4, Some(2), None),
            ),
        ] {
            let got = read(&chunk).unwrap();
            let got = (got.prompt.unwrap(), got.completion.unwrap(), got.cached, got.reasoning);
            assert_eq!(got, want, "{chunk}");
        }
        for chunk in [
            json!({"usage": null}),
            json!({"choices": []}),
            json!({"usage": 7}),
            json!({"usage": []}),
        ] {
            assert_eq!(read(&chunk), None, "{chunk}");
        }
    }
}
