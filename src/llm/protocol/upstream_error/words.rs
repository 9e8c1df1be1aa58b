//! Words in texts of upstreams. Pure.

/// Whether these words say that it will be otherwise in a while.
pub(in crate::llm) fn is_passing(words: &str) -> bool {
    mentions(words, &PASSING_WORDS)
}

/// Whether a 403 with these words is about the key.
pub(super) fn is_about_key(words: &str) -> bool {
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

const KEY_WORDS: [&str; 34] = [
    "api key",
    "api_key",
    "apikey",
    "api-key",
    "invalid key",
    "key is",
    "key has",
    "access key",
    "invalid token",
    "token is",
    "token has",
    "expired",
    "authenticat",
    "authoriz",
    "authoris",
    "unauthorized",
    "permission",
    "access denied",
    "access_denied",
    "accessdenied",
    "no access",
    "not have access",
    "denied access",
    "credential",
    "account",
    "subscription",
    "organization",
    "organisation",
    "suspended",
    "disabled",
    "not been used in project",
    "billing",
    "model_not_found",
    "whitelist",
];

/// Whether a lower-case text holds one of these.
pub(in crate::llm) fn mentions(words: &str, any: &[&str]) -> bool {
    any.iter().any(|word| words.contains(word))
}
