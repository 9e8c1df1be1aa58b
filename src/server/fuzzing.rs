//! Request bodies, read as the endpoints read them, for the fuzzer.

use super::{anthropic, error::AppError, extract, gemini, ollama, openai, responses};

/// An endpoint that takes a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// `/v1/chat/completions`
    ChatCompletions,
    /// `/v1/completions`
    Completions,
    /// `/v1/responses`
    Responses,
    /// `/v1/embeddings`, Ollama's, and `/v1/rerank`
    Embeddings,
    /// `/api/chat`
    OllamaChat,
    /// `/api/generate`
    OllamaGenerate,
    /// `/api/show`
    OllamaShow,
    /// `/v1/messages`
    Messages,
    /// `/v1/messages/count_tokens`
    CountTokens,
    /// `:generateContent`
    GeminiGenerate,
    /// `:countTokens`
    GeminiCount,
}

/// Whether a body is good. What is not is refused with a 4xx.
///
/// # Errors
/// The status, where that is another one.
pub(crate) fn reads(body: Body, bytes: &[u8]) -> Result<bool, u16> {
    let read: Result<(), AppError> = match body {
        Body::ChatCompletions => openai::read_chat(bytes),
        Body::Completions => openai::read_completions(bytes),
        Body::Responses => responses::read_create(bytes),
        Body::Embeddings => extract::verbatim_body(bytes).map(drop),
        Body::OllamaChat => ollama::read_chat(bytes),
        Body::OllamaGenerate => ollama::read_generate(bytes),
        Body::OllamaShow => ollama::read_show(bytes),
        Body::Messages => anthropic::read_messages(bytes),
        Body::CountTokens => anthropic::read_count(bytes),
        Body::GeminiGenerate => gemini::read_generate(bytes),
        Body::GeminiCount => gemini::read_count(bytes),
    };
    match read {
        Ok(()) => Ok(true),
        Err(error) if error.status().is_client_error() => Ok(false),
        Err(error) => Err(error.status().as_u16()),
    }
}
