//! What the codes and words of an error stand for. Gateways answer with a status of their own and
//! put the provider's into the prose, so that is read under every status. Pure.

use super::{
    body::{Body, folded},
    phrases,
    words::mentions,
};

/// Codes and types of errors with the status they stand for, folded and without the ending `error`
/// or `exception`.
const CODES: [(&str, u16); 42] = [
    ("authentication", 401),
    ("invalidauthentication", 401),
    ("invalidapikey", 401),
    ("apikeyinvalid", 401),
    ("incorrectapikey", 401),
    ("missingapikey", 401),
    ("invalidtoken", 401),
    ("tokennotfoundindb", 401),
    ("unauthorized", 401),
    ("unauthenticated", 401),
    ("unrecognizedclient", 401),
    ("permission", 403),
    ("permissiondenied", 403),
    ("accessdenied", 403),
    ("forbidden", 403),
    ("notfound", 404),
    ("invalidmodel", 404),
    ("modeldecommissioned", 404),
    ("modelnotfound", 404),
    ("modelnotexist", 404),
    ("modelnotsupported", 404),
    ("unknownmodel", 404),
    ("resourcenotfound", 404),
    ("deploymentnotfound", 404),
    ("ratelimit", 429),
    ("ratelimited", 429),
    ("ratelimitexceeded", 429),
    ("ratelimitreached", 429),
    ("toomanyrequests", 429),
    ("resourceexhausted", 429),
    ("throttling", 429),
    ("throttled", 429),
    ("requesttoolarge", 413),
    ("unprocessableentity", 422),
    ("badrequest", 400),
    ("invalidargument", 400),
    ("invalidparameter", 400),
    ("invalidvalue", 400),
    ("invalidrequest", 400),
    ("unsupportedparameter", 400),
    ("unsupportedvalue", 400),
    ("unsupportedparams", 400),
];

/// A type that many give to every error, also to their own.
const SAID_OF_ALL: &str = "invalidrequesterror";

/// A status of some proxies: the key is not valid. Groq says so where it has no capacity left.
const INVALID_TOKEN: u16 = 498;

/// The status that an error stands for.
pub(super) fn status(http: u16, in_band: bool, body: &Body) -> u16 {
    // Most say what they are, Anthropic's 529 too. A 400 or another 5xx may be anything.
    let may_hide = in_band || matches!(http, 400 | 422 | INVALID_TOKEN | 500..=528 | 530..);
    if !may_hide {
        return http;
    }
    let prose = body.texts.join("\n");
    let lower = prose.to_lowercase();
    if http == INVALID_TOKEN {
        return if lower.contains("token") { 401 } else { 503 };
    }
    let codes = body.codes().filter(|code| folded(code) != SAID_OF_ALL).filter_map(of_code);
    let named = body.status.filter(|status| *status < 500);
    let said = named.into_iter().chain(codes).chain(of_code(&body.param));
    let said =
        said.chain(of_names(&prose)).chain(phrases::status(&lower)).chain(of_numbers(&lower));
    // Of what is said, that a request is bad says least.
    let mut said = said.peekable();
    let first = said.peek().copied();
    match said.find(|status| *status != 400).or(first) {
        // A plain 400 says no more of itself than that it is one.
        Some(meant) if matches!(http, 400 | 422) && !matches!(meant, 401 | 403 | 404 | 429) => http,
        // "not found" of a 400 may be anything that the request names.
        Some(404) if matches!(http, 400 | 422) && !mentions(&lower, &["model", "模型"]) => http,
        Some(meant) => meant,
        None => http,
    }
}

fn of_code(code: &str) -> Option<u16> {
    let code = folded(code);
    let bare = code.strip_suffix("error").or(code.strip_suffix("exception")).unwrap_or(&code);
    CODES.iter().find(|(known, _)| *known == bare || *known == code).map(|(_, status)| *status)
}

/// A code or the name of an exception among words: `litellm.RateLimitError`, `invalid_api_key`.
/// Everyday words are no names.
fn of_names(prose: &str) -> Option<u16> {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    prose.split(|character: char| !is_part(character)).find_map(|word| {
        let lower = word.to_ascii_lowercase();
        let is_name = lower.contains('_')
            || (word.starts_with(|first: char| first.is_ascii_uppercase())
                && (lower.ends_with("error") || lower.ends_with("exception")));
        (is_name && folded(word) != SAID_OF_ALL).then(|| of_code(word))?
    })
}

/// A status among words: behind what announces one, or before its own reason phrase. Any other
/// number is a number of something.
fn of_numbers(words: &str) -> Option<u16> {
    const STATUSES: [(&str, u16, &[&str]); 8] = [
        ("400", 400, &["bad request"]),
        ("401", 401, &["unauthorized"]),
        ("402", 402, &["payment required"]),
        ("403", 403, &["forbidden"]),
        ("404", 404, &["not found"]),
        ("413", 413, &["payload too large", "request entity too large", "content too large"]),
        ("422", 422, &["unprocessable"]),
        ("429", 429, &["too many requests"]),
    ];
    let mut found: Option<(usize, u16)> = None;
    for (text, status, reasons) in STATUSES {
        for (at, _) in words.match_indices(text) {
            let before = words.get(..at).unwrap_or_default();
            let after = words.get(at.saturating_add(text.len())..).unwrap_or_default();
            let is_status = stands_alone(before, after)
                && (reasons.iter().any(|reason| opens_with(after, reason))
                    || is_announced(before, after));
            if is_status && found.is_none_or(|(first, _)| at < first) {
                found = Some((at, status));
            }
        }
    }
    found.map(|(_, status)| status)
}

/// Whether it is no piece of a longer number or name.
fn stands_alone(before: &str, after: &str) -> bool {
    let joins = |character: char| character.is_alphanumeric() || character == '_';
    let mut next = after.chars();
    let ends = match next.next() {
        Some('.' | ',') => !next.next().is_some_and(|digit| digit.is_ascii_digit()),
        Some('%') => false,
        Some(character) => !joins(character),
        None => true,
    };
    ends && !before.ends_with(|last: char| joins(last) || matches!(last, '.' | '#' | '$'))
}

fn opens_with(after: &str, phrase: &str) -> bool {
    after.trim_start_matches([' ', '-', ':', '(', '"', '\'']).starts_with(phrase)
}

fn is_announced(before: &str, after: &str) -> bool {
    /// What only a status follows.
    const STRONG: [&str; 11] = [
        "status code",
        "status_code",
        "statuscode",
        "http status",
        "http code",
        "response code",
        "unexpected status",
        "http/1.1",
        "http/1.0",
        "http/2",
        "http",
    ];
    /// What other numbers may follow too: then it has to end there.
    const WEAK: [&str; 12] = [
        "request failed",
        "call failed",
        "error code",
        "status",
        "returned",
        "responded with",
        "answered with",
        "failed with",
        "response",
        "exception",
        "got",
        "error",
    ];
    /// Hosts whose errors have numbers of their own.
    const OTHERS: [&str; 10] =
        ["cuda", "hip", "exit", "return", "errno", "os", "nccl", "vulkan", "grpc", "driver"];
    let open = before;
    let before = before.trim_end_matches([' ', ':', '=', '(', '"', '\'', '[', '-', '`', '\n', ',']);
    // Python's requests: `401 Client Error: Unauthorized for url`
    if after.trim_start().starts_with("client error") {
        return true;
    }
    // Behind all that was said: `User not found. (401)`
    if before.ends_with(['.', '!'])
        && open.ends_with('(')
        && after.trim_end().trim_end_matches('.') == ")"
    {
        return true;
    }
    if before.is_empty() {
        // `401 status code (no body)`, `429: slow down`
        return opens_with(after, "status code")
            || after.starts_with([':', '{'])
            || after.trim_start().starts_with('{');
    }
    if STRONG.iter().any(|word| ends_in_word(before, word).is_some()) {
        return true;
    }
    let is_over = after.trim_start().is_empty()
        || after.starts_with([':', ',', '.', ')', ']', '}', '"', '\'', ';', '`', '\n'])
        || opens_with(after, "{")
        || ["- ", " from ", " error", " client error", " for "]
            .iter()
            .any(|next| after.starts_with(next) || after.trim_start().starts_with(next));
    let rest = WEAK.iter().find_map(|word| ends_in_word(before, word));
    let other = rest.map(str::trim_end).and_then(|rest| rest.split_whitespace().next_back());
    is_over && rest.is_some() && !other.is_some_and(|word| OTHERS.contains(&word))
}

/// What stands before this word, where a text ends in it.
fn ends_in_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let rest = text.strip_suffix(word)?;
    // `OpenAIException` ends in a word of its own.
    let is_own = word == "exception" || !rest.ends_with(|last: char| last.is_alphanumeric());
    is_own.then_some(rest)
}

/// Whether the server's memory for all its requests together is used up.
pub(super) fn is_capacity(words: &str) -> bool {
    const PHRASES: [&str; 10] = [
        "find a memory slot",
        "find free space in the kv",
        "find a slot in the kv",
        "no kv slot",
        "no free kv",
        "kv cache is full",
        "kv cache full",
        "out of kv cache",
        "kv cache exhausted",
        "not enough kv cache",
    ];
    mentions(words, &PHRASES)
}

/// Whether a context is said to be used up, whoever did it.
pub(super) fn is_used_up(words: &str) -> bool {
    let phrases = ["context size has been exceeded", "context size exceeded", "context is full"];
    mentions(words, &phrases)
}

/// Whether money or a quota is used up.
pub(super) fn is_money(words: &str) -> bool {
    const PHRASES: [&str; 32] = [
        "insufficient_user_quota",
        "token_quota_failed",
        "key limit exceeded",
        "quota has been exhausted",
        "quota is exhausted",
        "额度不足",
        "额度已用",
        "欠费",
        "exceeded_current_quota",
        "spending limit",
        "spend limit reached",
        "arrearage",
        "in good standing",
        "have any credits",
        "out of credits",
        "no credits",
        "insufficient_quota",
        "insufficient quota",
        "billing_",
        "enforced_spend_limit_reached",
        "exceeded your current quota",
        "insufficient balance",
        "insufficient_balance",
        "insufficient credit",
        "insufficient_credit",
        "insufficient funds",
        "requires more credits",
        "credit balance is too low",
        "budget has been exceeded",
        "budget_exceeded",
        "payment required",
        "余额不足",
    ];
    mentions(words, &PHRASES)
}

/// Whether the caller's own text was refused.
pub(super) fn is_filtered(words: &str) -> bool {
    const PHRASES: [&str; 16] = [
        "content exists risk",
        "flagged as",
        "violating our usage polic",
        "violates usage guidelines",
        "敏感内容",
        "inappropriate content",
        "content_filter",
        "content filter",
        "content_policy",
        "content policy",
        "content management policy",
        "contentpolicyviolation",
        "responsibleaipolicy",
        "data_inspection_failed",
        "input was flagged",
        "requires moderation",
    ];
    mentions(words, &PHRASES)
}

/// Whether an error inside a stream is about a rate limit.
pub(super) fn is_limited(words: &str) -> bool {
    mentions(words, &["rate_limit", "rate limit", "resource_exhausted"])
}
