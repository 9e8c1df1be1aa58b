//! Ollama's `options`, as its API documentation and `api/types.go` have them.

use serde_json::{Map, Value};

use super::super::{error::AppError, extract::Shapes};
use crate::types::Sampling;

/// The options Chorus uses, and the rest.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Options {
    pub(super) sampling: Sampling,
    pub(super) stop: Vec<String>,
    pub(super) max_tokens: Option<u32>,
    /// `num_ctx` and whatever else an Ollama upstream may know, for a direct call.
    pub(super) rest: Map<String, Value>,
}

impl Options {
    /// Reads an `options` object. Null counts as absent; integers may be written `5.0`.
    ///
    /// # Errors
    /// 400 in Ollama's words for a used option of another type.
    pub(super) fn read(mut fields: Map<String, Value>) -> Result<Self, AppError> {
        let mut take = |name: &str| fields.shift_remove(name).filter(|value| !value.is_null());
        let sampling = Sampling {
            // Models clamp to their own range, but 0 to 2 is what a temperature is here.
            temperature: float("temperature", take("temperature"))?.map(|t| t.clamp(0.0, 2.0)),
            top_p: float("top_p", take("top_p"))?,
            // llama.cpp switches it off at 0 and below.
            top_k: int("top_k", take("top_k"))?
                .map(|k| u32::try_from(k.max(0)).unwrap_or(u32::MAX)),
            min_p: float("min_p", take("min_p"))?,
            // -1 asks for a random one.
            seed: int("seed", take("seed"))?.filter(|seed| *seed != -1),
            presence_penalty: float("presence_penalty", take("presence_penalty"))?,
            frequency_penalty: float("frequency_penalty", take("frequency_penalty"))?,
            repeat_penalty: float("repeat_penalty", take("repeat_penalty"))?,
            ..Sampling::default()
        };
        // 0, -1 and -2 mean no limit.
        let max_tokens = int("num_predict", take("num_predict"))?
            .filter(|limit| *limit > 0)
            .map(|limit| u32::try_from(limit).unwrap_or(u32::MAX));
        let stop = stop(take("stop"))?;
        if !fields.is_empty() {
            tracing::debug!(options = %Shapes(&fields), "options for nobody but an Ollama upstream");
        }
        Ok(Self { sampling, stop, max_tokens, rest: fields })
    }
}

fn wrong(name: &str, kind: &str) -> AppError {
    AppError::field(format!("options.{name}"), format!("option \"{name}\" must be of type {kind}"))
}

fn float(name: &str, value: Option<Value>) -> Result<Option<f32>, AppError> {
    let Some(value) = value else { return Ok(None) };
    let number = value.as_f64().map(|number| number as f32).filter(|number| number.is_finite());
    number.map(Some).ok_or_else(|| wrong(name, "float32"))
}

fn int(name: &str, value: Option<Value>) -> Result<Option<i64>, AppError> {
    let Some(value) = value else { return Ok(None) };
    let whole = value.as_i64().or_else(|| {
        let number = value.as_f64()?;
        (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
    });
    whole.map(Some).ok_or_else(|| wrong(name, "integer"))
}

fn stop(value: Option<Value>) -> Result<Vec<String>, AppError> {
    let list = match value {
        None => return Ok(Vec::new()),
        // Continue sends a bare string.
        Some(Value::String(one)) => vec![Value::String(one)],
        Some(Value::Array(list)) => list,
        Some(_) => return Err(wrong("stop", "array of strings")),
    };
    let mut sequences = Vec::with_capacity(list.len());
    for item in list {
        match item {
            Value::String(text) if text.is_empty() => {}
            Value::String(text) => sequences.push(text),
            _ => return Err(wrong("stop", "array of strings")),
        }
    }
    Ok(sequences)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::{super::super::test_support::any_json, *};

    fn read(options: Value) -> Result<Options, AppError> {
        let Value::Object(fields) = options else { panic!("no object") };
        Options::read(fields)
    }

    #[test]
    fn used_options_are_taken_and_the_rest_is_kept() {
        let options = read(json!({
            "temperature": 0.5, "top_p": 1, "top_k": 40.0, "min_p": 0.25, "seed": 7.0,
            "presence_penalty": -1, "frequency_penalty": 0.5, "repeat_penalty": 1.5,
            "num_predict": 128.0, "stop": ["a", ""], "num_ctx": 4096, "num_gpu": null,
        }))
        .unwrap();
        let sampling = Sampling {
            temperature: Some(0.5),
            top_p: Some(1.0),
            top_k: Some(40),
            min_p: Some(0.25),
            seed: Some(7),
            presence_penalty: Some(-1.0),
            frequency_penalty: Some(0.5),
            repeat_penalty: Some(1.5),
            repetition_penalty: None,
        };
        assert_eq!(options.sampling, sampling);
        assert_eq!((options.max_tokens, options.stop), (Some(128), vec!["a".to_owned()]));
        assert_eq!(Value::Object(options.rest).to_string(), r#"{"num_ctx":4096,"num_gpu":null}"#);
    }

    #[test]
    fn values_with_a_meaning_of_their_own() {
        let max_tokens = |n: i64| read(json!({"num_predict": n})).unwrap().max_tokens;
        assert_eq!([-2, -1, 0].map(max_tokens), [None; 3]);
        assert_eq!(max_tokens(i64::MAX), Some(u32::MAX));
        let sampling = |value: Value| read(value).unwrap().sampling;
        assert_eq!(sampling(json!({"seed": -1})).seed, None);
        assert_eq!(sampling(json!({"top_k": -1})).top_k, Some(0));
        assert_eq!(sampling(json!({"temperature": 7})).temperature, Some(2.0));
        assert_eq!(read(json!({"stop": "x"})).unwrap().stop, ["x"]);
        assert_eq!(read(json!({"temperature": null, "stop": null})).unwrap(), Options::default());
    }

    #[test]
    fn a_wrong_type_is_reported_in_ollamas_words() {
        for (options, words) in [
            (json!({"temperature": "hot"}), "option \"temperature\" must be of type float32"),
            (json!({"top_p": [1]}), "option \"top_p\" must be of type float32"),
            (json!({"top_k": 1.5}), "option \"top_k\" must be of type integer"),
            (json!({"seed": "7"}), "option \"seed\" must be of type integer"),
            (json!({"num_predict": true}), "option \"num_predict\" must be of type integer"),
            (json!({"stop": 5}), "option \"stop\" must be of type array of strings"),
            (json!({"stop": [5]}), "option \"stop\" must be of type array of strings"),
        ] {
            assert_eq!(read(options).unwrap_err().to_string(), words);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn no_options_make_it_panic(name in "(temperature|top_k|seed|num_predict|stop)", value in any_json()) {
            let _ = Options::read(Map::from_iter([(name, value)]));
        }
    }
}
