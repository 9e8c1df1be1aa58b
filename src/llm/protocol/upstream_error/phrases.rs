//! The status that everyday words stand for. Pure.

use super::words::mentions;

/// The status that these words, in lower case, are about.
pub(super) fn status(words: &str) -> Option<u16> {
    const PARAMETER: [&str; 2] = ["unsupported param", "unsupported argument"];
    if is_about_key(words) {
        return Some(401);
    }
    if is_about_model(words) {
        return Some(404);
    }
    if is_about_rate(words) {
        return Some(429);
    }
    mentions(words, &PARAMETER).then_some(400)
}

/// What can only be about a key.
const PHRASES: [&str; 8] = [
    "no api key",
    "no auth credentials",
    "authentication fails",
    "authentication failed",
    "invalid authentication",
    "invalid bearer token",
    "invalid proxy server token",
    "invalid x-api-key",
];

/// What a key is called.
const KEYS: [&str; 11] = [
    "api key",
    "api-key",
    "apikey",
    "subscription key",
    "access token",
    "auth token",
    "bearer token",
    "api token",
    "jwt token",
    "jwt",
    "令牌",
];

/// What stands before one that is missing or does not hold.
const BEFORE: [&str; 13] = [
    "invalid",
    "incorrect",
    "wrong",
    "expired",
    "missing",
    "without a",
    "without an",
    "n't provide an",
    "not provide an",
    "provide a valid",
    "revoked",
    "unknown",
    "无效的",
];

/// What stands behind it.
const AFTER: [&str; 14] = [
    "not valid",
    "is not valid",
    "invalid",
    "is invalid",
    "incorrect",
    "is incorrect",
    "expired",
    "is expired",
    "has expired",
    "or token expired",
    "is missing",
    "is required",
    "not provided",
    "无效",
];

/// Whether a key is said to be missing or not to hold: `invalid API key`, `the access token expired`.
fn is_about_key(words: &str) -> bool {
    let at_key = |key: &&str| {
        words.match_indices(*key).any(|(at, _)| {
            let before = words.get(..at).unwrap_or_default().trim_end();
            let after = words.get(at.saturating_add(key.len())..).unwrap_or_default();
            let after = after.trim_start_matches([' ', ':', ',']);
            let is_said = |word: &&str| {
                before.strip_suffix(*word).is_some_and(|rest| {
                    word.starts_with("n't")
                        || !rest.ends_with(|last: char| last.is_ascii_alphanumeric())
                })
            };
            BEFORE.iter().any(is_said) || AFTER.iter().any(|word| after.starts_with(word))
        })
    };
    mentions(words, &PHRASES) || KEYS.iter().any(at_key)
}

/// Whether a model is said not to be there.
fn is_about_model(words: &str) -> bool {
    const PHRASES: [&str; 11] = [
        "invalid model:",
        "model identifier is invalid",
        "has been decommissioned",
        "no such model",
        "unknown model",
        "does not exist or you do not have access to it",
        "is not a valid model id",
        "no available channel for model",
        "try pulling it",
        "模型不存在",
        "无可用渠道",
    ];
    mentions(words, &PHRASES)
        || words
            .match_indices("model")
            .any(|(at, word)| words.get(at.saturating_add(word.len())..).is_some_and(is_missing))
}

/// Whether the words behind `model` say that it is not there, with or without its name: ` not found`,
/// ` 'm' does not exist`, `s/m is not found`.
fn is_missing(rest: &str) -> bool {
    const MISSING: [&str; 8] = [
        "not found",
        "is not found",
        "was not found",
        "could not be found",
        "does not exist",
        "doesn't exist",
        "not exist",
        "is not a known model",
    ];
    let missing = |rest: &str| MISSING.iter().any(|words| rest.starts_with(words));
    if rest.strip_prefix(' ').is_some_and(missing) {
        return true;
    }
    let name = rest.strip_prefix("s/").or_else(|| {
        let rest = rest.trim_start_matches([' ', ':', '=']);
        rest.strip_prefix(['\'', '"', '`', '\\']).or_else(|| rest.starts_with('/').then_some(rest))
    });
    let Some(name) = name else { return false };
    let is_mark = |one: char| matches!(one, '\'' | '"' | '`' | '\\');
    let end = name.find(|one: char| one.is_whitespace()).unwrap_or(name.len());
    let (name, rest) = name.split_at(end);
    !name.trim_matches(is_mark).is_empty() && missing(rest.trim_start())
}

/// Whether requests or tokens in a time are used up.
fn is_about_rate(words: &str) -> bool {
    const PHRASES: [&str; 11] = [
        "rate limit reached",
        "rate limit exceeded",
        "rate limit hit",
        "exceeded rate limit",
        "exceeded the rate limit",
        "rate-limited",
        "rate limited",
        "too many requests",
        "请求频率",
        "过于频繁",
        "速率限制",
    ];
    const PER: [&str; 10] = [
        "requests per minute",
        "requests per min",
        "requests per second",
        "requests per day",
        "requests per hour",
        "tokens per minute",
        "tokens per min",
        "tokens per second",
        "tokens per day",
        "tokens per hour",
    ];
    const REACHED: [&str; 4] =
        ["exceed", "limit reached", "limit has been reached", "reached the limit"];
    mentions(words, &PHRASES) || (mentions(words, &PER) && mentions(words, &REACHED))
}
