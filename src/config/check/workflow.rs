//! `[workflow-integration]` and `[[workflow-profile]]`: the plan, its copies and its models.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use indexmap::IndexMap;
use serde_json::Value;
use toml::Spanned;

use super::{doubts, model::Models};
use crate::config::{
    DEFAULT_WORKFLOW, TimeLimits, Workflow,
    error::did_you_mean,
    legacy,
    plan::{Copies, Level, Reader, Reference, Spots, count, expand, offsets},
    raw::Table,
    read,
    report::{File, Place, Report},
};

/// The most that `max_workers` may allow; a plan is held in memory whole.
const MOST_WORKERS: i128 = 65_536;

const EXAMPLE: &str =
    "add `json = '{ \"workers\": [\"a\", \"b\"], \"synthesizer\": \"a\" }'` with your models";

/// What a workflow is checked against.
pub(super) struct Around<'a, 't> {
    pub(super) models: &'a Models,
    pub(super) limits: &'a TimeLimits,
    pub(super) report: &'a Report<'t>,
    /// There are profiles, which all have the same limits.
    pub(super) several: bool,
}

/// `[workflow-integration]`, the default workflow.
pub(super) fn integration(
    table: Option<Table<'_, '_>>,
    around: &Around<'_, '_>,
) -> Option<Workflow> {
    let report = around.report;
    let Some(mut table) = table else {
        let what = "there is no [workflow-integration]";
        report.problem_at(report.whole_file(), what, EXAMPLE);
        return None;
    };
    let old = legacy::stage_keys(&mut table);
    workflow(table, DEFAULT_WORKFLOW, old, around)
}

/// Every `[[workflow-profile]]` that has a name of its own.
pub(super) fn profiles(
    tables: Vec<Table<'_, '_>>,
    around: &Around<'_, '_>,
) -> IndexMap<String, Workflow> {
    let report = around.report;
    let mut places: HashMap<String, Place> = HashMap::new();
    let mut profiles = IndexMap::new();
    for mut table in tables {
        let name = table.required("name");
        if let Some(name) = &name {
            table.label = format!("workflow-profile `{}`", name.get_ref().escape_debug());
            check_name(name, &table, around.models);
            let place = report.place(&table.span);
            if let Some(first) = places.insert(name.get_ref().clone(), place) {
                let first = report.shown(&first);
                let what = format!("{}: the name is taken, see {first}", table.label);
                report.problem(&name.span(), what, "give every workflow its own name");
            }
        }
        let name = name.map(Spanned::into_inner).unwrap_or_default();
        let read = workflow(table, &name, None, around);
        profiles.extend(read.map(|workflow| (name, workflow)));
    }
    profiles
}

/// Clients choose a workflow by its name, as they choose a model.
fn check_name(name: &Spanned<String>, table: &Table<'_, '_>, models: &Models) {
    let text = name.get_ref();
    let reserved = text.strip_suffix(":latest").unwrap_or(text) == DEFAULT_WORKFLOW;
    let what = if reserved {
        "the name is reserved for the default workflow"
    } else if models.contains(text) {
        "the name is taken by a [[model]]"
    } else if text.trim() != text || text.chars().any(char::is_control) {
        "the name has blanks around it, or control characters"
    } else {
        return;
    };
    let what = format!("{}: {what}", table.label);
    table.report.problem(&name.span(), what, "give the workflow another name");
}

/// What the tables of all workflows have in common. `old` is a plan in the keys that came before
/// plans were JSON.
fn workflow(
    mut table: Table<'_, '_>,
    name: &str,
    old: Option<(Value, Spots)>,
    around: &Around<'_, '_>,
) -> Option<Workflow> {
    let Around { models, limits, report, several } = *around;
    let depth = depth(&mut table);
    let modes = [("candidates", Copies::Candidates), ("workflow", Copies::Workflow)];
    let mode = table.choice("nested_worker_mode", &modes);
    let mode = mode.map_or(Copies::Candidates, Spanned::into_inner);
    let max_concurrency = table.whole("max_concurrency", 0..=1_000_000).map(Spanned::into_inner);
    let max_workers = table.whole("max_workers", 1..=MOST_WORKERS);
    let max_workers: u128 = max_workers.map_or(64, Spanned::into_inner);
    let written = plan_text(&mut table, old);
    table.finish();

    let (level, reader) = match written? {
        Written::Json { text, place, file, offsets } => {
            let reader = Reader::of_text(report, place, file, &text, offsets);
            (Level::parse(&text, &reader)?, reader)
        }
        Written::Keys { plan, place, spots } => {
            let reader = Reader::of_keys(report, place, spots);
            (Level::top(plan, &reader)?, reader)
        }
    };
    undefined(&reader, models, report);
    let depth = depth?;
    let max_concurrency = max_concurrency.filter(|limit| *limit > 0);
    doubts::Doubts { models, limits, several, reader: &reader, depth, max_concurrency }
        .tell(&level);
    let small = few_enough(&level, depth, max_workers, &reader, report);
    let plan = small.then(|| expand(level, name, depth, mode, &reader))?;
    Some(Workflow { plan: Arc::new(plan), max_concurrency })
}

/// At least 1: depth 0 would copy every worker no times.
fn depth(table: &mut Table<'_, '_>) -> Option<u32> {
    let written = table.has("nested_worker_depth");
    let Some(depth) = table.whole("nested_worker_depth", i128::MIN..=i128::MAX) else {
        return (!written).then_some(1);
    };
    let written: i128 = *depth.get_ref();
    let usable = u32::try_from(written).ok().filter(|depth| *depth > 0);
    if usable.is_none() {
        let what = if written <= 0 {
            format!("{}: `nested_worker_depth = {written}` leaves 0 workers", table.label)
        } else {
            format!("{}: `nested_worker_depth` makes more workers than can be counted", table.label)
        };
        table.report.problem(&depth.span(), what, "write 1 for no copies, 2 for pairs");
    }
    usable
}

/// A plan before it is read, and where it is.
enum Written {
    /// With where in the file each byte of the text stands.
    Json { text: String, place: Place, file: File, offsets: Vec<usize> },
    /// In the keys that came before plans were JSON.
    Keys { plan: Value, place: Place, spots: Spots },
}

/// The plan from `json`, `json_file` or the old keys: exactly one of them.
fn plan_text(table: &mut Table<'_, '_>, old: Option<(Value, Spots)>) -> Option<Written> {
    let (report, span) = (table.report, table.span.clone());
    let ways = [table.has("json"), table.has("json_file"), old.is_some()];
    let json = table.string("json");
    let file = table.string("json_file");
    match ways.iter().filter(|there| **there).count() {
        0 => {
            let what = format!("{}: there is no workflow", table.label);
            report.problem(&span, what, EXAMPLE);
            return None;
        }
        1 => {}
        _ => {
            let what = format!("{}: the workflow is written more than once", table.label);
            let remedy = "keep one of `json`, `json_file` and `worker_models` with its like";
            report.problem(&span, what, remedy);
            return None;
        }
    }
    if let Some(json) = json {
        let (place, start) = (report.place(&json.span()), json.span().start);
        let within = offsets(report.written(&json.span()), json.get_ref()).unwrap_or_default();
        let offsets = within.into_iter().map(|offset| offset.saturating_add(start)).collect();
        let (text, file) = (json.into_inner(), File::CONFIG);
        return Some(Written::Json { text, place, file, offsets });
    }
    if let Some(file) = file {
        return plan_file(&file, table);
    }
    let place = report.place(&span);
    old.map(|(plan, spots)| Written::Keys { plan, place, spots })
}

fn plan_file(file: &Spanned<String>, table: &Table<'_, '_>) -> Option<Written> {
    let path = table.report.resolve(file.get_ref());
    match read::named_text(&path) {
        Ok(text) => {
            let file = table.report.plan_file(&path, &text);
            let offsets: Vec<usize> = (0..=text.len()).collect();
            Some(Written::Json { place: Place::of(file, 0..text.len()), file, offsets, text })
        }
        Err(error) => {
            let what = format!("{}: `json_file` cannot be read: {error}", table.label);
            let remedy = "correct the path (relative ones start at the config's folder)";
            table.report.problem(&file.span(), what, remedy);
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
        let remedy = match did_you_mean(&model, names).or(longer) {
            Some(name) => format!("did you mean `{name}`?"),
            None => "add one, or name another".to_owned(),
        };
        let first = paths.first().map(String::as_str).unwrap_or_default();
        report.problem_at(reader.place(first), what, remedy);
    }
}
