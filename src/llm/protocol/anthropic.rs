//! Anthropic's protocol: bodies, replies and stream events of `/v1/messages`. Pure.

mod content;
mod fast;
mod read;
mod schema;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, sync::Arc};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue};
use serde_json::{Map, Value, json};
use url::Url;

use super::{
    Wire,
    ask::{Ask, number},
    below_version,
    body::Body,
    conversation::{Written, size_of},
    object,
    parameter::{Field, Parameter, field},
    piece::{Emit, Piece},
    prompt::{self, Turn, Turns},
    put_secret,
    repair::STOP_WORDS,
    tool_schema::list_unions,
    upstream_error::Refusal,
};
use crate::{
    config::{self, StructuredOutput},
    types::{Effort, Message, OutputFormat, Part, Role, ToolChoice, ToolDefinition, overlay},
};
use read::pieces;

/// Names features before their time.
const BETAS: HeaderName = HeaderName::from_static("anthropic-beta");

/// The protocol.
pub(super) struct Anthropic;

/// The version of the API when the model names none.
const VERSION: &str = "2023-06-01";
/// A limit is demanded; this is the answer's when nobody sets one.
const MAX_TOKENS: u32 = 4096;
/// Larger temperatures are refused, whatever the model's configuration says.
const MAX_TEMPERATURE: f32 = 1.0;
/// The smallest budget of thoughts.
const LEAST_BUDGET: u32 = 1024;
/// The smallest `top_p` beside thoughts.
const LEAST_THINKING_TOP_P: f32 = 0.95;

impl Wire for Anthropic {
    fn address(&self, base: &Url, _ask: &Ask<'_>) -> Option<Url> {
        below_version(base, None, "v1", &["messages"])
    }

    fn model_list(&self, base: &Url, _model: &config::Model) -> Option<Url> {
        below_version(base, None, "v1", &["models"])
    }

    fn first_page(&self) -> Option<(&'static str, &'static str)> {
        Some(("limit", "1000"))
    }

    fn next_page<'v>(&self, list: &'v Value) -> Option<(&'static str, &'v str)> {
        list.get("has_more")?.as_bool().filter(|more| *more)?;
        Some(("after_id", list.get("last_id")?.as_str()?))
    }

    fn model_page(&self, base: &Url, model: &config::Model) -> Option<Url> {
        below_version(base, None, "v1", &["models", &model.upstream_model])
    }

    fn authenticate(&self, key: &str, headers: &mut HeaderMap) -> Result<(), InvalidHeaderValue> {
        put_secret(headers, HeaderName::from_static("x-api-key"), key)
    }

    fn headers(
        &self,
        model: &config::Model,
        headers: &mut HeaderMap,
    ) -> Result<(), InvalidHeaderValue> {
        let version = HeaderValue::from_str(model.api_version.as_deref().unwrap_or(VERSION))?;
        headers.insert(HeaderName::from_static("anthropic-version"), version);
        Ok(())
    }

    /// With the operator's own, where the config has some.
    fn call_headers(&self, ask: &Ask<'_>, headers: &mut Arc<HeaderMap>) {
        let betas = ask.extra().and_then(|extra| extra.betas.as_deref());
        let Some(betas) = betas.filter(|_| ask.may_send(Parameter::Betas)) else { return };
        let own = headers.get(BETAS).and_then(|own| own.to_str().ok());
        let all = own.into_iter().chain([betas]).collect::<Vec<_>>().join(",");
        if let Ok(value) = HeaderValue::try_from(all) {
            Arc::make_mut(headers).insert(BETAS, value);
        }
    }

    fn streams_as(&self) -> &'static str {
        "text/event-stream"
    }

    fn body(&self, ask: &Ask<'_>) -> Body {
        body(ask)
    }

    fn conversation(&self, _ask: &Ask<'_>, messages: Cow<'_, [Message]>, into: &mut Written) {
        let (about, marked) = (size_of(&messages), content::system(&messages));
        let Turns { system, mut turns } = prompt::turns(messages.into_owned());
        turns.last_mut().into_iter().for_each(trim_opening);
        if !system.is_empty() {
            into.field("system", &marked.unwrap_or_else(|| system.into()));
        }
        into.list("messages", about, turns.into_iter().map(|turn| content::turn(&turn)));
    }

    fn temperature(&self, ask: &Ask<'_>) -> Option<f32> {
        if thinking(ask).is_some() {
            return None;
        }
        ask.temperature().map(|value| value.min(MAX_TEMPERATURE))
    }

    fn fast_path<'f>(&self, frame: &'f str, emit: &mut Emit<'_, 'f>) -> bool {
        fast::read(frame, emit)
    }

    fn pieces<'v>(&self, value: &'v Value) -> Result<Vec<Piece<'v>>, Refusal> {
        pieces(value)
    }

    fn is_reply(&self, value: &Value) -> bool {
        value.get("content").is_some_and(Value::is_array)
    }

    fn ends_with_body(&self) -> bool {
        true
    }

    fn format_field(&self, body: &Map<String, Value>) -> Option<(&'static str, bool)> {
        body.get("output_config")?.get("format").map(|_| ("output_config.format", true))
    }

    /// Some models take only one of `temperature` and `top_p`: the first stays.
    fn refusable(&self) -> &'static [Field] {
        const FIELDS: [Field; 7] = [
            field(
                "/output_config/effort",
                Parameter::EffortName,
                &["effort", "adaptive", "output_config"],
            ),
            field("/thinking", Parameter::Effort, &["thinking", "budget_tokens"]),
            field(
                "/tool_choice/disable_parallel_tool_use",
                Parameter::ParallelToolCalls,
                &["disable_parallel_tool_use"],
            ),
            field("/top_p", Parameter::TopP, &["top_p"]),
            field("/temperature", Parameter::Temperature, &["temperature"]),
            field("/top_k", Parameter::TopK, &["top_k"]),
            field("/stop_sequences", Parameter::Stop, STOP_WORDS),
        ];
        &FIELDS
    }

    fn rate_limits_say_when(&self) -> bool {
        true
    }
}

/// The body of a request.
fn body(ask: &Ask<'_>) -> Body {
    let thinking = thinking(ask);
    let mut body = Body::new();
    body.insert("model".into(), ask.config.upstream_model.clone().into());
    body.insert("max_tokens".into(), max_tokens(ask, thinking.as_ref()).into());
    ask.insert_conversation(&mut body, |messages, into| {
        Anthropic.conversation(ask, messages, into)
    });
    body.insert("stream".into(), ask.streams().into());
    sampling(ask, thinking.is_some(), &mut body);
    let stop: Vec<&str> = ask.stop().into_iter().filter(|stop| !stop.trim().is_empty()).collect();
    if !stop.is_empty() {
        body.insert("stop_sequences".into(), stop.into());
    }
    tools(ask, &mut body);
    let mut output = Map::new();
    match thinking {
        Some(Thinking::Adaptive(effort)) => {
            body.insert("thinking".into(), json!({"type": "adaptive"}));
            output.insert("effort".into(), effort.into());
        }
        Some(Thinking::Budget(tokens)) => {
            let enabled = json!({"type": "enabled", "budget_tokens": tokens});
            body.insert("thinking".into(), enabled);
        }
        None => {}
    }
    if let (StructuredOutput::Schema, OutputFormat::Schema { schema, .. }) =
        (ask.enforced_format(), &ask.call.prompt.format)
        && let Some(schema) = schema::closed(schema)
    {
        let format = object([("type", "json_schema".into()), ("schema", schema)]);
        output.insert("format".into(), format);
    }
    if !output.is_empty() {
        body.insert("output_config".into(), output.into());
    }
    ask.insert_extra(&mut body, Anthropic.refusable());
    body
}

/// The two ways to ask for thoughts.
enum Thinking {
    /// The model decides how much; newer models know nothing else.
    Adaptive(&'static str),
    /// A budget of tokens; older models know nothing else.
    Budget(u32),
}

/// Whether thoughts are asked for, and how. A conversation that called tools has to repeat the signed
/// thoughts since the person spoke, which may be lost; a call that is demanded leaves no room for
/// any.
fn thinking(ask: &Ask<'_>) -> Option<Thinking> {
    let effort = ask.call.prompt.effort.filter(|_| ask.may_send(Parameter::Effort))?;
    let demanded =
        matches!(ask.call.prompt.tool_choice, Some(ToolChoice::Required | ToolChoice::Named(_)))
            && !ask.call.prompt.tools.is_empty();
    if demanded || lacks_blocks(ask) {
        return None;
    }
    let (name, budget) = match effort {
        Effort::None => return None,
        Effort::Minimal | Effort::Low => ("low", LEAST_BUDGET),
        Effort::Medium => ("medium", 4096),
        Effort::On | Effort::High | Effort::XHigh => ("high", 8192),
        Effort::Max => ("max", 16_384),
    };
    if ask.may_send(Parameter::EffortName) {
        return Some(Thinking::Adaptive(name));
    }
    let room = ask.call.prompt.max_tokens.map_or(budget, |most| most.saturating_sub(1));
    (room >= LEAST_BUDGET).then(|| Thinking::Budget(budget.min(room)))
}

/// Whether a tool was called since the person spoke, and its turn's signed thoughts are not there.
fn lacks_blocks(ask: &Ask<'_>) -> bool {
    let messages = &ask.call.messages;
    let kept = ask.returns_state();
    let blocks =
        |message: &Message| kept && message.state().is_some_and(|state| !state.blocks.is_empty());
    let since = messages.iter().rev().take_while(|message| message.role != Role::User);
    let mut calling = since.filter(|message| !message.tool_calls.is_empty()).peekable();
    match calling.peek() {
        Some(_) => calling.any(|message| !blocks(message)),
        // Of earlier turns it is enough that they were its own.
        None => !messages.iter().all(|message| message.tool_calls.is_empty() || blocks(message)),
    }
}

/// Thoughts count too, so our own limit leaves room for them.
fn max_tokens(ask: &Ask<'_>, thinking: Option<&Thinking>) -> u32 {
    let thoughts = match thinking {
        None => 0,
        Some(Thinking::Adaptive(_)) => 16_384,
        Some(Thinking::Budget(tokens)) => *tokens,
    };
    ask.call.prompt.max_tokens.unwrap_or(MAX_TOKENS.saturating_add(thoughts)).max(1)
}

fn sampling(ask: &Ask<'_>, thinks: bool, body: &mut Map<String, Value>) {
    let sampling = &ask.call.prompt.sampling;
    let top_p = sampling.top_p.filter(|value| !thinks || *value >= LEAST_THINKING_TOP_P);
    let top_k = sampling.top_k.filter(|_| !thinks);
    let fields = [
        ("temperature", Parameter::Temperature, Anthropic.temperature(ask).map(number)),
        ("top_p", Parameter::TopP, top_p.map(number)),
        ("top_k", Parameter::TopK, top_k.map(Value::from)),
    ];
    for (name, parameter, value) in fields {
        if let Some(value) = value.filter(|_| ask.may_send(parameter)) {
            body.insert(name.into(), value);
        }
    }
}

fn tools(ask: &Ask<'_>, body: &mut Map<String, Value>) {
    let tools = ask.tools();
    // What Anthropic itself knows by its type.
    let others = ask.extra().and_then(|extra| extra.fields.get("tools")?.as_array());
    if tools.is_empty() && others.is_none() {
        return;
    }
    let own = ask.extra().is_some();
    let tools = tools.into_iter().map(|one| {
        let mut value = tool(one);
        if let (Value::Object(fields), true) = (&mut value, own) {
            fields.extend(one.strict.map(|strict| ("strict".into(), strict.into())));
            overlay(fields, &one.unknown);
        }
        value
    });
    let tools = tools.chain(others.into_iter().flatten().cloned());
    body.insert("tools".into(), tools.collect());
    let single = ask.call.prompt.parallel_tool_calls == Some(false)
        && ask.may_send(Parameter::ParallelToolCalls);
    let mut choice = match &ask.call.prompt.tool_choice {
        None if !single => return,
        Some(ToolChoice::None) => json!({"type": "none"}),
        None | Some(ToolChoice::Auto) => json!({"type": "auto"}),
        Some(ToolChoice::Required) => json!({"type": "any"}),
        Some(ToolChoice::Named(name)) => json!({"type": "tool", "name": name}),
    };
    if let Some(fields) = choice.as_object_mut()
        && single
        && ask.call.prompt.tool_choice != Some(ToolChoice::None)
    {
        fields.insert("disable_parallel_tool_use".into(), true.into());
    }
    body.insert("tool_choice".into(), choice);
}

/// The schema of the arguments must be there, and of an object.
fn tool(tool: &ToolDefinition) -> Value {
    let mut schema = tool.parameters.as_ref().and_then(Value::as_object).cloned();
    let schema = schema.get_or_insert_default();
    schema.entry("type").or_insert_with(|| "object".into());
    let mut schema = Value::Object(schema.clone());
    list_unions(&mut schema);
    let mut fields = Map::new();
    fields.insert("name".into(), tool.name.clone().into());
    fields.extend(tool.description.clone().map(|text| ("description".into(), text.into())));
    fields.insert("input_schema".into(), schema);
    fields.into()
}

/// A beginning of the answer that the model is to go on with must not end in white space.
fn trim_opening(turn: &mut Turn) {
    let last = turn.messages.last_mut().filter(|_| turn.by_model);
    if let Some(Part::Text(text)) = last.and_then(|message| message.parts.last_mut()) {
        text.truncate(text.trim_end().len());
    }
}
