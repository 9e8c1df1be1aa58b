//! What is shown of a run: while it goes on, in a list, and alone.

use std::{sync::Arc, time::Instant};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::{
    types::{RequestId, WorkflowId},
    workflow::{
        LiveStage, RunStatus, RunSummary, RunWatch, SlowestStage, Task, UsageRecord, Warning,
        WorkflowExecutionDetails,
        trace::{CallRecord, LevelRecord, millis},
    },
};

/// What is known of a run from its beginning on.
#[derive(Debug)]
pub(in crate::server) struct Began {
    pub(in crate::server) request_id: RequestId,
    pub(in crate::server) started_at: Timestamp,
    /// The name of the `[[client]]`.
    pub(in crate::server) client: Option<Arc<str>>,
    /// The model that was asked for.
    pub(in crate::server) model: String,
    pub(in crate::server) path: Arc<str>,
    /// The last thing that the user said, where texts are kept.
    pub(in crate::server) question: Option<String>,
}

/// What became of its request.
#[derive(Debug, Default)]
pub(in crate::server) struct Ended {
    /// None: the client left before there was one.
    pub(in crate::server) http_status: Option<u16>,
    pub(in crate::server) error: Option<RunError>,
}

/// Why there was no answer.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(in crate::server) struct RunError {
    /// Stable.
    pub(in crate::server) code: &'static str,
    /// In words; no prompt, no key.
    pub(in crate::server) message: String,
}

/// A run that is over, as lists show it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RunEntry")]
pub(in crate::server) struct Entry {
    /// The run.
    pub(in crate::server) workflow_id: WorkflowId,
    /// The HTTP request it answered.
    pub(in crate::server) request_id: RequestId,
    /// When it began.
    pub(in crate::server) started_at: Timestamp,
    /// The `[[client]]` that asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::server) client: Option<Arc<str>>,
    /// The model that was asked for.
    pub(in crate::server) model: String,
    /// The workflow that answered, or the model.
    pub(in crate::server) name: String,
    /// `workflow` or `direct`.
    pub(in crate::server) mode: &'static str,
    /// The client's background task that `task_model` answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::server) task: Option<&'static str>,
    /// The endpoint of Chorus.
    pub(in crate::server) path: Arc<str>,
    /// How it ended.
    pub(in crate::server) status: RunStatus,
    /// The status of its HTTP response; absent where the client left before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::server) http_status: Option<u16>,
    /// Why there was no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::server) error: Option<RunError>,
    /// Milliseconds from its start to its end.
    pub(in crate::server) total_ms: u64,
    /// Milliseconds to the first piece of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::server) first_token_ms: Option<u64>,
    /// Calls of upstreams.
    pub(in crate::server) calls: u64,
    /// The sum of all calls.
    pub(in crate::server) usage: UsageRecord,
    /// The stage of its critical path that took longest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::server) slowest: Option<SlowestStage>,
    /// The worker whose draft the selector chose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::server) selected_worker: Option<String>,
    /// What degraded it.
    pub(in crate::server) warnings: Vec<Warning>,
}

/// A run that is over, whole.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "KeptRun")]
pub(in crate::server) struct KeptRun {
    #[serde(flatten)]
    pub(in crate::server) entry: Entry,
    /// The record, as `include_workflow` gives it, but for texts that are not kept.
    pub(in crate::server) trace: WorkflowExecutionDetails,
    /// What the user asked, where texts are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    question: Option<String>,
    /// What was answered, where texts are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<String>,
}

impl KeptRun {
    pub(in crate::server) fn new(
        began: &Began,
        summary: &RunSummary,
        ended: &Ended,
        trace: Arc<WorkflowExecutionDetails>,
        answer: Option<String>,
    ) -> Self {
        let mut trace = Arc::unwrap_or_clone(trace);
        if answer.is_none() {
            forget_words(&mut trace.level);
        }
        let selector = trace.level.selector.as_ref();
        let entry = Entry {
            workflow_id: summary.workflow_id,
            request_id: began.request_id,
            started_at: began.started_at,
            client: began.client.clone(),
            model: began.model.clone(),
            name: summary.name.clone(),
            mode: summary.mode,
            task: summary.task.map(Task::as_str),
            path: Arc::clone(&began.path),
            status: summary.status,
            http_status: ended.http_status,
            error: ended.error.clone(),
            total_ms: trace.level.total_ms,
            first_token_ms: summary.first_token_ms,
            calls: summary.calls,
            usage: summary.usage,
            slowest: summary.slowest.clone(),
            selected_worker: selector.and_then(|selector| selector.selected_worker.clone()),
            warnings: trace.warnings.clone(),
        };
        Self { entry, trace, question: began.question.clone(), answer }
    }

    /// Whether this is the run's id, or its request's.
    pub(in crate::server) fn is(&self, id: &str) -> bool {
        self.entry.request_id.as_str() == id || self.entry.workflow_id.to_string() == id
    }
}

/// Takes out what models wrote.
fn forget_words(level: &mut LevelRecord) {
    for worker in &mut level.workers {
        worker.response = None;
        if let Some(nested) = &mut worker.nested {
            forget_words(nested);
        }
    }
    if let Some(selector) = &mut level.selector
        && was_asked(&selector.call)
    {
        selector.reason = None;
    }
}

/// A reason is the model's own only then.
fn was_asked(call: &CallRecord) -> bool {
    call.attempts > 0
}

/// A run in flight, and what ends it.
#[derive(Clone, Debug)]
pub(in crate::server) struct InFlight {
    pub(in crate::server) began: Arc<Began>,
    pub(in crate::server) watch: RunWatch,
    pub(in crate::server) since: Instant,
    pub(in crate::server) cancel: CancellationToken,
}

/// A run in flight, as it is shown.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::server) struct LiveRun {
    /// The run.
    pub(in crate::server) workflow_id: WorkflowId,
    /// The HTTP request it answers.
    request_id: RequestId,
    /// When it began.
    started_at: Timestamp,
    /// The `[[client]]` that asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::server) client: Option<Arc<str>>,
    /// The model that was asked for.
    pub(in crate::server) model: String,
    /// The workflow that answers, or the model.
    pub(in crate::server) name: String,
    /// `workflow` or `direct`.
    mode: &'static str,
    /// The endpoint of Chorus.
    path: Arc<str>,
    /// Milliseconds since it began.
    elapsed_ms: u64,
    /// Milliseconds to the first piece of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_token_ms: Option<u64>,
    /// Calls of upstreams so far.
    calls: u64,
    /// The sum of those that have ended.
    usage: UsageRecord,
    /// The stages that have begun, in that order.
    stages: Vec<LiveStage>,
}

impl LiveRun {
    pub(in crate::server) fn of(run: &InFlight) -> Self {
        let summary = run.watch.summary();
        Self {
            workflow_id: summary.workflow_id,
            request_id: run.began.request_id,
            started_at: run.began.started_at,
            client: run.began.client.clone(),
            model: run.began.model.clone(),
            name: summary.name,
            mode: summary.mode,
            path: Arc::clone(&run.began.path),
            elapsed_ms: millis(run.since.elapsed()),
            first_token_ms: summary.first_token_ms,
            calls: summary.calls,
            usage: summary.usage,
            stages: run.watch.stages(),
        }
    }

    /// What the oldest have the most of.
    pub(in crate::server) fn age(&self) -> (std::cmp::Reverse<u64>, String) {
        (std::cmp::Reverse(self.elapsed_ms), self.workflow_id.to_string())
    }
}
