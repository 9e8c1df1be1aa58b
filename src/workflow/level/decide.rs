//! How the best candidate is found once nobody drafts any more.

use std::collections::HashSet;

use super::state::{LevelState, MemberState};
use crate::{
    config::{Reranker, Stage, ToolTurns},
    workflow::{
        stage::{
            consensus::{Consensus, consensus},
            fallback, reranker, selector,
        },
        step::{Candidate, Failure, Selection},
        tool_turn::ToolTurn,
    },
};

/// What is due when every member has ended.
pub(super) enum Decision {
    /// The level above can do without this one.
    Nothing,
    /// Too few succeeded.
    Failed(Failure),
    /// There are more candidates than are to be judged.
    Rerank(Reranker),
    /// A nested level without selector and synthesizer.
    AllGoUp,
    /// No judge is needed.
    Known(Box<Selection>),
    /// The judge is.
    Ask(Stage),
}

impl LevelState {
    /// The writer, when it goes on alone: the turn only brings results of tools, and its prompt is the
    /// one it had before, with these at the end. Should it fail, the workers' models are its fallbacks.
    pub(super) fn writes_alone(&mut self) -> Option<Stage> {
        if !self.reader.is_client() || self.plan.policy.tool_turns == ToolTurns::Panel {
            return None;
        }
        let mut stage = self.plan.synthesizer.clone()?;
        match ToolTurn::of(&self.run.request.messages)? {
            ToolTurn::Failure(sign) => {
                self.note = Some(format!(
                    "a result of a tool looks like a failure ({sign}): the panel is asked again"
                ));
                None
            }
            ToolTurn::Results => {
                let why = "the turn only brings results of tools: the writer goes on alone";
                self.note = Some(why.to_owned());
                let others = self.plan.tool_callers().into_iter().map(|(name, _)| name.to_owned());
                let known: Vec<String> = stage.names().map(str::to_owned).collect();
                stage.fallback.extend(others.filter(|name| !known.contains(name)));
                self.nobody_drafts();
                Some(stage)
            }
        }
    }

    /// The drafting is over, or the reranking: says how the best candidate is found.
    pub(super) fn decide(&mut self) -> Decision {
        if self.is_stopping() {
            return Decision::Nothing;
        }
        if self.candidates.is_empty() {
            if self.successes() < self.plan.policy.min_success.max(1) {
                return Decision::Failed(self.members_failure());
            }
            self.gather();
        }
        if self.agrees() {
            return self.known("the candidates agree");
        }
        if let Some(reranker) = &self.plan.reranker
            && self.reranker.is_none()
        {
            if self.candidates.len() > reranker.top_k {
                return Decision::Rerank(reranker.clone());
            }
            let reason = "there are no more candidates than are kept";
            self.reranker = Some(reranker::skipped(&self.run, reason));
        }
        let top = self.reader.is_client();
        match &self.plan.selector {
            None if !top && self.plan.synthesizer.is_none() => Decision::AllGoUp,
            None => self.known("the plan has no selector: consensus"),
            Some(stage) => match selector::skip_reason(&self.texts()) {
                Some(reason) => self.known(reason),
                None => Decision::Ask(stage.clone()),
            },
        }
    }

    /// The consensus candidate is the best one.
    pub(super) fn known(&mut self, reason: &str) -> Decision {
        let best = self.common().best;
        match self.candidates.get(best) {
            Some(chosen) => {
                Decision::Known(Box::new(selector::skipped(&self.run, chosen, best, reason)))
            }
            None => Decision::Failed(self.members_failure()),
        }
    }

    /// Collects the answers, each under a name of its own: two panels may both have a `b`.
    pub(super) fn gather(&mut self) {
        for member in &self.members {
            if let MemberState::Ended(outcome) = member
                && let Ok(candidates) = &outcome.result
            {
                self.candidates.extend(candidates.iter().cloned());
            }
        }
        name_apart(&mut self.candidates);
    }

    pub(super) fn texts(&self) -> Vec<&str> {
        self.candidates.iter().map(|one| one.text.as_str()).collect()
    }

    /// What the candidates have in common. Long drafts take their time, and most runs need it not.
    pub(super) fn common(&mut self) -> Consensus {
        if self.consensus.is_none() {
            self.consensus = consensus(&self.texts());
        }
        self.consensus.unwrap_or(Consensus { best: 0, agreement: 1.0 })
    }

    /// Whether the candidates are so alike that their consensus is the level's answer. One alone
    /// agrees with nobody, and of those that a reranker chose nobody asks.
    fn agrees(&mut self) -> bool {
        let Some(wanted) = self.plan.policy.agreement else { return false };
        let several = self.candidates.len() > 1 && self.reranker.is_none();
        let decides = self.plan.selector.is_some() || self.plan.synthesizer.is_some();
        if !(several && decides) {
            return false;
        }
        let Consensus { best, agreement } = self.common();
        let fits = self.candidates.get(best).is_some_and(|candidate| {
            fallback::spares_the_writer(&self.run, self.reader, candidate)
        });
        self.agreed = agreement >= wanted && fits;
        if self.agreed {
            self.note = Some(format!(
                "the candidates agree ({agreement:.2}, and {wanted} is enough): their consensus is \
                 the answer"
            ));
            if self.plan.reranker.is_some() {
                self.reranker = Some(reranker::skipped(&self.run, "the candidates agree"));
            }
        }
        self.agreed
    }

    pub(super) fn candidates(&self) -> Vec<Candidate> {
        self.candidates.clone()
    }
}

/// Gives candidates that share a name the one with the levels they came through; should even those
/// be equal (names may hold slashes), a number.
fn name_apart(candidates: &mut [Candidate]) {
    let mut names = candidates.iter().enumerate();
    if names.all(|(at, one)| candidates.iter().skip(at + 1).all(|other| one.name != other.name)) {
        return;
    }
    let names: Vec<String> = candidates.iter().map(|one| one.name.clone()).collect();
    let shared = |name: &String| names.iter().filter(|other| *other == name).count() > 1;
    let mut taken: HashSet<String> = names.iter().filter(|name| !shared(name)).cloned().collect();
    for candidate in candidates {
        if !shared(&candidate.name) {
            continue;
        }
        let mut name = candidate.path.clone();
        let mut number = 1;
        while taken.contains(&name) {
            number += 1;
            name = format!("{}#{number}", candidate.path);
        }
        taken.insert(name.clone());
        candidate.name = name;
    }
}
