//! The body of `POST /v1/completions` (OpenAI's API reference) to a [`Request`] for each prompt.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::{
    super::{error::AppError, extract::Parted, form, parsed::Parsed},
    request::{Stop, StreamOptions, finite, further_sampling, max_tokens, stop_sequences},
};
use crate::types::{Extra, Message, Prompt, Protocol, Request, Role, Sampling};

/// Most prompts of one request; each is a run, and a workflow's run is many calls.
const MOST_PROMPTS: usize = 16;

/// The fields Chorus reads. All but `prompt` may be null or missing; the others (`logit_bias`,
/// `user` and so on) are kept for a direct call.
#[derive(Default, Deserialize, JsonSchema)]
pub(in super::super::super) struct CompletionRequest {
    /// Missing = `chorus`.
    model: Option<String>,
    /// A text, or a list of at most 16.
    prompt: Option<Value>,
    /// Default false.
    stream: Option<bool>,
    stream_options: Option<Parted<StreamOptions>>,
    /// Absent = the model's own limit; OpenAI's default of 16 tokens would cut every answer.
    max_tokens: Option<i64>,
    /// 0 to 2.
    temperature: Option<f32>,
    top_p: Option<f32>,
    presence_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    seed: Option<i64>,
    /// A string or an array of strings.
    stop: Option<Stop>,
    /// Fill in the middle; refused.
    suffix: Option<String>,
    /// The prompt in front of the answer; refused.
    echo: Option<bool>,
    /// Only 1.
    n: Option<i64>,
    /// Only 1.
    best_of: Option<i64>,
    /// Ignored: a chat model's upstream would take the number for an error.
    #[serde(rename = "logprobs")]
    _logprobs: Option<Value>,
    /// Chorus: whether the record of the run is wanted.
    include_workflow: Option<bool>,
}

/// What only a completion request has.
#[derive(Debug)]
pub(super) struct Extras {
    /// The requests of the other prompts, the same but for the prompt.
    pub(super) further: Vec<Request>,
    /// Whether a stream ends with a chunk of usage.
    pub(super) include_usage: bool,
}

impl CompletionRequest {
    /// Checks and converts, to the request of the first prompt; `rest` are the fields Chorus does not
    /// know.
    ///
    /// # Errors
    /// 400 with the field to blame.
    pub(super) fn read(self, rest: Map<String, Value>) -> Result<Parsed<Extras>, AppError> {
        let refuse =
            |field: &str, why: &str| Err(AppError::field(field, format!("{field}: {why}")));
        if self.suffix.is_some_and(|suffix| !suffix.is_empty()) {
            return refuse("suffix", "filling in the middle is not supported");
        }
        if self.echo == Some(true) {
            return refuse("echo", "repeating the prompt is not supported");
        }
        for (field, value) in [("n", self.n), ("best_of", self.best_of)] {
            if value.is_some_and(|value| value != 1) {
                return refuse(field, "only one answer per prompt is supported");
            }
        }
        let temperature = self.temperature;
        if temperature.is_some_and(|value| !(0.0..=2.0).contains(&value)) {
            return refuse("temperature", "must be between 0 and 2");
        }
        let (first, others) = prompts(self.prompt)?;
        let mut extra = Extra::new(Protocol::OpenAi, rest);
        let (options, within) =
            self.stream_options.map_or_else(Default::default, |o| (o.known, o.rest));
        extra.within.insert("stream_options".to_owned(), within.into());
        let conversation = |prompt: String| vec![Message::text(Role::User, prompt)];
        let request = Request {
            prompt: Prompt {
                sampling: Sampling {
                    temperature,
                    top_p: finite("top_p", self.top_p)?,
                    seed: self.seed,
                    presence_penalty: finite("presence_penalty", self.presence_penalty)?,
                    frequency_penalty: finite("frequency_penalty", self.frequency_penalty)?,
                    ..further_sampling(&extra.fields)
                },
                stop: stop_sequences(self.stop),
                max_tokens: max_tokens(None, self.max_tokens)?,
                format: form::read_beside(&extra.fields)?,
                extra: Some(extra),
                ..Prompt::default()
            },
            ..Request::new(self.model.unwrap_or_default(), conversation(first))
        };
        let alike = |prompt| Request { messages: conversation(prompt).into(), ..request.clone() };
        let further = others.into_iter().map(alike).collect();
        let include_usage = options.include_usage.unwrap_or(false);
        Ok(Parsed {
            request,
            stream: self.stream.unwrap_or(false),
            // This form has no channel for it.
            reasoning: false,
            include_workflow: self.include_workflow.unwrap_or(false),
            extras: Extras { further, include_usage },
        })
    }
}

/// The first prompt and the others.
fn prompts(prompt: Option<Value>) -> Result<(String, Vec<String>), AppError> {
    let refuse = |path: &str, why: &str| Err(AppError::field(path, format!("{path}: {why}")));
    let mut texts = match prompt {
        None | Some(Value::Null) => return refuse("prompt", "missing"),
        Some(Value::String(text)) => vec![Value::String(text)],
        Some(Value::Array(texts)) => texts,
        Some(_) => return refuse("prompt", "expected a string or an array of strings"),
    };
    if texts.iter().any(|text| text.is_number() || text.is_array()) {
        return refuse("prompt", "tokens are not supported, send text");
    }
    if texts.len() > MOST_PROMPTS {
        return refuse("prompt", &format!("at most {MOST_PROMPTS} prompts are supported"));
    }
    let mut read = Vec::with_capacity(texts.len());
    for (index, text) in texts.drain(..).enumerate() {
        match text {
            Value::String(text) if !text.is_empty() => read.push(text),
            Value::String(_) => return refuse("prompt", "must not be empty"),
            _ => return refuse(&format!("prompt[{index}]"), "expected a string"),
        }
    }
    let mut read = read.into_iter();
    match read.next() {
        Some(first) => Ok((first, read.collect())),
        None => refuse("prompt", "must not be empty"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::{super::super::super::test_support::any_json, *};

    fn read(body: Value) -> Result<Parsed<Extras>, AppError> {
        serde_json::from_value::<CompletionRequest>(body).unwrap().read(Map::new())
    }

    #[test]
    fn a_prompt_is_what_the_user_says_and_a_list_is_as_many_requests() {
        let one =
            read(json!({"prompt": "why", "max_tokens": null, "n": 1, "echo": false})).unwrap();
        assert!(one.extras.further.is_empty() && !one.stream && !one.extras.include_usage);
        assert_eq!(one.request.messages[..], [Message::text(Role::User, "why")]);
        assert_eq!((one.request.prompt.max_tokens, one.request.model.as_str()), (None, ""));
        let many = read(json!({
            "model": "m", "prompt": ["a", "b", "c"], "stream": true, "max_tokens": 5, "stop": "x",
            "temperature": 0.5, "stream_options": {"include_usage": true}, "include_workflow": true,
            "suffix": "", "best_of": 1, "logprobs": 3, "seed": 7,
        }))
        .unwrap();
        assert!(many.stream && many.extras.include_usage && many.include_workflow);
        let all: Vec<&Request> =
            std::iter::once(&many.request).chain(&many.extras.further).collect();
        let texts: Vec<String> = all.iter().map(|r| r.messages[0].joined_text()).collect();
        assert_eq!(texts, ["a", "b", "c"]);
        for request in all {
            assert_eq!((request.model.as_str(), request.prompt.max_tokens), ("m", Some(5)));
            assert_eq!(
                (&request.prompt.stop[..], request.prompt.sampling.seed),
                (&["x".to_owned()][..], Some(7))
            );
            assert_eq!(request.prompt.sampling.temperature, Some(0.5));
        }
    }

    #[test]
    fn what_cannot_be_done_names_its_field() {
        let seventeen = vec!["x"; 17];
        for (body, param) in [
            (json!({}), "prompt"),
            (json!({"prompt": null}), "prompt"),
            (json!({"prompt": []}), "prompt"),
            (json!({"prompt": ""}), "prompt"),
            (json!({"prompt": ["a", ""]}), "prompt"),
            (json!({"prompt": [1, 2, 3]}), "prompt"),
            (json!({"prompt": [[1, 2], [3]]}), "prompt"),
            (json!({"prompt": seventeen}), "prompt"),
            (json!({"prompt": {"id": "x"}}), "prompt"),
            (json!({"prompt": ["a", true]}), "prompt[1]"),
            (json!({"prompt": "x", "suffix": "y"}), "suffix"),
            (json!({"prompt": "x", "echo": true}), "echo"),
            (json!({"prompt": "x", "n": 2}), "n"),
            (json!({"prompt": "x", "best_of": 2}), "best_of"),
            (json!({"prompt": "x", "temperature": 2.5}), "temperature"),
            (json!({"prompt": "x", "top_p": 1e39}), "top_p"),
            (json!({"prompt": "x", "max_tokens": 0}), "max_tokens"),
        ] {
            let Err(AppError::Invalid { param: got, message }) = read(body.clone()) else {
                panic!("accepted: {body}");
            };
            assert_eq!(got.as_deref(), Some(param), "{body}");
            assert!(message.starts_with(param), "{message}");
        }
        assert_eq!(read(json!({"prompt": vec!["x"; 16]})).unwrap().extras.further.len(), 15);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn no_prompt_makes_it_panic(prompt in any_json()) {
            let _ = read(json!({"prompt": prompt}));
        }
    }
}
