//! What stages and levels say to each other: the vocabulary between the loop of a level, its state
//! and the stages, none of which has to know the others for it.

use std::sync::Arc;

use async_stream::stream;
use futures::stream::BoxStream;
use tokio::time::{Instant, sleep_until};

use super::{
    Event, StageKind, StageReport,
    critical_path::Chain,
    trace::{
        AnalyzerRecord, ErrorRecord, LevelRecord, RerankerRecord, SelectorRecord, StageStatus,
        SynthesizerRecord, WorkerRecord,
    },
};
use crate::{
    config::Quorum,
    llm::{CallStream, LlmError, LlmErrorKind},
    types::{FinishReason, Usage},
};

/// What a stage reports to the loop of its level.
pub(super) enum Step {
    /// An event for the client.
    Event(Event),
    /// The analyzer ended.
    Analyzed(Box<Analysis>),
    /// A member ended.
    Member { index: usize, outcome: Box<MemberOutcome> },
    /// The quorum has answered, and the others have had their grace.
    GraceOver,
    /// The workers' part of the deadline is over.
    DeadlineOver,
    /// The level above can do without this one.
    Cancelled,
    /// Every member has ended, or the reranker has: the next stage is due.
    Judge,
    /// The reranker ended.
    Reranked(Box<Reranking>),
    /// The best candidate is known.
    Selected(Box<Selection>),
    /// The synthesizer ended.
    Answered(Box<Answered>),
    /// The level ended; the last step that means anything.
    Done(Box<LevelOutcome>),
}

/// Stages and levels alike.
pub(super) type Steps = BoxStream<'static, Step>;

/// One successful answer at this level.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// Index of its member.
    pub(super) index: usize,
    /// Its worker's name, unique among the candidates of its level.
    pub(super) name: String,
    /// Its name and those of the levels it came up through: `panel/b`.
    pub(super) path: String,
    /// The model that wrote it.
    pub(super) model: String,
    pub(super) text: String,
    pub(super) reason: FinishReason,
    /// What the call that wrote it cost.
    pub(super) usage: Usage,
}

/// What became of a member.
pub(super) struct MemberOutcome {
    pub(super) record: WorkerRecord,
    pub(super) result: Result<Vec<Candidate>, Failure>,
    /// Failures of models whose fallback then answered.
    pub(super) overcome: Vec<LlmError>,
    /// The chain of stages that decided when it ended.
    pub(super) chain: Chain,
}

/// Why a member or a level has no answer.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) kind: FailureKind,
    pub(super) code: &'static str,
    pub(super) message: String,
}

/// The kinds of a run's failure.
#[derive(Clone, Debug)]
pub(super) enum FailureKind {
    /// A model's failure.
    Model(LlmError),
    /// A level's failure.
    Members {
        /// Their names and failures.
        members: Vec<(String, Failure)>,
        /// How many others succeeded.
        succeeded: usize,
        /// How many it needed.
        needed: usize,
        /// Some were still at work when the deadline ended them.
        by_deadline: bool,
    },
}

impl Failure {
    pub(super) fn of(error: &LlmError) -> Self {
        Self {
            kind: FailureKind::Model(error.clone()),
            code: error.kind.code(),
            message: error.message.clone(),
        }
    }

    /// Whether nothing below succeeded and every model that was asked failed in this way. One that
    /// could not take the input was left out, unless that is the way.
    pub(super) fn is_wholly(&self, way: impl Fn(LlmErrorKind) -> bool) -> bool {
        let leaves = self.leaves();
        let mut asked = leaves.iter().filter(|error| error.kind != LlmErrorKind::UnsupportedInput);
        let all = leaves.iter().all(|error| way(error.kind));
        let all_asked = asked.clone().next().is_some() && asked.all(|error| way(error.kind));
        self.is_total() && (all || all_asked)
    }

    /// Whether the models that were asked can give no answer for as long as the config or the
    /// provider stays as it is, or the circuit open; or cannot take this input at all.
    pub(super) fn is_for_good(&self) -> bool {
        let leaves = self.leaves();
        self.is_total() && !leaves.is_empty() && leaves.iter().all(|error| is_for_good(error.kind))
    }

    /// Whether the deadline left too few answers.
    pub(super) fn is_by_deadline(&self) -> bool {
        matches!(self.kind, FailureKind::Members { by_deadline: true, .. })
    }

    /// Whether not one member below succeeded.
    fn is_total(&self) -> bool {
        match &self.kind {
            FailureKind::Model(_) => true,
            FailureKind::Members { members, succeeded, .. } => {
                *succeeded == 0 && members.iter().all(|(_, failure)| failure.is_total())
            }
        }
    }

    /// The errors of every model below.
    pub(super) fn leaves(&self) -> Vec<&LlmError> {
        match &self.kind {
            FailureKind::Model(error) => vec![error],
            FailureKind::Members { members, .. } => {
                members.iter().flat_map(|(_, failure)| failure.leaves()).collect()
            }
        }
    }
}

/// Whether asking the model again would be answered in the same way.
pub(super) fn is_for_good(kind: LlmErrorKind) -> bool {
    matches!(
        kind,
        LlmErrorKind::Unauthorized
            | LlmErrorKind::NotFound
            | LlmErrorKind::CircuitOpen
            | LlmErrorKind::UnsupportedInput
    )
}

/// What became of a level.
pub(super) struct LevelOutcome {
    pub(super) record: LevelRecord,
    /// The level's candidates for its parent; at the top one, the answer.
    pub(super) result: Result<Vec<Candidate>, Failure>,
    /// What the answering stage's call cost.
    pub(super) answer_usage: Usage,
    /// The chain of stages that decided when it ended.
    pub(super) chain: Chain,
}

/// What the analyzer advises; empty when there is none or it failed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Advice {
    pub(super) task_type: Option<String>,
    /// 0 to 2.
    pub(super) temperature: Option<f32>,
    pub(super) language: Option<String>,
    pub(super) overrides: Option<Overrides>,
}

/// An analysis that has ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) advice: Arc<Advice>,
    /// The chain of stages that decided when it ended.
    pub(super) chain: Chain,
}

/// What an analyzer would change of its level's policy.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Overrides {
    /// Names of members that are there, each once; empty: all of them.
    pub(super) workers: Vec<String>,
    pub(super) quorum: Option<Quorum>,
}

/// What became of the analysis.
pub(super) struct Analysis {
    pub(super) advice: Advice,
    pub(super) record: AnalyzerRecord,
    /// The error's code and message, when there is no advice.
    pub(super) failure: Option<ErrorRecord>,
    /// Models that failed before another one was asked, and why.
    pub(super) overcome: Vec<(String, ErrorRecord)>,
    pub(super) rest: Vec<CallStream>,
}

/// Which candidates go on to be judged, and how that was found.
pub(super) struct Reranking {
    /// Indices into the candidates, the best first.
    pub(super) kept: Vec<usize>,
    pub(super) record: RerankerRecord,
    /// There are no scores to go by.
    pub(super) failure: Option<ErrorRecord>,
    /// Models that failed before another one was asked, and why.
    pub(super) overcome: Vec<(String, ErrorRecord)>,
    pub(super) rest: Vec<CallStream>,
}

/// Which candidate is best, and how that was found.
pub(super) struct Selection {
    /// Index into the candidates.
    pub(super) best: usize,
    pub(super) record: SelectorRecord,
    /// The judge was asked and gave nothing usable.
    pub(super) failure: Option<ErrorRecord>,
    /// Models that failed before another one was asked, and why.
    pub(super) overcome: Vec<(String, ErrorRecord)>,
    pub(super) rest: Vec<CallStream>,
}

/// What became of the answer.
pub(super) struct Answered {
    pub(super) record: SynthesizerRecord,
    pub(super) result: Result<FinishReason, LlmError>,
    /// The text, for a parent.
    pub(super) text: String,
    /// What the writer's calls cost.
    pub(super) usage: Usage,
    /// Failures on the way, each a warning when the answer came all the same.
    pub(super) overcome: Vec<LlmError>,
}

/// A stage's end, for progress lines.
pub(super) fn report(
    stage: StageKind,
    name: &str,
    status: StageStatus,
    duration_ms: u64,
    detail: Option<String>,
    degrades: bool,
) -> Event {
    Event::StageFinished(StageReport {
        stage,
        name: name.to_owned(),
        status,
        duration_ms,
        detail,
        degrades,
        language: None,
    })
}

/// A step that is due now.
pub(super) fn ready(step: Step) -> Steps {
    Box::pin(futures::stream::iter([step]))
}

/// A step that comes at its time; at once when that is over, before anything else is begun.
pub(super) fn at(time: Instant, step: Step) -> Steps {
    Box::pin(stream! {
        if time > Instant::now() {
            sleep_until(time).await;
        }
        yield step;
    })
}
