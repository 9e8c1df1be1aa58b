//! The endpoints of this dialect, for the description of the API.

use serde_json::{Value, json};

use super::{
    TokenCount,
    request::MessagesRequest,
    wire::{Event, MessageObject},
};
use crate::server::operation::{ErrorForm, Operation};

pub(in crate::server) fn operations() -> Vec<Operation> {
    let new = |at: (&'static str, &str), summary| {
        Operation::new(at, "Anthropic", ErrorForm::Anthropic, summary)
    };
    vec![
        new(("post", "/v1/messages"), "Answers a conversation.")
            .reads::<MessagesRequest>(example())
            .answers::<MessageObject<'_>>()
            .streams::<Event<'_>>("text/event-stream")
            .runs(),
        new(("post", "/v1/messages/count_tokens"), "Counts the tokens of a conversation.")
            .reads::<MessagesRequest>(example())
            .answers::<TokenCount>()
            .fails(&[404]),
        new(("get", "/api/hello"), "Says that somebody is there.").silently(),
    ]
}

fn example() -> Value {
    json!({
        "model": "chorus", "max_tokens": 1000,
        "messages": [{ "role": "user", "content": "Hello" }],
    })
}
