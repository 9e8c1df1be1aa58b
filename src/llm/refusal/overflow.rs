//! Words that say a conversation is too long for a model. Pure.

use super::mentions;

/// Said of nothing but a conversation that is too long.
const PLAIN: [&str; 21] = [
    "context_length_exceeded",
    "context_length_error",
    "context_window_exceeded",
    "contextwindowexceeded",
    "model_context_window",
    "exceed_context",
    "prompt is too long",
    "prompt too long",
    "input is too long",
    "input too long",
    "input length too long",
    "prompt_too_long",
    "`inputs` must have less than",
    "tokens + `max_new_tokens` must be",
    "tokens + max_tokens must be",
    "maximum prompt length is",
    "exceeds truncation length",
    "range of input length should be",
    "exceeded model token limit",
    "longer than max_kv_size",
    "prompt 超长",
];

/// What can be too short, or too long for it.
const OF_CONTEXT: [&str; 22] = [
    "context length",
    "context_length",
    "context size",
    "context window",
    "context_window",
    "context limit",
    "maximum context",
    "max context",
    "model length",
    "max_model_len",
    "n_ctx",
    "sequence length",
    "max_seq_len",
    "input token",
    "prompt token",
    "input length",
    "prompt length",
    "number of tokens allowed",
    "maximum number of tokens",
    "input prompt",
    "上下文",
    "输入长度",
];

/// That it is.
const OVER: [&str; 18] = [
    "exceed",
    "too long",
    "too many tokens",
    "longer than",
    "larger than",
    "greater than",
    "more than",
    "context length is",
    "context size is",
    "context window is",
    "reduce the length",
    "over the",
    "overflow",
    "too large for",
    "not fit",
    "n't fit",
    "超过",
    "超出",
];

/// A limit of tokens in a time is another one, and so is what a server has room for.
const OTHER: [&str; 10] = [
    "per minute",
    "per min",
    "per day",
    "per hour",
    "tokens_per",
    "(tpm)",
    "rate limit",
    "rate_limit",
    "quota",
    "system memory",
];

/// Whether the prompt (and the answer asked for) is longer than the model's context.
pub(super) fn is_overflow(words: &str) -> bool {
    let speaks_of_it = mentions(words, &OF_CONTEXT) && mentions(words, &OVER);
    mentions(words, &PLAIN)
        || (speaks_of_it && !mentions(words, &OTHER))
        || (words.contains("too many tokens")
            && !mentions(words, &["wait", "throttl"])
            && !mentions(words, &OTHER))
}
