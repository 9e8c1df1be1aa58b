//! Google's Gemini protocol: bodies, replies and stream chunks of `:generateContent`. Pure.

mod fast;
mod read;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use reqwest::header::{HeaderMap, HeaderName, InvalidHeaderValue};
use serde_json::{Map, Value, json};
use url::Url;

use super::{
    Wire,
    ask::{Ask, number},
    below_version,
    body::Body,
    conversation::{Written, size_of},
    lookup::get_path,
    names,
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
    types::{
        Effort, Image, Message, OutputFormat, Part, Role, ToolChoice, ToolDefinition, TurnState,
    },
};
use read::{SIGNATURE, pieces};

/// The protocol.
pub(super) struct Gemini;

/// The version in its paths when neither the model nor its base names one.
const VERSION: &str = "v1beta";
/// Most stop sequences that Gemini takes.
const MOST_STOPS: usize = 5;
/// Stands for the signature of a call that this model did not make, or made before a restart: newer
/// models refuse a first call of a turn without any, and take this one instead.
const PLACEHOLDER: &str = "skip_thought_signature_validator";

/// The path of a model: `models/gemini-2.5-pro`. `tunedModels/mine` is one already.
fn full_name(name: &str) -> String {
    if name.contains('/') { name.to_owned() } else { format!("models/{name}") }
}

impl Wire for Gemini {
    fn address(&self, base: &Url, ask: &Ask<'_>) -> Option<Url> {
        let name = full_name(&ask.config.upstream_model);
        let verb = if ask.streams() { "streamGenerateContent" } else { "generateContent" };
        let path = format!("{name}:{verb}");
        let path: Vec<&str> = path.split('/').collect();
        let mut url = below_version(base, ask.config.api_version.as_deref(), VERSION, &path)?;
        if ask.streams() {
            url.query_pairs_mut().append_pair("alt", "sse");
        }
        Some(url)
    }

    fn model_list(&self, base: &Url, model: &config::Model) -> Option<Url> {
        below_version(base, model.api_version.as_deref(), VERSION, &["models"])
    }

    fn listed<'v>(&self, list: &'v Value) -> Option<Vec<&'v str>> {
        let names = names(list.get("models")?, "name")?;
        Some(names.into_iter().map(|name| name.strip_prefix("models/").unwrap_or(name)).collect())
    }

    fn first_page(&self) -> Option<(&'static str, &'static str)> {
        Some(("pageSize", "1000"))
    }

    fn next_page<'v>(&self, list: &'v Value) -> Option<(&'static str, &'v str)> {
        let token = list.get("nextPageToken")?.as_str().filter(|token| !token.is_empty())?;
        Some(("pageToken", token))
    }

    fn is_named(&self, listed: &str, wanted: &str) -> bool {
        full_name(listed) == full_name(wanted)
    }

    fn model_page(&self, base: &Url, model: &config::Model) -> Option<Url> {
        let name = full_name(&model.upstream_model);
        let path: Vec<&str> = name.split('/').collect();
        below_version(base, model.api_version.as_deref(), VERSION, &path)
    }

    fn authenticate(&self, key: &str, headers: &mut HeaderMap) -> Result<(), InvalidHeaderValue> {
        put_secret(headers, HeaderName::from_static("x-goog-api-key"), key)
    }

    fn streams_as(&self) -> &'static str {
        "text/event-stream"
    }

    fn body(&self, ask: &Ask<'_>) -> Body {
        body(ask)
    }

    fn conversation(&self, ask: &Ask<'_>, messages: Cow<'_, [Message]>, into: &mut Written) {
        let about = size_of(&messages);
        let Turns { system, turns } = prompt::turns(messages.into_owned());
        let sends_placeholder = ask.may_send(Parameter::PlaceholderSignature);
        into.list(
            "contents",
            about,
            turns.into_iter().map(|turn| content(&turn, sends_placeholder)),
        );
        if !system.is_empty() {
            into.field("systemInstruction", &json!({"parts": [{"text": system}]}));
        }
    }

    fn fast_path<'f>(&self, frame: &'f str, emit: &mut Emit<'_, 'f>) -> bool {
        fast::read(frame, emit)
    }

    fn pieces<'v>(&self, value: &'v Value) -> Result<Vec<Piece<'v>>, Refusal> {
        pieces(value)
    }

    fn is_reply(&self, value: &Value) -> bool {
        value.get("candidates").or_else(|| value.get("promptFeedback")).is_some()
    }

    fn ends_with_body(&self) -> bool {
        true
    }

    fn format_field(&self, body: &Map<String, Value>) -> Option<(&'static str, bool)> {
        let config = body.get("generationConfig")?;
        if config.get("responseJsonSchema").is_some() {
            return Some(("generationConfig.responseJsonSchema", true));
        }
        config.get("responseMimeType").map(|_| ("generationConfig.responseMimeType", false))
    }

    fn refusable(&self) -> &'static [Field] {
        &FIELDS
    }
}

/// One message speaks of both penalties; they are given up one after the other.
const FIELDS: [Field; 12] = [
    field(
        "/generationConfig/thinkingConfig/thinkingLevel",
        Parameter::EffortName,
        &["thinking_level"],
    ),
    field(
        "/generationConfig/thinkingConfig/thinkingBudget",
        Parameter::Effort,
        &["thinking", "thinking_config", "thinking_budget", "budget"],
    ),
    field(
        "/generationConfig/thinkingConfig",
        Parameter::Effort,
        &["thinking", "thinking_config", "include_thoughts"],
    ),
    field(
        "/generationConfig/presencePenalty",
        Parameter::PresencePenalty,
        &["presence_penalty", "penalty"],
    ),
    field(
        "/generationConfig/frequencyPenalty",
        Parameter::FrequencyPenalty,
        &["frequency_penalty", "penalty"],
    ),
    field("/generationConfig/temperature", Parameter::Temperature, &["temperature"]),
    field("/generationConfig/topP", Parameter::TopP, &["top_p"]),
    field("/generationConfig/topK", Parameter::TopK, &["top_k"]),
    field("/generationConfig/seed", Parameter::Seed, &["seed", "random_seed"]),
    field("/generationConfig/stopSequences", Parameter::Stop, STOP_WORDS),
    field(
        "/toolConfig",
        Parameter::ToolChoice,
        &["tool_config", "function_calling_config", "tool_choice"],
    ),
    field("/contents", Parameter::PlaceholderSignature, &["thought_signature"]),
];

/// The body of a request.
fn body(ask: &Ask<'_>) -> Body {
    let mut body = Body::new();
    ask.insert_conversation(&mut body, |messages, into| Gemini.conversation(ask, messages, into));
    tools(ask, &mut body);
    let config = generation_config(ask);
    if !config.is_empty() {
        body.insert("generationConfig".into(), config.into());
    }
    ask.insert_extra(&mut body, Gemini.refusable());
    body
}

fn generation_config(ask: &Ask<'_>) -> Map<String, Value> {
    let sampling = &ask.call.prompt.sampling;
    let mut config = Map::new();
    let fields = [
        ("temperature", Parameter::Temperature, ask.temperature().map(number)),
        ("topP", Parameter::TopP, sampling.top_p.map(number)),
        ("topK", Parameter::TopK, sampling.top_k.map(Value::from)),
        ("seed", Parameter::Seed, sampling.seed.map(seed)),
        ("presencePenalty", Parameter::PresencePenalty, sampling.presence_penalty.map(number)),
        ("frequencyPenalty", Parameter::FrequencyPenalty, sampling.frequency_penalty.map(number)),
    ];
    for (name, parameter, value) in fields {
        if let Some(value) = value.filter(|_| ask.may_send(parameter)) {
            config.insert(name.into(), value);
        }
    }
    if let Some(limit) = ask.call.prompt.max_tokens {
        config.insert("maxOutputTokens".into(), limit.into());
    }
    let stop = ask.stop().into_iter().filter(|stop| !stop.is_empty());
    let stop: Vec<&str> = stop.take(MOST_STOPS).collect();
    if !stop.is_empty() {
        config.insert("stopSequences".into(), stop.into());
    }
    match (ask.enforced_format(), &ask.call.prompt.format) {
        (StructuredOutput::Schema, OutputFormat::Schema { schema, .. }) => {
            config.insert("responseMimeType".into(), "application/json".into());
            config.insert("responseJsonSchema".into(), Value::clone(schema));
        }
        (StructuredOutput::Json, _) => {
            config.insert("responseMimeType".into(), "application/json".into());
        }
        _ => {}
    }
    if let Some(thinking) = thinking(ask) {
        config.insert("thinkingConfig".into(), thinking);
    }
    config
}

/// A seed as Gemini takes it: with 31 bits.
fn seed(seed: i64) -> Value {
    i32::try_from(seed).map_or_else(|_| (seed & i64::from(i32::MAX)).into(), Value::from)
}

/// Newer models want a level by its name, older ones a budget of tokens. Thoughts are shown unless
/// none were wanted: some models cannot do without.
fn thinking(ask: &Ask<'_>) -> Option<Value> {
    let wanted = ask.call.prompt.effort.filter(|_| ask.may_send(Parameter::Effort))?;
    let effort = match wanted {
        Effort::None | Effort::Minimal if !ask.may_send(Parameter::LeastEffort) => Effort::Low,
        effort => effort,
    };
    let (name, budget) = match effort {
        Effort::None => ("minimal", 0),
        Effort::Minimal => ("minimal", 512),
        Effort::Low => ("low", 1024),
        Effort::Medium => ("medium", 8192),
        Effort::On => ("", 0),
        Effort::High | Effort::XHigh | Effort::Max => ("high", 24_576),
    };
    let mut config = Map::new();
    if wanted != Effort::None {
        config.insert("includeThoughts".into(), true.into());
    }
    if effort == Effort::On {
        // The model's own default.
    } else if ask.may_send(Parameter::EffortName) {
        config.insert("thinkingLevel".into(), name.into());
    } else {
        config.insert("thinkingBudget".into(), budget.into());
    }
    Some(config.into())
}

fn tools(ask: &Ask<'_>, body: &mut Map<String, Value>) {
    let tools = ask.tools();
    // What Google itself knows by its name.
    let others = ask.extra().and_then(|extra| extra.fields.get("tools")?.as_array());
    if tools.is_empty() && others.is_none() {
        return;
    }
    let declarations: Vec<Value> = tools.into_iter().map(tool).collect();
    let own = (!declarations.is_empty()).then(|| json!({"functionDeclarations": declarations}));
    let tools = own.into_iter().chain(others.into_iter().flatten().cloned());
    body.insert("tools".into(), tools.collect());
    let calling = match ask.tool_choice() {
        None => return,
        Some(ToolChoice::None) => json!({"mode": "NONE"}),
        Some(ToolChoice::Auto) => json!({"mode": "AUTO"}),
        Some(ToolChoice::Required) => json!({"mode": "ANY"}),
        Some(ToolChoice::Named(name)) => json!({"mode": "ANY", "allowedFunctionNames": [name]}),
    };
    body.insert("toolConfig".into(), json!({"functionCallingConfig": calling}));
}

fn tool(tool: &ToolDefinition) -> Value {
    let mut fields = Map::new();
    fields.insert("name".into(), tool.name.clone().into());
    fields.extend(tool.description.clone().map(|text| ("description".into(), text.into())));
    let mut schema = tool.parameters.clone();
    schema.iter_mut().for_each(list_unions);
    fields.extend(schema.map(|schema| ("parametersJsonSchema".into(), schema)));
    fields.into()
}

fn content(turn: &Turn, sends_placeholder: bool) -> Value {
    let mut parts: Vec<Value> = turn.messages.iter().flat_map(self::parts).collect();
    // Of several calls in one turn only the first is signed.
    let mut calls = parts.iter_mut().filter_map(Value::as_object_mut);
    if let Some(first) = calls.find(|part| part.contains_key("functionCall"))
        && sends_placeholder
        && first.shift_remove(UNKNOWN).is_some()
    {
        first.insert(SIGNATURE.into(), PLACEHOLDER.into());
    }
    for part in parts.iter_mut().filter_map(Value::as_object_mut) {
        part.shift_remove(UNKNOWN);
    }
    json!({"role": if turn.by_model { "model" } else { "user" }, "parts": parts})
}

/// Marks a call, while its turn is written, of which nobody knows whether it was signed.
const UNKNOWN: &str = "unknown";

fn parts(message: &Message) -> Vec<Value> {
    if message.role == Role::Tool {
        let response = json!({"id": message.tool_call_id, "name": message.tool_name,
            "response": result(&message.joined_text())});
        let images = message.parts.iter().filter(|part| matches!(part, Part::Image(_)));
        let result = std::iter::once(json!({"functionResponse": response}));
        return result.chain(images.filter_map(part)).collect();
    }
    let beside = message.state().map(TurnState::beside).unwrap_or_default();
    let calls = message.tool_calls.iter().map(|call| {
        let args = prompt::arguments(&call.arguments);
        let function = json!({"id": call.id, "name": call.name, "args": args});
        let mut part = Map::from_iter([("functionCall".to_owned(), function)]);
        match beside.get(call.id.as_str()) {
            // As it came: signed, or without.
            Some(beside) => part.extend(signature(beside).map(|it| (SIGNATURE.into(), it))),
            None => drop(part.insert(UNKNOWN.into(), true.into())),
        }
        Value::Object(part)
    });
    let mut said: Vec<Value> = message.parts.iter().filter_map(part).collect();
    if let Some(signature) = message.state().and_then(|state| signature(&state.fields)) {
        match said.last_mut().and_then(Value::as_object_mut) {
            Some(last) => drop(last.insert(SIGNATURE.to_owned(), signature)),
            None => said.push(json!({"text": "", SIGNATURE: signature})),
        }
    }
    said.into_iter().chain(calls).collect()
}

/// The signature beside a call or a text, in the form of Google's endpoint for OpenAI's protocol, which clients
/// of that know.
fn signature(beside: &Map<String, Value>) -> Option<Value> {
    let signature = get_path(beside.get("extra_content")?, "google/thought_signature")?;
    signature.as_str().filter(|text| !text.is_empty()).map(Value::from)
}

fn part(part: &Part) -> Option<Value> {
    match part {
        Part::Text(text) if text.is_empty() => None,
        Part::Text(text) => Some(json!({"text": text})),
        Part::Image(Image::Inline { media_type, base64 }) => {
            Some(json!({"inlineData": {"mimeType": media_type, "data": base64}}))
        }
        // As the client spelled it, who speaks this protocol: others were taken off before.
        Part::Other(part) => Some(part.clone()),
        Part::Image(Image::Url { .. }) => None, // refused before this
    }
}

/// A result must be an object; `output` is the documented name for what is none.
fn result(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(object @ Value::Object(_)) => object,
        Ok(value) => json!({"output": value}),
        Err(_) => json!({"output": text}),
    }
}
