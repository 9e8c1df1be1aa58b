//! Workflow JSON to a typed tree, before any copies are made.

use std::time::Duration;

use serde_json::Value;

use super::{
    Policy, Quorum, Reranker, Schedule, Stage, WorkerTools,
    json::{Object, Reader, Strict, kind},
};

/// The longest time limit that can be written, in seconds: a day.
pub(in crate::config) const LONGEST_LIMIT: f64 = 86_400.0;

/// The most samples a leaf may ask for; `max_workers` is usually far smaller.
const MOST_SAMPLES: u64 = 1_000_000;

/// By this key an editor finds the schema of a JSON file; it says nothing to us.
const SCHEMA: &str = "$schema";

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
    /// Reads JSON text; `None` after reporting that it is not JSON, or no object.
    pub(in crate::config) fn parse(text: &str, reader: &Reader<'_>) -> Option<Self> {
        match serde_json::from_str(text) {
            Ok(Strict(value)) => Self::top(value, reader),
            Err(error) => {
                reader.syntax(text, &error);
                None
            }
        }
    }

    /// Reads the top level.
    pub(in crate::config) fn top(mut value: Value, reader: &Reader<'_>) -> Option<Self> {
        if value.get(SCHEMA).is_some_and(Value::is_string) {
            value.as_object_mut().map(|object| object.shift_remove(SCHEMA));
        }
        let object = Object::open(reader, "", value)?;
        if !object.has("selector") && !object.has("synthesizer") {
            let remedy = "add at least one of them: somebody must decide on the answer";
            reader.problem("", "neither `selector` nor `synthesizer`", remedy);
        }
        Some(Self::read(object))
    }

    fn read(mut object: Object<'_>) -> Self {
        let analyzed = object.has("analyzer");
        let analyzer = stage(&mut object, "analyzer");
        let workers = workers(&mut object);
        let reranker = reranker(&mut object);
        let selector = stage(&mut object, "selector");
        let synthesizer = stage(&mut object, "synthesizer");
        let policy = policy(&mut object, &workers, analyzed);
        let path = object.path.clone();
        object.finish();
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

fn workers(object: &mut Object<'_>) -> Vec<Worker> {
    let path = object.child("workers");
    match object.take("workers") {
        None => {
            let remedy = "add `\"workers\": [ { \"ref\": \"a-model\" } ]`";
            object.reader.problem(&path, "is missing", remedy);
            Vec::new()
        }
        Some(Value::Array(entries)) if entries.is_empty() => {
            object.reader.problem(&path, "is empty", "name at least one worker");
            Vec::new()
        }
        Some(Value::Array(entries)) => {
            let read = |(index, value)| worker(object.reader, &format!("{path}[{index}]"), value);
            entries.into_iter().enumerate().filter_map(read).collect()
        }
        Some(other) => {
            let what = format!("must be a list, not {}", kind(&other));
            object.reader.problem(&path, &what, "write it as `[ ... ]`");
            Vec::new()
        }
    }
}

fn worker(reader: &Reader<'_>, path: &str, value: Value) -> Option<Worker> {
    if let Value::String(model) = value {
        reader.reference(&model, path);
        let (path, label) = (path.to_owned(), model.clone());
        return Some(Worker::Leaf { path, label, stage: Stage::of(model), samples: 1 });
    }
    let mut object = Object::open(reader, path, value)?;
    if object.has("workers") {
        let label = object.string("name").unwrap_or_else(|| "workflow".to_owned());
        printable(&object, &label);
        for key in LEAF_KEYS {
            let what = "belongs to a worker that is one model, and this one has `workers`";
            object.misplaced(key, what, "take it out, or move it to the workers below");
        }
        return Some(Worker::Nested { label, level: Level::read(object) });
    }
    let samples = object.whole("samples", 1..=MOST_SAMPLES);
    for key in LEVEL_KEYS {
        let what = "belongs to a nested workflow, and this worker has no `workers`";
        object.misplaced(key, what, "add `workers` beside it, or take it out");
    }
    let (label, stage) = options(object)?;
    let path = path.to_owned();
    Some(Worker::Leaf { path, label, stage, samples: samples.unwrap_or(1) })
}

/// Names go to terminals, headers and traces.
fn printable(object: &Object<'_>, label: &str) {
    if label.chars().any(char::is_control) {
        let what = "holds control characters";
        object.reader.problem(&object.child("name"), what, "write a plain name");
    }
}

const LEAF_KEYS: [&str; 8] = [
    "ref",
    "samples",
    "temperature",
    "auto_temperature",
    "max_tokens",
    "system",
    "timeout_secs",
    "fallback",
];
const LEVEL_KEYS: [&str; 5] = ["analyzer", "selector", "synthesizer", "reranker", "policy"];

fn stage(object: &mut Object<'_>, key: &'static str) -> Option<Stage> {
    let path = object.child(key);
    match object.take(key)? {
        Value::String(model) => {
            object.reader.reference(&model, &path);
            Some(Stage::of(model))
        }
        value => {
            let object = Object::open(object.reader, &path, value)?;
            options(object).map(|(_, stage)| stage)
        }
    }
}

/// How many candidates a reranker keeps when nobody says.
const TOP_K: usize = 3;

fn reranker(object: &mut Object<'_>) -> Option<Reranker> {
    let path = object.child("reranker");
    match object.take("reranker")? {
        Value::String(model) => {
            object.reader.reference(&model, &path);
            Some(Reranker { stage: Stage::of(model), top_k: TOP_K })
        }
        value => {
            let mut object = Object::open(object.reader, &path, value)?;
            let top_k = object.whole("top_k", 1..=MOST_SAMPLES);
            let top_k = top_k.and_then(|value| usize::try_from(value).ok()).unwrap_or(TOP_K);
            options(object).map(|(_, stage)| Reranker { stage, top_k })
        }
    }
}

/// What every stage takes: its label and the call. `name` alone names the model too.
fn options(mut object: Object<'_>) -> Option<(String, Stage)> {
    let (has_ref, has_name) = (object.has("ref"), object.has("name"));
    let by_ref = object.model("ref");
    let name = if has_ref { object.string("name") } else { object.model("name") };
    if !has_ref && !has_name {
        let remedy = "add `\"ref\": \"a-model\"`";
        object.reader.problem(&object.path, "names no model", remedy);
    }
    let model = by_ref.or_else(|| name.clone()).unwrap_or_default();
    let label = name.unwrap_or_else(|| model.clone());
    if has_ref && has_name && label.trim().is_empty() {
        object.reader.problem(&object.child("name"), "is empty", "write a name or leave it out");
    }
    printable(&object, &label);
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    let temperature = object.number("temperature", 0.0..=2.0).map(|value| value as f32);
    let auto_temperature = object.boolean("auto_temperature");
    let max_tokens = object.whole("max_tokens", 1..=u64::from(u32::MAX));
    let system = object.string("system");
    let timeout = object
        .number("timeout_secs", 0.001..=LONGEST_LIMIT)
        .and_then(|secs| Duration::try_from_secs_f64(secs).ok());
    let fallback = object.models("fallback");
    object.finish();
    let stage = Stage {
        model,
        temperature,
        auto_temperature,
        max_tokens: max_tokens.and_then(|value| u32::try_from(value).ok()),
        system,
        timeout,
        fallback,
    };
    Some((label, stage))
}

/// `analyzed`: the level has an analyzer of its own.
fn policy(object: &mut Object<'_>, workers: &[Worker], analyzed: bool) -> Policy {
    let default = Policy::default();
    let path = object.child("policy");
    let Some(value) = object.take("policy") else { return default };
    let Some(mut object) = Object::open(object.reader, &path, value) else { return default };
    let schedules = [("overlap", Schedule::Overlap), ("sequential", Schedule::Sequential)];
    let schedule = object.choice("schedule", &schedules).unwrap_or(default.schedule);
    let members = workers.iter().fold(0_u64, |sum, worker| match worker {
        Worker::Leaf { samples, .. } => sum.saturating_add(*samples),
        Worker::Nested { .. } => sum.saturating_add(1),
    });
    let min_success = object.whole("min_success", 1..=members.max(1));
    let min_success = min_success.and_then(|value| usize::try_from(value).ok());
    let min_success = min_success.unwrap_or(default.min_success);
    let members = usize::try_from(members).unwrap_or(usize::MAX);
    let has_quorum = object.has("quorum");
    let quorum = quorum(&mut object, members, min_success);
    let has_grace = object.has("grace_ms");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
    let longest_grace = (LONGEST_LIMIT * 1000.0) as u64;
    let grace = object.whole("grace_ms", 0..=longest_grace).map(Duration::from_millis);
    let deadline = object
        .number("deadline_secs", 0.001..=LONGEST_LIMIT)
        .and_then(|secs| Duration::try_from_secs_f64(secs).ok());
    let agreement = object.number("agreement", 0.0..=1.0);
    let overrides = object.boolean("overrides").unwrap_or(default.overrides);
    let shown = [("list", WorkerTools::List), ("schemas", WorkerTools::Schemas)];
    let worker_tools = object.choice("worker_tools", &shown).unwrap_or(default.worker_tools);
    if overrides && !analyzed {
        let what = "is true, and this level has no `analyzer` of its own";
        let remedy = "add one to this level, or take it out";
        object.reader.problem(&object.child("overrides"), what, remedy);
    }
    if has_grace && !has_quorum && !overrides {
        let what = "means nothing without a `quorum`: every worker is waited for";
        object.reader.warn(&object.child("grace_ms"), what, "add a `quorum`, or take it out");
    }
    object.finish();
    let grace = grace.unwrap_or(default.grace);
    Policy { min_success, quorum, grace, deadline, agreement, schedule, overrides, worker_tools }
}

fn quorum(object: &mut Object<'_>, members: usize, min_success: usize) -> Option<Quorum> {
    // 1.0 could be one member or all of them, so only digits count members.
    let decimal = object.is_decimal("quorum");
    let number = object.number("quorum", f64::MIN..=f64::MAX)?;
    let path = object.child("quorum");
    let quorum =
        Quorum::of_number(number).filter(|quorum| matches!(quorum, Quorum::Share(_)) || !decimal);
    let Some(quorum) = quorum else {
        let remedy = "write how many workers (1, 2, ...), or a fraction above 0 and below 1";
        object.reader.problem(&path, "is neither a number of workers nor a fraction", remedy);
        return None;
    };
    if let Quorum::Members(many) = quorum
        && many > members
        && members > 0
    {
        let what = format!("is {many}, and `workers` makes {members}");
        let remedy = format!("write at most {members}, or a fraction below 1");
        object.reader.problem(&path, &what, remedy);
        return None;
    }
    let enough = quorum.of(members);
    if enough < min_success {
        let what = format!(
            "is {enough} of {members} workers, and `min_success` is {min_success}: \
                            {min_success} are waited for"
        );
        object.reader.warn(&path, &what, "raise the `quorum` or lower `min_success`");
    }
    Some(quorum)
}
