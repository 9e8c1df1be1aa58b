//! The record of a run, returned as `workflow` when a request asks for it.

#[cfg(test)]
mod tests;
mod usage;

use std::time::Duration;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

pub use usage::{Spent, UsageRecord};

use super::StageKind;
use crate::{
    llm::{Attempt, LlmError},
    types::{RequestId, Session, WorkflowId},
};

/// The whole record of one run.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct WorkflowExecutionDetails {
    /// The run.
    pub workflow_id: WorkflowId,
    /// The HTTP request it answered.
    pub request_id: RequestId,
    /// `workflow` or `direct`.
    pub mode: &'static str,
    /// The agent's session, where the request names one.
    #[serde(flatten)]
    pub session: Option<Session>,
    /// The client's background task, such as `title`, that `task_model` answered instead of a workflow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<&'static str>,
    /// The top level.
    #[serde(flatten)]
    pub level: LevelRecord,
    /// What Chorus itself added to the run: its time, less what the upstreams of the stages in `critical_path`
    /// took. An upstream's time is that in which its stage had nothing to do but wait for it (for permits, for a
    /// connection, for an answer, for the pause before another attempt), and from the first piece of its output to the
    /// last one all of it, however slowly the client reads. What runs beside the critical path does not count. In
    /// milliseconds, to the microsecond.
    #[serde(rename = "overhead_ms", serialize_with = "microseconds")]
    #[schemars(with = "f64")]
    pub overhead: Duration,
    /// The stages that decided when the run ended, in order: each began when the one before it had ended. Their
    /// durations add up to the run's, less what passed between them, which is part of the overhead.
    pub critical_path: Vec<CriticalStage>,
    /// What degraded the run, or was asked for and is otherwise, in the order it happened; repeated on the final object of a stream.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// One level of a plan, the top or a nested workflow.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct LevelRecord {
    /// The workflow's or member's name.
    pub name: String,
    /// How it ended.
    pub status: RunStatus,
    /// Milliseconds from its start to its end.
    pub total_ms: u64,
    /// Milliseconds to the first content or tool-call delta of the answering stage; top level only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_token_ms: Option<u64>,
    /// The sum of all calls of the level and below.
    pub usage: UsageRecord,
    /// Absent when the plan has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analyzer: Option<AnalyzerRecord>,
    /// The workers, in plan order.
    pub workers: Vec<WorkerRecord>,
    /// Absent when the plan has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reranker: Option<RerankerRecord>,
    /// Absent when the plan has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<SelectorRecord>,
    /// The answering stage: the plan's synthesizer, or the model of a direct call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synthesizer: Option<SynthesizerRecord>,
    /// A decision worth noting: tools sent to the first worker's model, consensus reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// Everything worked.
    Ok,
    /// Something failed and the answer still came.
    Degraded,
    /// No complete answer.
    Failed,
    /// The client left, or the server shut down.
    Cancelled,
}

impl RunStatus {
    /// Its name in the trace and the `x-chorus-status` header.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How a stage ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StageStatus {
    /// It did its work.
    Ok,
    /// It did not.
    Failed,
    /// Its time limit ran out.
    Timeout,
    /// It was stopped because the run could do without it.
    Cut,
    /// The run ended under it.
    #[default]
    Cancelled,
    /// It had nothing to do, or could not take the input.
    Skipped,
}

impl StageStatus {
    /// Its name in the trace.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::Cut => "cut",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
        }
    }
}

/// The source of a temperature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TemperatureSource {
    /// The plan's node.
    Node,
    /// The analyzer.
    Auto,
    /// The client.
    Request,
    /// The model's config.
    Model,
    /// The rule's last line.
    Default,
}

/// What every stage that makes a call records.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct CallRecord {
    /// The `[[model]]` that answered, or was asked last.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// How it ended.
    pub status: StageStatus,
    /// `status` is `ok`.
    pub success: bool,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorRecord>,
    /// Milliseconds since the run's start.
    pub started_ms: u64,
    /// Waiting for permits.
    pub queued_ms: u64,
    /// Milliseconds from its start to its end, waiting included.
    pub duration_ms: u64,
    /// Milliseconds from its start to its first output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_token_ms: Option<u64>,
    /// The temperature that was really sent.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "rounded")]
    pub temperature: Option<f32>,
    /// The source of the temperature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature_source: Option<TemperatureSource>,
    /// HTTP exchanges made.
    pub attempts: usize,
    /// Each of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<AttemptRecord>,
    /// The first call was late to speak, and a second one was made (`hedge_after_ms`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hedged: bool,
    /// Why the output ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<&'static str>,
    /// What it cost.
    pub usage: UsageRecord,
}

impl CallRecord {
    /// Notes the temperature that was really sent, if one was.
    pub(super) fn sent(&mut self, temperature: Option<f32>) {
        self.temperature = temperature;
        if temperature.is_none() {
            self.temperature_source = None;
        }
    }
}

/// One HTTP exchange.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct AttemptRecord {
    /// `host` or `host:port`.
    pub endpoint: String,
    /// `ok`, an error code, or `cancelled` when it was hung up on: another call spoke first, its
    /// stage was cut, or the deadline came.
    pub outcome: &'static str,
    /// How long it took.
    pub ms: u64,
}

impl From<&Attempt> for AttemptRecord {
    fn from(attempt: &Attempt) -> Self {
        Self {
            endpoint: attempt.endpoint.clone(),
            outcome: attempt.outcome,
            ms: millis(attempt.duration),
        }
    }
}

/// Why a stage failed.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ErrorRecord {
    /// Stable.
    pub code: &'static str,
    /// What failed in words; no prompt, no key.
    pub message: String,
}

impl From<&LlmError> for ErrorRecord {
    fn from(error: &LlmError) -> Self {
        Self { code: error.kind.code(), message: error.message.clone() }
    }
}

/// The analyzer's record.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct AnalyzerRecord {
    /// Its call. `temperature` is the one *advised*.
    #[serde(flatten)]
    pub call: CallRecord,
    /// What kind of task it saw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_type: Option<String>,
    /// The language of the question.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// What it changed of the level's policy, where it may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overrides: Option<OverridesRecord>,
}

/// What an analyzer changed.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct OverridesRecord {
    /// The workers that stayed, when it left some out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub workers: Vec<String>,
    /// How many answers are enough now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quorum: Option<usize>,
}

/// A worker's record.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct WorkerRecord {
    /// Unique among its siblings.
    pub name: String,
    /// Its call; of a nested workflow only status and times.
    #[serde(flatten)]
    pub call: CallRecord,
    /// Its text, only in the trace returned to the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<String>,
    /// The record of a member that is a workflow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nested: Option<Box<LevelRecord>>,
}

/// The reranker's record.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RerankerRecord {
    /// Its call.
    #[serde(flatten)]
    pub call: CallRecord,
    /// Scores by worker name, the best first.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub scores: IndexMap<String, f64>,
    /// The workers whose candidates went on, in that order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<String>,
    /// `order[i]` is the index of the candidate shown as label i + 1.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub order: Vec<usize>,
    /// Why it was not asked, or what became of the candidates without its scores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The selector's record.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SelectorRecord {
    /// Its call.
    #[serde(flatten)]
    pub call: CallRecord,
    /// Name of the best candidate's worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selected_worker: Option<String>,
    /// Index of its member in `workers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selected_index: Option<usize>,
    /// The judge's reason, or why it was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Scores by worker name.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub scores: IndexMap<String, f64>,
    /// `order[i]` is the index of the candidate shown as label i + 1.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub order: Vec<usize>,
    /// The consensus candidate stood in for an unusable verdict.
    pub fallback: bool,
}

/// The answering stage's record.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SynthesizerRecord {
    /// Its call.
    #[serde(flatten)]
    pub call: CallRecord,
    /// Another model, or the selected candidate, stood in.
    pub fallback: bool,
    /// The model or draft that stood in, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback_reason: Option<String>,
}

/// A stage that others waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CriticalStage {
    /// Which.
    pub stage: StageKind,
    /// The worker's name; the stage's model otherwise.
    pub name: String,
    /// The nested workflows it was in, from the outermost on: `panel/inner`. Absent at the top.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// The time from its beginning to its end, or until it was cancelled; written in milliseconds,
    /// to the microsecond.
    #[serde(rename = "duration_ms", serialize_with = "microseconds")]
    #[schemars(with = "f64")]
    pub duration: Duration,
}

/// Something failed and the answer still came, or is not quite what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Warning {
    /// `analyzer`, `worker`, `reranker`, `selector` or `synthesizer`; `request` for what was asked.
    pub stage: &'static str,
    /// The worker's name; the stage's model otherwise, or what the request named.
    pub name: String,
    /// The error's code.
    pub code: &'static str,
}

/// An `f32` as people wrote it: 0.3, not the 0.30000001192092896 that widening makes of it.
#[expect(clippy::ref_option, reason = "the signature serde calls")]
fn rounded<S: Serializer>(value: &Option<f32>, serializer: S) -> Result<S::Ok, S::Error> {
    value.map(|value| (f64::from(value) * 1e6).round() / 1e6).serialize(serializer)
}

/// Milliseconds, to the microsecond.
fn microseconds<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    ((value.as_secs_f64() * 1e6).round() / 1e3).serialize(serializer)
}

/// Whole milliseconds.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
