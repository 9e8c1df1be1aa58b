//! What stages and levels tell each other: the vocabulary between the loop of a level, its board and
//! the stages, none of which has to know the others for it.

use futures::stream::BoxStream;

use super::{
    Event, StageKind, StageReport,
    trace::{
        AnalyzerRecord, ErrorRecord, LevelRecord, SelectorRecord, StageStatus, SynthesizerRecord,
        WorkerRecord,
    },
};
use crate::{
    llm::{CallStream, LlmError, LlmErrorKind},
    types::{FinishReason, Usage},
};

/// What a stage reports to the loop of its level.
pub(super) enum Step {
    /// For the client.
    Event(Event),
    /// The analyzer ended.
    Analyzed(Box<Analysis>),
    /// A member ended.
    Member { seat: usize, outcome: Box<MemberOutcome> },
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
    pub(super) seat: usize,
    /// Its worker's name.
    pub(super) name: String,
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
}

/// Why a member or a level has no answer.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) kind: FailureKind,
    pub(super) code: &'static str,
    pub(super) message: String,
}

/// The kinds that a run's failure is told apart by.
#[derive(Clone, Debug)]
pub(super) enum FailureKind {
    /// One model.
    Model(LlmError),
    /// A level: the names and failures of its members, how many others succeeded, and how many it
    /// needed.
    Members { members: Vec<(String, Failure)>, succeeded: usize, needed: usize },
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

/// What became of a level.
pub(super) struct LevelOutcome {
    pub(super) record: LevelRecord,
    /// The level's candidates for its parent; at the top one, the answer.
    pub(super) result: Result<Vec<Candidate>, Failure>,
    /// What the answering stage's call cost.
    pub(super) answer_usage: Usage,
}

/// What the analyzer advises; empty when there is none or it failed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Advice {
    pub(super) task_type: Option<String>,
    /// 0 to 2.
    pub(super) temperature: Option<f32>,
    pub(super) language: Option<String>,
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
    })
}
