//! Ollama's own protocol: bodies, replies and stream lines of `/api/chat` and `/api/generate`.
//! Pure.

mod fast;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use std::time::Duration;

use serde_json::{Map, Value, json};
use url::Url;

use super::{
    Wire,
    arguments::arguments_of,
    ask::{Ask, number},
    below,
    body::Body,
    conversation::{Written, size_of},
    counts::{Counts, count},
    ending,
    lookup::get_path,
    names, openai,
    parameter::{Field, Parameter, field},
    piece::{Emit, Piece, ToolPiece, call_id},
    prompt,
    repair::STOP_WORDS,
    upstream_error::Refusal,
};
use crate::{
    config::{self, StructuredOutput},
    types::{Effort, Image, Message, ModelName, OutputFormat, Part, overlay},
};

/// The protocol.
pub(super) struct Ollama;

impl Wire for Ollama {
    fn address(&self, base: &Url, ask: &Ask<'_>) -> Option<Url> {
        below(base, &["api", if ask.is_plain() { "generate" } else { "chat" }])
    }

    fn model_list(&self, base: &Url, _model: &config::Model) -> Option<Url> {
        below(base, &["api", "tags"])
    }

    fn listed<'v>(&self, list: &'v Value) -> Option<Vec<&'v str>> {
        names(list.get("models")?, "name")
    }

    fn is_named(&self, listed: &str, wanted: &str) -> bool {
        ModelName::of(listed) == ModelName::of(wanted)
    }

    /// Names the context that calls ask for: another one would have the model loaded anew.
    fn load_request(&self, base: &Url, model: &config::Model) -> Option<(Url, Map<String, Value>)> {
        let fields = [
            ("model", model.upstream_model.as_str().into()),
            ("stream", false.into()),
            ("options", json!({ "num_ctx": model.context_tokens })),
        ];
        let body = fields.map(|(key, value)| (key.to_owned(), value)).into_iter().collect();
        Some((below(base, &["api", "generate"])?, body))
    }

    fn streams_as(&self) -> &'static str {
        "application/x-ndjson"
    }

    fn body(&self, ask: &Ask<'_>) -> Body {
        body(ask)
    }

    fn conversation(&self, _ask: &Ask<'_>, messages: Cow<'_, [Message]>, into: &mut Written) {
        into.list("messages", size_of(&messages), messages.iter().map(message));
    }

    fn thoughts_field(&self, _frame: &Value) -> &'static str {
        "thinking"
    }

    fn fast_path<'f>(&self, frame: &'f str, emit: &mut Emit<'_, 'f>) -> bool {
        fast::read(frame, emit)
    }

    fn pieces<'v>(&self, value: &'v Value) -> Result<Vec<Piece<'v>>, Refusal> {
        pieces(value)
    }

    /// Whether it is a reply, or a line of a streamed one.
    fn is_reply(&self, value: &Value) -> bool {
        ["message", "response", "done"].iter().any(|name| value.get(name).is_some())
    }

    fn ends_with_body(&self) -> bool {
        false
    }

    fn streams_lines(&self) -> bool {
        true
    }

    fn format_field(&self, body: &Map<String, Value>) -> Option<(&'static str, bool)> {
        Some(("format", body.get("format")?.is_object()))
    }

    /// It warns of unknown options and never refuses them; what speaks its protocol may.
    fn refusable(&self) -> &'static [Field] {
        const FIELDS: [Field; 10] = [
            field("/think", Parameter::Effort, &["think", "thinking"]),
            field("/options/presence_penalty", Parameter::PresencePenalty, &["presence_penalty"]),
            field(
                "/options/frequency_penalty",
                Parameter::FrequencyPenalty,
                &["frequency_penalty"],
            ),
            field(
                "/options/repeat_penalty",
                Parameter::RepeatPenalty,
                &["repeat_penalty", "repetition_penalty"],
            ),
            field("/options/temperature", Parameter::Temperature, &["temperature"]),
            field("/options/top_p", Parameter::TopP, &["top_p"]),
            field("/options/top_k", Parameter::TopK, &["top_k"]),
            field("/options/min_p", Parameter::MinP, &["min_p"]),
            field("/options/seed", Parameter::Seed, &["seed", "random_seed"]),
            field("/options/stop", Parameter::Stop, STOP_WORDS),
        ];
        &FIELDS
    }
}

/// The body of a request.
fn body(ask: &Ask<'_>) -> Body {
    let mut body = Body::new();
    body.insert("model".into(), ask.config.upstream_model.clone().into());
    if ask.is_plain() {
        body.insert("prompt".into(), ask.prompt().into());
        if ask.call.prompt.raw {
            body.insert("raw".into(), true.into());
        }
    } else {
        ask.insert_conversation(&mut body, |messages, into| {
            Ollama.conversation(ask, messages, into)
        });
    }
    body.insert("stream".into(), ask.streams().into());
    if let Some(effort) = ask.call.prompt.effort.filter(|_| ask.may_send(Parameter::Effort)) {
        body.insert("think".into(), think(effort));
    }
    match (ask.enforced_format(), &ask.call.prompt.format) {
        (StructuredOutput::Schema, OutputFormat::Schema { schema, .. }) => {
            body.insert("format".into(), Value::clone(schema));
        }
        (StructuredOutput::Json, _) => {
            body.insert("format".into(), "json".into());
        }
        _ => {}
    }
    let tools = ask.tools();
    if !tools.is_empty() {
        let write = if ask.extra().is_some() { openai::own_tool } else { openai::tool };
        body.insert("tools".into(), tools.into_iter().map(write).collect());
    }
    body.insert("options".into(), Value::Object(options(ask)));
    ask.insert_extra(&mut body, Ollama.refusable());
    body
}

/// What the client sent of its own is kept, and its `num_ctx` wins over the model's.
fn options(ask: &Ask<'_>) -> Map<String, Value> {
    let own = ask.extra().and_then(|extra| extra.fields.get("options")?.as_object());
    let mut options = own.cloned().unwrap_or_default();
    let sampling = &ask.call.prompt.sampling;
    let context = ask.config.context_tokens.max(ask.call.context_tokens.unwrap_or(0));
    options.entry("num_ctx").or_insert_with(|| context.into());
    let stop = ask.stop();
    let most = ask.call.prompt.max_tokens.map(|most| ("num_predict".to_owned(), most.into()));
    options.extend(most);
    let repeat_penalty = sampling.repeat_penalty.or(sampling.repetition_penalty);
    let fields = [
        ("temperature", Parameter::Temperature, ask.temperature().map(number)),
        ("top_p", Parameter::TopP, sampling.top_p.map(number)),
        ("top_k", Parameter::TopK, sampling.top_k.map(Value::from)),
        ("min_p", Parameter::MinP, sampling.min_p.map(number)),
        ("seed", Parameter::Seed, sampling.seed.map(Value::from)),
        ("presence_penalty", Parameter::PresencePenalty, sampling.presence_penalty.map(number)),
        ("frequency_penalty", Parameter::FrequencyPenalty, sampling.frequency_penalty.map(number)),
        ("repeat_penalty", Parameter::RepeatPenalty, repeat_penalty.map(number)),
        ("stop", Parameter::Stop, (!stop.is_empty()).then(|| stop.into())),
    ];
    for (name, parameter, value) in fields {
        let value = value.filter(|_| ask.may_send(parameter));
        options.extend(value.map(|value| (name.to_owned(), value)));
    }
    options
}

fn think(effort: Effort) -> Value {
    match effort {
        Effort::None => false.into(),
        Effort::On => true.into(),
        Effort::Minimal | Effort::Low => "low".into(),
        Effort::Medium => "medium".into(),
        Effort::High | Effort::XHigh => "high".into(),
        Effort::Max => "max".into(),
    }
}

fn message(message: &Message) -> Value {
    let unknown = message.extras.as_ref().map(|extras| &extras.unknown);
    let mut fields = Map::new();
    fields.insert("role".into(), message.role.as_str().into());
    fields.insert("content".into(), message.joined_text().into());
    let images: Vec<Value> = message
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::Image(Image::Inline { base64, .. }) => Some(base64.clone().into()),
            // Refused before this.
            Part::Image(Image::Url { .. }) | Part::Text(_) | Part::Other(_) => None,
        })
        .collect();
    if !images.is_empty() {
        fields.insert("images".into(), images.into());
    }
    if !message.tool_calls.is_empty() {
        let calls = message.tool_calls.iter().enumerate().map(|(place, call)| {
            let arguments = prompt::arguments(&call.arguments);
            let mut fields = Map::new();
            let function = json!({"name": call.name, "arguments": arguments});
            fields.insert("function".into(), function);
            let own = unknown.and_then(|unknown| openai::at(&unknown.calls, place));
            own.into_iter().for_each(|own| overlay(&mut fields, own));
            Value::Object(fields)
        });
        fields.insert("tool_calls".into(), calls.collect());
    }
    if let Some(state) = message.state().filter(|state| !state.thoughts.is_empty()) {
        fields.insert("thinking".into(), state.thoughts.clone().into());
    }
    fields.extend(message.tool_name.clone().map(|name| ("tool_name".into(), name.into())));
    unknown.into_iter().for_each(|unknown| overlay(&mut fields, &unknown.message));
    Value::Object(fields)
}

/// Reads a stream line or a whole reply, which are of one shape.
///
/// # Errors
/// The error that it is instead, or that its finish reason is.
fn pieces(value: &Value) -> Result<Vec<Piece<'_>>, Refusal> {
    if let Some(refusal) = Refusal::in_band(value) {
        return Err(refusal);
    }
    let mut pieces = Vec::new();
    let said = value.get("message").unwrap_or(value);
    let text = |name: &str| said.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    pieces.extend(text("thinking").map(|text| Piece::Reasoning(text.into())));
    let content = text("content").or_else(|| text("response"));
    pieces.extend(content.map(|text| Piece::Text(text.into())));
    let calls = said.get("tool_calls").and_then(Value::as_array);
    pieces.extend(calls.into_iter().flatten().map(tool_piece).map(Piece::Tool));
    if value.get("done").and_then(Value::as_bool) == Some(true) {
        // Servers that pretend to be one count as they do elsewhere.
        let mut usage = openai::counts(value).unwrap_or_default();
        usage.update(&counts(value));
        pieces.push(Piece::Usage(usage));
        let reason = ending::word(value.get("done_reason")).map(ending::finish_reason);
        pieces.extend(reason.transpose()?.map(Piece::Finish));
        pieces.push(Piece::End);
    }
    Ok(pieces)
}

/// Ollama's calls arrive whole, so each is one of its own, whatever its index says.
fn tool_piece(call: &Value) -> ToolPiece {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let written = Some(arguments_of(call.get("function").unwrap_or(&Value::Null)));
    let arguments = written.filter(|text| !text.is_empty()).unwrap_or_else(|| "{}".to_owned());
    ToolPiece {
        index: None,
        id: text(call.get("id")).filter(|id| !id.is_empty()).or_else(|| Some(call_id())),
        name: text(get_path(call, "function/name")),
        arguments,
        begins: true,
        beside: None,
    }
}

fn counts(line: &Value) -> Counts {
    let found = |name: &str| line.get(name).and_then(count);
    let time = |name: &str| found(name).filter(|nanos| *nanos > 0).map(Duration::from_nanos);
    Counts {
        prompt: found("prompt_eval_count"),
        completion: found("eval_count"),
        cached: None,
        reasoning: None,
        prompt_time: time("prompt_eval_duration"),
        completion_time: time("eval_duration"),
    }
}
