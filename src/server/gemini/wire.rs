//! The answers of `:generateContent` (Gemini's API reference, "GenerateContentResponse"), field by
//! field.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{server::wire::Record, types::Usage};

/// A plain answer, and a piece of a streamed one.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "GeminiResponse")]
#[serde(rename_all = "camelCase")]
pub(super) struct GenerateResponse<'a> {
    /// The name the client used. It and the id stand first: the rest is cut from a template.
    pub(super) model_version: &'a str,
    pub(super) response_id: &'a str,
    /// None on a sign of life, else one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) candidates: Option<[Candidate<'a>; 1]>,
    /// On the last piece.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) usage_metadata: Option<UsageMetadata>,
    #[serde(flatten)]
    pub(super) record: Record<'a>,
}

/// The one answer.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "GeminiCandidate")]
#[serde(rename_all = "camelCase")]
pub(super) struct Candidate<'a> {
    pub(super) content: Content<'a>,
    /// On the last piece.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) finish_reason: Option<&'static str>,
    pub(super) index: u8,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "GeminiContent")]
pub(super) struct Content<'a> {
    pub(super) parts: Vec<Part<'a>>,
    pub(super) role: &'static str,
}

/// A part: one of text and call.
#[derive(Default, Serialize, JsonSchema)]
#[schemars(rename = "GeminiPart")]
#[serde(rename_all = "camelCase")]
pub(super) struct Part<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<&'a str>,
    /// Only of thoughts: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thought: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) function_call: Option<FunctionCall<'a>>,
    /// What Google's models want back with the part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thought_signature: Option<&'a str>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "GeminiFunctionCall")]
pub(super) struct FunctionCall<'a> {
    pub(super) id: &'a str,
    pub(super) name: &'a str,
    pub(super) args: Map<String, Value>,
}

/// `usageMetadata`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct UsageMetadata {
    prompt_token_count: u64,
    /// Without those of the thoughts.
    candidates_token_count: u64,
    total_token_count: u64,
    #[serde(skip_serializing_if = "is_none")]
    cached_content_token_count: u64,
    #[serde(skip_serializing_if = "is_none")]
    thoughts_token_count: u64,
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

impl From<&Usage> for UsageMetadata {
    fn from(usage: &Usage) -> Self {
        Self {
            prompt_token_count: usage.prompt_tokens,
            candidates_token_count: usage.completion_tokens.saturating_sub(usage.reasoning_tokens),
            total_token_count: usage.total_tokens(),
            cached_content_token_count: usage.cached_tokens,
            thoughts_token_count: usage.reasoning_tokens,
        }
    }
}
