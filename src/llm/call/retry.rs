//! What is worth another try, and when. Pure but for the jitter's dice.

use std::time::{Duration, SystemTime};

use backon::{BackoffBuilder, ExponentialBuilder};
use reqwest::header::HeaderMap;

use crate::{config, llm::protocol::upstream_error::compound};

/// What an upstream's failure says about trying again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Advice {
    /// Do not try again: the same request will fail again.
    Never,
    /// Try again after a pause of our choosing.
    Backoff,
    /// Try again after a pause of our choosing, once.
    Once,
    /// Try again after the pause it asked for.
    After(Duration),
}

impl Advice {
    /// The one that promises more, sooner.
    pub(super) fn or_better(self, other: Self) -> Self {
        match (self, other) {
            (Self::Backoff, _) | (_, Self::Backoff) => Self::Backoff,
            (Self::Once, _) | (_, Self::Once) => Self::Once,
            (Self::After(one), Self::After(other)) => Self::After(one.min(other)),
            (Self::After(wait), Self::Never) | (Self::Never, Self::After(wait)) => {
                Self::After(wait)
            }
            (Self::Never, Self::Never) => Self::Never,
        }
    }
}

/// A call's remaining tries and their pauses.
#[derive(Debug)]
pub(super) struct Retries {
    left: usize,
    used: usize,
    delays: backon::ExponentialBackoff,
}

impl Retries {
    pub(super) fn new(retry: &config::Retry) -> Self {
        let delays = ExponentialBuilder::new()
            .with_min_delay(retry.base_delay.min(retry.max_delay))
            .with_max_delay(retry.max_delay)
            .without_max_times()
            .build();
        Self { left: retry.max_retries, used: 0, delays }
    }

    /// How long to wait before the next try; `None`: give up. A wait that does not end within
    /// `remaining` is not begun.
    pub(super) fn next(&mut self, advice: Advice, remaining: Duration) -> Option<Duration> {
        if advice == Advice::Never || self.left == 0 {
            return None;
        }
        if advice == Advice::Once && self.used > 0 {
            return None;
        }
        let ceiling = self.delays.next()?;
        let wait = match advice {
            // "At once", or a date that is past, is no reason to hammer it.
            Advice::After(asked) if !asked.is_zero() => asked,
            Advice::After(_) | Advice::Never | Advice::Backoff | Advice::Once => {
                full_jitter(ceiling)
            }
        };
        if wait >= remaining {
            return None;
        }
        self.left = self.left.saturating_sub(1);
        self.used = self.used.saturating_add(1);
        Some(wait)
    }
}

/// Anything from nothing to all of it, so that many clients do not come back in step.
fn full_jitter(ceiling: Duration) -> Duration {
    ceiling.mul_f64(fastrand::f64())
}

/// The advice of an error response that asks for this wait.
pub(super) fn advice(status: u16, headers: &HeaderMap, wait: Option<Duration>) -> Advice {
    let again = says_to_retry(headers).unwrap_or_else(|| is_passing(status));
    match wait {
        _ if !again => Advice::Never,
        Some(wait) => Advice::After(wait),
        None => Advice::Backoff,
    }
}

/// `x-should-retry`.
pub(super) fn says_to_retry(headers: &HeaderMap) -> Option<bool> {
    header(headers, "x-should-retry")?.parse().ok()
}

/// Statuses that another try may cure.
pub(super) fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 409 | 425 | 429 | 499 | 500 | 502 | 503 | 504 | 520..=524 | 529)
}

/// `retry-after-ms`, else `retry-after`: seconds, possibly a fraction, or an HTTP date. Of LiteLLM
/// the provider's own, which it passes on under a name of its own.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let said_by = |prefix: &str| {
        let name = |rest: &str| format!("{prefix}{rest}");
        let millis =
            header(headers, &name("retry-after-ms")).and_then(|text| seconds(text, 1000.0));
        millis.or_else(|| {
            let text = header(headers, &name("retry-after"))?;
            seconds(text, 1.0).or_else(|| {
                let date = httpdate::parse_http_date(text).ok()?;
                Some(date.duration_since(now).unwrap_or_default())
            })
        })
    };
    said_by("").or_else(|| said_by("llm_provider-"))
}

/// When the limits of a 429 are reset that says so in headers of its own: `x-ratelimit-reset-tokens`,
/// `anthropic-ratelimit-requests-reset` and the like. Where one of them has nothing left, the last of
/// those counts; else the first of all: which of them was reached is not said.
pub(super) fn limit_reset(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let resets = headers.keys().filter(|name| {
        let name = name.as_str();
        name.contains("ratelimit") && name.contains("reset")
    });
    let (mut all, mut used_up) = (None::<Duration>, None::<Duration>);
    for name in resets {
        let Some(wait) = header(headers, name.as_str()).and_then(|text| until(text, now)) else {
            continue;
        };
        let left = header(headers, &name.as_str().replace("reset", "remaining"));
        if left.is_some_and(|left| left == "0") {
            used_up = used_up.max(Some(wait));
        }
        all = Some(all.map_or(wait, |least| least.min(wait)));
    }
    used_up.or(all).filter(|wait| !wait.is_zero())
}

/// How long it is until `6m0s`, `12.5` (seconds), a time as a number of seconds or milliseconds, or a
/// time like `2026-01-31T12:00:00Z`.
fn until(text: &str, now: SystemTime) -> Option<Duration> {
    /// Greater numbers are times: seconds since 1970, and milliseconds.
    const TIME: f64 = 1e9;
    const MILLIS: f64 = 1e12;
    let at = match text.parse::<f64>() {
        Ok(number) if number >= MILLIS => Duration::try_from_secs_f64(number / 1000.0).ok()?,
        Ok(number) if number >= TIME => Duration::try_from_secs_f64(number).ok()?,
        Ok(number) => return Duration::try_from_secs_f64(number).ok(),
        Err(_) => {
            let Ok(time) = text.parse::<jiff::Timestamp>() else {
                return compound(&text.to_lowercase());
            };
            return Some(SystemTime::from(time).duration_since(now).unwrap_or_default());
        }
    };
    let since = now.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(at.saturating_sub(since))
}

/// `asked to be left alone for 30 min`, of a wait that nobody sits out.
pub(in crate::llm) fn in_words(wait: Duration) -> Option<String> {
    let seconds = wait.as_secs_f64().ceil();
    let (number, unit) = match seconds {
        ..=60.0 => return None,
        ..120.0 => (seconds, "s"),
        ..7200.0 => ((seconds / 60.0).ceil(), "min"),
        _ => ((seconds / 3600.0).ceil(), "h"),
    };
    Some(format!("asked to be left alone for {number} {unit}"))
}

fn seconds(text: &str, per_second: f64) -> Option<Duration> {
    let value: f64 = text.parse().ok()?;
    Duration::try_from_secs_f64(value / per_second).ok()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_upstream_says_when() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        for (pairs, want_ms) in [
            (vec![("retry-after-ms", "250"), ("retry-after", "9")], Some(250)),
            (vec![("retry-after-ms", "soon"), ("retry-after", "2")], Some(2000)),
            (vec![("retry-after", " 0.5 ")], Some(500)),
            (vec![("retry-after", "Sun, 06 Nov 1994 08:49:40 GMT")], Some(3000)),
            (vec![("retry-after", "Sun, 06 Nov 1994 08:49:00 GMT")], Some(0)),
            (vec![("llm_provider-retry-after", "7")], Some(7000)),
            (vec![("llm_provider-retry-after", "7"), ("retry-after", "2")], Some(2000)),
            (vec![("retry-after", "-3")], None),
            (vec![("retry-after", "NaN")], None),
            (vec![("retry-after", "1e300")], None),
            (vec![("retry-after", "tomorrow")], None),
            (vec![], None),
        ] {
            let want = want_ms.map(Duration::from_millis);
            assert_eq!(retry_after(&headers(&pairs), now), want, "{pairs:?}");
        }
    }

    #[test]
    fn the_headers_of_a_limit_say_when_it_is_reset() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        for (pairs, want_ms) in [
            (vec![("x-ratelimit-reset-requests", "6m0s")], Some(360_000)),
            (vec![("x-ratelimit-reset-tokens", "1s")], Some(1000)),
            (vec![("x-ratelimit-reset-tokens", "120ms")], Some(120)),
            (vec![("x-ratelimit-reset", "12.5")], Some(12_500)),
            (vec![("ratelimit-reset", "30")], Some(30_000)),
            (vec![("x-ratelimit-reset", "1800000060")], Some(60_000)),
            (vec![("x-ratelimit-reset", "1800000060000")], Some(60_000)),
            (vec![("anthropic-ratelimit-requests-reset", "2027-01-15T08:00:45Z")], Some(45_000)),
            (
                vec![
                    ("x-ratelimit-remaining-requests", "14000"),
                    ("x-ratelimit-reset-requests", "2h"),
                    ("x-ratelimit-remaining-tokens", "0"),
                    ("x-ratelimit-reset-tokens", "7.5s"),
                ],
                Some(7500),
            ),
            (
                vec![("x-ratelimit-reset-requests", "2h"), ("x-ratelimit-reset-tokens", "7s")],
                Some(7000),
            ),
            (vec![("x-ratelimit-reset", "1700000000")], None),
            (vec![("x-ratelimit-reset", "soon")], None),
            (vec![("x-ratelimit-limit-requests", "60")], None),
            (vec![], None),
        ] {
            let want = want_ms.map(Duration::from_millis);
            assert_eq!(limit_reset(&headers(&pairs), now), want, "{pairs:?}");
        }
    }

    #[test]
    fn a_long_wait_is_spelled_out() {
        for (seconds, want) in [
            (60, None),
            (90, Some("90 s")),
            (1800, Some("30 min")),
            (3601, Some("61 min")),
            (86_400, Some("24 h")),
        ] {
            let words = in_words(Duration::from_secs(seconds));
            let want = want.map(|want| format!("asked to be left alone for {want}"));
            assert_eq!(words, want, "{seconds}");
        }
    }

    #[test]
    fn statuses_and_headers_decide() {
        let none: &[(&'static str, &str)] = &[];
        for status in [408, 409, 425, 429, 500, 502, 503, 504, 529] {
            assert_eq!(advice(status, &headers(none), None), Advice::Backoff, "{status}");
        }
        for status in [301, 400, 401, 402, 403, 404, 413, 422, 501] {
            assert_eq!(advice(status, &headers(none), None), Advice::Never, "{status}");
        }
        let two = Duration::from_secs(2);
        for (status, pairs, wait, want) in [
            (400, vec![("x-should-retry", "true")], None, Advice::Backoff),
            (500, vec![("x-should-retry", "false")], Some(two), Advice::Never),
            (503, vec![], Some(two), Advice::After(two)),
            (400, vec![], Some(two), Advice::Never),
        ] {
            assert_eq!(advice(status, &headers(&pairs), wait), want, "{status} {pairs:?}");
        }
    }

    #[test]
    fn waits_grow_stay_within_their_caps_and_end() {
        let retry = config::Retry {
            max_retries: 6,
            base_delay: Duration::from_millis(200),
            max_delay: Duration::from_secs(2),
        };
        for _ in 0..50 {
            let mut retries = Retries::new(&retry);
            for cap in [200, 400, 800, 1600, 2000, 2000] {
                let wait = retries.next(Advice::Backoff, Duration::MAX).unwrap();
                assert!(wait <= Duration::from_millis(cap + 1), "{wait:?} of {cap} ms");
            }
            assert_eq!(retries.next(Advice::Backoff, Duration::MAX), None);
        }
    }

    #[test]
    fn who_asks_for_no_wait_gets_ours() {
        let retry = config::Retry { max_retries: 50, ..config::Retry::default() };
        let mut retries = Retries::new(&retry);
        let next = || retries.next(Advice::After(Duration::ZERO), Duration::MAX);
        let waits: Vec<Duration> = std::iter::from_fn(next).collect();
        assert_eq!(waits.len(), 50);
        assert!(waits.iter().any(|wait| *wait > retry.base_delay), "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= retry.max_delay), "{waits:?}");
    }

    #[test]
    fn a_wait_that_does_not_fit_is_not_begun() {
        let second = Duration::from_secs(1);
        let mut retries = Retries::new(&config::Retry::default());
        assert_eq!(retries.next(Advice::After(second), second), None);
        assert_eq!(retries.next(Advice::Never, second), None);
        assert_eq!(retries.next(Advice::After(second), second * 2), Some(second));
        assert_eq!(retries.next(Advice::Once, second * 2), None);
        assert!(retries.next(Advice::After(second), second * 2).is_some());
        assert_eq!(retries.next(Advice::After(second), second * 2), None, "two retries are all");
    }
}
