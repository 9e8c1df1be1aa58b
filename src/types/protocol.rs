//! The protocols that upstreams speak.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The wire protocol of an upstream, or the one whose extra fields a client sent.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Protocol {
    /// everything OpenAI-compatible
    OpenAi,
    /// Ollama's own API
    Ollama,
    /// Anthropic Messages
    Anthropic,
    /// Google's Gemini API
    Gemini,
}

impl Protocol {
    /// Every protocol.
    pub const ALL: [Self; 4] = [Self::OpenAi, Self::Ollama, Self::Anthropic, Self::Gemini];

    /// Its name in the config.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Ollama => "ollama",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
        }
    }
}
