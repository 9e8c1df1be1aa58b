//! The endpoints of this dialect, for the description of the API.

use schemars::JsonSchema;
use serde_json::json;

use super::{
    super::operation::{ErrorForm, Operation},
    Deleted,
    item::TextEvent,
    request::CreateRequest,
    wire::{ErrorEvent, Event, ItemEvent, ResponseObject, Snapshot},
};

/// Any event of a stream.
#[derive(JsonSchema)]
#[schemars(rename = "ResponseEvent", untagged)]
#[expect(dead_code, reason = "it only says which there are")]
enum AnyEvent<'a> {
    Response(Event<Snapshot<'a>>),
    Item(Event<ItemEvent<'a>>),
    Text(Event<TextEvent<'a>>),
    Error(Event<ErrorEvent<'a>>),
}

pub(in super::super) fn operations() -> Vec<Operation> {
    let new = |at: (&'static str, &str), summary| {
        Operation::new(at, "OpenAI", ErrorForm::OpenAi, summary)
    };
    let kept = |method: &'static str, summary| {
        let about = "Of a response that is kept, and not another client's.";
        new((method, "/v1/responses/{id}"), summary)
            .takes("path", "id", &json!({ "type": "string" }), about)
            .fails(&[400, 404])
    };
    vec![
        new(
            ("post", "/v1/responses"),
            "Answers a conversation, in the form of OpenAI's newer API.",
        )
        .reads::<CreateRequest>(json!({ "model": "chorus", "input": "Hello" }))
        .answers::<ResponseObject<'_>>()
        .streams::<AnyEvent<'_>>("text/event-stream")
        .runs(),
        kept("get", "Shows a response as its last event had it.").answers::<ResponseObject<'_>>(),
        kept("delete", "Forgets a response.").answers::<Deleted>(),
    ]
}
