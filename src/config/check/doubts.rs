//! What works in a plan but is probably not meant: copies that answer alike, limits that do not fit
//! the deadline, a quorum that is not reached in time, temperatures and lengths beyond a model.

use std::{collections::HashMap, time::Duration};

use super::model::Models;
use crate::config::{
    LimitKind, Model, Stage, TimeLimits,
    plan::{Level, Reader, Worker},
};

/// What a plan is looked at with.
pub(super) struct Doubts<'a> {
    pub(super) models: &'a Models,
    pub(super) limits: &'a TimeLimits,
    /// The limits are those of other workflows too.
    pub(super) several: bool,
    pub(super) reader: &'a Reader<'a>,
    /// `nested_worker_depth`.
    pub(super) depth: u32,
    /// Worker calls in flight per request.
    pub(super) max_concurrency: Option<usize>,
}

/// Stages of a level, with their paths and whose limit they have.
type Staged<'l> = Vec<(String, LimitKind, &'l Stage)>;

impl Doubts<'_> {
    /// Warns of everything in a plan.
    pub(super) fn warn(&self, level: &Level) {
        self.alike(level);
        self.level(level, None);
    }

    /// `around`: the shortest deadline of the levels around this one.
    fn level(&self, level: &Level, around: Option<Duration>) {
        let stages = stages(level);
        for (path, _, stage) in &stages {
            self.beyond(path, stage);
        }
        let own = level.policy.deadline;
        if let (Some(own), Some(around)) = (own, around.filter(|around| own > Some(*around))) {
            let what =
                format!("is {}, and a level around it ends after {}", secs(own), secs(around));
            let remedy = "lower it, or raise the one around it";
            self.reader.warn(&child(level, "policy.deadline_secs"), &what, remedy);
        }
        let window = own.into_iter().chain(around).min();
        if let Some(window) = window {
            let fits = self.each_fits(&stages, window);
            if let Some(own) = own.filter(|_| fits) {
                self.all_fit(level, own);
            }
            self.quorum_fits(level, window);
        }
        if level.policy.agreement.is_some() && self.members(level) == Some(1) {
            let what = "means nothing with one worker: there is nobody to agree with";
            let remedy = "add workers, or take it out";
            self.reader.warn(&child(level, "policy.agreement"), what, remedy);
        }
        for worker in &level.workers {
            if let Worker::Nested { level, .. } = worker {
                self.level(level, window);
            }
        }
    }

    /// More than its model takes.
    fn beyond(&self, path: &str, stage: &Stage) {
        let Some(model) = self.models.get(&stage.model) else { return };
        let Model { max_temperature: max, context_tokens, .. } = model;
        let name = stage.model.escape_debug();
        if stage.temperature.is_some_and(|own| own > *max) && model.send_temperature {
            let what = format!("is more than `{name}` takes, {max} is sent");
            let remedy = format!("write at most {max}, or correct its `max_temperature`");
            self.reader.warn(&format!("{path}.temperature"), &what, remedy);
        }
        if stage.max_tokens.is_some_and(|most| most >= *context_tokens) {
            let what = format!(
                "leaves no room for a prompt: `{name}` has `context_tokens = {context_tokens}`"
            );
            let remedy = "write less, or correct its `context_tokens`";
            self.reader.warn(&format!("{path}.max_tokens"), &what, remedy);
        }
    }

    /// The limit that somebody wrote for a stage, or for all of its kind. A default that a deadline
    /// ends earlier is what a deadline is for, and so is a host's, and one that several workflows have,
    /// of which another may need it.
    fn written(&self, kind: LimitKind, stage: &Stage) -> Option<Duration> {
        let base = self.limits.base(kind);
        let default = TimeLimits::default().base(kind);
        stage.timeout.or_else(|| (base != default && !self.several).then_some(base))
    }

    /// Whether every written limit fits the time there is; warns of each that does not.
    fn each_fits(&self, stages: &Staged<'_>, window: Duration) -> bool {
        let mut fits = true;
        for (path, kind, stage) in stages {
            let Some(limit) = self.written(*kind, stage).filter(|limit| *limit > window) else {
                continue;
            };
            fits = false;
            let what = format!(
                "its time limit of {} does not fit the deadline of {}, which ends it earlier",
                secs(limit),
                secs(window)
            );
            let path =
                if stage.timeout.is_some() { format!("{path}.timeout_secs") } else { path.clone() };
            self.reader.warn(&path, &what, "lower the limit, or raise `deadline_secs`");
        }
        fits
    }

    /// Warns of written limits that fit one by one, but not one after another.
    fn all_fit(&self, level: &Level, deadline: Duration) {
        let sum = self.longest(level);
        if sum > deadline {
            let what = format!(
                "is {}, and the time limits of the stages one after another add up to {}: the \
                 later ones may be ended early",
                secs(deadline),
                secs(sum)
            );
            let remedy = "raise it, or lower the limits";
            self.reader.warn(&child(level, "policy.deadline_secs"), &what, remedy);
        }
    }

    /// The sum of the written limits on the longest way through a level. An analyzer counts beside
    /// the workers: those that do not need it begin at once, the others have its share.
    fn longest(&self, level: &Level) -> Duration {
        let of = |kind: LimitKind, stage: &Stage| self.written(kind, stage).unwrap_or_default();
        let optional = |kind: LimitKind, stage: &Option<Stage>| {
            stage.as_ref().map(|stage| of(kind, stage)).unwrap_or_default()
        };
        let worker = |worker: &Worker| match worker {
            Worker::Leaf { stage, .. } => of(LimitKind::Worker, stage),
            Worker::Nested { level, .. } => {
                let longest = self.longest(level);
                level.policy.deadline.map_or(longest, |deadline| longest.min(deadline))
            }
        };
        let workers = level.workers.iter().map(worker).max().unwrap_or_default();
        let reranker = level.reranker.as_ref().map(|reranker| &reranker.stage);
        let reranker = reranker.map(|stage| of(LimitKind::Selector, stage)).unwrap_or_default();
        optional(LimitKind::Analyzer, &level.analyzer).max(workers)
            + reranker
            + optional(LimitKind::Selector, &level.selector)
            + optional(LimitKind::Synthesizer, &level.synthesizer)
    }

    /// How many members a level of leaves has; `None`: others are among them, or copies.
    fn members(&self, level: &Level) -> Option<usize> {
        let leaf = |worker: &Worker| match worker {
            Worker::Leaf { samples, .. } => usize::try_from(*samples).ok(),
            Worker::Nested { .. } => None,
        };
        let leaves: Option<Vec<usize>> = level.workers.iter().map(leaf).collect();
        let sum = leaves?.into_iter().fold(0_usize, usize::saturating_add);
        (self.depth == 1).then_some(sum)
    }

    /// Warns when so few workers run at a time that those which are waited for have to take turns,
    /// and their turns do not fit the deadline.
    fn quorum_fits(&self, level: &Level, window: Duration) {
        let Some(members) = self.members(level) else { return };
        let enough = level.policy.quorum.map_or(members, |quorum| quorum.of(members));
        let needed = enough.max(level.policy.min_success);
        let mut asked: HashMap<&str, usize> = HashMap::new();
        let mut shortest = None;
        for (_, stage, samples) in level.leaves() {
            let Some(model) = self.models.get(&stage.model) else { return };
            let limit = self.limits.of_model(LimitKind::Worker, model, stage.timeout);
            shortest = shortest.into_iter().chain([limit]).min();
            let samples = usize::try_from(samples).unwrap_or(usize::MAX);
            let count = asked.entry(&stage.model).or_default();
            *count = count.saturating_add(samples).min(model.max_concurrency.unwrap_or(usize::MAX));
        }
        let at_once = asked.into_values().fold(0_usize, usize::saturating_add);
        let at_once = self.max_concurrency.map_or(at_once, |most| at_once.min(most)).max(1);
        let rounds = u32::try_from(needed.div_ceil(at_once)).unwrap_or(u32::MAX);
        let limit = shortest.unwrap_or_default();
        if rounds > 1 && limit.saturating_mul(rounds) > window {
            let what = format!(
                "{needed} of {members} workers are waited for and {at_once} may run at a time: {rounds} \
                 rounds of up to {} do not fit the deadline of {}",
                secs(limit),
                secs(window)
            );
            let remedy = "raise `max_concurrency` or `deadline_secs`, or lower the `quorum`";
            let key = if level.policy.quorum.is_some() { "policy.quorum" } else { "workers" };
            self.reader.warn(&child(level, key), &what, remedy);
        }
    }

    /// Warns of copies that will all say the same.
    fn alike(&self, level: &Level) {
        let mut groups: Vec<(&str, &Stage, u64)> = Vec::new();
        let doublings = self.depth.saturating_sub(1);
        for (path, stage, samples) in level.leaves() {
            if !always_zero(stage, level.wants_auto(), self.models) {
                continue;
            }
            let copies = samples.saturating_mul(1_u64.checked_shl(doublings).unwrap_or(u64::MAX));
            match groups.iter_mut().find(|(_, known, _)| *known == stage) {
                Some((_, _, many)) => *many = many.saturating_add(copies),
                None => groups.push((path, stage, copies)),
            }
        }
        for (path, stage, copies) in groups.into_iter().filter(|(_, _, copies)| *copies > 1) {
            let what = format!(
                "{copies} identical workers of `{}` at temperature 0 will answer alike",
                stage.model.escape_debug()
            );
            self.reader.warn(path, &what, "give them another temperature or fewer copies");
        }
    }
}

/// The stages of a level; those of nested levels are not among them.
fn stages(level: &Level) -> Staged<'_> {
    let reranker = level.reranker.as_ref().map(|reranker| &reranker.stage);
    let named = [
        ("analyzer", LimitKind::Analyzer, level.analyzer.as_ref()),
        ("reranker", LimitKind::Selector, reranker),
        ("selector", LimitKind::Selector, level.selector.as_ref()),
        ("synthesizer", LimitKind::Synthesizer, level.synthesizer.as_ref()),
    ];
    let named =
        named.into_iter().filter_map(|(key, kind, stage)| Some((child(level, key), kind, stage?)));
    let leaves = level.workers.iter().filter_map(|worker| match worker {
        Worker::Leaf { path, stage, .. } => Some((path.clone(), LimitKind::Worker, stage)),
        Worker::Nested { .. } => None,
    });
    named.chain(leaves).collect()
}

fn child(level: &Level, key: &str) -> String {
    if level.path.is_empty() { key.to_owned() } else { format!("{}.{key}", level.path) }
}

fn secs(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

/// Whether nothing but the request can give this worker another temperature than 0.
fn always_zero(stage: &Stage, plan_auto: Option<bool>, models: &Models) -> bool {
    let model = models.get(&stage.model);
    match stage.temperature {
        Some(temperature) => temperature == 0.0,
        None => {
            let model_auto = model.and_then(|model| model.auto_temperature);
            let auto = stage.auto_temperature.or(model_auto).or(plan_auto);
            auto != Some(true) && model.and_then(|model| model.temperature) == Some(0.0)
        }
    }
}
