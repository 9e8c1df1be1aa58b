//! What a frame or a reply says, piece by piece. Pure.

use serde_json::{Map, Value};

use crate::llm::protocol::{
    arguments::arguments_of,
    counts::count,
    ending,
    error_frame::is_filled,
    lookup::get_path,
    piece::{Piece, ToolPiece},
    upstream_error::Refusal,
};

/// Reads a stream chunk or a whole reply, which differ in nothing but `delta` and `message`. Usage
/// comes first and the finish reason last, so that what stands behind a reason came after it.
///
/// # Errors
/// The error that it is instead, or that its finish reason is.
pub(super) fn pieces(value: &Value) -> Result<Vec<Piece<'_>>, Refusal> {
    if let Some(refusal) = Refusal::in_band(value) {
        return Err(refusal);
    }
    let mut pieces = Vec::new();
    pieces.extend(super::usage::read(value).map(Piece::Usage));
    if let Some(choice) = get_path(value, "choices/0") {
        let is_said = |said: &&Value| said.is_object() && is_filled(said);
        let (delta, message) = (choice.get("delta"), choice.get("message"));
        let said = delta.filter(is_said).or(message.filter(is_said));
        if let Some(said) = said {
            let in_message = delta.filter(is_said).is_none();
            let spoken = spoken(said, in_message);
            match in_message && delta.is_some() {
                true => pieces.push(Piece::Message(spoken)),
                false => pieces.extend(spoken),
            }
        }
        // Some servers' delta is the text itself.
        content(delta.filter(|delta| delta.is_string()), &mut pieces);
        content(choice.get("text"), &mut pieces);
        let native = [
            "native_finish_reason",
            "provider_specific_fields/native_finish_reason",
            "delta/provider_specific_fields/native_finish_reason",
            "message/provider_specific_fields/native_finish_reason",
        ];
        let native = native.iter().find_map(|path| ending::word(get_path(choice, path)));
        let reason = ending::of_gateway(ending::word(choice.get("finish_reason")), native)?;
        pieces.extend(reason.map(Piece::Finish));
    }
    Ok(pieces)
}

/// What a delta or a message says. In a message each call is whole, in a delta it may be a piece of
/// one.
pub(super) fn spoken(said: &Value, in_message: bool) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    pieces.extend(super::state::kept(said).map(Piece::Kept));
    pieces.extend(super::state::thoughts(said).map(Piece::Reasoning));
    content(said.get("content"), &mut pieces);
    content(said.get("refusal"), &mut pieces);
    pieces.extend(calls(said).map(|call| Piece::Tool(tool_piece(call, in_message))));
    pieces
}

/// Content is a text, or a list of parts; Mistral's `thinking` parts hold a list of their own.
pub(super) fn content<'v>(content: Option<&'v Value>, pieces: &mut Vec<Piece<'v>>) {
    match content {
        Some(Value::String(text)) if !text.is_empty() => pieces.push(Piece::Text(text.into())),
        Some(Value::Array(parts)) => {
            for part in parts {
                match super::state::thoughts_of_part(part) {
                    Some(thoughts) => pieces.push(Piece::Reasoning(thoughts)),
                    None => self::content(part.get("text"), pieces),
                }
            }
        }
        _ => {}
    }
}

/// The calls in a list; a lone one, also in the field that came before the list.
pub(super) fn calls(said: &Value) -> impl Iterator<Item = &Value> {
    let (list, lone) = match said.get("tool_calls") {
        Some(Value::Array(calls)) => (calls.as_slice(), None),
        call => (&[][..], call.or(said.get("function_call")).filter(|call| call.is_object())),
    };
    list.iter().chain(lone)
}

/// A call, or a piece of one unless it `begins` with it. Some have no `function` around name and
/// arguments.
pub(super) fn tool_piece(call: &Value, begins: bool) -> ToolPiece {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let function = call.get("function").filter(|function| function.is_object()).unwrap_or(call);
    let name = text(function.get("name"));
    ToolPiece {
        index: call.get("index").and_then(count),
        id: text(call.get("id")),
        arguments: arguments_of(function),
        name,
        begins,
        beside: super::state::beside(call).map(Box::new),
    }
}

/// What Gemini's endpoint for this protocol has beside a call; its own protocol's signatures are
/// sent in the same form.
pub(in crate::llm::protocol) fn extra_content(value: &Value) -> Map<String, Value> {
    Map::from_iter([("extra_content".to_owned(), value.clone())])
}
