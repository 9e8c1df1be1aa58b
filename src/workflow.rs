//! The engine: a plan, a conversation and the models make one stream of [`Event`]s.
//!
//! A run owns everything it does. Nothing is spawned: dropping [`Run::events`] cancels every
//! upstream call under it within one poll. A plain answer is that stream folded ([`Answer`]), so
//! there is one path for streaming and not.

mod context;
mod critical_path;
mod engine;
mod error;
mod failures;
mod level;
mod run;
pub mod stage;
mod step;
mod task;
#[cfg(test)]
mod tests;
mod tool_turn;
pub mod trace;
mod watch;
mod worst_case;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::{StreamExt, stream::BoxStream};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

pub use crate::config::DEFAULT_WORKFLOW;
pub use engine::{Engine, Route};
pub use error::{WorkflowError, in_words};
pub use failures::Failures;
pub use stage::drafts::DraftsCut;
#[cfg(any(test, fuzzing))]
pub(crate) use stage::lenient::objects;
pub use task::Task;
pub use trace::{RunStatus, Spent, StageStatus, UsageRecord, Warning, WorkflowExecutionDetails};
pub use watch::{LiveStage, RunSummary, RunWatch, SlowestStage};

use crate::{
    llm::{Delta, StatePiece, ToolCallDelta, split_folded},
    types::{FinishReason, ToolCall, TurnState, Usage, WorkflowId, join_state},
};

/// One execution. Dropping `events` cancels it.
pub struct Run {
    /// Its id, for the `x-chorus-workflow-id` header.
    pub id: WorkflowId,
    /// What is known of it so far, also after `events` was dropped.
    pub watch: RunWatch,
    /// Its text is passed on as it came.
    verbatim: bool,
    /// What happens; ends with `Finished` or `Failed`.
    pub events: BoxStream<'static, Event>,
}

/// What happens during a run, in order.
#[derive(Debug)]
pub enum Event {
    /// A stage began.
    StageStarted {
        /// Which.
        stage: StageKind,
        /// The worker's name; the stage's model otherwise.
        name: String,
    },
    /// A stage has been waiting for its permits for a while; at most once for a stage.
    StageQueued {
        /// Which.
        stage: StageKind,
        /// The worker's name; the stage's model otherwise.
        name: String,
    },
    /// A stage ended.
    StageFinished(StageReport),
    /// A worker has sent the first piece of its draft.
    DraftBegun,
    /// A worker's draft is finished; only where drafts are to be shown (`progress = "drafts"`).
    Draft {
        /// The worker's name.
        name: String,
        /// The whole draft.
        text: String,
    },
    /// A writer has failed, and the answer comes from somebody else; before its first piece.
    Fallback(Fallback),
    /// A writer's context has no room for all of the drafts.
    DraftsCut(DraftsCut),
    /// A model that is asked alone will be asked again after a pause: its upstream wants to be left
    /// alone, or has failed.
    Waiting {
        /// The model's name.
        model: String,
        /// How long the wait is.
        pause: Duration,
        /// The code of the failure before it.
        code: &'static str,
    },
    /// A piece of the answer, or of what comes with it.
    Delta(Delta),
    /// The answer is complete. Last event.
    Finished(Box<Finished>),
    /// There is no (complete) answer. Last event.
    Failed(Box<Failed>),
}

/// Which stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StageKind {
    /// Reads the task.
    Analyzer,
    /// Drafts.
    Worker,
    /// Scores.
    Reranker,
    /// Judges.
    Selector,
    /// Writes.
    Synthesizer,
}

impl StageKind {
    /// Its name in traces, warnings and progress lines.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Analyzer => "analyzer",
            Self::Worker => "worker",
            Self::Reranker => "reranker",
            Self::Selector => "selector",
            Self::Synthesizer => "synthesizer",
        }
    }
}

/// A stage's ending, for progress lines and the status header.
#[derive(Clone, Debug)]
pub struct StageReport {
    /// Which.
    pub stage: StageKind,
    /// The worker's name; the stage's model otherwise.
    pub name: String,
    /// How it ended.
    pub status: StageStatus,
    /// Milliseconds since it started.
    pub duration_ms: u64,
    /// One short phrase without prompts or keys: the task type, the worker selected, the error code.
    pub detail: Option<String>,
    /// Whether the run counts as degraded from here on.
    pub degrades: bool,
    /// The question's language in the analyzer's words, in its own report.
    pub language: Option<String>,
}

/// The successor of models that failed to answer. The run counts as degraded from here on.
#[derive(Clone, Debug)]
pub struct Fallback {
    /// The models that failed and their errors' codes; at least one.
    pub failed: Vec<(String, &'static str)>,
    /// The successor.
    pub to: Successor,
}

/// The source of the answer after a writer has failed.
#[derive(Clone, Debug)]
pub enum Successor {
    /// Another model, which writes one.
    Model(String),
    /// The draft of this worker is the answer.
    Draft(String),
}

/// A complete answer's ending.
#[derive(Debug)]
pub struct Finished {
    /// Why it ended.
    pub reason: FinishReason,
    /// What is reported to the client (`[server] usage` decides over which calls).
    pub usage: Usage,
    /// The sum of all calls, whatever is reported as usage.
    pub spent: Spent,
    /// The record of the run.
    pub trace: Arc<WorkflowExecutionDetails>,
}

/// A failed run's ending.
#[derive(Debug)]
pub struct Failed {
    /// Why there is no answer.
    pub error: WorkflowError,
    /// The record of the run.
    pub trace: Arc<WorkflowExecutionDetails>,
}

/// A run's events folded.
#[derive(Debug, Default)]
pub struct Answer {
    /// The whole text.
    pub text: String,
    /// The answering model's chain of thought.
    pub reasoning: String,
    /// The calls it wants made, whole but for those that [`Answer::whole_calls`] leaves out.
    pub tool_calls: Vec<ToolCall>,
    /// What it wants back with the turn: `details`, and by the calls' numbers what is beside them.
    pub state: AnswerState,
}

/// What the answering model wants back with the turn, beside its thoughts.
#[derive(Debug, Default)]
pub struct AnswerState {
    /// OpenRouter's `reasoning_details`.
    pub details: Vec<Value>,
    /// Other fields of the message.
    pub fields: Map<String, Value>,
    /// Fields beside the tool calls, by the calls' numbers.
    pub calls: BTreeMap<u32, Map<String, Value>>,
}

impl Answer {
    /// Takes what stands before a closing tag whose opening one stood in the prompt for thoughts.
    fn split_thoughts(&mut self) {
        if let Some((thoughts, text)) = split_folded(&self.text) {
            self.text = text;
            self.reasoning.push_str(&thoughts);
        }
    }

    /// The calls that can be made, with their numbers: of an answer that ended for its length not the
    /// one that it ended in.
    pub fn whole_calls(&self, reason: FinishReason) -> impl Iterator<Item = (u32, &ToolCall)> {
        let numbered = (0..).zip(&self.tool_calls);
        numbered.filter(move |(_, call)| reason != FinishReason::Length || call.is_whole())
    }

    /// Takes a delta in.
    pub fn push(&mut self, delta: &Delta) {
        match delta {
            Delta::Text(text) => self.text.push_str(text),
            Delta::Reasoning(text) => self.reasoning.push_str(text),
            Delta::ToolCall(call) => self.push_call(call),
            Delta::State(StatePiece::Details(details)) => {
                let mut state = TurnState::default();
                state.details = std::mem::take(&mut self.state.details);
                details.iter().for_each(|detail| state.add_detail(detail.clone()));
                self.state.details = state.details;
            }
            Delta::State(StatePiece::Fields(fields)) => {
                join_state(&mut self.state.fields, fields.clone());
            }
            Delta::State(StatePiece::Call { index, fields }) => {
                self.state.calls.entry(*index).or_default().extend(fields.clone());
            }
        }
    }

    /// Takes a piece of a tool call in.
    pub fn push_call(&mut self, delta: &ToolCallDelta) {
        let index = delta.index as usize;
        while self.tool_calls.len() <= index {
            self.tool_calls.push(ToolCall {
                id: String::new(),
                name: String::new(),
                arguments: String::new(),
            });
        }
        if let Some(call) = self.tool_calls.get_mut(index) {
            if let Some(id) = &delta.id {
                call.id.clone_from(id);
            }
            if let Some(name) = &delta.name {
                call.name.clone_from(name);
            }
            call.arguments.push_str(&delta.arguments);
        }
    }
}

impl Run {
    /// Runs to the end, the reading of finished upstream bodies included. `None` only when the
    /// events were taken away before.
    pub async fn fold(mut self) -> Option<Result<(Answer, Box<Finished>), Box<Failed>>> {
        let mut answer = Answer::default();
        let mut ending = None;
        while let Some(event) = self.events.next().await {
            match event {
                Event::Finished(finished) => ending = Some(Ok(finished)),
                Event::Failed(failed) => ending = Some(Err(failed)),
                Event::Delta(delta) => answer.push(&delta),
                Event::StageStarted { .. }
                | Event::StageQueued { .. }
                | Event::StageFinished(_)
                | Event::DraftBegun
                | Event::Draft { .. }
                | Event::Fallback(_)
                | Event::DraftsCut(_)
                | Event::Waiting { .. } => {}
            }
        }
        if !self.verbatim {
            answer.split_thoughts();
        }
        Some(ending?.map(|finished| (answer, finished)))
    }
}
