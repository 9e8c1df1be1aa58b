//! The plan: the checked, expanded tree of stages that a workflow's JSON describes.

mod cost;
mod expand;
mod level;
mod reader;

use std::{iter, time::Duration};

pub use cost::{ANSWER_TOKENS, PROMPT_TOKENS, Sizes, Spending};
pub(super) use expand::{count, expand};
pub(super) use level::{Level, Worker};
pub(super) use reader::{Reader, Reference, Written};

pub use super::file::plan::{Schedule, ToolTurns, WorkerTools};
use super::{LimitKind, Model};

/// One level of a workflow: who analyses, who drafts, who judges, who writes.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The workflow's name at the top, the member's below it.
    pub name: String,
    /// Without one: no advice at the top, the parent's analysis in a nested level.
    pub analyzer: Option<Stage>,
    /// The workers, at least one.
    pub members: Vec<Member>,
    /// Without one every candidate is judged.
    pub reranker: Option<Reranker>,
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

    /// The models that get the conversation whole, here and below: the synthesizers' and the workers'.
    #[must_use]
    pub fn readers(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.synthesizer.iter().map(|one| one.model.as_str()).collect();
        for member in &self.members {
            match member {
                Member::Leaf(leaf) => names.push(&leaf.stage.model),
                Member::Nested(plan) => names.extend(plan.readers()),
            }
        }
        names
    }

    /// The stages that answer alone when tools are asked for and no synthesizer is there: the models
    /// of the workers, here and below, in the order in which they are tried, each with the stage that
    /// names it first.
    #[must_use]
    pub fn tool_callers(&self) -> Vec<(&str, &Stage)> {
        let mut found: Vec<(&str, &Stage)> = Vec::new();
        for member in &self.members {
            let callers = match member {
                Member::Leaf(leaf) => leaf.stage.names().map(|name| (name, &leaf.stage)).collect(),
                Member::Nested(plan) => plan.tool_callers(),
            };
            for caller in callers {
                if !found.iter().any(|(name, _)| *name == caller.0) {
                    found.push(caller);
                }
            }
        }
        found
    }

    /// Every stage, here and below, with its key in the plan; workers are `worker`.
    #[must_use]
    pub fn stages(&self) -> Vec<(&'static str, &Stage)> {
        let reranker = self.reranker.as_ref().map(|reranker| &reranker.stage);
        let own = [
            ("analyzer", self.analyzer.as_ref()),
            ("reranker", reranker),
            ("selector", self.selector.as_ref()),
            ("synthesizer", self.synthesizer.as_ref()),
        ];
        let own = own.into_iter().filter_map(|(key, stage)| Some((key, stage?)));
        let below = self.members.iter().flat_map(|member| match member {
            Member::Leaf(leaf) => vec![("worker", &leaf.stage)],
            Member::Nested(plan) => plan.stages(),
        });
        own.chain(below).collect()
    }

    /// The stages that wait for one call, here and below, with whose time limit they have: those
    /// that can be hedged.
    #[must_use]
    pub fn waiting_stages(&self) -> Vec<(LimitKind, &Stage)> {
        let own = [
            (LimitKind::Analyzer, &self.analyzer),
            (LimitKind::Selector, &self.selector),
            (LimitKind::Synthesizer, &self.synthesizer),
        ];
        let own = own.into_iter().filter_map(|(kind, stage)| Some((kind, stage.as_ref()?)));
        let below = self.members.iter().flat_map(|member| match member {
            Member::Leaf(_) => Vec::new(),
            Member::Nested(plan) => plan.waiting_stages(),
        });
        own.chain(below).collect()
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

/// `reranker`: scores the candidates and keeps the best few.
#[derive(Clone, Debug, PartialEq)]
pub struct Reranker {
    /// The stage that scores.
    pub stage: Stage,
    /// How many go on; default 3.
    pub top_k: usize,
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

/// `policy` of one level; levels below it do not inherit it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// Fewer successful members than this, and the level fails. Default 1.
    pub min_success: usize,
    /// How many successful members are enough; default all.
    pub quorum: Option<Quorum>,
    /// What the others have left once the quorum has answered. Default 0.
    pub grace: Duration,
    /// One limit of the level from its start to its end; default none.
    pub deadline: Option<Duration>,
    /// Candidates at least this alike (0 to 1) need neither selector nor synthesizer; default off.
    pub agreement: Option<f64>,
    /// When workers start.
    pub schedule: Schedule,
    /// Whether the level's analyzer may choose among its workers and lower the quorum.
    pub overrides: bool,
    /// What its workers are shown of the request's tools, which they may not call.
    pub worker_tools: WorkerTools,
    /// Who answers a turn that only brings results of tools, at the top level.
    pub tool_turns: ToolTurns,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            min_success: 1,
            quorum: None,
            grace: Duration::ZERO,
            deadline: None,
            agreement: None,
            schedule: Schedule::Overlap,
            overrides: false,
            worker_tools: WorkerTools::List,
            tool_turns: ToolTurns::Writer,
        }
    }
}

/// `quorum`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Quorum {
    /// That many members; at least 1.
    Members(usize),
    /// That part of the members, above 0 and below 1, rounded up.
    Share(f64),
}

impl Quorum {
    /// What a number means: a whole one of at least 1 counts members, one below 1 is a fraction.
    #[must_use]
    pub fn of_number(number: f64) -> Option<Self> {
        if number > 0.0 && number < 1.0 {
            return Some(Self::Share(number));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
        let members = number as usize;
        let whole = (1.0..=1e9).contains(&number) && number.fract() == 0.0;
        whole.then_some(Self::Members(members))
    }

    /// How many of so many members it is.
    #[must_use]
    pub fn of(self, members: usize) -> usize {
        match self {
            Self::Members(needed) => needed.min(members),
            // 0.07 of 100 is 7.000000000000001 in binary, and means 7.
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share of a member count is a member count"
            )]
            Self::Share(share) => ((share * members as f64 - 1e-9).ceil() as usize).min(members),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quorum_counts_members_or_is_a_share_rounded_up() {
        for (number, members, want) in [
            (1.0, 4, Some(1)),
            (3.0, 4, Some(3)),
            (9.0, 4, Some(4)),
            (0.5, 4, Some(2)),
            (0.5, 5, Some(3)),
            (0.75, 4, Some(3)),
            (0.01, 4, Some(1)),
            (0.07, 100, Some(7)),
            (0.99, 1, Some(1)),
            (0.5, 0, Some(0)),
            (1.5, 4, None),
            (0.0, 4, None),
            (-1.0, 4, None),
            (f64::NAN, 4, None),
            (f64::INFINITY, 4, None),
        ] {
            let got = Quorum::of_number(number).map(|quorum| quorum.of(members));
            assert_eq!(got, want, "{number} of {members}");
        }
    }
}
