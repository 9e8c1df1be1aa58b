//! The body of `POST /v1/responses` (OpenAI's API reference) to a [`Request`], and what of it the
//! answer repeats.

#[cfg(test)]
mod tests;
mod text;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    entry::Entry,
    input::{self, Sources},
    resource::{ReasoningObject, Resource},
    store::{Client, Store},
    toolbox::{ClientTools, Toolbox},
};
use crate::{
    server::{
        error::AppError,
        form,
        openai::{Stop, named_effort, stop_sequences},
        parsed::Parsed,
        session::in_fields,
    },
    types::{Effort, OutputFormat, Prompt, Request, Sampling, Session},
};
use text::TextOptions;

/// The fields Chorus reads. All may be null or missing; the others are ignored.
#[derive(Default, Deserialize, JsonSchema)]
#[schemars(rename = "ResponseRequest")]
pub(in super::super) struct CreateRequest {
    /// Missing = `chorus`.
    model: Option<String>,
    /// A system message; the user's turn when nothing else is said.
    instructions: Option<Value>,
    /// Chat-style messages.
    messages: Option<Value>,
    /// Text or items.
    input: Option<Value>,
    /// Text; OpenAI's stored prompts are refused.
    prompt: Option<Value>,
    /// Default false.
    stream: Option<bool>,
    /// Continues a kept conversation.
    previous_response_id: Option<String>,
    /// Whether this response may be continued. Default true.
    store: Option<bool>,
    /// Wins over `max_tokens`.
    max_output_tokens: Option<i64>,
    max_tokens: Option<i64>,
    /// 0 to 2. As f64, because it is repeated to the digit.
    temperature: Option<f64>,
    /// 0 to 1.
    top_p: Option<f64>,
    /// -2 to 2.
    presence_penalty: Option<f64>,
    /// -2 to 2.
    frequency_penalty: Option<f64>,
    /// A string or an array of strings. Not of the reference, where no such field is; honoured, as
    /// what a client means by it is plain.
    stop: Option<Stop>,
    /// Functions, groups of them, tools that take free text, and others, which are left out.
    tools: Option<Vec<Value>>,
    tool_choice: Option<Value>,
    /// Default true.
    parallel_tool_calls: Option<bool>,
    /// Repeated only: Chorus answers with one set of calls.
    max_tool_calls: Option<u32>,
    text: Option<TextOptions>,
    reasoning: Option<Reasoning>,
    /// Repeated only.
    metadata: Option<Map<String, Value>>,
    /// Repeated only.
    user: Option<String>,
    /// `auto` or `disabled`; repeated only.
    truncation: Option<String>,
    /// Repeated only.
    safety_identifier: Option<String>,
    /// Repeated only.
    prompt_cache_key: Option<String>,
    /// 0 to 20; repeated only.
    top_logprobs: Option<u32>,
    /// Only false.
    background: Option<bool>,
    /// Refused: there are no conversation objects.
    conversation: Option<Value>,
    /// Chorus: whether the record of the run is wanted.
    include_workflow: Option<bool>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "ResponseReasoningOptions")]
struct Reasoning {
    effort: Option<String>,
    summary: Option<String>,
}

/// What only a request of this dialect has.
#[derive(Debug)]
pub(super) struct Extras {
    /// Whether the response may be continued.
    pub(super) store: bool,
    /// The conversation to continue from, without the answer.
    pub(super) context: Vec<Entry>,
    /// The answer's frame.
    pub(super) resource: Resource,
    /// How the client knows the functions that may be called.
    pub(super) tools: ClientTools,
}

fn session(rest: &Map<String, Value>, resource: &Resource) -> Option<Session> {
    in_fields(rest).or_else(|| Session::new(resource.prompt_cache_key.as_deref()?, None))
}

impl CreateRequest {
    /// Checks and converts; `kept` are the earlier responses of which `client` sees its own, `rest`
    /// the fields that are not of this endpoint.
    ///
    /// # Errors
    /// 400 with the field to blame.
    pub(super) fn read(
        mut self,
        client: Client,
        kept: &Store,
        rest: &Map<String, Value>,
    ) -> Result<Parsed<Extras>, AppError> {
        self.refuse_unsupported()?;
        let format = match text::format(self.text.as_ref())? {
            OutputFormat::Text => form::read_beside(rest)?,
            format => format,
        };
        let mut resource = self.echo(&format)?;
        let sampling = self.sampling()?;

        let mut toolbox = Toolbox::default();
        toolbox.add(self.tools.take().unwrap_or_default(), "tools")?;
        let (effort, reasoning) = reasoning(self.reasoning.take())?;
        resource.reasoning = reasoning;
        let earlier = match self.previous_response_id.take().filter(|id| !id.is_empty()) {
            Some(id) => {
                let unknown = || AppError::UnknownResponse(id.chars().take(80).collect());
                let context = kept.context(client, &id).ok_or_else(unknown)?;
                resource.previous_response_id = Some(id);
                context
            }
            None => Vec::new(),
        };
        let sources = Sources {
            instructions: self.instructions.take(),
            messages: self.messages.take(),
            input: self.input.take(),
            prompt: self.prompt.take(),
        };
        let stored = || kept.items(client);
        let conversation = input::conversation(sources, earlier, &mut toolbox, &stored)?;
        resource.instructions = conversation.instructions;
        let (tool_choice, repeated) =
            toolbox.choose(self.tool_choice.take().unwrap_or_default())?;
        resource.tool_choice = repeated;
        let Toolbox { functions, repeated, left_out, clients } = toolbox;
        resource.tools = repeated;
        let request = Request {
            session: session(rest, &resource),
            num_ctx: Request::context_in(rest),
            left_out,
            prompt: Prompt {
                sampling,
                stop: stop_sequences(self.stop),
                max_tokens: resource.max_output_tokens,
                format,
                effort,
                tools: functions.into(),
                tool_choice,
                parallel_tool_calls: self.parallel_tool_calls,
                ..Prompt::default()
            },
            ..Request::new(self.model.unwrap_or_default(), conversation.messages)
        };
        Ok(Parsed {
            request,
            stream: self.stream.unwrap_or(false),
            include_workflow: self.include_workflow.unwrap_or(false),
            reasoning: effort != Some(Effort::None),
            extras: Extras {
                store: resource.store,
                context: conversation.context,
                resource,
                tools: clients,
            },
        })
    }

    fn refuse_unsupported(&self) -> Result<(), AppError> {
        for (name, asked) in [
            ("background", self.background == Some(true)),
            ("conversation", self.conversation.is_some()),
        ] {
            if asked {
                return Err(AppError::field(name, format!("{name}: not supported")));
            }
        }
        Ok(())
    }

    fn sampling(&self) -> Result<Sampling, AppError> {
        for (name, value, range) in [
            ("temperature", self.temperature, 0.0..=2.0),
            ("top_p", self.top_p, 0.0..=1.0),
            ("presence_penalty", self.presence_penalty, -2.0..=2.0),
            ("frequency_penalty", self.frequency_penalty, -2.0..=2.0),
        ] {
            if value.is_some_and(|value| !range.contains(&value)) {
                let (low, high) = (range.start(), range.end());
                let message = format!("{name}: must be between {low} and {high}");
                return Err(AppError::field(name, message));
            }
        }
        let narrow = |value: Option<f64>| value.map(|value| value as f32);
        Ok(Sampling {
            temperature: narrow(self.temperature),
            top_p: narrow(self.top_p),
            presence_penalty: narrow(self.presence_penalty),
            frequency_penalty: narrow(self.frequency_penalty),
            ..Sampling::default()
        })
    }

    /// The answer's frame with the fields that are repeated as they are, or as what they mean
    /// when they are missing.
    fn echo(&mut self, format: &OutputFormat) -> Result<Resource, AppError> {
        let blank = Resource::default();
        let truncation = self.truncation.take().unwrap_or(blank.truncation);
        if !matches!(truncation.as_str(), "auto" | "disabled") {
            let message = "truncation: expected auto or disabled";
            return Err(AppError::field("truncation", message));
        }
        if self.top_logprobs.is_some_and(|count| count > 20) {
            return Err(AppError::field("top_logprobs", "top_logprobs: must be 20 or less"));
        }
        Ok(Resource {
            truncation,
            parallel_tool_calls: self.parallel_tool_calls.unwrap_or(blank.parallel_tool_calls),
            text: text::repeated(self.text.as_ref(), format)?,
            top_p: self.top_p.unwrap_or(blank.top_p),
            presence_penalty: self.presence_penalty.unwrap_or(blank.presence_penalty),
            frequency_penalty: self.frequency_penalty.unwrap_or(blank.frequency_penalty),
            top_logprobs: self.top_logprobs.unwrap_or(blank.top_logprobs),
            temperature: self.temperature.unwrap_or(blank.temperature),
            user: self.user.take(),
            max_output_tokens: max_tokens(self.max_output_tokens, self.max_tokens)?,
            max_tool_calls: self.max_tool_calls,
            store: self.store.unwrap_or(blank.store),
            metadata: self.metadata.take().unwrap_or(blank.metadata),
            safety_identifier: self.safety_identifier.take(),
            prompt_cache_key: self.prompt_cache_key.take(),
            ..blank
        })
    }
}

/// -1 means no limit, as on `/v1/chat/completions`.
fn max_tokens(newer: Option<i64>, older: Option<i64>) -> Result<Option<u32>, AppError> {
    let (name, value) = match (newer, older) {
        (Some(value), _) => ("max_output_tokens", value),
        (None, Some(value)) => ("max_tokens", value),
        (None, None) => return Ok(None),
    };
    match value {
        -1 => Ok(None),
        1.. => Ok(Some(u32::try_from(value).unwrap_or(u32::MAX))),
        _ => Err(AppError::field(name, format!("{name}: must be 1 or more"))),
    }
}

/// The effort, and both keys in the words of the schema, which has no `minimal` and no `max`.
fn reasoning(
    reasoning: Option<Reasoning>,
) -> Result<(Option<Effort>, Option<ReasoningObject>), AppError> {
    let Some(Reasoning { effort, summary }) = reasoning else { return Ok((None, None)) };
    if !matches!(summary.as_deref(), None | Some("auto" | "concise" | "detailed")) {
        let path = "reasoning.summary";
        let message = format!("{path}: expected auto, concise or detailed");
        return Err(AppError::field(path, message));
    }
    let effort = effort.map(|effort| named_effort(&effort, "reasoning.effort")).transpose()?;
    let repeated = effort.map(|effort| match effort {
        Effort::None => "none",
        Effort::Minimal | Effort::Low => "low",
        Effort::On | Effort::Medium => "medium",
        Effort::High => "high",
        Effort::XHigh | Effort::Max => "xhigh",
    });
    Ok((effort, Some(ReasoningObject { effort: repeated, summary })))
}
