//! `samples` and `nested_worker_depth`: a plan as it was written becomes the plan that runs.

use std::collections::{HashMap, HashSet};

use super::{
    Leaf, Member, Plan, Policy, Stage,
    level::{Level, Worker},
    reader::Reader,
};
use crate::config::file::workflow::Copies;

/// How many leaves a plan has once its copies are made; `None` when beyond all counting. Nothing is
/// allocated for it.
pub(in crate::config) fn count(level: &Level, depth: u32) -> Option<u128> {
    let copies = copies_of_a_leaf(depth)?;
    level.leaves().into_iter().try_fold(0_u128, |sum, (_, _, samples)| {
        sum.checked_add(u128::from(samples).checked_mul(copies)?)
    })
}

/// `2^(depth - 1)`; none at depth 0.
fn copies_of_a_leaf(depth: u32) -> Option<u128> {
    let Some(doublings) = depth.checked_sub(1) else { return Some(0) };
    1_u128.checked_shl(doublings)
}

/// Makes the copies. Must only be called once [`count`] found few enough leaves. Reports members
/// of one level that end up with the same name.
pub(in crate::config) fn expand(
    level: Level,
    name: &str,
    depth: u32,
    mode: Copies,
    reader: &Reader<'_>,
) -> Plan {
    let Level { path, analyzer, workers, reranker, selector, synthesizer, policy } = level;
    let copies = copies_of_a_leaf(depth).and_then(|copies| u32::try_from(copies).ok()).unwrap_or(0);
    let mut numbers = Numbers::of(&workers, copies);
    let parent = match mode {
        Copies::Candidates => (None, None, None),
        Copies::Workflow => (analyzer.clone(), selector.clone(), synthesizer.clone()),
    };
    let mut members = Vec::new();
    for worker in workers {
        match worker {
            Worker::Leaf { label, stage, samples, .. } => {
                for _ in 0..samples {
                    let (first, total) = numbers.next(&label, copies);
                    let group = Group { label: &label, stage: &stage, parent: &parent, total };
                    members.push(group.member(depth, first));
                }
            }
            Worker::Nested { label, level } => {
                let (first, total) = numbers.next(&label, 1);
                let name = numbered(&label, first, 1, total);
                members.push(Member::Nested(expand(level, &name, depth, mode, reader)));
            }
        }
    }
    let mut seen = HashSet::new();
    for member in &members {
        if !seen.insert(member.name()) {
            let what = format!("two workers are called `{}`", member.name());
            reader.problem(&path, &what, "give one of them another `name`");
        }
    }
    Plan { name: name.to_owned(), analyzer, members, reranker, selector, synthesizer, policy }
}

/// Counts the copies of each label within one level.
struct Numbers {
    totals: HashMap<String, u32>,
    used: HashMap<String, u32>,
}

impl Numbers {
    fn of(workers: &[Worker], copies: u32) -> Self {
        let mut totals: HashMap<String, u32> = HashMap::new();
        for worker in workers {
            let (label, more) = match worker {
                Worker::Leaf { label, samples, .. } => {
                    let samples = u32::try_from(*samples).unwrap_or(u32::MAX);
                    (label, samples.saturating_mul(copies))
                }
                Worker::Nested { label, .. } => (label, 1),
            };
            let total = totals.entry(label.clone()).or_default();
            *total = total.saturating_add(more);
        }
        Self { totals, used: HashMap::new() }
    }

    /// The number of the first of the next `many` copies, from 0, and how many there are in all.
    fn next(&mut self, label: &str, many: u32) -> (u32, u32) {
        let used = self.used.entry(label.to_owned()).or_default();
        let first = *used;
        *used = used.saturating_add(many);
        (first, self.totals.get(label).copied().unwrap_or(many))
    }
}

/// The only one of its label is called by it; others get their numbers, from 1: `qwen#3`, and a
/// pair `qwen#3-4`.
fn numbered(label: &str, first: u32, many: u32, total: u32) -> String {
    let (low, high) = (first.saturating_add(1), first.saturating_add(many));
    if many == total {
        label.to_owned()
    } else if many == 1 {
        format!("{label}#{low}")
    } else {
        format!("{label}#{low}-{high}")
    }
}

/// The copies of one node.
struct Group<'a> {
    label: &'a str,
    stage: &'a Stage,
    parent: &'a (Option<Stage>, Option<Stage>, Option<Stage>),
    /// Copies of this label in the level.
    total: u32,
}

impl Group<'_> {
    /// The leaf itself at depth 1, else a pair of copies at a depth one less.
    fn member(&self, depth: u32, first: u32) -> Member {
        let below = depth.saturating_sub(1);
        let many = copies_of_a_leaf(depth).and_then(|many| u32::try_from(many).ok()).unwrap_or(1);
        let name = numbered(self.label, first, many, self.total);
        if below == 0 {
            return Member::Leaf(Leaf { name, stage: self.stage.clone(), copy: first });
        }
        let second = first.saturating_add(many / 2);
        let members = vec![self.member(below, first), self.member(below, second)];
        let (analyzer, selector, synthesizer) = self.parent.clone();
        let (reranker, policy) = (None, Policy::default());
        Member::Nested(Plan { name, analyzer, members, reranker, selector, synthesizer, policy })
    }
}
