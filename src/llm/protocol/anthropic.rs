//! Anthropic's protocol: bodies, replies and stream events of `/v1/messages`. Pure.

mod fast;
mod schema;
#[cfg(test)]
mod tests;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue};
use serde_json::{Map, Value, json};
use url::Url;

use super::{
    Wire, arguments,
    ask::{Ask, number},
    below_version,
    body::Body,
    counts::{Counts, count},
    ending,
    lookup::get_path,
    object,
    parameter::{Field, Parameter, field},
    piece::{Piece, Tell, ToolPiece},
    prompt::{self, Turn, Turns},
    put_secret,
    repair::STOP_WORDS,
    state::Kept,
    tool_schema::list_unions,
    upstream_error::Refusal,
};
use crate::{
    config::{self, StructuredOutput},
    types::{
        Effort, Image, Message, OutputFormat, Part, Role, ToolCall, ToolChoice, ToolDefinition,
    },
};

/// The protocol.
pub(in crate::llm) struct Anthropic;

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

    fn streams_as(&self) -> &'static str {
        "text/event-stream"
    }

    fn body(&self, ask: &Ask<'_>) -> Body {
        body(ask)
    }

    fn conversation(&self, _ask: &Ask<'_>, messages: Vec<Message>) -> Map<String, Value> {
        let Turns { system, mut turns } = prompt::turns(messages);
        turns.last_mut().into_iter().for_each(trim_opening);
        let mut fields = Map::new();
        if !system.is_empty() {
            fields.insert("system".into(), system.into());
        }
        fields.insert("messages".into(), turns.iter().map(turn).collect());
        fields
    }

    fn temperature(&self, ask: &Ask<'_>) -> Option<f32> {
        if thinking(ask).is_some() {
            return None;
        }
        ask.temperature().map(|value| value.min(MAX_TEMPERATURE))
    }

    fn usual<'f>(&self, frame: &'f str, tell: &mut Tell<'_, 'f>) -> bool {
        fast::read(frame, tell)
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

    /// Of `temperature` and `top_p`, which some models take only one of, the first stays.
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
    ask.insert_conversation(&mut body, |messages| Anthropic.conversation(ask, messages));
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
        (ask.enforced_format(), &ask.call.format)
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
    /// Up to so many tokens; older models know nothing else.
    Budget(u32),
}

/// Whether thoughts are asked for, and how. A conversation that called tools has to repeat the signed
/// thoughts since the person spoke, which may be lost; a call that is demanded leaves no room for
/// any.
fn thinking(ask: &Ask<'_>) -> Option<Thinking> {
    let effort = ask.call.effort.filter(|_| ask.may_send(Parameter::Effort))?;
    let demanded =
        matches!(ask.call.tool_choice, Some(ToolChoice::Required | ToolChoice::Named(_)))
            && !ask.call.tools.is_empty();
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
    let room = ask.call.max_tokens.map_or(budget, |most| most.saturating_sub(1));
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
    ask.call.max_tokens.unwrap_or(MAX_TOKENS.saturating_add(thoughts)).max(1)
}

fn sampling(ask: &Ask<'_>, thinks: bool, body: &mut Map<String, Value>) {
    let sampling = &ask.call.sampling;
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
    if tools.is_empty() {
        return;
    }
    body.insert("tools".into(), tools.into_iter().map(tool).collect());
    let single =
        ask.call.parallel_tool_calls == Some(false) && ask.may_send(Parameter::ParallelToolCalls);
    let mut choice = match &ask.call.tool_choice {
        None if !single => return,
        Some(ToolChoice::None) => json!({"type": "none"}),
        None | Some(ToolChoice::Auto) => json!({"type": "auto"}),
        Some(ToolChoice::Required) => json!({"type": "any"}),
        Some(ToolChoice::Named(name)) => json!({"type": "tool", "name": name}),
    };
    if let Some(fields) = choice.as_object_mut()
        && single
        && ask.call.tool_choice != Some(ToolChoice::None)
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

fn turn(turn: &Turn) -> Value {
    let content: Vec<Value> = turn.messages.iter().flat_map(blocks).collect();
    json!({"role": if turn.by_model { "assistant" } else { "user" }, "content": content})
}

fn blocks(message: &Message) -> Vec<Value> {
    let mut blocks: Vec<Value> = message.parts.iter().filter_map(part).collect();
    if message.role == Role::Tool {
        let id = usable_id(message.tool_call_id.as_deref().unwrap_or_default());
        let mut result = json!({"type": "tool_result", "tool_use_id": id});
        if let (Value::Object(fields), false) = (&mut result, blocks.is_empty()) {
            fields.insert("content".into(), blocks.into());
        }
        return vec![result];
    }
    // They come first.
    if let Some(state) = message.state() {
        blocks.splice(0..0, state.blocks.iter().cloned());
    }
    blocks.extend(message.tool_calls.iter().map(tool_use));
    blocks
}

/// Empty text is refused, so it is left out.
fn part(part: &Part) -> Option<Value> {
    match part {
        Part::Text(text) if text.trim().is_empty() => None,
        Part::Text(text) => Some(json!({"type": "text", "text": text})),
        Part::Image(Image::Inline { media_type, base64 }) => {
            let source = json!({"type": "base64", "media_type": media_type, "data": base64});
            Some(json!({"type": "image", "source": source}))
        }
        Part::Image(Image::Url { url, .. }) => {
            Some(json!({"type": "image", "source": {"type": "url", "url": url}}))
        }
        Part::Other(_) => None, // refused before this
    }
}

fn tool_use(call: &ToolCall) -> Value {
    let (id, input) = (usable_id(&call.id), prompt::arguments(&call.arguments));
    json!({"type": "tool_use", "id": id, "name": call.name, "input": input})
}

/// Other upstreams use more characters in their ids than this one takes.
fn usable_id(id: &str) -> String {
    let usable = |character: char| character.is_ascii_alphanumeric() || "_-".contains(character);
    id.chars().map(|character| if usable(character) { character } else { '_' }).collect()
}

/// Reads a stream event, or a whole reply. Kinds that are not known say nothing.
///
/// # Errors
/// The error that it is instead, or that its finish reason is.
fn pieces(value: &Value) -> Result<Vec<Piece<'_>>, Refusal> {
    if let Some(refusal) = Refusal::in_band(value) {
        return Err(refusal);
    }
    let index = value.get("index").and_then(count);
    let mut pieces = Vec::new();
    // Some compatible servers count at the very end only, or where nobody else does.
    let usages = ["usage", "delta/usage", "amazon-bedrock-invocationMetrics"];
    for told in usages.iter().filter_map(|place| get_path(value, place)) {
        if told.is_object() {
            pieces.push(usage(told));
        }
    }
    match value.get("type").and_then(Value::as_str) {
        // What it counts as written is the beginning only.
        Some("message_start") => pieces.extend(
            get_path(value, "message/usage").map(|usage| counts(usage, None)).map(Piece::Usage),
        ),
        Some("content_block_start") => {
            let begun = value.get("content_block").into_iter();
            pieces.extend(begun.flat_map(|it| block(it, index)).map(unfilled));
        }
        Some("content_block_delta") => {
            pieces.extend(value.get("delta").and_then(|more| delta(more, index)));
        }
        Some("message_delta") => {
            pieces.extend(finish(get_path(value, "delta/stop_reason"))?);
        }
        Some("message_stop") => pieces.push(Piece::End),
        Some("message") | None => {
            let blocks = value.get("content").and_then(Value::as_array).into_iter().flatten();
            pieces.extend((0..).zip(blocks).flat_map(|(index, whole)| block(whole, Some(index))));
            pieces.extend(finish(value.get("stop_reason"))?);
        }
        Some(_) => {}
    }
    Ok(pieces)
}

/// Of a block that starts: a tool's input is an empty object until it comes.
fn unfilled(piece: Piece<'_>) -> Piece<'_> {
    match piece {
        Piece::Tool(call) if call.arguments == "{}" => {
            Piece::Tool(ToolPiece { arguments: String::new(), ..call })
        }
        piece => piece,
    }
}

/// A content block, whole or as it starts.
fn block(block: &Value, index: Option<u64>) -> Vec<Piece<'_>> {
    let text = |name: &str| block.get(name).and_then(Value::as_str).unwrap_or_default();
    match block.get("type").and_then(Value::as_str).unwrap_or_default() {
        "text" => vec![Piece::Text(text("text").into())],
        "thinking" => {
            // Its text is put into it as it is read.
            let mut begun = block.clone();
            begun.as_object_mut().and_then(|fields| fields.insert("thinking".into(), "".into()));
            let text = Piece::Reasoning(text("thinking").into());
            vec![Piece::Kept(Kept::Block(begun)), text]
        }
        "redacted_thinking" => vec![Piece::Kept(Kept::Block(block.clone()))],
        "tool_use" => {
            vec![Piece::Tool(ToolPiece {
                index,
                id: Some(text("id").to_owned()),
                name: Some(text("name").to_owned()),
                arguments: arguments(block.get("input")),
                begins: true,
                beside: None,
            })]
        }
        // The upstream searches, or asks an MCP server, and goes on by itself.
        kind if kind.ends_with("tool_use") => index.map(Piece::Foreign).into_iter().collect(),
        _ => Vec::new(),
    }
}

fn delta(delta: &Value, index: Option<u64>) -> Option<Piece<'_>> {
    let text = |name: &str| delta.get(name).and_then(Value::as_str).unwrap_or_default();
    match delta.get("type").and_then(Value::as_str)? {
        "text_delta" => Some(Piece::Text(text("text").into())),
        "thinking_delta" => Some(Piece::Reasoning(text("thinking").into())),
        "signature_delta" => Some(Piece::Kept(Kept::Signature(text("signature").to_owned()))),
        "input_json_delta" => {
            let arguments = text("partial_json").to_owned();
            Some(Piece::Tool(ToolPiece { index, arguments, ..ToolPiece::default() }))
        }
        _ => None,
    }
}

fn finish<'v>(reason: Option<&Value>) -> Result<Option<Piece<'v>>, Refusal> {
    let reason = ending::word(reason).map(ending::finish_reason).transpose()?;
    Ok(reason.map(Piece::Finish))
}

fn usage(usage: &Value) -> Piece<'static> {
    let written = usage.get("output_tokens").or(usage.get("outputTokenCount"));
    Piece::Usage(counts(usage, written.and_then(count)))
}

/// What was read from the cache or written to it is not among the `input_tokens`.
fn counts(usage: &Value, completion: Option<u64>) -> Counts {
    let found = |name: &str| usage.get(name).and_then(count);
    let cached = found("cache_read_input_tokens");
    let prompt = found("input_tokens").or_else(|| found("inputTokenCount")).map(|fresh| {
        let written = found("cache_creation_input_tokens").unwrap_or(0);
        fresh.saturating_add(cached.unwrap_or(0)).saturating_add(written)
    });
    Counts { prompt, completion, cached, ..Counts::default() }
}
