//! The events of `POST /v1/responses` and what they hold (the Open Responses specification, and
//! OpenAI's API reference, "Streaming events"), field by field. The response itself is in
//! [`super::resource`].

use schemars::JsonSchema;
use serde::Serialize;

use super::{item::ItemObject, resource::Resource};
use crate::server::wire::{Never, Record};

/// An event: its type and number come first.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ResponseEvent_{P}")]
pub(super) struct Event<P> {
    /// The same as the name of the SSE event.
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    /// The event's number, from 0 without gaps.
    pub(super) sequence_number: u64,
    #[serde(flatten)]
    pub(super) payload: P,
}

/// The payload of `response.created`, `in_progress`, `completed`, `incomplete` and `failed`.
#[derive(Serialize, JsonSchema)]
pub(super) struct Snapshot<'a> {
    pub(super) response: ResponseObject<'a>,
}

/// A response, also as the plain answer.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Response")]
pub(super) struct ResponseObject<'a> {
    #[serde(flatten)]
    pub(super) resource: &'a Resource,
    #[serde(flatten)]
    pub(super) record: Record<'a>,
}

/// The payload of `response.output_item.added` and `done`.
#[derive(Serialize, JsonSchema)]
pub(super) struct ItemEvent<'a> {
    /// The item's place, from 0.
    pub(super) output_index: usize,
    pub(super) item: ItemObject<'a>,
}

/// The payload of `error`, in one shape for every parser: flat as OpenAI's, nested as Open
/// Responses wants it.
#[derive(Serialize, JsonSchema)]
pub(super) struct ErrorEvent<'a> {
    code: &'static str,
    message: &'a str,
    #[schemars(with = "()")]
    param: Option<Never>,
    error: NestedError<'a>,
}

#[derive(Serialize, JsonSchema)]
struct NestedError<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    code: &'static str,
    message: &'a str,
    #[schemars(with = "()")]
    param: Option<Never>,
}

impl<'a> ErrorEvent<'a> {
    pub(super) fn new(kind: &'static str, code: &'static str, message: &'a str) -> Self {
        let error = NestedError { kind, code, message, param: None };
        Self { code, message, param: None, error }
    }
}
