//! What a chunk or a reply says, piece by piece. Pure.

use serde_json::{Value, json};

use super::fast::written;
use crate::{
    llm::protocol::{
        arguments::arguments,
        counts::{Counts, count},
        ending,
        lookup::get_path,
        openai,
        piece::{Piece, ToolPiece, call_id},
        state::Kept,
        upstream_error::Refusal,
    },
    types::FinishReason,
};

pub(super) const SIGNATURE: &str = "thoughtSignature";

/// Reads a stream chunk or a whole reply, which are of one shape.
///
/// # Errors
/// The error that it is instead, or that its finish reason is.
pub(super) fn pieces(value: &Value) -> Result<Vec<Piece<'_>>, Refusal> {
    if let Some(refusal) = Refusal::in_band(value) {
        return Err(refusal);
    }
    let mut pieces = Vec::new();
    pieces.extend(
        either(value, "usageMetadata", "usage_metadata")
            .filter(|usage| usage.is_object())
            .map(usage),
    );
    let candidate = get_path(value, "candidates/0");
    let parts = candidate.and_then(|candidate| get_path(candidate, "content/parts")?.as_array());
    for part in parts.into_iter().flatten() {
        read_part(part, &mut pieces);
    }
    if let Some(reason) =
        candidate.and_then(|candidate| either(candidate, "finishReason", "finish_reason")?.as_str())
    {
        pieces.extend(finish(reason)?.map(Piece::Finish));
    }
    let blocked = get_path(value, "promptFeedback/blockReason").is_some_and(Value::is_string);
    if blocked && candidate.is_none() {
        pieces.extend([Piece::Finish(FinishReason::ContentFilter), Piece::End]);
    }
    Ok(pieces)
}

/// A field by its name, or as Google's libraries in other languages write it.
fn either<'v>(value: &'v Value, name: &str, other: &str) -> Option<&'v Value> {
    value.get(name).or_else(|| value.get(other))
}

fn read_part<'v>(part: &'v Value, pieces: &mut Vec<Piece<'v>>) {
    if let Some(text) = part.get("text").and_then(Value::as_str) {
        let is_thought = part.get("thought").and_then(Value::as_bool) == Some(true);
        let text = text.into();
        pieces.push(if is_thought { Piece::Reasoning(text) } else { Piece::Text(text) });
        // It is of the turn, in the form of Google's endpoint for OpenAI's protocol.
        let signature = signature_of(part).filter(|_| part.get("functionCall").is_none());
        pieces.extend(signature.map(|it| Piece::Kept(Kept::Fields(openai::extra_content(&it)))));
    }
    if let Some(call) = either(part, "functionCall", "function_call").filter(|it| it.is_object()) {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let id = text(call.get("id")).filter(|id| !id.is_empty()).unwrap_or_else(call_id);
        let beside = signature_of(part);
        let goes_on = either(call, "willContinue", "will_continue") == Some(&Value::Bool(true))
            || either(call, "partialArgs", "partial_args").is_some_and(|parts| !parts.is_null());
        let arguments = match goes_on {
            // Nobody asks for arguments path by path. Opened and never closed, they fail the answer.
            true => Some("{".to_owned()),
            false => Some(arguments(call.get("args"))).filter(|text| !text.is_empty()),
        };
        // Calls arrive whole, so each is one of its own.
        pieces.push(Piece::Tool(ToolPiece {
            index: None,
            id: Some(id),
            name: text(call.get("name")),
            arguments: arguments.unwrap_or_else(|| "{}".to_owned()),
            begins: true,
            beside: beside.as_ref().map(openai::extra_content).map(Box::new),
        }));
    }
}

/// A part's signature, as Google's endpoint for OpenAI's protocol has it in `extra_content`.
fn signature_of(part: &Value) -> Option<Value> {
    let signature = either(part, SIGNATURE, "thought_signature")?.as_str()?;
    (!signature.is_empty()).then(|| json!({"google": {"thought_signature": signature}}))
}

pub(super) fn finish(reason: &str) -> Result<Option<FinishReason>, Refusal> {
    match reason {
        "" | "FINISH_REASON_UNSPECIFIED" => Ok(None),
        "OTHER" => Err(Refusal::ended_with(reason)),
        reason => ending::finish_reason(reason).map(Some),
    }
}

pub(super) fn usage(usage: &Value) -> Piece<'static> {
    let found = |name: &str, other: &str| either(usage, name, other).and_then(count);
    let reasoning = found("thoughtsTokenCount", "thoughts_token_count");
    let answer = found("candidatesTokenCount", "candidates_token_count");
    // What its own tools found is read as the prompt is.
    let prompt = found("promptTokenCount", "prompt_token_count");
    let found_by_tools =
        found("toolUsePromptTokenCount", "tool_use_prompt_token_count").unwrap_or(0);
    let counts = Counts {
        prompt: prompt.map(|prompt| prompt.saturating_add(found_by_tools)),
        completion: written(answer, reasoning),
        cached: found("cachedContentTokenCount", "cached_content_token_count"),
        reasoning,
        ..Counts::default()
    };
    Piece::Usage(counts.within(found("totalTokenCount", "total_token_count")))
}
