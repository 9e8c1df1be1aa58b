//! Refusals of pictures and tools: what the model cannot take at all. Pure.

use serde_json::{Map, Value};

use crate::llm::{
    Call,
    protocol::upstream_error::{Refusal, words::mentions},
};

/// Whether a model says that it cannot see.
pub(super) fn refuses_images(refusal: &Refusal, words: &str, call: &Call) -> bool {
    const NAMES: [&str; 4] = ["image", "vision", "multimodal", "multi-modal"];
    const WHY: [&str; 9] = [
        "support",
        "unknown variant",
        "unexpected",
        "text only",
        "text-only",
        "only text",
        "mmproj",
        "not a multimodal",
        "does not have",
    ];
    // A picture that is broken or too big says nothing about the next one.
    const THIS_ONE: [&str; 15] = [
        "invalid image",
        "unsupported image",
        "valid image",
        "image type",
        "image_format",
        "media_type",
        "mime",
        "download",
        "decode",
        "fetch",
        "too large",
        "corrupt",
        "dimension",
        "image format",
        "formats",
    ];
    may_refuse_input(refusal.refused_status())
        && call.messages.iter().any(crate::types::Message::has_image)
        && mentions(words, &NAMES)
        && mentions(words, &WHY)
        && !mentions(words, &THIS_ONE)
}

/// Whether a model says that it has no tools.
pub(super) fn refuses_tools(refusal: &Refusal, words: &str, body: &Map<String, Value>) -> bool {
    const PHRASES: [&str; 12] = [
        "not support tool",
        "not support function",
        "support tool use",
        "support tool call",
        "tools is not supported",
        "tools are not supported",
        "tool use is not supported",
        "tool calling is not supported",
        "function calling is not",
        "requires --jinja",
        "enable-auto-tool-choice",
        "unsupported parameter: 'tools'",
    ];
    // What is said of the choice is not said of the tools.
    let words = words.replace("tool_choice", "").replace("toolchoice", "");
    let blamed = refusal.blames("tools") && words.contains("support");
    may_refuse_input(refusal.refused_status())
        && body.contains_key("tools")
        && (blamed || mentions(&words, &PHRASES))
}

/// Servers say "I cannot see" with many statuses, llama.cpp even with 500.
fn may_refuse_input(status: u16) -> bool {
    matches!(status, 400 | 404 | 415 | 422 | 500 | 501)
}
