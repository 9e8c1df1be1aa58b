//! The OpenAI-compatible protocol: bodies, replies and stream chunks of `/chat/completions` and
//! `/completions`. Pure.

mod fast;
mod read;
mod refusable;
mod state;
mod usage;

pub(in crate::llm) use usage::read as counts;

pub(super) use read::extra_content;
use std::borrow::Cow;

use serde_json::{Map, Value, json};
use url::Url;

use super::{
    Wire,
    ask::{Ask, MOST_STOPS, number},
    below,
    body::Body,
    conversation::{Written, size_of},
    lookup::get_path,
    object,
    parameter::{Field, Parameter},
    piece::{Emit, Piece},
    prompt,
    tool_schema::list_unions,
    upstream_error::Refusal,
};
use crate::{
    config::{self, StructuredOutput},
    types::{
        Effort, Image, Message, OutputFormat, Part, ToolChoice, ToolDefinition, TurnState,
        UnknownFields, overlay,
    },
};
use read::pieces;

/// The protocol.
pub(super) struct OpenAi;

impl Wire for OpenAi {
    fn address(&self, base: &Url, ask: &Ask<'_>) -> Option<Url> {
        let path: &[&str] =
            if ask.is_plain() { &["completions"] } else { &["chat", "completions"] };
        below(base, path)
    }

    fn model_list(&self, base: &Url, _model: &config::Model) -> Option<Url> {
        below(base, &["models"])
    }

    /// llama.cpp serves the one model it was started with.
    fn takes_any_name(&self, list: &Value) -> bool {
        let models = list.get("data").and_then(Value::as_array);
        let only = models.filter(|models| models.len() == 1).and_then(|models| models.first());
        only.is_some_and(|model| model.get("owned_by").is_some_and(|owner| owner == "llamacpp"))
    }

    fn model_page(&self, base: &Url, model: &config::Model) -> Option<Url> {
        below(base, &["models", &model.upstream_model])
    }

    fn streams_as(&self) -> &'static str {
        "text/event-stream"
    }

    fn body(&self, ask: &Ask<'_>) -> Body {
        body(ask)
    }

    fn conversation(&self, _ask: &Ask<'_>, messages: Cow<'_, [Message]>, into: &mut Written) {
        into.list("messages", size_of(&messages), messages.iter().map(message));
    }

    fn thoughts_field(&self, frame: &Value) -> &'static str {
        let choice = get_path(frame, "choices/0");
        let said = choice.and_then(|choice| choice.get("delta").or_else(|| choice.get("message")));
        said.and_then(state::thoughts_field).unwrap_or_default()
    }

    fn fast_path<'f>(&self, frame: &'f str, emit: &mut Emit<'_, 'f>) -> bool {
        fast::read(frame, emit)
    }

    fn pieces<'v>(&self, value: &'v Value) -> Result<Vec<Piece<'v>>, Refusal> {
        pieces(value)
    }

    fn is_reply(&self, value: &Value) -> bool {
        value.get("choices").is_some_and(Value::is_array)
    }

    fn ends_with_body(&self) -> bool {
        true
    }

    fn format_field(&self, body: &Map<String, Value>) -> Option<(&'static str, bool)> {
        let kind = body.get("response_format")?.get("type").and_then(Value::as_str);
        Some(("response_format", kind == Some("json_schema")))
    }

    fn refusable(&self) -> &'static [Field] {
        &refusable::FIELDS
    }
}

/// The body of a request.
fn body(ask: &Ask<'_>) -> Body {
    let mut body = Body::new();
    body.insert("model".into(), ask.config.upstream_model.clone().into());
    if ask.is_plain() {
        body.insert("prompt".into(), ask.prompt().into());
    } else {
        ask.insert_conversation(&mut body, |messages, into| {
            OpenAi.conversation(ask, messages, into)
        });
    }
    body.insert("stream".into(), ask.streams().into());
    if ask.streams() && ask.may_send(Parameter::StreamOptions) {
        body.insert("stream_options".into(), json!({"include_usage": true}));
    }
    sampling(ask, &mut body);
    let stop: Vec<&str> = ask.stop().into_iter().take(MOST_STOPS).collect();
    if !stop.is_empty() {
        body.insert("stop".into(), stop.into());
    }
    if !ask.is_plain() {
        // The client's own object says it all.
        let said = ask.extra().is_some_and(|extra| extra.fields.contains_key("reasoning"));
        if let Some(effort) = effort(ask).filter(|_| !said) {
            body.insert("reasoning_effort".into(), effort.into());
        }
        insert_format(ask, &mut body);
        tools(ask, &mut body);
    }
    ask.insert_extra(&mut body, OpenAi.refusable());
    let key = ask.call.cache_key.as_deref().filter(|_| !ask.is_plain());
    if let Some(key) = key.filter(|_| ask.may_send(Parameter::PromptCacheKey)) {
        // The client's own is as good.
        body.entry("prompt_cache_key").or_insert_with(|| key.into());
    }
    body
}

fn sampling(ask: &Ask<'_>, body: &mut Map<String, Value>) {
    let sampling = &ask.call.prompt.sampling;
    let length_name = if ask.may_send(Parameter::MaxTokens) {
        Some("max_tokens")
    } else {
        // The new name belongs to chat; a server that refused both gets neither.
        let known = !ask.is_plain() && ask.may_send(Parameter::MaxCompletionTokens);
        known.then_some("max_completion_tokens")
    };
    if let (Some(name), Some(limit)) = (length_name, ask.call.prompt.max_tokens) {
        body.insert(name.into(), limit.into());
    }
    let fields = [
        ("temperature", Parameter::Temperature, ask.temperature().map(number)),
        ("top_p", Parameter::TopP, sampling.top_p.map(number)),
        ("top_k", Parameter::TopK, sampling.top_k.map(Value::from)),
        ("min_p", Parameter::MinP, sampling.min_p.map(number)),
        ("seed", Parameter::Seed, sampling.seed.map(Value::from)),
        ("presence_penalty", Parameter::PresencePenalty, sampling.presence_penalty.map(number)),
        ("frequency_penalty", Parameter::FrequencyPenalty, sampling.frequency_penalty.map(number)),
        ("repeat_penalty", Parameter::RepeatPenalty, sampling.repeat_penalty.map(number)),
        ("repetition_penalty", Parameter::RepeatPenalty, sampling.repetition_penalty.map(number)),
    ];
    for (name, parameter, value) in fields {
        if let Some(value) = value.filter(|_| ask.may_send(parameter)) {
            body.insert(name.into(), value);
        }
    }
}

/// `On` is a reasoning model's default already.
fn effort(ask: &Ask<'_>) -> Option<&'static str> {
    match ask.call.prompt.effort.filter(|_| ask.may_send(Parameter::Effort))? {
        Effort::None | Effort::Minimal if !ask.may_send(Parameter::LeastEffort) => Some("low"),
        Effort::None => Some("none"),
        Effort::On => None,
        Effort::Minimal => Some("minimal"),
        Effort::Low => Some("low"),
        Effort::Medium => Some("medium"),
        Effort::High => Some("high"),
        Effort::XHigh | Effort::Max => Some("xhigh"),
    }
}

fn insert_format(ask: &Ask<'_>, body: &mut Body) {
    match (ask.enforced_format(), &ask.call.prompt.format) {
        (StructuredOutput::Schema, OutputFormat::Schema { name, schema, strict, description }) => {
            let mut inner = Map::new();
            inner.insert("name".into(), name.clone().into());
            inner.insert("schema".into(), Value::Null);
            inner.extend(strict.map(|strict| ("strict".into(), strict.into())));
            inner.extend(description.clone().map(|text| ("description".into(), text.into())));
            let form = object([("type", "json_schema".into()), ("json_schema", inner.into())]);
            body.insert("response_format".into(), form);
            body.set_schema(&["response_format", "json_schema", "schema"], schema);
        }
        (StructuredOutput::Json, _) => {
            body.insert("response_format".into(), json!({"type": "json_object"}));
        }
        _ => {}
    }
}

fn tools(ask: &Ask<'_>, body: &mut Map<String, Value>) {
    let tools = ask.tools();
    // What are no functions, for an upstream that has such.
    let others = ask.extra().and_then(|extra| extra.fields.get("tools")?.as_array());
    if tools.is_empty() && others.is_none() {
        return;
    }
    let own = ask.extra().is_some();
    let tools = tools.into_iter().map(|one| {
        let mut tool = if own { own_tool(one) } else { tool(one) };
        tool.pointer_mut("/function/parameters").into_iter().for_each(list_unions);
        tool
    });
    let tools = tools.chain(others.into_iter().flatten().cloned());
    body.insert("tools".into(), tools.collect());
    let choice = ask.tool_choice().map(|choice| match choice {
        ToolChoice::None => "none".into(),
        ToolChoice::Auto => "auto".into(),
        ToolChoice::Required => "required".into(),
        ToolChoice::Named(name) => json!({"type": "function", "function": {"name": name}}),
    });
    body.extend(choice.map(|choice| ("tool_choice".into(), choice)));
    let parallel =
        ask.call.prompt.parallel_tool_calls.filter(|_| ask.may_send(Parameter::ParallelToolCalls));
    body.extend(parallel.map(|parallel| ("parallel_tool_calls".into(), parallel.into())));
}

/// A tool definition; Ollama takes the same.
pub(super) fn tool(tool: &ToolDefinition) -> Value {
    let mut function = Map::new();
    function.insert("name".into(), tool.name.clone().into());
    function.extend(tool.description.clone().map(|text| ("description".into(), text.into())));
    function.extend(tool.parameters.clone().map(|schema| ("parameters".into(), schema)));
    function.extend(tool.strict.map(|strict| ("strict".into(), strict.into())));
    object([("type", "function".into()), ("function", function.into())])
}

/// The same with what the client said of it that nobody here knows.
pub(super) fn own_tool(definition: &ToolDefinition) -> Value {
    let mut tool = tool(definition);
    if let Value::Object(fields) = &mut tool {
        overlay(fields, &definition.unknown);
    }
    tool
}

fn message(message: &Message) -> Value {
    let unknown = message.extras.as_ref().map(|extras| &extras.unknown);
    let mut fields = Map::new();
    fields.insert("role".into(), message.role.as_str().into());
    let content = content_of(message, unknown);
    let content = match message.state() {
        Some(turn) => state::content(turn, content),
        None => content,
    };
    let nothing = content.as_str() == Some("") && !message.tool_calls.is_empty();
    fields.insert("content".into(), if nothing { Value::Null } else { content });
    if let Some(turn) = message.state() {
        state::write(turn, &mut fields);
    }
    if !message.tool_calls.is_empty() {
        let beside = message.state().map(TurnState::beside).unwrap_or_default();
        let calls = message.tool_calls.iter().enumerate().map(|(place, call)| {
            let arguments = prompt::arguments_text(&call.arguments);
            let function = json!({"name": call.name, "arguments": arguments});
            let mut fields = Map::new();
            fields.insert("id".into(), call.id.clone().into());
            fields.insert("type".into(), "function".into());
            fields.insert("function".into(), function);
            let beside = beside.get(call.id.as_str());
            beside.into_iter().for_each(|beside| overlay(&mut fields, beside));
            let own = unknown.and_then(|unknown| at(&unknown.calls, place));
            own.into_iter().for_each(|own| overlay(&mut fields, own));
            Value::Object(fields)
        });
        fields.insert("tool_calls".into(), calls.collect());
    }
    fields.extend(message.tool_call_id.clone().map(|id| ("tool_call_id".into(), id.into())));
    unknown.into_iter().for_each(|unknown| overlay(&mut fields, &unknown.message));
    Value::Object(fields)
}

/// A text where that says it all, else parts; none of them empty.
fn content_of(message: &Message, unknown: Option<&UnknownFields>) -> Value {
    let own = |place| unknown.and_then(|unknown| at(&unknown.parts, place));
    let in_parts = message.parts.iter().any(|part| !matches!(part, Part::Text(_)));
    if !in_parts && unknown.is_none_or(|unknown| unknown.parts.is_empty()) {
        return message.joined_text().into();
    }
    let says = |part: &Part| !matches!(part, Part::Text(text) if text.is_empty());
    let parts = message.parts.iter().enumerate().filter(|(_, part)| says(part));
    let mut written = parts.map(|(place, part)| {
        let mut value = self::part(part);
        if let (Value::Object(fields), Some(own)) = (&mut value, own(place)) {
            overlay(fields, own);
        }
        value
    });
    match written.next() {
        Some(first) => std::iter::once(first).chain(written).collect(),
        None => "".into(),
    }
}

/// The fields at a place.
pub(super) fn at(
    fields: &[(usize, Map<String, Value>)],
    place: usize,
) -> Option<&Map<String, Value>> {
    let found = fields.binary_search_by_key(&place, |(at, _)| *at).ok();
    found.and_then(|found| fields.get(found)).map(|(_, fields)| fields)
}

fn part(part: &Part) -> Value {
    match part {
        Part::Text(text) => json!({"type": "text", "text": text}),
        Part::Image(Image::Inline { media_type, base64 }) => {
            let url = format!("data:{media_type};base64,{base64}");
            json!({"type": "image_url", "image_url": {"url": url}})
        }
        Part::Image(Image::Url { url, detail }) => {
            let mut image = Map::new();
            image.insert("url".into(), url.clone().into());
            image.extend(detail.clone().map(|detail| ("detail".into(), detail.into())));
            json!({"type": "image_url", "image_url": image})
        }
        Part::Other(part) => part.clone(),
    }
}

#[cfg(test)]
mod tests;
