//! The answers of `POST /api/generate` and `POST /api/chat` (Ollama's API documentation, and its
//! Go client's `api/types.go`), field by field.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::super::{
    error::AppError,
    wire::{Microseconds, Never, Record},
};
use crate::{
    types::{FinishReason, ToolCall},
    workflow::Finished,
};

/// Nothing is ever loaded; clients drop the whole final object when the field is missing.
const LOAD_DURATION: u64 = 1000;

/// A line of `/api/generate`; the last one is also the plain answer.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OllamaGenerateResponse")]
pub(super) struct GenerateResponse<'a> {
    /// The name the client used.
    pub(super) model: &'a str,
    pub(super) created_at: Microseconds,
    pub(super) response: &'a str,
    /// Absent when there is none: clients look for the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thinking: Option<&'a str>,
    pub(super) done: bool,
    #[serde(flatten)]
    pub(super) ending: Option<Ending<'a>>,
}

/// A line of `/api/chat`; the last one is also the plain answer.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OllamaChatResponse")]
pub(super) struct ChatResponse<'a> {
    /// The name the client used.
    pub(super) model: &'a str,
    pub(super) created_at: Microseconds,
    /// Chorus' own, for scripts: the text once more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response: Option<&'a str>,
    pub(super) message: AnswerMessage<'a>,
    pub(super) done: bool,
    #[serde(flatten)]
    pub(super) ending: Option<Ending<'a>>,
}

/// `message`: role and content are on every line.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OllamaMessage")]
pub(super) struct AnswerMessage<'a> {
    pub(super) role: &'static str,
    pub(super) content: &'a str,
    /// Absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thinking: Option<&'a str>,
    /// Whole, and absent when there are none.
    #[serde(skip_serializing_if = "<[CallObject<'_>]>::is_empty")]
    pub(super) tool_calls: &'a [CallObject<'a>],
}

/// One of the `tool_calls`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OllamaToolCall")]
pub(super) struct CallObject<'a> {
    id: &'a str,
    function: CalledFunction<'a>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OllamaCalledFunction")]
struct CalledFunction<'a> {
    index: usize,
    name: &'a str,
    arguments: Map<String, Value>,
}

impl<'a> CallObject<'a> {
    /// The calls of an answer.
    ///
    /// # Errors
    /// When the arguments of one are no JSON object.
    pub(super) fn all(calls: impl Iterator<Item = &'a ToolCall>) -> Result<Vec<Self>, AppError> {
        let calls = calls.enumerate().map(|(index, call)| {
            let arguments = arguments(&call.arguments)
                .ok_or_else(|| AppError::UnusableToolCall { tool: call.name.clone() })?;
            let function = CalledFunction { index, name: &call.name, arguments };
            Ok(Self { id: &call.id, function })
        });
        calls.collect()
    }
}

fn arguments(text: &str) -> Option<Map<String, Value>> {
    if text.trim().is_empty() {
        return Some(Map::new());
    }
    serde_json::from_str(text).ok()
}

/// What only the last line has.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OllamaEnding")]
pub(super) struct Ending<'a> {
    done_reason: &'static str,
    #[serde(flatten)]
    metrics: Option<Metrics>,
    #[serde(flatten)]
    record: Record<'a>,
}

/// How the answer came about; clients drop the whole line when one of the six is missing.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OllamaMetrics")]
struct Metrics {
    /// Only in answers to `/api/generate`. Always empty: there are no tokens to go on from.
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<[Never; 0]>,
    /// Nanoseconds, as all durations.
    total_duration: u64,
    load_duration: u64,
    prompt_eval_count: u64,
    prompt_eval_duration: u64,
    eval_count: u64,
    /// At least 1: clients divide by it.
    eval_duration: u64,
}

impl<'a> Ending<'a> {
    /// The ending of an answer; `generates` is for `/api/generate`.
    pub(super) fn of(finished: &'a Finished, generates: bool, include_workflow: bool) -> Self {
        let done_reason = match finished.reason {
            FinishReason::Length => "length",
            FinishReason::Stop
            | FinishReason::StopSequence(_)
            | FinishReason::ToolCalls
            | FinishReason::ContentFilter => "stop",
        };
        let usage = &finished.usage;
        let metrics = Metrics {
            context: generates.then_some([]),
            total_duration: nanos(Duration::from_millis(finished.trace.level.total_ms)),
            load_duration: LOAD_DURATION,
            prompt_eval_count: usage.prompt_tokens,
            prompt_eval_duration: nanos(usage.prompt_time),
            eval_count: usage.completion_tokens,
            eval_duration: nanos(usage.completion_time).max(1),
        };
        let record = Record::of(finished, include_workflow);
        Self { done_reason, metrics: Some(metrics), record }
    }

    /// The ending of a request that asked nothing.
    pub(super) fn loaded(unloads: bool) -> Self {
        let done_reason = if unloads { "unload" } else { "load" };
        Self { done_reason, metrics: None, record: Record::default() }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
