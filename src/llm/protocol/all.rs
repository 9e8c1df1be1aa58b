//! The one place that knows all protocols.

use super::{Wire, anthropic::Anthropic, gemini::Gemini, ollama::Ollama, openai::OpenAi};
use crate::types::Protocol;

/// The protocol's own.
pub(in crate::llm) fn wire(protocol: Protocol) -> &'static dyn Wire {
    match protocol {
        Protocol::OpenAi => &OpenAi,
        Protocol::Ollama => &Ollama,
        Protocol::Anthropic => &Anthropic,
        Protocol::Gemini => &Gemini,
    }
}
