//! The body of `POST /v1/messages` and of `count_tokens` (Anthropic's API reference) to a
//! [`Request`].

#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    block::{self, RawMessages, Read},
    tool::{self, RawTool, Tools},
};
use crate::{
    server::{error::AppError, extract::Parted, form, openai::named_effort, parsed::Parsed},
    types::{Effort, Extra, OutputFormat, Prompt, Protocol, Request, Sampling},
};

/// The fields Chorus reads. All may be null or missing; the others (`metadata`,
/// `context_management`, `service_tier` and so on) are kept for a direct call.
#[derive(Default, Deserialize, JsonSchema)]
pub(in super::super) struct MessagesRequest {
    /// Missing = `chorus`.
    model: Option<String>,
    /// Not empty.
    messages: Option<RawMessages>,
    /// Text, or text blocks.
    system: Option<Value>,
    /// Anthropic's own server needs it.
    max_tokens: Option<i64>,
    /// Default false.
    stream: Option<bool>,
    stop_sequences: Option<Vec<String>>,
    /// 0 to 2, though Anthropic's own models end at 1.
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_k: Option<u32>,
    tools: Option<Vec<Parted<RawTool>>>,
    tool_choice: Option<Value>,
    /// Absent = off: what the models think is not shown.
    thinking: Option<Parted<Thinking>>,
    output_config: Option<Parted<OutputConfig>>,
    /// The name of `output_config.format` before.
    output_format: Option<Value>,
    /// Chorus: whether the record of the run is wanted.
    include_workflow: Option<bool>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[schemars(rename = "AnthropicThinking")]
struct Thinking {
    /// `enabled`, `adaptive` or `disabled`.
    r#type: Option<String>,
    /// For `enabled`, in tokens.
    budget_tokens: Option<u32>,
    /// `omitted`: the thoughts are not shown.
    display: Option<String>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[schemars(rename = "AnthropicOutputConfig")]
struct OutputConfig {
    effort: Option<String>,
    format: Option<Value>,
}

impl MessagesRequest {
    /// Checks and converts; `rest` are the fields Chorus does not know.
    ///
    /// # Errors
    /// 400 with the field to blame.
    pub(super) fn read(self, rest: Map<String, Value>) -> Result<Parsed<()>, AppError> {
        let mut extra = Extra::new(Protocol::Anthropic, rest);
        let Read { messages, mut left_out, only_there } =
            block::conversation(self.system, self.messages.unwrap_or_default())?;
        extra.only_there = only_there;
        let Tools { definitions, others, names } = tool::read(self.tools.unwrap_or_default())?;
        let choice = tool::choice(self.tool_choice, &definitions, &names, &mut extra)?;
        if !others.is_empty() {
            extra.fields.insert("tools".to_owned(), others.into());
            left_out.extend(names);
        }
        let OutputConfig { effort, format } =
            known(self.output_config, "output_config", &mut extra);
        let format = match (format, self.output_format) {
            (Some(value), _) => output_format(&value, "output_config.format")?,
            (None, Some(value)) => output_format(&value, "output_format")?,
            (None, None) => OutputFormat::Text,
        };
        let thinking = known(self.thinking, "thinking", &mut extra);
        let shown = thinking.is_shown();
        let effort = match effort {
            Some(name) if thinking.r#type.as_deref() != Some("disabled") => {
                Some(named_effort(&name, "output_config.effort")?)
            }
            _ => thinking.effort()?,
        };
        let (parallel_tool_calls, tool_choice) = choice;
        let mut stop = self.stop_sequences.unwrap_or_default();
        // An empty one would end every answer at once.
        stop.retain(|sequence| !sequence.is_empty());
        let request = Request {
            prompt: Prompt {
                sampling: Sampling {
                    temperature: within("temperature", self.temperature, 2.0)?,
                    top_p: within("top_p", self.top_p, 1.0)?,
                    top_k: self.top_k.filter(|top_k| *top_k > 0),
                    ..Sampling::default()
                },
                stop,
                max_tokens: max_tokens(self.max_tokens)?,
                format,
                effort,
                tools: definitions.into(),
                tool_choice,
                parallel_tool_calls,
                extra: Some(extra),
                ..Prompt::default()
            },
            left_out,
            ..Request::new(self.model.unwrap_or_default(), messages)
        };
        Ok(Parsed {
            request,
            stream: self.stream.unwrap_or(false),
            include_workflow: self.include_workflow.unwrap_or(false),
            reasoning: shown,
            extras: (),
        })
    }
}

/// What is known of a field; the rest of it is for an upstream that knows it.
fn known<T: Default>(field: Option<Parted<T>>, name: &str, extra: &mut Extra) -> T {
    let Parted { known, rest } = field.unwrap_or_default();
    if !rest.is_empty() {
        extra.within.insert(name.to_owned(), rest.into());
    }
    known
}

fn output_format(value: &Value, path: &str) -> Result<OutputFormat, AppError> {
    form::read(value, path)?.ok_or_else(|| {
        let param = format!("{path}.type");
        AppError::field(param.as_str(), format!("{param}: expected json_schema"))
    })
}

impl Thinking {
    /// Clients that do not ask for thoughts take the first block for the answer.
    fn is_shown(&self) -> bool {
        matches!(self.r#type.as_deref(), Some("enabled" | "adaptive"))
            && self.display.as_deref() != Some("omitted")
    }

    /// A budget of tokens as an effort.
    fn effort(&self) -> Result<Option<Effort>, AppError> {
        match (self.r#type.as_deref(), self.budget_tokens) {
            (None, _) => Ok(None),
            (Some("disabled"), _) => Ok(Some(Effort::None)),
            (Some("adaptive"), _) | (Some("enabled"), None) => Ok(Some(Effort::On)),
            (Some("enabled"), Some(0..=2048)) => Ok(Some(Effort::Low)),
            (Some("enabled"), Some(2049..=8191)) => Ok(Some(Effort::Medium)),
            (Some("enabled"), Some(_)) => Ok(Some(Effort::High)),
            (Some(_), _) => {
                let message = "thinking.type: expected enabled, adaptive or disabled";
                Err(AppError::field("thinking.type", message))
            }
        }
    }
}

/// A number from 0 to `most`.
fn within(name: &str, value: Option<f32>, most: f32) -> Result<Option<f32>, AppError> {
    match value {
        Some(value) if !(0.0..=most).contains(&value) => {
            Err(AppError::field(name, format!("{name}: must be between 0 and {most}")))
        }
        value => Ok(value),
    }
}

fn max_tokens(value: Option<i64>) -> Result<Option<u32>, AppError> {
    match value {
        None => Ok(None),
        Some(value @ 1..) => Ok(Some(u32::try_from(value).unwrap_or(u32::MAX))),
        Some(_) => Err(AppError::field("max_tokens", "max_tokens: must be 1 or more")),
    }
}
