//! The answers of `POST /v1/completions` (OpenAI's API reference, "The completion object"), field
//! by field.

use schemars::JsonSchema;
use serde::Serialize;

use super::super::{
    super::wire::{Microseconds, Never, Record},
    wire::UsageObject,
};

/// A plain answer, and each event of a stream.
#[derive(Serialize, JsonSchema)]
pub(super) struct Completion<'a> {
    /// The same on every chunk.
    pub(super) id: &'a str,
    /// `text_completion`, also on chunks.
    pub(super) object: &'static str,
    /// Unix seconds.
    pub(super) created: i64,
    /// Chorus' own.
    pub(super) created_at: Microseconds,
    /// The name the client used.
    pub(super) model: &'a str,
    pub(super) choices: &'a [Choice<'a>],
    /// Null on the chunks of a stream that ends with a chunk of usage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) usage: Option<Option<UsageObject>>,
    /// The record of a single prompt's run.
    #[serde(flatten)]
    pub(super) record: Record<'a>,
}

/// The answer to one prompt, or a piece of it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CompletionChoice")]
pub(super) struct Choice<'a> {
    /// The prompt's place in the list.
    pub(super) index: usize,
    pub(super) text: &'a str,
    /// Always null: a fused answer has none.
    #[schemars(with = "()")]
    pub(super) logprobs: Option<Never>,
    /// Null until the last.
    pub(super) finish_reason: Option<&'static str>,
    /// The record of the choice's own run, where there are several.
    #[serde(flatten)]
    pub(super) record: Record<'a>,
}
