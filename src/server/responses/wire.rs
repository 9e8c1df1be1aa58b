//! The events of `POST /v1/responses` and what they hold (the Open Responses specification, and
//! OpenAI's API reference, "Streaming events"), field by field. The response itself is in
//! [`super::resource`].

use serde::Serialize;

use super::{
    super::wire::{Never, Record},
    resource::Resource,
};

/// An event: its type and number come first.
#[derive(Serialize)]
pub(super) struct Event<P> {
    /// The same as the name of the SSE event.
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    /// From 0, without gaps.
    pub(super) sequence_number: u64,
    #[serde(flatten)]
    pub(super) payload: P,
}

/// The payload of `response.created`, `in_progress`, `completed`, `incomplete` and `failed`.
#[derive(Serialize)]
pub(super) struct Snapshot<'a> {
    pub(super) response: ResponseObject<'a>,
}

/// A response, also as the plain answer.
#[derive(Serialize)]
pub(super) struct ResponseObject<'a> {
    #[serde(flatten)]
    pub(super) resource: &'a Resource,
    #[serde(flatten)]
    pub(super) record: Record<'a>,
}

/// The payload of `response.output_item.added` and `done`.
#[derive(Serialize)]
pub(super) struct ItemEvent<'a> {
    /// The item's place, from 0.
    pub(super) output_index: usize,
    pub(super) item: ItemObject<'a>,
}

/// The payload of the events about an item's text.
#[derive(Serialize)]
pub(super) struct TextEvent<'a> {
    pub(super) item_id: &'a str,
    /// The item's place, from 0.
    pub(super) output_index: usize,
    /// Of reasoning; always 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) summary_index: Option<u8>,
    /// Of a message; always 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content_index: Option<u8>,
    #[serde(flatten)]
    pub(super) told: TextPiece<'a>,
    /// Beside a message's text; always empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) logprobs: Option<[Never; 0]>,
}

/// The one field that says something.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TextPiece<'a> {
    /// A piece of the text.
    Delta(&'a str),
    /// All of a message's or a summary's.
    Text(&'a str),
    /// All of a call's.
    Arguments(&'a str),
    /// The part that holds the text.
    Part(PartObject<'a>),
}

/// An item of the output.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ItemObject<'a> {
    Reasoning {
        id: &'a str,
        status: ItemStatus,
        summary: Vec<PartObject<'a>>,
    },
    Message {
        id: &'a str,
        status: ItemStatus,
        role: &'static str,
        content: Vec<PartObject<'a>>,
    },
    FunctionCall {
        id: &'a str,
        call_id: &'a str,
        name: &'a str,
        /// JSON as text.
        arguments: &'a str,
        status: ItemStatus,
    },
}

/// How far an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ItemStatus {
    InProgress,
    Completed,
    /// Only the last one can be, and calls that lack their end.
    Incomplete,
}

/// The one part of an item.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum PartObject<'a> {
    SummaryText { text: &'a str },
    OutputText { text: &'a str, annotations: [Never; 0], logprobs: [Never; 0] },
}

/// The payload of `error`, in one shape for every parser: flat as OpenAI's, nested as Open
/// Responses wants it.
#[derive(Serialize)]
pub(super) struct ErrorEvent<'a> {
    code: &'static str,
    message: &'a str,
    param: Option<Never>,
    error: NestedError<'a>,
}

#[derive(Serialize)]
struct NestedError<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    code: &'static str,
    message: &'a str,
    param: Option<Never>,
}

impl<'a> ErrorEvent<'a> {
    pub(super) fn new(kind: &'static str, code: &'static str, message: &'a str) -> Self {
        let error = NestedError { kind, code, message, param: None };
        Self { code, message, param: None, error }
    }
}
