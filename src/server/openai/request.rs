//! The body of `POST /v1/chat/completions` (OpenAI's API reference) to a [`Request`].

#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::{
    content::{self, RawMessages},
    error::AppError,
    extract::Parted,
    form,
    parsed::Parsed,
    tools::{self, RawDefinition, RawTool},
};
use crate::types::{Effort, Extra, OnlyThere, OutputFormat, Prompt, Protocol, Request, Sampling};

/// The fields Chorus reads. All may be null or missing; the others (`logprobs`, `logit_bias`,
/// `user`, `metadata` and so on) are kept for a direct call.
#[derive(Default, Deserialize, JsonSchema)]
#[schemars(rename = "ChatCompletionRequest")]
pub(in super::super) struct ChatRequest {
    /// Missing = `chorus`.
    model: Option<String>,
    /// Not empty.
    messages: Option<RawMessages>,
    /// Default false.
    stream: Option<bool>,
    stream_options: Option<Parted<StreamOptions>>,
    /// Wins over `max_tokens`.
    max_completion_tokens: Option<i64>,
    max_tokens: Option<i64>,
    /// 0 to 2.
    temperature: Option<f32>,
    top_p: Option<f32>,
    presence_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    seed: Option<i64>,
    /// A string or an array of strings.
    stop: Option<Stop>,
    /// Only 1.
    n: Option<i64>,
    tools: Option<Vec<Parted<RawTool>>>,
    tool_choice: Option<Value>,
    parallel_tool_calls: Option<bool>,
    /// OpenAI's form before `tools`, which win.
    functions: Option<Vec<Parted<RawDefinition>>>,
    /// The `tool_choice` of `functions`.
    function_call: Option<Value>,
    response_format: Option<Value>,
    reasoning_effort: Option<String>,
    /// OpenRouter's form of `reasoning_effort`.
    reasoning: Option<Parted<Reasoning>>,
    /// Chorus: whether the record of the run is wanted.
    include_workflow: Option<bool>,
}

/// What a stream is to hold.
#[derive(Default, Deserialize, JsonSchema)]
pub(super) struct StreamOptions {
    /// Whether usage comes in a chunk of its own.
    pub(super) include_usage: Option<bool>,
}

/// `stop`.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a string or an array of strings")]
pub(in super::super) enum Stop {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "ReasoningOptions")]
struct Reasoning {
    effort: Option<String>,
}

/// What only a chat request has.
#[derive(Debug)]
pub(super) struct Extras {
    /// Whether a stream ends with a chunk of usage.
    pub(super) include_usage: bool,
}

impl ChatRequest {
    /// Checks and converts; `rest` are the fields Chorus does not know.
    ///
    /// # Errors
    /// 400 with the field to blame.
    pub(super) fn read(self, rest: Map<String, Value>) -> Result<Parsed<Extras>, AppError> {
        if self.n.is_some_and(|n| n != 1) {
            return Err(AppError::field("n", "n: only one answer per request is supported"));
        }
        let messages = content::conversation(self.messages.unwrap_or_default())?;
        if messages.is_empty() {
            return Err(AppError::field("messages", "messages: at least one message is needed"));
        }
        let mut extra = Extra::new(Protocol::OpenAi, rest);
        extra.only_there = content::unknown_part(&messages);
        let format = format(self.response_format, &mut extra)?;
        let temperature = self.temperature;
        if temperature.is_some_and(|value| !(0.0..=2.0).contains(&value)) {
            return Err(AppError::field("temperature", "temperature: must be between 0 and 2"));
        }
        let mut tools = match self.tools {
            Some(mut tools) => {
                if let Some((others, only)) = tools::take_others(&mut tools) {
                    extra.fields.insert("tools".to_owned(), others.into());
                    extra.only_there.get_or_insert(only);
                }
                tools::definitions(tools)?
            }
            None => tools::functions(self.functions.unwrap_or_default())?,
        };
        if let Some(choice @ Value::Object(_)) = &self.tool_choice {
            extra.within.insert("tool_choice".to_owned(), choice.clone());
        }
        let tool_choice = match (self.tool_choice, self.function_call) {
            (Some(choice), _) => tools::choice(choice, &mut tools)?,
            (None, Some(choice)) => tools::function_call(choice, &tools)?,
            (None, None) => None,
        };
        let effort = effort(self.reasoning_effort, self.reasoning, &mut extra)?;
        let (options, within) =
            self.stream_options.map_or_else(Default::default, |o| (o.known, o.rest));
        extra.within.insert("stream_options".to_owned(), within.into());
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
                max_tokens: max_tokens(self.max_completion_tokens, self.max_tokens)?,
                format,
                effort,
                tools: tools.into(),
                tool_choice,
                parallel_tool_calls: self.parallel_tool_calls,
                extra: Some(extra),
                ..Prompt::default()
            },
            ..Request::new(self.model.unwrap_or_default(), messages)
        };
        Ok(Parsed {
            request,
            stream: self.stream.unwrap_or(false),
            include_workflow: self.include_workflow.unwrap_or(false),
            reasoning: effort != Some(Effort::None),
            extras: Extras { include_usage: options.include_usage.unwrap_or(false) },
        })
    }
}

/// What is beyond an `f32` would reach an upstream as null.
pub(super) fn finite(name: &str, value: Option<f32>) -> Result<Option<f32>, AppError> {
    match value {
        Some(value) if !value.is_finite() => {
            Err(AppError::field(name, format!("{name}: this number is too large")))
        }
        value => Ok(value),
    }
}

/// Sampling parameters that OpenAI has not and others have beside its own. They stay unknown fields
/// too, so that an upstream of this protocol gets them as they are, also values that mean nothing
/// elsewhere (vLLM's `top_k` of -1).
pub(super) fn further_sampling(fields: &Map<String, Value>) -> Sampling {
    let number = |name: &str| fields.get(name)?.as_f64();
    let float = |name: &str| number(name).map(|it| it as f32).filter(|it| it.is_finite());
    let top_k = fields.get("top_k").and_then(Value::as_u64).filter(|top_k| *top_k > 0);
    Sampling {
        top_k: top_k.and_then(|top_k| u32::try_from(top_k).ok()),
        min_p: float("min_p"),
        repeat_penalty: float("repeat_penalty"),
        repetition_penalty: float("repetition_penalty"),
        ..Sampling::default()
    }
}

/// The sequences that end an answer.
pub(in super::super) fn stop_sequences(stop: Option<Stop>) -> Vec<String> {
    let mut list = match stop {
        Some(Stop::One(one)) => vec![one],
        Some(Stop::Many(many)) => many,
        None => Vec::new(),
    };
    // An empty one would end every answer at once.
    list.retain(|sequence| !sequence.is_empty());
    list
}

/// -1 means no limit, as llama.cpp's and LM Studio's clients write it.
pub(super) fn max_tokens(newer: Option<i64>, older: Option<i64>) -> Result<Option<u32>, AppError> {
    let (name, value) = match (newer, older) {
        (Some(value), _) => ("max_completion_tokens", value),
        (None, Some(value)) => ("max_tokens", value),
        (None, None) => return Ok(None),
    };
    match value {
        -1 => Ok(None),
        1.. => Ok(Some(u32::try_from(value).unwrap_or(u32::MAX))),
        _ => Err(AppError::field(name, format!("{name}: must be 1 or more"))),
    }
}

/// The form of the answer. One that Chorus does not know is for an upstream of the same protocol.
fn format(format: Option<Value>, extra: &mut Extra) -> Result<OutputFormat, AppError> {
    let Some(value) = format else { return form::read_beside(&extra.fields) };
    let known = form::read(&value, "response_format")?;
    match (&known, value) {
        (Some(_), Value::Object(mut fields)) => {
            // Only what is beside the schema is left to be unknown.
            for name in ["schema", "response_schema", "value"] {
                fields.shift_remove(name);
            }
            if let Some(Value::Object(nested)) = fields.get_mut("json_schema") {
                nested.shift_remove("schema");
            }
            extra.within.insert("response_format".to_owned(), fields.into());
        }
        (Some(_), _) => {}
        (None, value) => {
            let message = "response_format.type: expected text, json_object or json_schema";
            let param = "response_format.type".to_owned();
            let only = OnlyThere { param, message: message.to_owned() };
            extra.only_there.get_or_insert(only);
            extra.fields.insert("response_format".to_owned(), value);
        }
    }
    Ok(known.unwrap_or_default())
}

/// An object that says more than the effort goes on as it is.
fn effort(
    effort: Option<String>,
    reasoning: Option<Parted<Reasoning>>,
    extra: &mut Extra,
) -> Result<Option<Effort>, AppError> {
    let mut within = None;
    if let Some(Parted { known: Reasoning { effort }, mut rest }) = reasoning {
        if !rest.is_empty() {
            rest.extend(effort.clone().map(|effort| ("effort".to_owned(), effort.into())));
            extra.fields.insert("reasoning".to_owned(), rest.into());
        }
        within = effort;
    }
    let (path, effort) = match (effort, within) {
        (Some(effort), _) => ("reasoning_effort", effort),
        (None, Some(effort)) => ("reasoning.effort", effort),
        (None, None) => return Ok(None),
    };
    named_effort(&effort, path).map(Some)
}

/// An effort by its name in OpenAI's dialect.
///
/// # Errors
/// 400 that names `path`.
pub(in super::super) fn named_effort(name: &str, path: &str) -> Result<Effort, AppError> {
    Ok(match name {
        "none" => Effort::None,
        "minimal" => Effort::Minimal,
        "low" => Effort::Low,
        "medium" => Effort::Medium,
        "high" => Effort::High,
        "xhigh" => Effort::XHigh,
        "max" => Effort::Max,
        _ => {
            let message =
                format!("{path}: expected none, minimal, low, medium, high, xhigh or max");
            return Err(AppError::field(path, message));
        }
    })
}
