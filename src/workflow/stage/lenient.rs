//! Reading the JSON of small models: code fences and prose around it, numbers as strings.

use serde_json::{Map, Value};

/// The most bytes of a text that are read: those at its end.
const MOST_BYTES: usize = 64 * 1024;
/// What a place where an object may begin costs at least when none does, in bytes read.
const LEAST_COST: usize = 16;

/// What `read` makes of the last JSON object it can use, whatever stands around it. What a model
/// writes first may be a thought that it rejects, or the format said again. What is no object is read
/// once more at most, so that a hostile answer costs little.
pub(super) fn last<T>(text: &str, read: impl FnMut(Map<String, Value>) -> Option<T>) -> Option<T> {
    let from = text.ceil_char_boundary(text.len().saturating_sub(MOST_BYTES));
    let text = text.get(from..).unwrap_or_default();
    // Braces of prose and of code have no key behind them.
    let begins = |start: &usize| {
        text.get(start.saturating_add(1)..).is_some_and(|rest| rest.trim_start().starts_with('"'))
    };
    let mut objects = Vec::new();
    let (mut end, mut left) = (0, text.len());
    for start in text.match_indices('{').map(|(start, _)| start).filter(begins) {
        if start < end {
            continue;
        }
        if left == 0 {
            break;
        }
        let Some(tail) = text.get(start..) else { continue };
        // A stream reader stops at the end of the first value, so prose may follow it.
        let mut values = serde_json::Deserializer::from_str(tail).into_iter::<Map<String, Value>>();
        match values.next() {
            Some(Ok(object)) => {
                end = start.saturating_add(values.byte_offset());
                objects.push(object);
            }
            Some(Err(error)) => {
                left = left.saturating_sub(read_until(&error, tail).max(LEAST_COST))
            }
            None => {}
        }
    }
    objects.into_iter().rev().find_map(read)
}

/// The objects of a text, the last one first.
#[cfg(any(test, fuzzing))]
pub(crate) fn objects(text: &str) -> Vec<Map<String, Value>> {
    let mut found = Vec::new();
    let none: Option<()> = last(text, |object| {
        found.push(object);
        None
    });
    debug_assert!(none.is_none());
    found
}

/// Bytes of a text that were read until this error.
fn read_until(error: &serde_json::Error, text: &str) -> usize {
    if error.is_eof() {
        return text.len();
    }
    let lines = text.split_inclusive('\n').take(error.line().saturating_sub(1));
    lines.map(str::len).sum::<usize>().saturating_add(error.column())
}

/// A finite number, also one in quotes.
pub(super) fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    number.is_finite().then_some(number)
}

/// A non-empty string of at most `limit` characters, on one line.
pub(super) fn line(value: &Value, limit: usize) -> Option<String> {
    let text: String = value.as_str()?.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut: String = text.chars().take(limit).collect();
    (!cut.is_empty()).then_some(cut)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::types::growth::assert_linear;

    fn object(text: &str) -> Option<Value> {
        last(text, |object| object.contains_key("a").then(|| object.into()))
    }

    #[test]
    fn an_object_is_found_in_whatever_a_model_writes_around_it() {
        for text in [
            r#"{"a":1}"#,
            "```json\n{\"a\": 1}\n```",
            "Sure! Here it is: {\"a\":1}. Anything else?",
            "I use braces {like this} before { \"a\":1}",
            "{} {\"a\":1} {}",
            "以下是结果：{\"a\":1}。",
            // the last that can be used
            "First {\"a\":2}, but on reflection {\"a\":1}",
            "```json\n{\"a\":2}\n```\nCorrected:\n```json\n{\"a\":1}\n```\nSee {\"b\":3}.",
            "{\"a\":1,\"b\":{\"a\":2},\"c\":\"{\\\"a\\\":3}\"}",
            "{\"b\":{\"a\":2}} {\"a\":1}",
        ] {
            let found = object(text).map(|found| found["a"].clone());
            assert_eq!(found, Some(json!(1)), "{text}");
        }
        for text in ["", "no", "[1,2]", "{\"a\":", "{a:1}", "{\"b\":{\"a\":2}}"] {
            assert_eq!(object(text), None, "{text}");
        }
        let code = "if x { y(); }\n".repeat(99);
        assert_eq!(object(&format!("{code}{{\"a\":1}}\n{code}")), Some(json!({"a": 1})));
    }

    #[test]
    fn of_a_huge_reply_the_end_is_read_in_a_time_that_is_linear_in_it() {
        for piece in ["{\"a\":", "{\"a\":[{}],", "{\"", "{\"a\" \n", "{ ", "{\"a\":[[[["] {
            assert_linear(piece, |count| piece.repeat(count), |reply| object(&reply));
            let huge = piece.repeat(7_000_000 / piece.len());
            assert_eq!(object(&huge), None);
            let ended = format!("{huge}\n{}{{\"a\":1}}", "好".repeat(30_000));
            assert_eq!(object(&ended), Some(json!({"a": 1})));
        }
        let wide = format!("{{\"a\":[{}{{\"a\":2}}]}}", "{\"a\":2},".repeat(99));
        assert_eq!(object(&wide).map(|found| found["a"].as_array().map(Vec::len)), Some(Some(100)));
    }

    #[test]
    fn numbers_may_be_in_quotes_and_must_be_finite() {
        assert_eq!(number(&json!(0.5)), Some(0.5));
        assert_eq!(number(&json!(" 0.5 ")), Some(0.5));
        assert_eq!(number(&json!("NaN")), None);
        assert_eq!(number(&json!("hot")), None);
        assert_eq!(number(&json!(null)), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn nonsense_never_panics(text in "\\PC{0,300}") {
            let _ = object(&text);
        }

        #[test]
        fn an_object_survives_prose_without_braces(
            before in "[^{}]{0,40}", after in "[^{}]{0,40}", value in any::<i32>(),
        ) {
            let text = format!("{before}{{\"a\": {value}}}{after}");
            prop_assert_eq!(object(&text), Some(json!({ "a": value })));
        }

        #[test]
        fn of_several_objects_the_last_that_can_be_used_wins(
            others in prop::collection::vec((any::<bool>(), any::<i32>(), "[^{}]{0,9}"), 0..9),
            value in any::<i32>(),
            nested in "[bc]",
        ) {
            let others: String = others.into_iter().map(|(is_used, other, prose)| {
                let key = if is_used { "a" } else { "b" };
                format!("{{\"{key}\": {other}}}{prose}")
            }).collect();
            let text = format!("{others}{{\"a\": {value}, \"{nested}\": {{\"a\": 0}}}} {{\"b\": 1}}");
            prop_assert_eq!(object(&text).map(|found| found["a"].clone()), Some(json!(value)));
        }
    }
}
