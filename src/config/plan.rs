//! The plan: the checked, expanded tree of stages that a workflow's JSON describes.

mod expand;
mod grammar;
mod json;

use std::time::Duration;

use indexmap::IndexMap;

pub(super) use expand::{Copies, count, expand};
pub(super) use grammar::{LONGEST_LIMIT, Workflow};
pub(super) use json::{Reader, Reference};

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

impl Plan {
    /// How many worker calls one request makes at most, fallbacks aside.
    #[must_use]
    pub fn leaf_count(&self) -> usize {
        let of = |member: &Member| match member {
            Member::Leaf(_) => 1,
            Member::Nested(plan) => plan.leaf_count(),
        };
        self.members.iter().map(of).sum()
    }

    /// Calls per request by model when everything that can be needed is needed: every stage once,
    /// a selector twice (its one repair try), every `fallback` model once. Not counted are retries,
    /// which `[workflow.retry]` bounds per call, and repairs of refused parameters. In the order in
    /// which the plan names the models.
    #[must_use]
    pub fn worst_case_calls(&self) -> IndexMap<String, u64> {
        let mut calls = IndexMap::new();
        self.count_calls(&mut calls);
        calls
    }

    fn count_calls(&self, calls: &mut IndexMap<String, u64>) {
        let mut add = |stage: &Stage, times: u64| {
            *calls.entry(stage.model.clone()).or_default() += times;
            for model in &stage.fallback {
                *calls.entry(model.clone()).or_default() += 1;
            }
        };
        if let Some(stage) = &self.analyzer {
            add(stage, 1);
        }
        for member in &self.members {
            if let Member::Leaf(leaf) = member {
                add(&leaf.stage, 1);
            }
        }
        if let Some(stage) = &self.selector {
            add(stage, 2);
        }
        if let Some(stage) = &self.synthesizer {
            add(stage, 1);
        }
        for member in &self.members {
            if let Member::Nested(plan) = member {
                plan.count_calls(calls);
            }
        }
    }
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

impl Stage {
    /// A model without options.
    pub fn of(model: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            temperature: None,
            auto_temperature: None,
            max_tokens: None,
            system: None,
            timeout: None,
            fallback: Vec::new(),
        }
    }
}

/// A direct entry of `workers`.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a handful, made once at start-up")]
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
