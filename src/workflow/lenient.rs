//! Reading the JSON of small models: code fences and prose around it, numbers as strings.

use serde_json::{Map, Value};

/// Only this many opening braces are tried, so that a hostile answer costs little.
const TRIES: usize = 64;

/// The first JSON object in a text, whatever stands around it.
pub(super) fn object(text: &str) -> Option<Map<String, Value>> {
    text.match_indices('{').take(TRIES).find_map(|(start, _)| {
        let tail = text.get(start..)?;
        // A stream reader stops at the end of the first value, so prose may follow it.
        match serde_json::Deserializer::from_str(tail).into_iter::<Value>().next()? {
            Ok(Value::Object(object)) if !object.is_empty() => Some(object),
            Ok(_) | Err(_) => None,
        }
    })
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

    #[test]
    fn an_object_is_found_in_whatever_a_model_writes_around_it() {
        for text in [
            r#"{"a":1}"#,
            "```json\n{\"a\": 1}\n```",
            "Sure! Here it is: {\"a\":1}. Anything else?",
            "I use braces {like this} before {\"a\":1}",
            "{} {\"a\":1}",
            "以下是结果：{\"a\":1}。",
        ] {
            assert_eq!(object(text), json!({"a": 1}).as_object().cloned(), "{text}");
        }
        for text in ["", "no", "[1,2]", "{\"a\":", "{a:1}"] {
            assert_eq!(object(text), None, "{text}");
        }
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
            before in "[^{}]{0,40}", after in "\\PC{0,40}", key in "[a-z]{1,8}", value in any::<i32>(),
        ) {
            let text = format!("{before}{{\"{key}\": {value}}}{after}");
            let want = json!({ key: value });
            prop_assert_eq!(object(&text).map(Value::Object), Some(want));
        }
    }
}
