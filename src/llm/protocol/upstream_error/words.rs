//! Words in texts of upstreams. Pure.

/// Whether these words say that it will be otherwise in a while.
pub(in crate::llm) fn is_passing(words: &str) -> bool {
    mentions(words, &PASSING_WORDS)
}

/// Whether a 403 with these words is about the key.
pub(in crate::llm) fn is_about_key(words: &str) -> bool {
    mentions(words, &KEY_WORDS)
}

/// Whether these words are about what was asked, and not about who asks.
pub(in crate::llm) fn is_about_content(words: &str) -> bool {
    mentions(words, &CONTENT_WORDS)
}

/// What passes, whatever else is said.
const PASSING_WORDS: [&str; 8] = [
    "overload",
    "try again",
    "temporarily",
    "currently unavailable",
    "currently not available",
    "busy",
    "at capacity",
    "is loading",
];

const CONTENT_WORDS: [&str; 25] = [
    "flagged",
    "moderation",
    "content policy",
    "content_policy",
    "content-policy",
    "content filter",
    "content_filter",
    "content management",
    "usage polic",
    "safety",
    "harmful",
    "inappropriate",
    "prohibited content",
    "prohibited_content",
    "your input",
    "your prompt",
    "the prompt",
    "sensitive",
    "responsible ai",
    "jailbreak",
    "data_inspection",
    "datainspection",
    "risk control",
    "敏感",
    "违规",
];

/// What can only be about the key. Everyday words as `permission` or `account` also stand in refusals
/// of a file, a tool or a prompt.
const KEY_WORDS: [&str; 16] = [
    "invalid api key",
    "incorrect api key",
    "invalid_api_key",
    "api_key_invalid",
    "api key not valid",
    "api key is",
    "api key has",
    "key has expired",
    "key is expired",
    "invalid key",
    "invalid token",
    "token has expired",
    "token is expired",
    "invalid authentication",
    "authentication failed",
    "not have access to model",
];

/// Whether a lower-case text holds one of these.
pub(in crate::llm) fn mentions(words: &str, any: &[&str]) -> bool {
    any.iter().any(|word| words.contains(word))
}
