//! How long an upstream asks to be left alone, in a field of its error's or in its words. Pure.

use std::time::Duration;

use serde_json::Value;

/// The wait that a field (its name without case and separators) asks for: Google's `retryDelay`, or
/// seconds under a name that says so.
pub(super) fn of_field(name: &str, value: &Value) -> Option<Duration> {
    let per_second = match name {
        "retrydelay" | "retryafter" | "retryafterseconds" => 1.0,
        "retryafterms" => 1000.0,
        _ => return None,
    };
    match value {
        Value::Number(number) => duration(number.as_f64()? / per_second),
        Value::String(text) => match text.parse::<f64>() {
            // Google's names its unit.
            Ok(_) if name == "retrydelay" => None,
            Ok(number) => duration(number / per_second),
            Err(_) => compound(&text.to_lowercase()),
        },
        _ => None,
    }
}

/// The wait that a text asks for: `try again in 1m26s`, `retry after 2 minutes`, `wait 30 seconds`.
pub(super) fn in_words(text: &str) -> Option<Duration> {
    let text = text.to_lowercase();
    let spaced = text
        .replace("retry-after", "retry after")
        .replace("retry_after", "retry after")
        .replace(['=', '~'], " ")
        .replace("after:", "after ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let asked = (0..words.len()).find_map(|at| {
        let (before, rest) = words.split_at_checked(at)?;
        is_asked_for(before).then(|| spelled(rest)).flatten()
    });
    asked.or_else(|| in_chinese(&text))
}

/// Whether what follows these words is how long to wait.
fn is_asked_for(before: &[&str]) -> bool {
    /// Nobody says more of them.
    const MOST_FILLERS: usize = 16;
    /// What may stand between the demand and the time.
    const FILLERS: [&str; 15] = [
        "about",
        "another",
        "approximately",
        "around",
        "at",
        "for",
        "it",
        "least",
        "please",
        "request",
        "requests",
        "the",
        "this",
        "time",
        "your",
    ];
    let mut is_future = false;
    for word in before.iter().rev().take(MOST_FILLERS).map(|word| bare(word)) {
        match word {
            "in" | "after" | "within" => is_future = true,
            "wait" | "waiting" => return true,
            "again" | "retry" | "retrying" | "available" | "back" | "reset" | "resets" => {
                return is_future;
            }
            word if FILLERS.contains(&word) => {}
            _ => return false,
        }
    }
    false
}

/// The time that a text begins with: `1h2m3.5s`, `1 minute and 30 seconds`, `an hour`, or a number
/// of seconds that says no unit and stands at the end of what is said.
fn spelled(words: &[&str]) -> Option<Duration> {
    let (mut rest, mut sum) = (words, None::<Duration>);
    while let Some((first, more)) = rest.split_first() {
        let word = bare(first);
        let (part, left) = match (word, compound(word), number(word), more.split_first()) {
            ("and", ..) if sum.is_some() => {
                rest = more;
                continue;
            }
            (_, Some(time), ..) => (time, more),
            (_, None, Some(number), Some((unit, left))) if unit_of(bare(unit)).is_some() => {
                (duration(number * unit_of(bare(unit))?)?, left)
            }
            (_, None, Some(number), next) if sum.is_none() => {
                let is_over = next.is_none() || first.ends_with(['.', ',', ';', ')', '!', '"']);
                return is_over.then(|| duration(number)).flatten();
            }
            _ => break,
        };
        sum = Some(sum.unwrap_or_default().saturating_add(part));
        rest = left;
        // `5s. 3 minutes ago`
        let read = words.len().saturating_sub(rest.len());
        if read.checked_sub(1).and_then(|at| words.get(at)).is_some_and(|one| one.ends_with('.')) {
            break;
        }
    }
    sum
}

/// `1m26.4s`, `120ms`, `30seconds`: numbers with their units in one word.
pub(in crate::llm) fn compound(word: &str) -> Option<Duration> {
    let (mut rest, mut sum) = (word, Duration::ZERO);
    while !rest.is_empty() {
        let digits = rest.find(|one: char| !(one.is_ascii_digit() || one == '.'))?;
        let (amount, after) = rest.split_at_checked(digits)?;
        let letters = after.find(|one: char| !one.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, left) = after.split_at_checked(letters)?;
        sum = sum.saturating_add(duration(number(amount)? * unit_of(unit)?)?);
        rest = left;
    }
    (!word.is_empty()).then_some(sum)
}

/// `请在 30 秒后重试`
fn in_chinese(text: &str) -> Option<Duration> {
    const AGAIN: [&str; 5] = ["后重试", "后再试", "后再次", "之后重试", "之后再试"];
    const UNITS: [(&str, f64); 6] = [
        ("分钟", 60.0),
        ("小时", 3600.0),
        ("毫秒", 0.001),
        ("秒钟", 1.0),
        ("秒", 1.0),
        ("分", 60.0),
    ];
    AGAIN.iter().find_map(|again| {
        let (before, _) = text.split_once(again)?;
        let (amount, seconds) = UNITS.iter().find_map(|(unit, seconds)| {
            Some((before.trim_end().strip_suffix(unit)?.trim_end(), seconds))
        })?;
        let amount = amount.rsplit(|one: char| !(one.is_ascii_digit() || one == '.')).next()?;
        duration(number(amount)? * seconds)
    })
}

/// A word without what stands around it.
fn bare(word: &str) -> &str {
    word.trim_matches(|one: char| !one.is_alphanumeric())
}

fn number(word: &str) -> Option<f64> {
    match word {
        "a" | "an" | "one" => Some(1.0),
        word if word.starts_with(|first: char| first.is_ascii_digit()) => word.parse().ok(),
        _ => None,
    }
}

/// Seconds of a unit.
fn unit_of(word: &str) -> Option<f64> {
    Some(match word {
        "ms" | "msec" | "msecs" | "millisecond" | "milliseconds" => 0.001,
        "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3600.0,
        "d" | "day" | "days" => 86_400.0,
        _ => return None,
    })
}

fn duration(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_wait_is_read_in_many_words() {
        for (text, want_ms) in [
            ("Rate limit reached for m. Please try again in 1m26s. Visit https://x", 86_000),
            ("Please try again in 1m26.4s.", 86_400),
            ("Please try again in 20ms.", 20),
            ("try again in 6h0m0s", 21_600_000),
            ("retry after 2 minutes", 120_000),
            ("Please retry after 26 seconds.", 26_000),
            ("Please retry in 26.319s.", 26_319),
            ("Retry-After: 12", 12_000),
            ("retry_after=30", 30_000),
            ("Please retry your request after 60 seconds", 60_000),
            ("No deployments available, Try again in 5 seconds. Passed model=m", 5_000),
            ("try again in 1 day 2 hours 3 minutes", 93_780_000),
            ("try again in 1 minute and 30 seconds, or upgrade", 90_000),
            ("please wait 30 seconds before the next request", 30_000),
            ("you have to wait for at least 10 sec", 10_000),
            ("try again in about an hour", 3_600_000),
            ("available again in 5s. 3 minutes ago it was", 5_000),
            ("try again in 5 seconds. 3 minutes ago it was", 5_000),
            ("the limit resets in 45s", 45_000),
            ("请求过多，请在 30 秒后重试", 30_000),
            ("请于2分钟后再试", 120_000),
        ] {
            assert_eq!(in_words(text), Some(Duration::from_millis(want_ms)), "{text}");
        }
        for text in [
            "waited for 60 seconds",
            "timed out after 30 s, please retry",
            "gave up: retry failed after 3 attempts",
            "we retry after 3 attempts",
            "limit 60 per 60 seconds",
            "try again in a few minutes",
            "try again after 2026-11-30T12:00:00Z",
            "retry after 12:30",
            "please try again later",
            "available for 30 days",
            "请稍后重试",
            "",
        ] {
            assert_eq!(in_words(text), None, "{text}");
        }
    }

    #[test]
    fn a_wait_stands_in_a_field() {
        for (name, value, want_ms) in [
            ("retrydelay", json!("0.25s"), Some(250)),
            ("retrydelay", json!("12"), None),
            ("retryafter", json!(12), Some(12_000)),
            ("retryafter", json!("12"), Some(12_000)),
            ("retryafter", json!("1m"), Some(60_000)),
            ("retryafterms", json!(1500), Some(1500)),
            ("retryafter", json!("soon"), None),
            ("retryafter", json!(-1), None),
            ("retries", json!(3), None),
        ] {
            assert_eq!(
                of_field(name, &value),
                want_ms.map(Duration::from_millis),
                "{name} {value}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_time_is_read_in_any_of_its_spellings(
            hours in 0_u64..50, minutes in 0_u64..60, seconds in 0_u64..60, form in 0..4,
        ) {
            let text = match form {
                0 => format!("{hours}h{minutes}m{seconds}s"),
                1 => format!("{hours} hours, {minutes} minutes and {seconds} seconds"),
                2 => format!("{hours}h {minutes}min {seconds}sec"),
                _ => format!("{}.0 seconds", hours * 3600 + minutes * 60 + seconds),
            };
            let want = Duration::from_secs(hours * 3600 + minutes * 60 + seconds);
            prop_assert_eq!(in_words(&format!("Slow down! Try again in {text}.")), Some(want));
        }

        #[test]
        fn no_text_breaks_it(text in "\\PC{0,80}") {
            let _any = in_words(&format!("try again in {text}"));
            let _any = in_words(&text);
        }
    }
}
