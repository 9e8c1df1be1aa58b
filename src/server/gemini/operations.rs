//! The endpoints of this dialect, for the description of the API.

use schemars::JsonSchema;
use serde_json::json;

use super::{
    TokenCount,
    request::{CountRequest, GenerateRequest},
    wire::GenerateResponse,
};
use crate::server::operation::{ErrorForm, Operation};

/// What a method takes.
#[derive(JsonSchema)]
#[schemars(rename = "GeminiBody", untagged)]
#[expect(dead_code, clippy::large_enum_variant, reason = "it only says which there are")]
enum AnyRequest {
    Generate(GenerateRequest),
    Count(CountRequest),
}

/// What a method answers; `:streamGenerateContent` an array of them, or events with `alt=sse`.
#[derive(JsonSchema)]
#[schemars(rename = "GeminiAnswer", untagged)]
#[expect(dead_code, reason = "it only says which there are")]
enum AnyResponse<'a> {
    Generate(GenerateResponse<'a>),
    Stream(Vec<GenerateResponse<'a>>),
    Count(TokenCount),
}

pub(in crate::server) fn operations() -> Vec<Operation> {
    let at = |path: &'static str, form| {
        let about =
            "Calls a method of a model: generateContent, streamGenerateContent, countTokens.";
        let id = "The name of a workflow, model or alias, a colon, and the method.";
        let pattern = json!({
            "type": "string", "pattern": "^.+:(generateContent|streamGenerateContent|countTokens)$",
        });
        let contents = json!([{ "role": "user", "parts": [{ "text": "Hello" }] }]);
        let framing = "`sse`: a stream is sent as server-sent events; else it is an array.";
        // Of another path there is nothing to call, as the error says.
        Operation::new(("post", path), "Gemini", form, about)
            .takes("path", "id", &pattern, id)
            .takes("query", "alt", &json!({ "type": "string", "enum": ["sse"] }), framing)
            .reads::<AnyRequest>(json!({ "contents": contents }))
            .answers::<AnyResponse<'_>>()
            .streams::<GenerateResponse<'_>>("text/event-stream")
            .runs()
            .fails(&[405])
    };
    // Without a method, a path of `/v1` is not Google's.
    vec![at("/v1beta/models/{id}", ErrorForm::Gemini), at("/v1/models/{id}", ErrorForm::Any)]
}
