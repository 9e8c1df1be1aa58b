//! What is known of a run from outside, while it goes on and after its end.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::{
    Event, Failures, StageKind, StageReport, StageStatus, Task, WorkflowExecutionDetails,
    trace::{RunStatus, UsageRecord, Warning, millis},
};
use crate::{
    llm::Delta,
    types::{Amount, WorkflowId},
};

/// The most that is kept of an answer's text, in bytes.
const TEXT_BYTES: usize = 64 * 1024;

/// A view of a run, whose ending it outlives. Clones are views of the same.
#[derive(Clone, Debug)]
pub struct RunWatch(Arc<Mutex<Watched>>);

#[derive(Debug)]
struct Watched {
    summary: RunSummary,
    stages: Vec<LiveStage>,
    steps: u64,
    /// Once it has ended.
    trace: Option<Arc<WorkflowExecutionDetails>>,
    /// Where texts are kept.
    text: Option<String>,
}

/// What one log line says of a run.
#[derive(Clone, Debug)]
pub struct RunSummary {
    /// The run.
    pub workflow_id: WorkflowId,
    /// The workflow's name, or the model's for a direct call.
    pub name: String,
    /// `workflow` or `direct`.
    pub mode: &'static str,
    /// `cancelled` until the run ends by itself.
    pub status: RunStatus,
    /// Milliseconds to the first content or tool-call delta.
    pub first_token_ms: Option<u64>,
    /// The client's background task that one small model answered instead of a workflow.
    pub task: Option<Task>,
    /// What failed below it and which codes, in the order it happened, in one short phrase; empty
    /// when nothing did.
    pub failures: Failures,
    /// Upstream attempts made.
    pub calls: u64,
    /// The sum of all calls that have ended.
    pub usage: UsageRecord,
    /// The stage of the critical path that took longest, once the run is over.
    pub slowest: Option<SlowestStage>,
    /// What those of them cost whose price is known, in [`PICODOLLARS`](crate::types::PICODOLLARS).
    pub picodollars: u64,
}

/// A stage, and how long it took.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SlowestStage {
    /// Which.
    pub stage: StageKind,
    /// The worker's name; the stage's model otherwise.
    pub name: String,
    /// From its beginning to its end.
    pub duration_ms: u64,
}

impl SlowestStage {
    fn of(trace: &WorkflowExecutionDetails) -> Option<Self> {
        let slowest = trace.critical_path.iter().max_by_key(|stage| stage.duration)?;
        let (stage, name) = (slowest.stage, slowest.name.clone());
        Some(Self { stage, name, duration_ms: millis(slowest.duration) })
    }
}

impl fmt::Display for SlowestStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} ms", self.stage.as_str(), self.name, self.duration_ms)
    }
}

impl RunSummary {
    /// What the run took.
    #[must_use]
    pub fn amount(&self) -> Amount {
        let (calls, tokens) = (self.calls, self.usage.total_tokens);
        Amount { calls, tokens, picodollars: self.picodollars }
    }
}

/// A stage of a run that goes on.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct LiveStage {
    /// Which.
    pub stage: StageKind,
    /// The worker's name; the stage's model otherwise.
    pub name: String,
    /// `queued`, `running`, or how it ended.
    #[serde(serialize_with = "as_word")]
    #[schemars(with = "String")]
    pub state: StageState,
    /// Milliseconds from the run's start to its own.
    pub started_ms: u64,
    /// Milliseconds from its start to its end, once it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// One short phrase: the task's type, the worker selected, the error's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// How far a stage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageState {
    /// It waits for permits.
    Queued,
    /// It is at work.
    Running,
    /// It has ended.
    Ended(StageStatus),
}

fn as_word<S: Serializer>(state: &StageState, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match state {
        StageState::Queued => "queued",
        StageState::Running => "running",
        StageState::Ended(status) => status.as_str(),
    })
}

impl RunWatch {
    pub(super) fn new(
        workflow_id: WorkflowId,
        name: String,
        mode: &'static str,
        task: Option<Task>,
        keeps_text: bool,
    ) -> Self {
        let summary = RunSummary {
            workflow_id,
            name,
            mode,
            status: RunStatus::Cancelled,
            first_token_ms: None,
            task,
            failures: Failures::default(),
            calls: 0,
            usage: UsageRecord::default(),
            slowest: None,
            picodollars: 0,
        };
        let text = keeps_text.then(String::new);
        let watched = Watched { summary, stages: Vec::new(), steps: 0, trace: None, text };
        Self(Arc::new(Mutex::new(watched)))
    }

    /// The summary as far as it is known.
    #[must_use]
    pub fn summary(&self) -> RunSummary {
        self.with(|watched| watched.summary.clone())
    }

    /// Its id.
    #[must_use]
    pub fn workflow_id(&self) -> WorkflowId {
        self.with(|watched| watched.summary.workflow_id)
    }

    /// The stages that have begun, in that order.
    #[must_use]
    pub fn stages(&self) -> Vec<LiveStage> {
        self.with(|watched| watched.stages.clone())
    }

    /// A number that grows with every step of the run that can be seen.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.with(|watched| watched.steps)
    }

    /// The record, once the run is over, however it ended.
    #[must_use]
    pub fn trace(&self) -> Option<Arc<WorkflowExecutionDetails>> {
        self.with(|watched| watched.trace.clone())
    }

    /// The same; it is taken away.
    #[must_use]
    pub fn take_trace(&self) -> Option<Arc<WorkflowExecutionDetails>> {
        self.with(|watched| watched.trace.take())
    }

    /// The answer's text as far as it came, where texts are kept; it is taken away.
    #[must_use]
    pub fn take_text(&self) -> Option<String> {
        self.with(|watched| watched.text.take())
    }

    /// An attempt goes out.
    pub(super) fn attempt_began(&self) {
        self.with(|watched| watched.summary.calls += 1);
    }

    /// A call has ended; what the run took by now.
    pub(super) fn spent(&self, usage: UsageRecord, picodollars: u64) {
        self.with(|watched| {
            (watched.summary.usage, watched.summary.picodollars) = (usage, picodollars);
        });
    }

    /// What the run has taken by now.
    #[must_use]
    pub fn amount(&self) -> Amount {
        self.with(|watched| watched.summary.amount())
    }

    /// A stage failed.
    pub(super) fn stage_failed(&self, warning: &Warning) {
        self.with(|watched| watched.summary.failures.push(warning));
    }

    /// The first content or tool-call delta; later ones change nothing.
    pub(super) fn first_token(&self, ms: u64) {
        self.with(|watched| {
            watched.steps += 1;
            watched.summary.first_token_ms.get_or_insert(ms);
        });
    }

    /// Something happened, so long after the run began.
    pub(super) fn note(&self, event: &Event, ms: impl FnOnce() -> u64) {
        match event {
            Event::StageStarted { stage, name } => self.with(|watched| {
                watched.steps += 1;
                let (name, state, started_ms) = (name.clone(), StageState::Running, ms());
                let (duration_ms, detail) = (None, None);
                let stage = *stage;
                watched.stages.push(LiveStage {
                    stage,
                    name,
                    state,
                    started_ms,
                    duration_ms,
                    detail,
                });
            }),
            Event::StageQueued { stage, name } => self.with(|watched| {
                watched.steps += 1;
                if let Some(one) = watched.at_work(*stage, name) {
                    one.state = StageState::Queued;
                }
            }),
            Event::StageFinished(report) => self.with(|watched| watched.stage_ended(report, ms)),
            Event::Delta(Delta::Text(text)) => self.with(|watched| {
                if let Some(kept) = &mut watched.text
                    && kept.len() + text.len() <= TEXT_BYTES
                {
                    kept.push_str(text);
                }
            }),
            _ => {}
        }
    }

    pub(super) fn ended(&self, trace: &Arc<WorkflowExecutionDetails>) {
        self.with(|watched| {
            watched.summary.status = trace.level.status;
            watched.summary.slowest = SlowestStage::of(trace);
            watched.trace = Some(Arc::clone(trace));
        });
    }

    fn with<T>(&self, change: impl FnOnce(&mut Watched) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Watched {
    /// The one of this name that has not ended; a writer may have made way for another.
    fn at_work(&mut self, stage: StageKind, name: &str) -> Option<&mut LiveStage> {
        let is_open =
            |one: &&mut LiveStage| one.stage == stage && !matches!(one.state, StageState::Ended(_));
        let named = self.stages.iter().any(|one| {
            one.stage == stage && one.name == name && !matches!(one.state, StageState::Ended(_))
        });
        self.stages.iter_mut().filter(is_open).find(|one| !named || one.name == name)
    }

    fn stage_ended(&mut self, report: &StageReport, ms: impl FnOnce() -> u64) {
        self.steps += 1;
        let state = StageState::Ended(report.status);
        let (duration_ms, detail) = (Some(report.duration_ms), report.detail.clone());
        match self.at_work(report.stage, &report.name) {
            Some(one) => {
                let started_ms = one.started_ms;
                let (stage, name) = (report.stage, report.name.clone());
                *one = LiveStage { stage, name, state, started_ms, duration_ms, detail };
            }
            // It had no beginning that anybody was told of.
            None => {
                let started_ms = ms().saturating_sub(report.duration_ms);
                let (stage, name) = (report.stage, report.name.clone());
                self.stages.push(LiveStage { stage, name, state, started_ms, duration_ms, detail });
            }
        }
    }
}
