//! Words that say a conversation is too long for a model. Pure.
//!
//! Names are compared without their marks: `max_seq_len` is `max seq len`, with and without
//! backticks.

use super::words::mentions;

/// Said of nothing but a conversation that is too long.
const PLAIN: [&str; 25] = [
    "context length exceeded",
    "context length error",
    "context window exceeded",
    "contextwindowexceeded",
    "model context window",
    "exceed context",
    "prompt is too long",
    "prompt too long",
    "input is too long",
    "input too long",
    "input length too long",
    "conversation is too long",
    "conversation too long",
    "inputs must have less than",
    "tokens + max new tokens must be",
    "tokens + max tokens must be",
    "maximum prompt length is",
    "exceeds truncation length",
    "range of input length should be",
    "exceeded model token limit",
    "longer than max kv size",
    "max prompt tokens exceeded",
    "prompt 超长",
    "输入超长",
    "输入过长",
];

/// What can be too short, or too long for it.
const OF_CONTEXT: [&str; 34] = [
    "context length",
    "context size",
    "context window",
    "context limit",
    "maximum context",
    "max context",
    "model length",
    "max model len",
    "n ctx",
    "sequence length",
    "max seq len",
    "input token",
    "prompt token",
    "message token",
    "messages token",
    "messages have",
    "messages contain",
    "tokens in request",
    "tokens in the request",
    "tokens in your request",
    "tokens in the prompt",
    "tokens in prompt",
    "tokens in the messages",
    "input length",
    "prompt length",
    "length of the messages",
    "length of the prompt",
    "length of your prompt",
    "number of tokens allowed",
    "maximum number of tokens",
    "input prompt",
    "上下文",
    "输入长度",
    "输入 token",
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

/// That it has to be less; so it is said of the answer's limit too.
const BELOW: [&str; 9] = [
    "must be less than",
    "must be smaller than",
    "must be at most",
    "must be <",
    "must have less than",
    "should be less than",
    "supports up to",
    "supports only up to",
    "while limit is",
];

/// The answer's limit: what the caller asks for, and no word on what it sends.
const OF_ANSWER: [&str; 9] = [
    "max tokens must be",
    "max tokens should be",
    "max tokens is",
    "max completion tokens",
    "max output tokens",
    "max new tokens must be",
    "max new tokens should be",
    "completion tokens",
    "output tokens",
];

/// A limit of tokens in a time is another one, and so is what a server has room for.
const OTHER: [&str; 8] = [
    "per minute",
    "per min",
    "per day",
    "per hour",
    "(tpm)",
    "rate limit",
    "quota",
    "system memory",
];

/// A field that takes fewer characters is none that a conversation stands in.
const SHORTEST_TEXT: u64 = 8192;

/// Whether the prompt (and the answer asked for) is longer than the model's context.
pub(super) fn is_overflow(words: &str) -> bool {
    let words = unmarked(words);
    if mentions(&words, &PLAIN) {
        return true;
    }
    if mentions(&words, &OTHER) {
        return false;
    }
    let speaks_of_it = mentions(&words, &OF_CONTEXT);
    let is_over =
        mentions(&words, &OVER) || (mentions(&words, &BELOW) && !mentions(&words, &OF_ANSWER));
    (speaks_of_it && is_over)
        || (words.contains("too many tokens") && !mentions(&words, &["wait", "throttl"]))
        || leaves_nothing(&words)
        || breaks_schema(&words)
}

/// Words without the marks of code: `max_tokens` is `max tokens`, with and without backticks.
fn unmarked(words: &str) -> String {
    words.chars().filter(|one| *one != '`').map(|one| if one == '_' { ' ' } else { one }).collect()
}

/// `max_tokens must be at least 1, got -200`: what a prompt leaves of the context. Nobody asks for
/// fewer than no tokens.
fn leaves_nothing(words: &str) -> bool {
    let Some((before, after)) = words.split_once("got -") else { return false };
    let names_limit = ["max tokens", "max completion tokens", "max new tokens"];
    after.starts_with(|first: char| first.is_ascii_digit()) && mentions(before, &names_limit)
}

/// Bedrock's `expected maxLength: 200000, actual: 250000`, in characters.
fn breaks_schema(words: &str) -> bool {
    let Some((_, after)) = words.split_once("expected maxlength: ") else { return false };
    let digits = after.split(|one: char| !one.is_ascii_digit()).next().unwrap_or_default();
    digits.parse::<u64>().is_ok_and(|longest| longest >= SHORTEST_TEXT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_is_too_long_in_many_words() {
        for words in [
            // Vertex AI
            "Unable to submit request because the input token count is 40000 but model only supports \
             up to 32768. Reduce the input token count and try again.",
            // Cerebras, Groq
            "Please reduce the length of the messages or completion. Current length is 40960 while \
             limit is 8192",
            "Request too large for model `m`: Please reduce the length of the messages or completion.",
            // Bedrock
            "Malformed input request: expected maxLength: 200000, actual: 250000, please reformat \
             your input and try again.",
            // Databricks
            "Messages have 40000 tokens, which exceeds the max limit of 32768 tokens.",
            // SiliconFlow
            "length of prompt_tokens (40000) must be less than max_seq_len (32768).",
            "parameter error: total message token length exceed model limit",
            // Volcengine
            "Total tokens of image and text exceed max message tokens",
            "tokens in request more than max tokens allowed",
            // vLLM
            "max_tokens must be at least 1, got -200.",
            "This model's maximum context length is 4096 tokens. Please reduce the length of the \
             messages.",
            // TGI
            "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens and 20",
            "inputs tokens + max_new_tokens must be <= 4096",
            "Input validation error: `inputs` must have less than 4095 tokens. Given: 5000",
            "The total number of tokens in the prompt (9000) and max_tokens (1000) exceeds the \
             maximum of 8192",
            "max_total_tokens must be <= 32768, got 40000 prompt tokens",
            "Conversation is too long. Maximum is 8192 tokens.",
            "Input token length 40000 exceeds 32768",
            "prompt token count of 140000 exceeds the limit of 128000",
            "model_max_prompt_tokens_exceeded",
            "This request exceeds the maximum number of tokens: 40000 > 32768",
            "请求的 tokens 超过模型上下文长度限制",
            "输入长度超过模型上限",
        ] {
            assert!(is_overflow(&words.to_lowercase()), "{words}");
        }
    }

    #[test]
    fn other_limits_are_none_of_the_context() {
        for words in [
            "max_tokens is too large: 90000. This model supports up to 16384 output tokens",
            "max_tokens must be less than or equal to 8192, less than the context_window for it",
            "max_tokens must be at least 1, got 0",
            "temperature must be at least 0, got -2",
            "The maximum tokens you requested exceeds the model limit of 4096. Try again with a \
             maximum tokens value that is lower than 4096.",
            "max_new_tokens must be <= 1024; the prompt tokens are not counted",
            "Requested tokens per minute exceed the limit: input tokens 40000, limit 30000",
            "Request too large for m on tokens per min (TPM): Limit 6000, Requested 7000",
            "Request body too large: at most 10485760 bytes",
            "Malformed input request: #/stop_sequences/0: expected maxLength: 64, actual: 80",
            "the number of messages must be less than 100",
            "the image must be less than 5 MB",
        ] {
            assert!(!is_overflow(&words.to_lowercase()), "{words}");
        }
    }
}
