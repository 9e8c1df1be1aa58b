//! `[workflow-integration]` and `[[workflow-profile]]`: the plan, its copies and its models.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use indexmap::IndexMap;
use serde_json::Value;

use super::{doubts, model::Models};
use crate::config::{
    DEFAULT_WORKFLOW, TimeLimits, Workflow,
    error::{did_you_mean, other_name},
    file::{
        plan::Plan,
        workflow::{EXAMPLE, Integration, PlanText, Profile, Settings},
    },
    legacy,
    names::is_reserved,
    plan::{Level, Reader, Reference, Written, count, expand},
    read,
    report::{File, FileSpan, Report},
    section::Section,
    tree::{Spots, offsets},
};

/// What a workflow is checked against.
pub(super) struct Around<'a, 't> {
    pub(super) models: &'a Models,
    pub(super) limits: &'a TimeLimits,
    pub(super) report: &'a Report<'t>,
    /// There are profiles, which all have the same limits.
    pub(super) several: bool,
}

/// `[workflow-integration]`, the default workflow.
pub(super) fn integration(written: &mut Integration, around: &Around<'_, '_>) -> Option<Workflow> {
    let at = Section::of(around.report, "workflow-integration");
    let old = legacy::stage_keys(written, &at);
    let Integration { json, json_file, settings, plan, .. } = written;
    let text = (json.as_ref(), json_file.as_deref());
    let (level, reader) = level(plan, text, old, &at)?;
    workflow(&level, &reader, (DEFAULT_WORKFLOW, settings), &at, around)
}

/// Every `[[workflow-profile]]` that has a name of its own.
pub(super) fn profiles(
    written: &mut [Profile],
    around: &Around<'_, '_>,
) -> IndexMap<String, Workflow> {
    let report = around.report;
    let mut places: HashMap<&String, FileSpan> = HashMap::new();
    let mut profiles = IndexMap::new();
    for (index, profile) in written.iter_mut().enumerate() {
        let Profile { name, json, json_file, settings, plan } = profile;
        let at = Section::entry(report, "workflow-profile", index, name.as_ref());
        if let Some(name) = &*name {
            check_name(name, &at, around.models);
            if let Some(first) = places.insert(name, at.place("")) {
                let what = format!("the name is taken, see {}", report.shown(&first));
                at.problem("name", what, "give every workflow its own name");
            }
        }
        let text = (json.as_ref(), json_file.as_deref());
        let Some((level, reader)) = level(plan, text, None, &at) else { continue };
        let name = name.as_deref().unwrap_or_default();
        let read = workflow(&level, &reader, (name, settings), &at, around);
        profiles.extend(read.map(|workflow| (name.to_owned(), workflow)));
    }
    profiles
}

/// Clients choose a workflow by its name, as they choose a model.
fn check_name(name: &str, at: &Section<'_, '_>, models: &Models) {
    let what = if is_reserved(name) {
        "the name is reserved for the default workflow"
    } else if models.contains(name) {
        "the name is taken by a [[model]]"
    } else if name.trim() != name || name.chars().any(char::is_control) {
        "the name has blanks around it, or control characters"
    } else {
        return;
    };
    at.problem("name", what, "give the workflow another name");
}

/// What the tables of all workflows have in common.
fn workflow(
    level: &Level,
    reader: &Reader<'_>,
    (name, settings): (&str, &Settings),
    at: &Section<'_, '_>,
    around: &Around<'_, '_>,
) -> Option<Workflow> {
    let Around { models, limits, report, several } = *around;
    undefined(reader, models, report);
    let depth = depth(settings.nested_worker_depth, at)?;
    let max_concurrency = Some(settings.max_concurrency).filter(|limit| *limit > 0);
    doubts::Doubts { models, limits, several, reader, depth, max_concurrency }.warn(level);
    let small = few_enough(level, depth, settings.max_workers.into(), reader, report);
    let mode = settings.nested_worker_mode;
    let plan = small.then(|| expand(level.clone(), name, depth, mode, reader))?;
    Some(Workflow { plan: Arc::new(plan), max_concurrency })
}

/// At least 1: depth 0 would copy every worker no times.
fn depth(written: i64, at: &Section<'_, '_>) -> Option<u32> {
    let usable = u32::try_from(written).ok().filter(|depth| *depth > 0);
    if usable.is_none() {
        let what = if written <= 0 {
            format!("`nested_worker_depth = {written}` leaves 0 workers")
        } else {
            "`nested_worker_depth` makes more workers than can be counted".to_owned()
        };
        at.problem("nested_worker_depth", what, "write 1 for no copies, 2 for pairs");
    }
    usable
}

/// The plan from `json`, `json_file` or the keys that came before plans were JSON (`old`): exactly one
/// of them. What was read stays in `kept`.
fn level<'r>(
    kept: &mut Option<Plan>,
    (json, json_file): (Option<&PlanText>, Option<&str>),
    old: Option<(Value, Spots)>,
    at: &Section<'r, 'r>,
) -> Option<(Level, Reader<'r>)> {
    let report = at.report;
    let ways = [at.has("json"), at.has("json_file"), old.is_some()];
    match ways.iter().filter(|there| **there).count() {
        0 => {
            at.problem("", "there is no workflow", EXAMPLE);
            return None;
        }
        1 => {}
        _ => {
            let remedy = "keep one of `json`, `json_file` and `worker_models` with its like";
            at.problem("", "the workflow is written more than once", remedy);
            return None;
        }
    }
    let (plan, reader) = if let Some(PlanText(text)) = json {
        let (place, span) = (at.place("json"), at.span("json").unwrap_or_default());
        let within = offsets(report.written(&span), text).unwrap_or_default();
        let at = |offset: usize| offset.saturating_add(span.start);
        let offsets = within.into_iter().map(at).collect();
        Reader::text(report, &Written { text, place, file: File::CONFIG, offsets })?
    } else if let Some(file) = json_file {
        plan_file(file, at)?
    } else {
        let (plan, spots) = old?;
        Reader::keys(report, at.place(""), &plan, spots)?
    };
    let level = Level::top(&plan, &reader);
    *kept = Some(plan);
    Some((level, reader))
}

fn plan_file<'r>(file: &str, at: &Section<'r, 'r>) -> Option<(Plan, Reader<'r>)> {
    let path = at.report.resolve(file);
    match read::named_text(&path) {
        Ok(text) => {
            let file = at.report.plan_file(&path, &text);
            let (place, offsets) = (FileSpan::of(file, 0..text.len()), (0..=text.len()).collect());
            Reader::text(at.report, &Written { text: &text, place, file, offsets })
        }
        Err(error) => {
            let what = format!("`json_file` cannot be read: {error}");
            let remedy = "correct the path (relative ones start at the config's folder)";
            at.problem("json_file", what, remedy);
            None
        }
    }
}

fn few_enough(
    level: &Level,
    depth: u32,
    max_workers: u128,
    reader: &Reader<'_>,
    report: &Report<'_>,
) -> bool {
    let leaves = count(level, depth);
    if leaves.is_some_and(|leaves| leaves <= max_workers) {
        return true;
    }
    let leaves = leaves.map_or_else(|| "more than 2^127".to_owned(), |leaves| leaves.to_string());
    let what = format!("the plan has {leaves} workers, and `max_workers` is {max_workers}");
    let remedy = "lower `nested_worker_depth` or `samples`, or raise `max_workers`";
    report.problem_at(reader.place("workers"), what, remedy);
    false
}

/// One line for all, as scripts expect it, and one for each with where and what to do.
fn undefined(reader: &Reader<'_>, models: &Models, report: &Report<'_>) {
    let mut missing: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for Reference { model, path } in reader.references() {
        if !models.contains(&model) {
            missing.entry(model).or_default().push(path);
        }
    }
    for (model, paths) in missing {
        report.undefined_model(&model);
        let shown = model.escape_debug();
        let what = format!("{}: there is no [[model]] named `{shown}`", paths.join(", "));
        let mut names: Vec<&str> = models.names().collect();
        names.sort_unstable();
        // `qwen3` for `qwen3:8b` is far in letters, and near in meaning.
        let longer = names.iter().copied().find(|name| {
            name.strip_prefix(model.as_str()).is_some_and(|rest| rest.starts_with([':', '-']))
        });
        let near = did_you_mean(&model, names.iter().copied()).or(longer);
        let remedy = match near {
            Some(_) => other_name(near, &names),
            None if names.is_empty() => "add it".to_owned(),
            None => format!("add it, or {}", other_name(None, &names)),
        };
        let first = paths.first().map(String::as_str).unwrap_or_default();
        report.problem_at(reader.place(first), what, remedy);
    }
}
