//! A checker of `/v1/messages`, written from the field lists of Anthropic's API reference and not
//! from our code: every key of every event, the order of events, and that blocks come one after the
//! other. The unit tests beside the encoder use this file, too.

use serde_json::{Value, json};

type Verdict<T = ()> = Result<T, String>;

const MESSAGE: &str = "id type role model content stop_reason stop_sequence usage";
const USAGE: &str =
    "input_tokens cache_creation_input_tokens cache_read_input_tokens output_tokens";
const STOP_REASONS: [&str; 6] =
    ["end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal", "pause_turn"];
/// Chorus' own, where an answer ends.
const OWN: [&str; 3] = ["workflow", "warnings", "chorus"];

/// Reads a whole SSE body: named events and nothing else.
pub(crate) fn read(body: &str) -> Verdict<Vec<Value>> {
    let mut events = Vec::new();
    for block in body.split_terminator("\n\n") {
        let lines: Vec<&str> = block.lines().collect();
        let [name, data] = lines[..] else { return Err(format!("not two lines: {block}")) };
        let name = name.strip_prefix("event: ").ok_or(format!("no name: {block}"))?;
        let data = data.strip_prefix("data: ").ok_or(format!("no data: {block}"))?;
        let event: Value = serde_json::from_str(data).map_err(|error| error.to_string())?;
        if event["type"] != name {
            return Err(format!("the event is named {name}: {event}"));
        }
        events.push(event);
    }
    Ok(events)
}

/// Checks the events of one answer, and gives the message that they are together.
pub(crate) fn check(events: &[Value]) -> Verdict<Value> {
    let mut reading = Reading::default();
    for event in events {
        reading.event(event).map_err(|why| format!("{why}: {event}"))?;
    }
    is(reading.stage == Stage::Stopped, "the stream has no end")?;
    check_message(&reading.message)?;
    Ok(reading.message)
}

/// Checks a plain answer.
pub(crate) fn check_message(message: &Value) -> Verdict {
    keys(&bare(message), MESSAGE)?;
    is(message["type"] == "message" && message["role"] == "assistant", "type and role")?;
    is(message["id"].as_str().is_some_and(|id| id.starts_with("msg_")), "id")?;
    is(message["model"].is_string(), "model")?;
    check_usage(&message["usage"])?;
    list(&message["content"])?.iter().try_for_each(check_block)?;
    check_ending(message)?;
    let calls = list(&message["content"])?.iter().any(|block| block["type"] == "tool_use");
    is(message["stop_reason"] != "tool_use" || calls, "a call without a block")
}

fn check_ending(ending: &Value) -> Verdict {
    let reason = ending["stop_reason"].as_str().ok_or("stop_reason")?;
    is(STOP_REASONS.contains(&reason), "an unknown stop_reason")?;
    let sequence = ending["stop_sequence"].is_string();
    is(sequence == (reason == "stop_sequence"), "stop_sequence")
}

fn check_usage(usage: &Value) -> Verdict {
    keys(usage, USAGE)?;
    let counts = USAGE.split_whitespace().all(|name| usage[name].is_u64());
    is(counts, "counts")
}

fn check_block(block: &Value) -> Verdict {
    match block["type"].as_str() {
        Some("text") => keys(block, "type text citations"),
        Some("thinking") => keys(block, "type thinking signature"),
        Some("redacted_thinking") => keys(block, "type data"),
        Some("tool_use") => {
            is(block["input"].is_object(), "input")?;
            is(block["id"].as_str().is_some_and(|id| !id.is_empty()), "the id of a call")?;
            keys(block, "type id name input")
        }
        _ => Err("the type of the block".to_owned()),
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Stage {
    #[default]
    Nothing,
    Between,
    InBlock,
    Ended,
    Stopped,
}

/// What was read so far.
#[derive(Default)]
struct Reading {
    stage: Stage,
    message: Value,
    /// The arguments of the call whose block is open.
    arguments: String,
}

impl Reading {
    fn event(&mut self, event: &Value) -> Verdict {
        match event["type"].as_str().ok_or("no type")? {
            // At any time once the message has begun.
            "ping" => {
                keys(event, "type")?;
                is(!matches!(self.stage, Stage::Nothing | Stage::Stopped), "a ping outside")
            }
            "message_start" => self.begins(event),
            "content_block_start" => self.block(event),
            "content_block_delta" => self.delta(event),
            "content_block_stop" => self.closes(event),
            "message_delta" => self.ends(event),
            "message_stop" => {
                keys(event, "type")?;
                self.goes(Stage::Ended, Stage::Stopped)
            }
            _ => Err("an unknown type".to_owned()),
        }
    }

    fn begins(&mut self, event: &Value) -> Verdict {
        keys(event, "type message")?;
        let message = &event["message"];
        keys(message, MESSAGE)?;
        is(message["content"] == json!([]) && message["stop_reason"].is_null(), "it is fresh")?;
        is(message["usage"]["input_tokens"].as_u64() > Some(0), "the prompt's tokens")?;
        check_usage(&message["usage"])?;
        self.message = message.clone();
        self.goes(Stage::Nothing, Stage::Between)
    }

    fn content(&mut self) -> Verdict<&mut Vec<Value>> {
        self.message["content"].as_array_mut().ok_or_else(|| "content".to_owned())
    }

    fn block(&mut self, event: &Value) -> Verdict {
        keys(event, "type index content_block")?;
        let block = &event["content_block"];
        check_block(block)?;
        let fresh = ["text", "thinking", "signature"];
        is(fresh.iter().all(|name| block[*name].as_str().is_none_or(str::is_empty)), "fresh")?;
        is(block["input"].is_null() || block["input"] == json!({}), "a fresh input")?;
        let content = self.content()?;
        is(event["index"] == content.len(), "the index counts")?;
        content.push(block.clone());
        self.arguments.clear();
        self.goes(Stage::Between, Stage::InBlock)
    }

    fn delta(&mut self, event: &Value) -> Verdict {
        keys(event, "type index delta")?;
        is(self.stage == Stage::InBlock, "a delta outside of a block")?;
        let delta = &event["delta"];
        let (kind, field) = match delta["type"].as_str() {
            Some("text_delta") => ("text", "text"),
            Some("thinking_delta") => ("thinking", "thinking"),
            Some("signature_delta") => ("thinking", "signature"),
            Some("input_json_delta") => ("tool_use", "partial_json"),
            _ => return Err("the type of the delta".to_owned()),
        };
        keys(delta, &format!("type {field}"))?;
        let more = delta[field].as_str().ok_or("its text")?.to_owned();
        is(!more.is_empty(), "an empty delta")?;
        let content = self.content()?;
        is(event["index"].as_u64() == (content.len() as u64).checked_sub(1), "another block")?;
        let block = content.last_mut().ok_or("no block")?;
        is(block["type"] == kind, "a delta of another kind")?;
        match field {
            "partial_json" => self.arguments.push_str(&more),
            _ => block[field] = json!(format!("{}{more}", block[field].as_str().unwrap_or(""))),
        }
        Ok(())
    }

    fn closes(&mut self, event: &Value) -> Verdict {
        keys(event, "type index")?;
        let arguments = std::mem::take(&mut self.arguments);
        let content = self.content()?;
        is(event["index"].as_u64() == (content.len() as u64).checked_sub(1), "another block")?;
        let block = content.last_mut().ok_or("no block")?;
        if block["type"] == "tool_use" && !arguments.is_empty() {
            // Half a call, where the answer was cut, is no JSON.
            block["input"] = serde_json::from_str(&arguments).unwrap_or_else(|_| json!({}));
        }
        self.goes(Stage::InBlock, Stage::Between)
    }

    fn ends(&mut self, event: &Value) -> Verdict {
        keys(&bare(event), "type delta usage")?;
        keys(&event["delta"], "stop_reason stop_sequence")?;
        check_ending(&event["delta"])?;
        check_usage(&event["usage"])?;
        for name in ["stop_reason", "stop_sequence"] {
            self.message[name] = event["delta"][name].clone();
        }
        self.message["usage"] = event["usage"].clone();
        for name in OWN {
            if let Some(own) = event.get(name) {
                self.message[name] = own.clone();
            }
        }
        self.goes(Stage::Between, Stage::Ended)
    }

    fn goes(&mut self, from: Stage, to: Stage) -> Verdict {
        is(self.stage == from, "the order of events")?;
        self.stage = to;
        Ok(())
    }
}

/// Without what is Chorus' own.
fn bare(object: &Value) -> Value {
    let mut bare = object.clone();
    if let Some(fields) = bare.as_object_mut() {
        fields.retain(|name, _| !OWN.contains(&name.as_str()));
    }
    bare
}

fn keys(object: &Value, names: &str) -> Verdict {
    let object = object.as_object().ok_or("an object is needed")?;
    let mut found: Vec<&str> = object.keys().map(String::as_str).collect();
    let mut wanted: Vec<&str> = names.split_whitespace().collect();
    found.sort_unstable();
    wanted.sort_unstable();
    is(found == wanted, &format!("keys {found:?} instead of {wanted:?}"))
}

fn list(value: &Value) -> Verdict<&[Value]> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| "an array is needed".to_owned())
}

fn is(holds: bool, what: &str) -> Verdict {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}
