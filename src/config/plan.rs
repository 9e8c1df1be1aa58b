//! The plan: the checked, expanded tree of stages that a workflow's JSON describes.

mod expand;
mod grammar;
mod json;

use std::{iter, sync::Arc, time::Duration};

use indexmap::IndexMap;

pub(super) use expand::{Copies, count, expand};
pub(super) use grammar::{LONGEST_LIMIT, Workflow};
pub(super) use json::{Reader, Reference};

use super::Model;

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

    /// Calls per request by model when everything that can be needed is needed: every model of a
    /// stage once, of a selector twice (its one repair try), and once more where the stage may ask
    /// it a second time elsewhere (`hedge_after_ms`; a fallback that is asked early is counted
    /// already). Not counted are retries, which `[workflow.retry]` bounds per call,
    /// and repairs of refused parameters. In the order in which the plan names the models.
    #[must_use]
    pub fn worst_case_calls(&self, models: &IndexMap<String, Arc<Model>>) -> IndexMap<String, u64> {
        let mut calls = IndexMap::new();
        self.count_calls(models, &mut calls);
        calls
    }

    fn count_calls(
        &self,
        models: &IndexMap<String, Arc<Model>>,
        calls: &mut IndexMap<String, u64>,
    ) {
        let mut add = |stage: &Stage, times: u64, second: Second| {
            for name in stage.names() {
                let again = models.get(name).is_some_and(|model| model.hedges_elsewhere());
                let again = u64::from(again && second == Second::Maybe);
                *calls.entry(name.to_owned()).or_default() += times + again;
            }
        };
        if let Some(stage) = &self.analyzer {
            add(stage, 1, Second::Maybe);
        }
        for member in &self.members {
            if let Member::Leaf(leaf) = member {
                add(&leaf.stage, 1, Second::Never);
            }
        }
        if let Some(stage) = &self.selector {
            add(stage, 2, Second::Maybe);
        }
        if let Some(stage) = &self.synthesizer {
            add(stage, 1, Second::Maybe);
        }
        for member in &self.members {
            if let Member::Nested(plan) = member {
                plan.count_calls(models, calls);
            }
        }
    }

    /// The stages that wait for one call, here and below: those that can be hedged.
    pub fn waiting_stages(&self) -> Vec<&Stage> {
        let own = [&self.analyzer, &self.selector, &self.synthesizer].into_iter().flatten();
        let below = self.members.iter().flat_map(|member| match member {
            Member::Leaf(_) => Vec::new(),
            Member::Nested(plan) => plan.waiting_stages(),
        });
        own.chain(below).collect()
    }
}

/// Whether a stage may make a second call while the first one is silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Second {
    /// It is a worker: others draft meanwhile.
    Never,
    /// It is waited for.
    Maybe,
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
    /// Its models, in the order in which they are asked.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        iter::once(&self.model).chain(&self.fallback).map(String::as_str)
    }

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
