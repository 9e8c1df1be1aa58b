//! A checker of `/v1/responses`, written from the field lists of the contract and not from our
//! code: every key of every event, the order of events, and that the text is the same everywhere.
//! The unit tests beside the encoder use this file, too.

use std::collections::BTreeMap;

use serde_json::Value;

type Verdict<T = ()> = Result<T, String>;

const RESOURCE: &str = "id object created_at completed_at status incomplete_details model \
    previous_response_id instructions output error tools tool_choice truncation \
    parallel_tool_calls text top_p presence_penalty frequency_penalty top_logprobs temperature \
    reasoning user usage max_output_tokens max_tool_calls store background service_tier metadata \
    safety_identifier prompt_cache_key";

const USAGE: &str =
    "input_tokens input_tokens_details output_tokens output_tokens_details total_tokens";

/// Reads a whole SSE body: named events, comments between them, and `[DONE]` at the end.
pub(crate) fn read(body: &str) -> Verdict<Vec<Value>> {
    let body = body.strip_suffix("data: [DONE]\n\n").ok_or("the last event is not [DONE]")?;
    let mut events = Vec::new();
    for block in body.split_terminator("\n\n") {
        if block.starts_with(':') {
            continue;
        }
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

/// Checks the events of one response.
pub(crate) fn check(events: &[Value]) -> Verdict {
    let mut open = Open::default();
    for (number, event) in events.iter().enumerate() {
        if event["sequence_number"] != number {
            return Err(format!("number {number} expected: {event}"));
        }
        open.event(number, event).map_err(|why| format!("{why}: {event}"))?;
    }
    let last = events.last().ok_or("no events")?;
    check_ending(last, &open)
}

/// Checks a resource: a plain answer, or that of a terminal event.
pub(crate) fn check_resource(resource: &Value) -> Verdict {
    let extra = ["workflow", "warnings", "chorus"];
    let mut bare = resource.as_object().ok_or("the resource is no object")?.clone();
    for name in extra {
        bare.shift_remove(name);
    }
    keys(&Value::Object(bare), RESOURCE)?;
    is(resource["object"] == "response", "object")?;
    is(resource["id"].as_str().is_some_and(|id| id.starts_with("resp_")), "id")?;
    is(resource["created_at"].is_u64(), "created_at")?;
    for name in ["temperature", "top_p", "presence_penalty", "frequency_penalty", "top_logprobs"] {
        is(resource[name].is_number(), name)?;
    }
    for name in ["parallel_tool_calls", "store", "background"] {
        is(resource[name].is_boolean(), name)?;
    }
    is(resource["metadata"].is_object(), "metadata")?;
    is(resource["service_tier"].is_string(), "service_tier")?;
    is(resource["model"].is_string(), "model")?;
    is(matches!(resource["truncation"].as_str(), Some("auto" | "disabled")), "truncation")?;
    is(resource["tool_choice"].is_string() || resource["tool_choice"].is_object(), "tool_choice")?;
    is(resource["text"]["format"]["type"].is_string(), "text.format")?;
    if resource["text"]["format"]["type"] == "json_schema" {
        keys(&resource["text"]["format"], "type name description schema strict")?;
    }
    if !resource["reasoning"].is_null() {
        keys(&resource["reasoning"], "effort summary")?;
    }
    for tool in list(&resource["tools"])? {
        match tool["type"].as_str() {
            Some("function") => keys(tool, "type name description parameters strict")?,
            Some("custom" | "namespace") => is(tool["name"].is_string(), "a tool's name")?,
            _ => return Err("the type of a tool".to_owned()),
        }
    }
    if !resource["usage"].is_null() {
        keys(&resource["usage"], USAGE)?;
        keys(&resource["usage"]["input_tokens_details"], "cached_tokens")?;
        keys(&resource["usage"]["output_tokens_details"], "reasoning_tokens")?;
        let sum = |name: &str| resource["usage"][name].as_u64().unwrap_or_default();
        is(sum("input_tokens") + sum("output_tokens") == sum("total_tokens"), "the sum of usage")?;
    }
    for item in list(&resource["output"])? {
        check_item(item)?;
    }
    check_status(resource)
}

fn check_status(resource: &Value) -> Verdict {
    let status = resource["status"].as_str().unwrap_or_default();
    is(resource["completed_at"].is_u64() == (status == "completed"), "completed_at")?;
    is(resource["incomplete_details"].is_object() == (status == "incomplete"), "incomplete")?;
    is(resource["error"].is_object() == (status == "failed"), "error")?;
    let items = list(&resource["output"])?;
    let cut = |item: &Value| item["status"] == "incomplete";
    match status {
        "completed" => {
            is(!resource["usage"].is_null(), "usage")?;
            is(!items.iter().any(cut), "a complete response has no cut item")
        }
        "incomplete" => {
            keys(&resource["incomplete_details"], "reason")?;
            is(!resource["usage"].is_null(), "usage")?;
            let (last, others) = match items {
                [others @ .., last] => (Some(last), others),
                [] => (None, items),
            };
            is(last.is_none_or(cut) && !others.iter().any(cut), "only the last item is cut")
        }
        "failed" => keys(&resource["error"], "code message"),
        "in_progress" => {
            is(items.is_empty() && resource["usage"].is_null(), "nothing in progress yet")
        }
        other => Err(format!("the status {other}")),
    }
}

fn check_item(item: &Value) -> Verdict {
    match item["type"].as_str() {
        Some("message") => {
            keys(item, "type id status role content")?;
            list(&item["content"])?.iter().try_for_each(check_part)
        }
        Some("reasoning") => {
            keys(item, "type id status summary")?;
            list(&item["summary"])?.iter().try_for_each(check_part)
        }
        Some(kind @ ("function_call" | "custom_tool_call")) => {
            let text = if kind == "function_call" { "arguments" } else { "input" };
            let group = if item["namespace"].is_null() { "" } else { "namespace" };
            keys(item, &format!("type id call_id name {text} status {group}"))
        }
        _ => Err("the type of the item".to_owned()),
    }
}

fn check_part(part: &Value) -> Verdict {
    match part["type"].as_str() {
        Some("output_text") => keys(part, "type text annotations logprobs"),
        Some("summary_text") => keys(part, "type text"),
        _ => Err("the type of the part".to_owned()),
    }
}

fn check_ending(last: &Value, open: &Open) -> Verdict {
    let kind = last["type"].as_str().unwrap_or_default();
    let response = &last["response"];
    let status = kind.strip_prefix("response.").unwrap_or_default();
    is(response["status"] == status, "the status of the ending")?;
    if status == "failed" {
        return is(open.erred, "an error before response.failed");
    }
    is(matches!(status, "completed" | "incomplete"), "the last event")?;
    is(open.items.values().all(|item| item.stage == Stage::Done), "an item is still open")?;
    let done: Vec<&Value> = open.items.values().map(|item| &item.object).collect();
    let output: Vec<&Value> = list(&response["output"])?.iter().collect();
    is(done == output, "the output is not what output_item.done said")
}

/// What was begun so far.
#[derive(Default)]
struct Open {
    items: BTreeMap<u64, Item>,
    erred: bool,
    ended: bool,
}

struct Item {
    id: Value,
    kind: String,
    stage: Stage,
    text: String,
    object: Value,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Added,
    PartAdded,
    TextDone,
    PartDone,
    Done,
}

impl Open {
    fn event(&mut self, number: usize, event: &Value) -> Verdict {
        let kind = event["type"].as_str().ok_or("no type")?;
        is(!self.ended, "after the end")?;
        is((number == 0) == (kind == "response.created"), "response.created is the first")?;
        is((number == 1) == (kind == "response.in_progress"), "in_progress is the second")?;
        is(!self.erred || kind == "response.failed", "something between error and failed")?;
        match kind {
            "response.created" | "response.in_progress" => {
                keys(event, "type sequence_number response")?;
                is(event["response"]["status"] == "in_progress", "status")?;
                check_resource(&event["response"])
            }
            "response.completed" | "response.incomplete" | "response.failed" => {
                self.ended = true;
                keys(event, "type sequence_number response")?;
                check_resource(&event["response"])
            }
            "error" => {
                self.erred = true;
                keys(event, "type sequence_number code message param error")?;
                keys(&event["error"], "type code message param")?;
                is(event["error"]["message"] == event["message"], "two messages")
            }
            "response.output_item.added" => self.added(event),
            "response.output_item.done" => self.done(event),
            _ => self.inside(kind, event),
        }
    }

    fn added(&mut self, event: &Value) -> Verdict {
        keys(event, "type sequence_number output_index item")?;
        let item = &event["item"];
        check_item(item)?;
        is(item["status"] == "in_progress", "status")?;
        let empty = ["content", "summary"]
            .iter()
            .all(|name| item[*name].as_array().is_none_or(Vec::is_empty));
        let silent = |name: &str| item[name].as_str().is_none_or(str::is_empty);
        is(empty && silent("arguments") && silent("input"), "it is fresh")?;
        let place = event["output_index"].as_u64().ok_or("output_index")?;
        is(place == self.items.len() as u64, "output_index counts")?;
        let known = self.items.values().any(|known| known.id == item["id"]);
        is(!known, "the id is used twice")?;
        let item = Item {
            id: item["id"].clone(),
            kind: item["type"].as_str().unwrap_or_default().to_owned(),
            stage: Stage::Added,
            text: String::new(),
            object: Value::Null,
        };
        self.items.insert(place, item);
        Ok(())
    }

    fn done(&mut self, event: &Value) -> Verdict {
        keys(event, "type sequence_number output_index item")?;
        let object = &event["item"];
        check_item(object)?;
        let item = self.item(event)?;
        is(object["id"] == item.id && object["type"] == item.kind, "the same item")?;
        let (text, before) = match item.kind.as_str() {
            "message" => (&object["content"][0]["text"], Stage::PartDone),
            "reasoning" => (&object["summary"][0]["text"], Stage::PartDone),
            "custom_tool_call" => (&object["input"], Stage::TextDone),
            _ => (&object["arguments"], Stage::TextDone),
        };
        is(*text == item.text, "the text of the item")?;
        item.object = object.clone();
        item.goes(before, Stage::Done)
    }

    fn inside(&mut self, kind: &str, event: &Value) -> Verdict {
        let (of, place, step) = match kind.strip_prefix("response.").ok_or("an unknown type")? {
            "content_part.added" => ("message", "content_index", "+part"),
            "output_text.delta" => ("message", "content_index", "delta"),
            "output_text.done" => ("message", "content_index", "text"),
            "content_part.done" => ("message", "content_index", "part"),
            "reasoning_summary_part.added" => ("reasoning", "summary_index", "+part"),
            "reasoning_summary_text.delta" => ("reasoning", "summary_index", "delta"),
            "reasoning_summary_text.done" => ("reasoning", "summary_index", "text"),
            "reasoning_summary_part.done" => ("reasoning", "summary_index", "part"),
            "function_call_arguments.delta" => ("function_call", "", "delta"),
            "function_call_arguments.done" => ("function_call", "", "arguments"),
            "custom_tool_call_input.delta" => ("custom_tool_call", "", "delta"),
            "custom_tool_call_input.done" => ("custom_tool_call", "", "input"),
            _ => return Err("an unknown type".to_owned()),
        };
        let payload = step.trim_start_matches('+');
        let logprobs = if kind.contains("output_text") { "logprobs" } else { "" };
        let names =
            format!("type sequence_number item_id output_index {place} {payload} {logprobs}");
        keys(event, &names)?;
        is(place.is_empty() || event[place] == 0, place)?;
        let item = self.item(event)?;
        is(item.kind == of && item.id == event["item_id"], "an event of another item")?;
        let ready = if of.ends_with("_call") { Stage::Added } else { Stage::PartAdded };
        match step {
            "+part" => {
                check_part(&event["part"])?;
                is(event["part"]["text"] == "", "a fresh part")?;
                item.goes(Stage::Added, Stage::PartAdded)
            }
            "delta" => {
                let delta = event["delta"].as_str().ok_or("delta")?;
                is(!delta.is_empty(), "an empty delta")?;
                item.text.push_str(delta);
                item.goes(ready, ready)
            }
            "part" => {
                check_part(&event["part"])?;
                is(event["part"]["text"] == item.text, "the text of the part")?;
                item.goes(Stage::TextDone, Stage::PartDone)
            }
            _ => {
                is(event[step] == item.text, "the whole text")?;
                item.goes(ready, Stage::TextDone)
            }
        }
    }

    fn item(&mut self, event: &Value) -> Verdict<&mut Item> {
        let place = event["output_index"].as_u64().ok_or("output_index")?;
        let reasoning_open =
            self.items.values().any(|item| item.kind == "reasoning" && item.stage != Stage::Done);
        let item = self.items.get_mut(&place).ok_or("no such item")?;
        is(item.kind == "reasoning" || !reasoning_open, "reasoning is still open")?;
        Ok(item)
    }
}

impl Item {
    fn goes(&mut self, from: Stage, to: Stage) -> Verdict {
        is(self.stage == from, "the order within the item")?;
        self.stage = to;
        Ok(())
    }
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
