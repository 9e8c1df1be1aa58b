//! The endpoints of this dialect, for the description of the API.

use serde_json::json;

use super::{
    super::operation::{ErrorForm, Operation},
    completions,
    request::ChatRequest,
    wire::{ChatCompletion, ChatCompletionChunk},
};

pub(in super::super) fn operations() -> Vec<Operation> {
    let new = |at: (&'static str, &str), summary| {
        Operation::new(at, "OpenAI", ErrorForm::OpenAi, summary)
    };
    vec![
        new(("post", "/v1/chat/completions"), "Answers a conversation.")
            .reads::<ChatRequest>(
                json!({ "model": "chorus", "messages": [{ "role": "user", "content": "Hello" }] }),
            )
            .answers::<ChatCompletion<'_>>()
            .streams_to_done::<ChatCompletionChunk<'_>>()
            .runs(),
        completions::described(new(("post", "/v1/completions"), "Goes on from a prompt.")),
    ]
}
