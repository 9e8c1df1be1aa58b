//! The endpoints of this dialect, for the description of the API.

use serde_json::json;

use super::{
    super::operation::{ErrorForm, Operation},
    Version,
    models::{Running, ShowRequest, Shown, Tags},
    request::{ChatRequest, GenerateRequest},
    wire::{ChatResponse, GenerateResponse},
};

const NDJSON: &str = "application/x-ndjson";

pub(in super::super) fn operations() -> Vec<Operation> {
    let hello = json!([{ "role": "user", "content": "Hello" }]);
    let mut all = vec![
        new(("get", "/"), "Says that somebody is there.").says().open(),
        new(("post", "/api/chat"), "Answers a conversation; a stream unless told otherwise.")
            .reads::<ChatRequest>(json!({ "model": "chorus", "messages": hello, "stream": false }))
            .answers::<ChatResponse<'_>>()
            .streams::<ChatResponse<'_>>(NDJSON)
            .streams_to_done::<ChatResponse<'_>>()
            .takes("query", "stream_format", &framing(), FRAMING)
            .runs(),
        new(("post", "/api/generate"), "Answers a prompt; a stream unless told otherwise.")
            .reads::<GenerateRequest>(
                json!({ "model": "chorus", "prompt": "Hello", "stream": false }),
            )
            .answers::<GenerateResponse<'_>>()
            .streams::<GenerateResponse<'_>>(NDJSON)
            .streams_to_done::<GenerateResponse<'_>>()
            .takes("query", "stream_format", &framing(), FRAMING)
            .runs(),
        new(("get", "/api/tags"), "Lists workflows, models and aliases.").answers::<Tags>(),
        new(("get", "/api/ps"), "Lists what is loaded, which nothing ever is.")
            .answers::<Running>(),
        new(("post", "/api/show"), "Shows a workflow, model or alias.")
            .reads::<ShowRequest>(json!({ "model": "chorus" }))
            .answers::<Shown>()
            .fails(&[404]),
        new(("get", "/api/version"), "The Ollama whose API this is.").answers::<Version>(),
    ];
    for (at, about) in [
        (("post", "/api/pull"), "Not supported: models are those of the config."),
        (("post", "/api/push"), "Not supported."),
        (("post", "/api/create"), "Not supported."),
        (("post", "/api/copy"), "Not supported."),
        (("delete", "/api/delete"), "Not supported."),
    ] {
        all.push(new(at, about).fails(&[501]));
    }
    let digest = json!({ "type": "string" });
    let blob = new(("post", "/api/blobs/{digest}"), "Not supported.").fails(&[501]);
    all.push(blob.takes("path", "digest", &digest, "Of a file's content."));
    all
}

const FRAMING: &str = "How a stream, and with it an error, is written; it wins over `Accept`.";

fn framing() -> serde_json::Value {
    json!({ "type": "string", "enum": ["sse", "ndjson"] })
}

fn new(at: (&'static str, &str), summary: &'static str) -> Operation {
    Operation::new(at, "Ollama", ErrorForm::Ollama, summary)
}
