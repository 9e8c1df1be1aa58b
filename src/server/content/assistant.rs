//! What an assistant's turn holds beside its text: calls, and what its model wants back.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::{error::AppError, extract::Parted};
use crate::types::{CALL_STATE, ToolCall, TurnState, take_state, without_progress};

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "RequestToolCall")]
pub(super) struct RawCall {
    pub(super) id: Option<String>,
    pub(super) function: Option<Parted<RawFunction>>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "RequestFunctionCall")]
pub(super) struct RawFunction {
    name: Option<String>,
    /// JSON text (OpenAI) or the value itself (Ollama).
    #[serde(default)]
    arguments: Value,
}

/// Takes a chain of thought that a client sends back: the first of these fields that says anything,
/// without the lines of progress, which are Chorus' own. What is none of a model's goes to `unknown`.
pub(super) fn take_thoughts<const N: usize>(
    fields: [(&'static str, Option<Box<Value>>); N],
    state: &mut TurnState,
    unknown: &mut Map<String, Value>,
) {
    for (name, value) in fields {
        match (name, value.map(|value| *value)) {
            (_, None) => {}
            (DETAILS, Some(Value::Array(details))) => state.details = details,
            (_, Some(Value::String(text))) if name != DETAILS => {
                let text = without_progress(&text);
                if state.thoughts.is_empty() && !text.is_empty() {
                    state.thoughts = text;
                    // So Ollama's clients call what they give back of any model.
                    state.field = (name != "thinking").then(|| name.into());
                }
            }
            (_, Some(other)) => drop(unknown.insert(name.to_owned(), other)),
        }
    }
}

/// OpenRouter's form of a chain of thought.
pub(super) const DETAILS: &str = "reasoning_details";

/// A call, what came beside it for its model, and its fields that nobody knows.
pub(super) type ReadCall = (ToolCall, Option<Map<String, Value>>, Map<String, Value>);

/// The call at `index` of the message at `path`, which is number `position`.
///
/// # Errors
/// 400 when it names no function.
pub(super) fn read_call(
    call: Parted<RawCall>,
    position: usize,
    index: usize,
    path: &str,
) -> Result<ReadCall, AppError> {
    let path = format!("{path}.tool_calls[{index}].function.name");
    let Parted { known: call, mut rest } = call;
    rest.shift_remove("type");
    // Its place among the calls is what its index says.
    rest.shift_remove("index");
    let function = call
        .function
        .and_then(|Parted { known, rest: within }| Some((known.name?, known.arguments, within)));
    let Some((name, arguments, mut within)) = function else {
        return Err(AppError::field(path.as_str(), format!("{path}: missing")));
    };
    within.shift_remove("index");
    if !within.is_empty() {
        rest.insert("function".to_owned(), within.into());
    }
    let beside = take_state(&mut rest, &CALL_STATE);
    let beside = (!beside.is_empty()).then_some(beside);
    // Ollama's clients send no ids, and OpenAI's upstreams want them.
    let id = call.id.filter(|id| !id.is_empty());
    let id = id.unwrap_or_else(|| format!("call_{position}_{index}"));
    Ok((ToolCall { id, name, arguments: arguments_text(arguments) }, beside, rest))
}

/// Arguments as text, whichever way they came; nothing is an empty object.
pub(in super::super) fn arguments_text(arguments: Value) -> String {
    match arguments {
        Value::Null => "{}".to_owned(),
        Value::String(text) if text.trim().is_empty() => "{}".to_owned(),
        Value::String(text) => text,
        value => value.to_string(),
    }
}
