//! `keep_alive`: seconds, or a Go duration.

use serde_json::Value;

/// Whether a `keep_alive` means "unload now"; `None` when it is no duration at all.
pub(super) fn is_zero(value: &Value) -> Option<bool> {
    match value {
        Value::Null => Some(false),
        Value::Number(seconds) => Some(seconds.as_f64()? == 0.0),
        Value::String(text) => Some(seconds(text)? == 0.0),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A Go duration (`5m`, `1h30m`, `-1.5s`) or a bare number of seconds (`-1`), in seconds.
fn seconds(text: &str) -> Option<f64> {
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        return number.is_finite().then_some(number);
    }
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest.is_empty() {
        return None;
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at_checked(digits)?;
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(end)?;
        let unit = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * unit;
        rest = tail;
    }
    Some(sign * total)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, want) in [
            ("5m", Some(300.0)),
            ("1h30m", Some(5400.0)),
            ("1.5s", Some(1.5)),
            ("-1m", Some(-60.0)),
            ("+2s", Some(2.0)),
            ("100ms", Some(0.1)),
            ("0", Some(0.0)),
            ("0s", Some(0.0)),
            ("-1", Some(-1.0)),
            ("3µs", Some(3e-6)),
            ("", None),
            ("-", None),
            ("m", None),
            ("5 m", None),
            ("5x", None),
            ("5m3", None),
            ("1.2.3s", None),
            ("inf", None),
        ] {
            assert_eq!(seconds(text), want, "{text}");
        }
    }

    #[test]
    fn zero_unloads() {
        for (value, want) in [
            (json!(0), Some(true)),
            (json!(0.0), Some(true)),
            (json!("0"), Some(true)),
            (json!("0h0m"), Some(true)),
            (json!(-1), Some(false)),
            (json!("5m"), Some(false)),
            (json!(null), Some(false)),
            (json!("soon"), None),
            (json!(true), None),
        ] {
            assert_eq!(is_zero(&value), want, "{value}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn no_text_makes_it_panic(text in "[-+0-9.hmsµn ]{0,12}") {
            let _ = seconds(&text);
        }
    }
}
