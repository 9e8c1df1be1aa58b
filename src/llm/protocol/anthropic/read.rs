//! What an event or a reply says, piece by piece. Pure.

use serde_json::Value;

use crate::llm::protocol::{
    arguments::arguments,
    counts::{Counts, count},
    ending,
    lookup::get_path,
    piece::{Piece, ToolPiece},
    state::Kept,
    upstream_error::Refusal,
};

/// Reads a stream event, or a whole reply. Kinds that are not known say nothing.
///
/// # Errors
/// The error that it is instead, or that its finish reason is.
pub(super) fn pieces(value: &Value) -> Result<Vec<Piece<'_>>, Refusal> {
    if let Some(refusal) = Refusal::in_band(value) {
        return Err(refusal);
    }
    let index = value.get("index").and_then(count);
    let mut pieces = Vec::new();
    // Some compatible servers count at the very end only, or where nobody else does.
    let usages = ["usage", "delta/usage", "amazon-bedrock-invocationMetrics"];
    for counted in usages.iter().filter_map(|place| get_path(value, place)) {
        if counted.is_object() {
            pieces.push(usage(counted));
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
            pieces.extend(get_path(value, "delta").and_then(stopped));
            pieces.extend(finish(get_path(value, "delta/stop_reason"))?);
        }
        Some("message_stop") => pieces.push(Piece::End),
        Some("message") | None => {
            let blocks = value.get("content").and_then(Value::as_array).into_iter().flatten();
            pieces.extend((0..).zip(blocks).flat_map(|(index, whole)| block(whole, Some(index))));
            pieces.extend(stopped(value));
            pieces.extend(finish(value.get("stop_reason"))?);
        }
        Some(_) => {}
    }
    Ok(pieces)
}

/// A piece of a block that starts: a tool's input is an empty object until it comes.
fn unfilled(piece: Piece<'_>) -> Piece<'_> {
    match piece {
        Piece::Tool(call) if call.arguments == "{}" => {
            Piece::Tool(ToolPiece { arguments: String::new(), ..call })
        }
        piece => piece,
    }
}

/// A content block, whole or as it starts.
pub(super) fn block(block: &Value, index: Option<u64>) -> Vec<Piece<'_>> {
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

pub(super) fn delta(delta: &Value, index: Option<u64>) -> Option<Piece<'_>> {
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

pub(super) fn finish<'v>(reason: Option<&Value>) -> Result<Option<Piece<'v>>, Refusal> {
    let reason = ending::word(reason).map(ending::finish_reason).transpose()?;
    Ok(reason.map(Piece::Finish))
}

/// The stop sequence that an answer ended at.
fn stopped(ending: &Value) -> Option<Piece<'_>> {
    let sequence = ending.get("stop_sequence").and_then(Value::as_str)?;
    (!sequence.is_empty()).then(|| Piece::Stopped(sequence.into()))
}

pub(super) fn usage(usage: &Value) -> Piece<'static> {
    let written = usage.get("output_tokens").or(usage.get("outputTokenCount"));
    Piece::Usage(counts(usage, written.and_then(count)))
}

/// What was read from the cache or written to it is not among the `input_tokens`.
pub(super) fn counts(usage: &Value, completion: Option<u64>) -> Counts {
    let found = |name: &str| usage.get(name).and_then(count);
    let cached = found("cache_read_input_tokens");
    let prompt = found("input_tokens").or_else(|| found("inputTokenCount")).map(|fresh| {
        let written = found("cache_creation_input_tokens").unwrap_or(0);
        fresh.saturating_add(cached.unwrap_or(0)).saturating_add(written)
    });
    Counts { prompt, completion, cached, ..Counts::default() }
}
