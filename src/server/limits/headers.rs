//! What is left of a minute, as OpenAI's API says it (its guide "Rate limits", "Rate limits in
//! headers").

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::Account;
use crate::config::ClientLimits;

/// The names of limit, rest and reset.
type Names = [HeaderName; 3];

const REQUESTS: Names = [
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
];
const TOKENS: Names = [
    HeaderName::from_static("x-ratelimit-limit-tokens"),
    HeaderName::from_static("x-ratelimit-remaining-tokens"),
    HeaderName::from_static("x-ratelimit-reset-tokens"),
];

/// Says what a client has left of its requests and tokens a minute.
pub(in crate::server) fn describe(
    headers: &mut HeaderMap,
    account: &Account,
    limits: &ClientLimits,
) {
    if limits.requests_per_minute.is_none() && limits.tokens_per_minute.is_none() {
        return;
    }
    let mut counters = account.counters();
    let now = account.now().ms;
    let requests = limits.requests_per_minute.map(|most| {
        let most = u64::from(most);
        let left = most.saturating_sub(counters.requests.sum(now));
        (most, left, counters.requests.until_empty(now))
    });
    let tokens = limits.tokens_per_minute.map(|most| {
        let taken = counters.tokens.sum(now).saturating_add(counters.reserved.tokens);
        (most, most.saturating_sub(taken), counters.tokens.until_empty(now))
    });
    drop(counters);
    for (names, found) in [(REQUESTS, requests), (TOKENS, tokens)] {
        let Some((most, left, reset)) = found else { continue };
        let [limit, remaining, until] = names;
        headers.insert(limit, HeaderValue::from(most));
        headers.insert(remaining, HeaderValue::from(left));
        if let Ok(reset) = HeaderValue::try_from(duration(reset)) {
            headers.insert(until, reset);
        }
    }
}

/// `120ms`, `8s`, `1m0s`: milliseconds only below a second, else rounded up.
fn duration(ms: u64) -> String {
    match (ms, ms.div_ceil(1000)) {
        (0..1000, _) => format!("{ms}ms"),
        (_, secs @ 0..60) => format!("{secs}s"),
        (_, secs) => format!("{}m{}s", secs / 60, secs % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_openai_writes_them() {
        for (ms, want) in [(0, "0ms"), (120, "120ms"), (1000, "1s"), (7001, "8s"), (59_001, "1m0s")]
        {
            assert_eq!(duration(ms), want);
        }
    }
}
