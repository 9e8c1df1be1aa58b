//! The encoding of streamed answers by itself, without a run or a connection: for
//! `benches/encode.rs`.

use super::{
    anthropic,
    dialect::Dialect,
    frames::{Channel, Encoder, EventEncoder},
    gemini, ollama, openai, responses,
};
use crate::{llm::Delta, workflow::Event};

/// A form that streamed answers have.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    /// `/v1/chat/completions`.
    ChatCompletion,
    /// `/v1/completions`.
    Completion,
    /// `/v1/responses`.
    Response,
    /// `/v1/messages`.
    Message,
    /// Gemini's `:streamGenerateContent`, as SSE.
    Gemini,
    /// `/api/chat`, one line each.
    OllamaChat,
    /// `/api/generate`, one line each.
    OllamaGenerate,
}

/// Encodes an answer of so many pieces of text, each for a write of its own; the bytes of all.
#[must_use]
pub fn encode(form: Form, pieces: usize, text: &str) -> usize {
    match form {
        Form::ChatCompletion => of(openai::chat_reply("m"), Dialect::OpenAi, pieces, text),
        Form::Completion => of(openai::completion_reply("m"), Dialect::OpenAi, pieces, text),
        Form::Response => of(responses::plain_reply("m"), Dialect::OpenAi, pieces, text),
        Form::Message => of(anthropic::plain_reply("m"), Dialect::Anthropic, pieces, text),
        Form::Gemini => of(gemini::plain_reply("m"), Dialect::Gemini { sse: true }, pieces, text),
        Form::OllamaChat => of(ollama::chat_reply("m"), Dialect::Ollama, pieces, text),
        Form::OllamaGenerate => of(ollama::generate_reply("m"), Dialect::Ollama, pieces, text),
    }
}

fn of(encoder: impl Encoder, dialect: Dialect, pieces: usize, text: &str) -> usize {
    let channel = Channel::SHOWN;
    let mut encoder = EventEncoder::new(encoder, dialect, channel, false);
    let mut bytes = 0;
    for _ in 0..pieces {
        let _delta = encoder.take(Some((0, Event::Delta(Delta::Text(text.to_owned())))));
        while let Some(write) = encoder.frames.next_write() {
            bytes += write.len();
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is measured is what is sent: a longer text makes each of its frames longer.
    #[test]
    fn every_piece_is_in_a_frame_of_its_own() {
        for form in [
            Form::ChatCompletion,
            Form::Completion,
            Form::Response,
            Form::Message,
            Form::Gemini,
            Form::OllamaChat,
            Form::OllamaGenerate,
        ] {
            let (short, long) = (encode(form, 9, "ab"), encode(form, 9, "abc"));
            assert_eq!(long - short, 9, "{form:?}");
        }
    }
}
