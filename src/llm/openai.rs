//! The OpenAI-compatible protocol: bodies, replies and stream chunks of `/chat/completions` and
//! `/completions`. Pure.

use serde_json::{Map, Value, json};

use super::{
    answer::{Counts, Piece, ToolPiece},
    ask::{Ask, MOST_STOPS, number},
    refusal::Refusal,
    repair::Parameter,
};
use crate::{
    config::StructuredOutput,
    types::{Effort, FinishReason, Image, Message, OutputFormat, Part, ToolChoice, ToolDefinition},
};

/// The body of a request.
pub(super) fn body(ask: &Ask<'_>) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("model".into(), ask.config.upstream_model.clone().into());
    if ask.is_plain() {
        body.insert("prompt".into(), ask.prompt().into());
    } else {
        body.insert("messages".into(), ask.messages().iter().map(message).collect());
    }
    body.insert("stream".into(), ask.call.stream.into());
    if ask.call.stream && ask.may_send(Parameter::StreamOptions) {
        body.insert("stream_options".into(), json!({"include_usage": true}));
    }
    sampling(ask, &mut body);
    let stop: Vec<&str> = ask.stop().into_iter().take(MOST_STOPS).collect();
    if !stop.is_empty() {
        body.insert("stop".into(), stop.into());
    }
    if !ask.is_plain() {
        if let Some(effort) = effort(ask) {
            body.insert("reasoning_effort".into(), effort.into());
        }
        if let Some(format) = response_format(ask) {
            body.insert("response_format".into(), format);
        }
        tools(ask, &mut body);
    }
    if let Some(extra) = ask.extra() {
        for (name, value) in &extra.fields {
            body.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
    body
}

fn sampling(ask: &Ask<'_>, body: &mut Map<String, Value>) {
    let sampling = &ask.call.sampling;
    let length_name = if ask.may_send(Parameter::MaxTokens) {
        Some("max_tokens")
    } else {
        // The new name belongs to chat; a server that refused both gets neither.
        let known = !ask.is_plain() && ask.may_send(Parameter::MaxCompletionTokens);
        known.then_some("max_completion_tokens")
    };
    if let (Some(name), Some(limit)) = (length_name, ask.call.max_tokens) {
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
    ];
    for (name, parameter, value) in fields {
        if let Some(value) = value.filter(|_| ask.may_send(parameter)) {
            body.insert(name.into(), value);
        }
    }
}

/// `On` is a reasoning model's default already.
fn effort(ask: &Ask<'_>) -> Option<&'static str> {
    match ask.call.effort.filter(|_| ask.may_send(Parameter::Effort))? {
        Effort::None => Some("none"),
        Effort::On => None,
        Effort::Minimal => Some("minimal"),
        Effort::Low => Some("low"),
        Effort::Medium => Some("medium"),
        Effort::High => Some("high"),
        Effort::XHigh | Effort::Max => Some("xhigh"),
    }
}

fn response_format(ask: &Ask<'_>) -> Option<Value> {
    match (ask.enforced_format(), &ask.call.format) {
        (StructuredOutput::Schema, OutputFormat::Schema { name, schema, strict, description }) => {
            let mut inner = Map::new();
            inner.insert("name".into(), name.clone().into());
            inner.insert("schema".into(), schema.as_ref().clone());
            inner.extend(strict.map(|strict| ("strict".into(), strict.into())));
            inner.extend(description.clone().map(|text| ("description".into(), text.into())));
            Some(json!({"type": "json_schema", "json_schema": inner}))
        }
        (StructuredOutput::Json, _) => Some(json!({"type": "json_object"})),
        _ => None,
    }
}

fn tools(ask: &Ask<'_>, body: &mut Map<String, Value>) {
    let tools = ask.tools();
    if tools.is_empty() {
        return;
    }
    body.insert("tools".into(), tools.into_iter().map(tool).collect());
    let choice = ask.call.tool_choice.as_ref().map(|choice| match choice {
        ToolChoice::None => "none".into(),
        ToolChoice::Auto => "auto".into(),
        ToolChoice::Required => "required".into(),
        ToolChoice::Named(name) => json!({"type": "function", "function": {"name": name}}),
    });
    body.extend(choice.map(|choice| ("tool_choice".into(), choice)));
    let parallel =
        ask.call.parallel_tool_calls.filter(|_| ask.may_send(Parameter::ParallelToolCalls));
    body.extend(parallel.map(|parallel| ("parallel_tool_calls".into(), parallel.into())));
}

/// A tool definition; Ollama takes the same.
pub(super) fn tool(tool: &ToolDefinition) -> Value {
    let mut function = Map::new();
    function.insert("name".into(), tool.name.clone().into());
    function.extend(tool.description.clone().map(|text| ("description".into(), text.into())));
    function.extend(tool.parameters.clone().map(|schema| ("parameters".into(), schema)));
    function.extend(tool.strict.map(|strict| ("strict".into(), strict.into())));
    json!({"type": "function", "function": function})
}

fn message(message: &Message) -> Value {
    let mut fields = Map::new();
    fields.insert("role".into(), message.role.as_str().into());
    let content: Value = if message.has_image() {
        message.parts.iter().map(part).collect()
    } else {
        message.joined_text().into()
    };
    let nothing = content.as_str() == Some("") && !message.tool_calls.is_empty();
    fields.insert("content".into(), if nothing { Value::Null } else { content });
    if !message.tool_calls.is_empty() {
        let calls = message.tool_calls.iter().map(|call| {
            let function = json!({"name": call.name, "arguments": call.arguments});
            json!({"id": call.id, "type": "function", "function": function})
        });
        fields.insert("tool_calls".into(), calls.collect());
    }
    fields.extend(message.tool_call_id.clone().map(|id| ("tool_call_id".into(), id.into())));
    Value::Object(fields)
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
    }
}

/// Reads a stream chunk or a whole reply, which differ in nothing but `delta` and `message`.
///
/// # Errors
/// The error that it is instead.
pub(super) fn pieces(value: &Value) -> Result<Vec<Piece>, Refusal> {
    if let Some(refusal) = Refusal::in_band(value) {
        return Err(refusal);
    }
    let mut pieces = Vec::new();
    if let Some(choice) = value.pointer("/choices/0") {
        let said = ["delta", "message"].iter().find_map(|name| choice.get(*name));
        if let Some(said) = said.filter(|said| said.is_object()) {
            pieces.extend(reasoning(said).map(Piece::Reasoning));
            content(said.get("content"), &mut pieces);
            content(said.get("refusal"), &mut pieces);
            let calls = said.get("tool_calls").and_then(Value::as_array);
            pieces.extend(calls.into_iter().flatten().map(tool_piece).map(Piece::Tool));
        }
        content(choice.get("text"), &mut pieces);
        if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str) {
            pieces.push(Piece::Finish(finish_reason(reason)?));
        }
    }
    if let Some(usage) = value.get("usage").filter(|usage| usage.is_object()) {
        pieces.push(Piece::Usage(counts(usage)));
    }
    Ok(pieces)
}

/// Whether a whole body has the shape of a reply.
pub(super) fn is_reply(value: &Value) -> bool {
    value.get("choices").is_some_and(Value::is_array)
}

/// The names the reasoning goes by; a server that sends two means the same by both.
fn reasoning(said: &Value) -> Option<String> {
    let named = ["reasoning_content", "reasoning"]
        .iter()
        .find_map(|name| said.get(*name).and_then(Value::as_str).filter(|text| !text.is_empty()));
    if let Some(text) = named {
        return Some(text.to_owned());
    }
    let details = said.get("reasoning_details")?.as_array()?;
    let text: String =
        details.iter().filter_map(|detail| detail.get("text").and_then(Value::as_str)).collect();
    (!text.is_empty()).then_some(text)
}

/// Content is a text, or a list of parts; Mistral's `thinking` parts hold a list of their own.
fn content(content: Option<&Value>, pieces: &mut Vec<Piece>) {
    match content {
        Some(Value::String(text)) if !text.is_empty() => pieces.push(Piece::Text(text.clone())),
        Some(Value::Array(parts)) => {
            for part in parts {
                if let Some(thoughts) = part.get("thinking").and_then(Value::as_array) {
                    let text = thoughts.iter().filter_map(|one| one.get("text")?.as_str());
                    pieces.push(Piece::Reasoning(text.collect()));
                } else {
                    self::content(part.get("text"), pieces);
                }
            }
        }
        _ => {}
    }
}

fn tool_piece(call: &Value) -> ToolPiece {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let arguments = match call.pointer("/function/arguments") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    ToolPiece {
        index: call.get("index").and_then(Value::as_u64),
        id: text(call.get("id")),
        name: text(call.pointer("/function/name")),
        arguments,
    }
}

fn finish_reason(reason: &str) -> Result<FinishReason, Refusal> {
    match reason {
        "length" | "max_tokens" => Ok(FinishReason::Length),
        "tool_calls" | "function_call" => Ok(FinishReason::ToolCalls),
        "content_filter" => Ok(FinishReason::ContentFilter),
        "error" => Err(Refusal::wordless()),
        _ => Ok(FinishReason::Stop), // `stop`, and whatever a server makes up for it
    }
}

fn counts(usage: &Value) -> Counts {
    let count = |path: &str| usage.pointer(path).and_then(Value::as_u64);
    Counts {
        prompt: count("/prompt_tokens"),
        completion: count("/completion_tokens"),
        cached: count("/prompt_tokens_details/cached_tokens"),
        reasoning: count("/completion_tokens_details/reasoning_tokens"),
        prompt_time: None,
        completion_time: None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        config::{Mode, Model},
        llm::{Call, LlmErrorKind, repair::Refused, testing},
        types::{Extra, Protocol, Role, Sampling, ToolCall},
    };

    fn plain_model() -> Model {
        testing::model(Protocol::OpenAi, "http://127.0.0.1:1/v1")
    }

    fn body_of(config: &Model, call: &Call, refused: &[Parameter]) -> Value {
        let refused: Refused = refused.iter().copied().collect();
        Value::Object(body(&Ask { config, call, refused: &refused }))
    }

    /// Every field the call can set.
    fn full_call() -> Call {
        let sampling = Sampling {
            temperature: Some(0.7),
            top_p: Some(0.9),
            top_k: Some(40),
            min_p: Some(0.05),
            seed: Some(7),
            presence_penalty: Some(0.1),
            frequency_penalty: Some(0.2),
            repeat_penalty: Some(1.1),
        };
        Call {
            sampling,
            max_tokens: Some(99),
            stop: ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec(),
            effort: Some(Effort::Low),
            tool_choice: Some(ToolChoice::Named("f".into())),
            parallel_tool_calls: Some(false),
            ..testing::call_with_tools()
        }
    }

    #[test]
    fn a_simple_call_has_a_simple_body() {
        let body = body_of(&plain_model(), &testing::call("hi"), &[]);
        assert_eq!(
            body,
            json!({"model": "up", "messages": [{"role": "user", "content": "hi"}],
                "stream": true, "stream_options": {"include_usage": true}})
        );
    }

    #[test]
    fn every_field_is_mapped_and_can_be_refused() {
        let mut want = json!({
            "model": "up", "messages": [{"role": "user", "content": "use f"}], "stream": true,
            "stream_options": {"include_usage": true}, "max_tokens": 99, "temperature": 0.7,
            "top_p": 0.9, "top_k": 40, "min_p": 0.05, "seed": 7, "presence_penalty": 0.1,
            "frequency_penalty": 0.2, "repeat_penalty": 1.1, "stop": ["a", "b", "c", "d"],
            "reasoning_effort": "low", "tool_choice": {"type": "function", "function": {"name": "f"}},
            "parallel_tool_calls": false, "tools": [{"type": "function", "function":
                {"name": "f", "description": "does f", "parameters": {"type": "object"}}}],
        });
        let (model, call) = (plain_model(), full_call());
        assert_eq!(body_of(&model, &call, &[]), want);
        let mut refused = vec![];
        for (parameter, field) in [
            (Parameter::Temperature, "temperature"),
            (Parameter::TopP, "top_p"),
            (Parameter::TopK, "top_k"),
            (Parameter::MinP, "min_p"),
            (Parameter::Seed, "seed"),
            (Parameter::PresencePenalty, "presence_penalty"),
            (Parameter::FrequencyPenalty, "frequency_penalty"),
            (Parameter::RepeatPenalty, "repeat_penalty"),
            (Parameter::StreamOptions, "stream_options"),
            (Parameter::Effort, "reasoning_effort"),
            (Parameter::ParallelToolCalls, "parallel_tool_calls"),
            (Parameter::MaxTokens, "max_tokens"),
        ] {
            refused.push(parameter);
            want.as_object_mut().unwrap().remove(field);
            let mut got = body_of(&model, &call, &refused);
            if parameter == Parameter::MaxTokens {
                let renamed = got.as_object_mut().unwrap().remove("max_completion_tokens");
                assert_eq!(renamed, Some(json!(99)));
            }
            assert_eq!(got, want, "without {field}");
        }
        refused.push(Parameter::MaxCompletionTokens);
        assert_eq!(body_of(&model, &call, &refused), want, "neither name");
    }

    #[test]
    fn temperature_is_clamped_or_left_out() {
        let mut call = testing::call("hi");
        call.sampling.temperature = Some(1.4);
        let clamped = Model { max_temperature: 1.0, ..plain_model() };
        assert_eq!(body_of(&clamped, &call, &[])["temperature"], json!(1.0));
        let silent = Model { send_temperature: false, ..plain_model() };
        assert_eq!(body_of(&silent, &call, &[]).get("temperature"), None);
    }

    #[test]
    fn conversations_are_mapped() {
        let mut seeing = Message::text(Role::User, "see");
        seeing.parts.push(Part::Image(Image::Inline {
            media_type: "image/png".into(),
            base64: "QQ==".into(),
        }));
        seeing.parts.push(Part::Image(Image::Url {
            url: "https://e.example/a.png".into(),
            detail: Some("low".into()),
        }));
        let mut calling = Message::text(Role::Assistant, "");
        calling.tool_calls =
            vec![ToolCall { id: String::new(), name: "f".into(), arguments: "{}".into() }];
        let mut result = Message::text(Role::Tool, "42");
        result.tool_name = Some("f".into());
        let messages = vec![Message::text(Role::System, "be"), seeing, calling, result];
        let call = Call { messages: messages.into(), ..testing::call_with_tools() };
        assert_eq!(
            body_of(&plain_model(), &call, &[])["messages"],
            json!([
                {"role": "system", "content": "be"},
                {"role": "user", "content": [
                    {"type": "text", "text": "see"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ=="}},
                    {"type": "image_url", "image_url": {"url": "https://e.example/a.png", "detail": "low"}},
                ]},
                {"role": "assistant", "content": null, "tool_calls": [
                    {"id": "call_2_0", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
                {"role": "tool", "content": "42", "tool_call_id": "call_2_0"},
            ])
        );
    }

    #[test]
    fn output_forms_step_down_into_the_prompt() {
        let schema = || OutputFormat::Schema {
            name: "out".into(),
            schema: Arc::new(json!({"type": "object"})),
            strict: Some(true),
            description: None,
        };
        let as_schema = json!({"type": "json_schema", "json_schema":
            {"name": "out", "schema": {"type": "object"}, "strict": true}});
        let as_json = json!({"type": "json_object"});
        let (by_schema, by_json) =
            (vec![Parameter::Schema], vec![Parameter::Schema, Parameter::Json]);
        for (format, refused, want, instructed) in [
            (OutputFormat::Text, vec![], None, false),
            (schema(), vec![], Some(&as_schema), false),
            (schema(), by_schema.clone(), Some(&as_json), true),
            (schema(), by_json.clone(), None, true),
            (OutputFormat::Json, by_schema, Some(&as_json), true),
            (OutputFormat::Json, by_json, None, true),
        ] {
            let call = Call { format: format.clone(), ..testing::call("hi") };
            let body = body_of(&plain_model(), &call, &refused);
            assert_eq!(body.get("response_format"), want, "{format:?} {refused:?}");
            let first = &body["messages"][0];
            let has_instruction =
                first["role"] == "system" && first["content"].as_str().unwrap().contains("JSON");
            assert_eq!(has_instruction, instructed, "{format:?} {refused:?}");
        }
        let call = Call { format: OutputFormat::Json, ..testing::call("give me json") };
        assert_eq!(body_of(&plain_model(), &call, &[])["messages"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn plain_completion_takes_a_prompt() {
        let config = Model { mode: Mode::Completion, ..plain_model() };
        let turns = vec![Message::text(Role::System, "be"), Message::text(Role::User, "hi")];
        let call = Call { messages: turns.into(), max_tokens: Some(5), ..testing::call("") };
        let body = body_of(&config, &call, &[Parameter::MaxTokens]);
        assert_eq!(body["prompt"], "be\n\nUser: hi\n\nAssistant:");
        assert_eq!(body["stop"], json!(["\nUser:"]));
        assert_eq!(body.get("messages"), None);
        assert_eq!(body.get("max_completion_tokens"), None);
        let raw = Call { raw: true, ..testing::call("Once upon") };
        let body = body_of(&plain_model(), &raw, &[]);
        assert_eq!((body["prompt"].as_str(), body.get("stop")), (Some("Once upon"), None));
    }

    #[test]
    fn unknown_fields_reach_only_their_own_protocol() {
        let fields = json!({"logit_bias": {"5": 1}, "model": "no", "stream": false});
        for (protocol, want) in
            [(Protocol::OpenAi, Some(&fields["logit_bias"])), (Protocol::Ollama, None)]
        {
            let extra = Some(Extra { protocol, fields: fields.as_object().unwrap().clone() });
            let body = body_of(&plain_model(), &Call { extra, ..testing::call("hi") }, &[]);
            assert_eq!(body.get("logit_bias"), want);
            assert_eq!((&body["model"], &body["stream"]), (&json!("up"), &json!(true)));
        }
    }

    #[test]
    fn tools_are_hidden_from_a_model_without_them() {
        let config = Model { tools: Some(false), ..plain_model() };
        let call = Call { tool_choice: Some(ToolChoice::None), ..testing::call_with_tools() };
        assert_eq!(body_of(&plain_model(), &call, &[])["tool_choice"], "none");
        let body = body_of(&config, &call, &[]);
        assert_eq!((body.get("tools"), body.get("tool_choice")), (None, None));
    }

    #[test]
    fn chunks_and_replies_are_read() {
        let text = |text: &str| Piece::Text(text.into());
        let thought = |text: &str| Piece::Reasoning(text.into());
        let delta = |delta: Value| json!({"choices": [{"index": 0, "delta": delta, "finish_reason": null}]});
        for (value, want) in [
            (delta(json!({"role": "assistant", "content": ""})), vec![]),
            (delta(json!({"content": "你"})), vec![text("你")]),
            (delta(json!({"content": null, "reasoning_content": "hm"})), vec![thought("hm")]),
            (
                delta(json!({"reasoning": "a", "reasoning_details": [{"text": "a"}]})),
                vec![thought("a")],
            ),
            (
                delta(json!({"reasoning_details": [{"text": "a"}, {"text": "b"}]})),
                vec![thought("ab")],
            ),
            (delta(json!({"content": [{"type": "text", "text": "a"}]})), vec![text("a")]),
            (
                delta(
                    json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "a"}]}]}),
                ),
                vec![thought("a")],
            ),
            (
                delta(
                    json!({"tool_calls": [{"index": 1, "id": "c", "function": {"name": "f", "arguments": "{"}}]}),
                ),
                vec![Piece::Tool(ToolPiece {
                    index: Some(1),
                    id: Some("c".into()),
                    name: Some("f".into()),
                    arguments: "{".into(),
                })],
            ),
            (json!({"choices": []}), vec![]),
            (json!({}), vec![]),
            (
                json!({"choices": [{"text": "hi", "finish_reason": "length"}]}),
                vec![text("hi"), Piece::Finish(FinishReason::Length)],
            ),
            (
                json!({"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}],
                    "usage": {"prompt_tokens": 3, "completion_tokens": 2,
                        "prompt_tokens_details": {"cached_tokens": 1},
                        "completion_tokens_details": {"reasoning_tokens": 1}}}),
                vec![
                    text("hi"),
                    Piece::Finish(FinishReason::Stop),
                    Piece::Usage(Counts {
                        prompt: Some(3),
                        completion: Some(2),
                        cached: Some(1),
                        reasoning: Some(1),
                        ..Counts::default()
                    }),
                ],
            ),
        ] {
            assert_eq!(pieces(&value).ok().unwrap(), want, "{value}");
        }
        let failed = pieces(&json!({"choices": [{"delta": {}, "finish_reason": "error"}]}));
        assert_eq!(failed.err().unwrap().error_kind(None), LlmErrorKind::InBand);
    }
}
