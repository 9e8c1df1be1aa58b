//! A plan as it was written, before any copies are made.

use std::time::Duration;

use super::{Policy, Quorum, Reranker, Stage, reader::Reader};
use crate::config::file::plan::{self as file, NameOr, TOP_K};

/// One level as it was written.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::config) struct Level {
    /// Empty at the top.
    pub(in crate::config) path: String,
    pub(in crate::config) analyzer: Option<Stage>,
    pub(in crate::config) workers: Vec<Worker>,
    pub(in crate::config) reranker: Option<Reranker>,
    pub(in crate::config) selector: Option<Stage>,
    pub(in crate::config) synthesizer: Option<Stage>,
    pub(in crate::config) policy: Policy,
}

/// An entry of `workers` as it was written.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a handful, made once at start-up")]
pub(in crate::config) enum Worker {
    /// One model, asked `samples` times.
    Leaf { path: String, label: String, stage: Stage, samples: u64 },
    /// A workflow of its own.
    Nested { label: String, level: Level },
}

impl Level {
    /// The top level.
    pub(in crate::config) fn top(plan: &file::Plan, reader: &Reader<'_>) -> Self {
        if !reader.has("selector") && !reader.has("synthesizer") {
            let remedy = "add at least one of them: somebody must decide on the answer";
            reader.problem("", "neither `selector` nor `synthesizer`", remedy);
        }
        Self::read(&plan.level, "", reader)
    }

    fn read(level: &file::Level, path: &str, reader: &Reader<'_>) -> Self {
        let stage = |key: &str, written: &Option<NameOr<file::Stage>>| {
            let path = child(path, key);
            written.as_ref().map(|written| match written {
                NameOr::Name(model) => named(model, &path, reader),
                NameOr::Full(stage) => call(&stage.call, &path, reader).1,
            })
        };
        let analyzer = stage("analyzer", &level.analyzer);
        let workers = level.workers.iter().flatten().enumerate();
        let workers: Vec<Worker> = workers
            .filter_map(|(index, written)| {
                let path = child(path, &format!("workers[{index}]"));
                written.as_ref().map(|written| worker(written, path, reader))
            })
            .collect();
        let reranker = level.reranker.as_ref().map(|written| {
            let path = child(path, "reranker");
            match written {
                NameOr::Name(model) => {
                    Reranker { stage: named(model, &path, reader), top_k: TOP_K }
                }
                NameOr::Full(file::Reranker { call: own, top_k }) => {
                    Reranker { stage: call(own, &path, reader).1, top_k: *top_k }
                }
            }
        });
        let selector = stage("selector", &level.selector);
        let synthesizer = stage("synthesizer", &level.synthesizer);
        let analyzed = reader.has(&child(path, "analyzer"));
        let policy = policy(&level.policy, &child(path, "policy"), &workers, analyzed, reader);
        let path = path.to_owned();
        Self { path, analyzer, workers, reranker, selector, synthesizer, policy }
    }

    /// `auto_temperature` of the analyzer's node: what models and nodes fall back to.
    pub(in crate::config) fn wants_auto(&self) -> Option<bool> {
        self.analyzer.as_ref().and_then(|stage| stage.auto_temperature)
    }

    /// Every leaf below this level, with its path and how often its node is asked for.
    pub(in crate::config) fn leaves(&self) -> Vec<(&str, &Stage, u64)> {
        let mut leaves = Vec::with_capacity(self.workers.len());
        for worker in &self.workers {
            match worker {
                Worker::Leaf { path, stage, samples, .. } => {
                    leaves.push((path.as_str(), stage, *samples));
                }
                Worker::Nested { level, .. } => leaves.extend(level.leaves()),
            }
        }
        leaves
    }
}

/// Keys of plans need no escapes.
fn child(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn worker(written: &file::Worker, path: String, reader: &Reader<'_>) -> Worker {
    match written {
        file::Worker::Name(model) => {
            let stage = named(model, &path, reader);
            Worker::Leaf { path, label: model.clone(), stage, samples: 1 }
        }
        file::Worker::Leaf(file::Leaf { call: own, samples }) => {
            let (label, stage) = call(own, &path, reader);
            Worker::Leaf { path, label, stage, samples: *samples }
        }
        file::Worker::Panel(file::Panel { name, level }) => {
            printable(name, &path, reader);
            Worker::Nested { label: name.clone(), level: Level::read(level, &path, reader) }
        }
    }
}

/// Names go to terminals, headers and traces.
fn printable(label: &str, path: &str, reader: &Reader<'_>) {
    if label.chars().any(char::is_control) {
        reader.problem(&child(path, "name"), "holds control characters", "write a plain name");
    }
}

/// A model without options.
fn named(model: &str, path: &str, reader: &Reader<'_>) -> Stage {
    reader.reference(model, path);
    Stage::of(model)
}

/// What every stage takes: its label and the call. `name` alone names the model too.
fn call(written: &file::Call, path: &str, reader: &Reader<'_>) -> (String, Stage) {
    let own = |key: &str| child(path, key);
    let has_ref = written.r#ref.is_some() || reader.has(&own("ref"));
    let has_name = reader.has(&own("name"));
    if !has_ref && !has_name {
        reader.problem(path, "names no model", "add `\"ref\": \"a-model\"`");
    }
    let model = if has_ref { ("ref", &written.r#ref) } else { ("name", &written.name) };
    if let (key, Some(model)) = model {
        reader.reference(model, &own(key));
    }
    let model = model.1.as_ref().or(written.name.as_ref()).cloned().unwrap_or_default();
    let label = written.name.clone().unwrap_or_else(|| model.clone());
    if has_ref && has_name && label.trim().is_empty() {
        reader.problem(&own("name"), "is empty", "write a name or leave it out");
    }
    printable(&label, path, reader);
    for (index, model) in written.fallback.iter().enumerate() {
        if let Some(model) = model {
            reader.reference(model, &own(&format!("fallback[{index}]")));
        }
    }
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    let temperature = written.temperature.map(|value| value as f32);
    let stage = Stage {
        model,
        temperature,
        auto_temperature: written.auto_temperature,
        max_tokens: written.max_tokens,
        system: written.system.as_ref().map(|system| system.0.clone()),
        timeout: written.timeout_secs.map(Duration::from_secs_f64),
        fallback: written.fallback.iter().flatten().cloned().collect(),
    };
    (label, stage)
}

/// `analyzed`: the level has an analyzer of its own.
fn policy(
    written: &file::Policy,
    path: &str,
    workers: &[Worker],
    analyzed: bool,
    reader: &Reader<'_>,
) -> Policy {
    let own = |key: &str| child(path, key);
    let members = workers.iter().fold(0_u64, |sum, worker| match worker {
        Worker::Leaf { samples, .. } => sum.saturating_add(*samples),
        Worker::Nested { .. } => sum.saturating_add(1),
    });
    let members = usize::try_from(members).unwrap_or(usize::MAX);
    let min_success = usize::try_from(written.min_success).ok();
    let min_success = min_success.filter(|least| (1..=members.max(1)).contains(least));
    if min_success.is_none() {
        let remedy = format!("write a whole number from 1 to {}", members.max(1));
        reader.problem(&own("min_success"), "is out of range", remedy);
    }
    let min_success = min_success.unwrap_or(1);
    let quorum = written.quorum.as_ref();
    let quorum = quorum.and_then(|it| quorum_of(it, &own("quorum"), members, min_success, reader));
    if written.overrides && !analyzed {
        let what = "is true, and this level has no `analyzer` of its own";
        let remedy = "add one to this level, or take it out";
        reader.problem(&own("overrides"), what, remedy);
    }
    if reader.has(&own("grace_ms")) && !reader.has(&own("quorum")) && !written.overrides {
        let what = "means nothing without a `quorum`: every worker is waited for";
        reader.warn(&own("grace_ms"), what, "add a `quorum`, or take it out");
    }
    Policy {
        min_success,
        quorum,
        grace: Duration::from_millis(written.grace_ms),
        deadline: written.deadline_secs.map(Duration::from_secs_f64),
        agreement: written.agreement,
        schedule: written.schedule,
        overrides: written.overrides,
        worker_tools: written.worker_tools,
        tool_turns: written.tool_turns,
    }
}

fn quorum_of(
    written: &file::Quorum,
    path: &str,
    members: usize,
    min_success: usize,
    reader: &Reader<'_>,
) -> Option<Quorum> {
    let file::Quorum(number) = written;
    // 1.0 could be one member or all of them, so only digits count members.
    let quorum = number.as_f64().and_then(Quorum::of_number);
    let quorum = quorum.filter(|it| matches!(it, Quorum::Share(_)) || !number.is_f64());
    let Some(quorum) = quorum else {
        let remedy = "write how many workers (1, 2, ...), or a fraction above 0 and below 1";
        reader.problem(path, "is neither a number of workers nor a fraction", remedy);
        return None;
    };
    if let Quorum::Members(many) = quorum
        && many > members
        && members > 0
    {
        let what = format!("is {many}, and `workers` makes {members}");
        let remedy = format!("write at most {members}, or a fraction below 1");
        reader.problem(path, &what, remedy);
        return None;
    }
    let enough = quorum.of(members);
    if enough < min_success {
        let what = format!(
            "is {enough} of {members} workers, and `min_success` is {min_success}: \
                            {min_success} are waited for"
        );
        reader.warn(path, &what, "raise the `quorum` or lower `min_success`");
    }
    Some(quorum)
}
