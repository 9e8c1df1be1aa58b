//! The plan: the checked, expanded tree of stages that a workflow's JSON describes.

use std::time::Duration;

/// One level of a workflow: who analyses, who drafts, who judges, who writes.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// `chorus` at the top, the member's name below it.
    pub name: String,
    /// Without one: no advice at the top, the parent's analysis in a nested level.
    pub analyzer: Option<Stage>,
    /// At least one.
    pub members: Vec<Member>,
    /// Without one the consensus candidate is best.
    pub selector: Option<Stage>,
    /// Without one the best candidate is the answer.
    pub synthesizer: Option<Stage>,
    /// How members are waited for.
    pub policy: Policy,
}

/// A model in a role.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// Name of the `[[model]]`, checked to exist.
    pub model: String,
    /// The node's own temperature.
    pub temperature: Option<f32>,
    /// Whether the analyzer's temperature is wanted here.
    pub auto_temperature: Option<bool>,
    /// Upper bound of the output, in tokens.
    pub max_tokens: Option<u32>,
    /// Text added to the stage's system message.
    pub system: Option<String>,
    /// The node's own time limit.
    pub timeout: Option<Duration>,
    /// Models tried in order when the first fails, checked to exist.
    pub fallback: Vec<String>,
}

/// A direct entry of `workers`.
#[derive(Clone, Debug, PartialEq)]
pub enum Member {
    /// One model.
    Leaf(Leaf),
    /// A workflow of its own.
    Nested(Plan),
}

impl Member {
    /// What the trace calls it; unique among its siblings.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Leaf(leaf) => &leaf.name,
            Self::Nested(plan) => &plan.name,
        }
    }
}

/// A worker that is one model call.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaf {
    /// `name` of the node, else its model; copies and samples get `#1`, `#2`, ...
    pub name: String,
    /// The call.
    pub stage: Stage,
    /// Number of this copy of the node, from 0: added to the request's seed.
    pub copy: u32,
}

/// `policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Fewer successful members than this, and the level fails. Default 1.
    pub min_success: usize,
    /// When workers start.
    pub schedule: Schedule,
}

impl Default for Policy {
    fn default() -> Self {
        Self { min_success: 1, schedule: Schedule::Overlap }
    }
}

/// `schedule`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// A worker that does not depend on the analysis starts at once.
    Overlap,
    /// Every worker waits for the analysis.
    Sequential,
}
