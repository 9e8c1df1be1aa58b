//! `[workflow-integration]` and `[[workflow-profile]]`: the plan, its copies and its models.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    sync::Arc,
};

use indexmap::IndexMap;
use serde_json::Value;
use toml::Spanned;

use super::model::Models;
use crate::config::{
    DEFAULT_WORKFLOW, Stage, Workflow,
    error::{Place, Report, did_you_mean},
    legacy,
    plan::{Copies, Level, Reader, Reference, count, expand},
    raw::Table,
};

/// The most that `max_workers` may allow; a plan is held in memory whole.
const MOST_WORKERS: i128 = 65_536;

const EXAMPLE: &str =
    "add `json = '{ \"workers\": [\"a\", \"b\"], \"synthesizer\": \"a\" }'` with your models";

/// `[workflow-integration]`, the default workflow.
pub(super) fn integration(
    table: Option<Table<'_, '_>>,
    models: &Models,
    report: &Report<'_>,
) -> Option<Workflow> {
    let Some(mut table) = table else {
        let what = "there is no [workflow-integration]";
        report.problem_at(report.whole_file(), what, EXAMPLE);
        return None;
    };
    let old = legacy::stage_keys(&mut table);
    workflow(table, DEFAULT_WORKFLOW, old, models)
}

/// Every `[[workflow-profile]]` that has a name of its own.
pub(super) fn profiles(
    tables: Vec<Table<'_, '_>>,
    models: &Models,
    report: &Report<'_>,
) -> IndexMap<String, Workflow> {
    let mut places: HashMap<String, Place> = HashMap::new();
    let mut profiles = IndexMap::new();
    for mut table in tables {
        let name = table.required("name");
        if let Some(name) = &name {
            table.label = format!("workflow-profile `{}`", name.get_ref().escape_debug());
            check_name(name, &table, models);
            let place = report.place(&table.span);
            if let Some(first) = places.insert(name.get_ref().clone(), place) {
                let what = format!("{}: the name is taken, see {first}", table.label);
                report.problem(&name.span(), what, "give every workflow its own name");
            }
        }
        let name = name.map(Spanned::into_inner).unwrap_or_default();
        let read = workflow(table, &name, None, models);
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
    old: Option<Value>,
    models: &Models,
) -> Option<Workflow> {
    let report = table.report;
    let depth = depth(&mut table);
    let modes = [("candidates", Copies::Candidates), ("workflow", Copies::Workflow)];
    let mode = table.choice("nested_worker_mode", &modes);
    let mode = mode.map_or(Copies::Candidates, Spanned::into_inner);
    let max_concurrency = table.whole("max_concurrency", 0..=1_000_000).map(Spanned::into_inner);
    let max_workers = table.whole("max_workers", 1..=MOST_WORKERS);
    let max_workers: u128 = max_workers.map_or(64, Spanned::into_inner);
    let written = plan_text(&mut table, old);
    table.finish();

    let written = written?;
    let reader = Reader::new(report, written.place.clone(), written.first_line);
    let level = match written.plan {
        Text::Json(text) => Level::parse(&text, &reader),
        Text::Migrated(value) => Level::top(value, &reader),
    }?;
    undefined(reader.references(), models, report, &written.place);
    let depth = depth?;
    alike(&level, depth, models, report, &written.place);
    let small = few_enough(&level, depth, max_workers, report, &written.place);
    let plan = small.then(|| expand(level, name, depth, mode, &reader))?;
    let max_concurrency = max_concurrency.filter(|limit| *limit > 0);
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

enum Text {
    Json(String),
    Migrated(Value),
}

struct Written {
    plan: Text,
    place: Place,
    first_line: usize,
}

/// The plan from `json`, `json_file` or the old keys: exactly one of them.
fn plan_text(table: &mut Table<'_, '_>, old: Option<Value>) -> Option<Written> {
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
        let place = report.place(&json.span());
        let first_line = report.first_line_of_text(&json.span());
        return Some(Written { plan: Text::Json(json.into_inner()), place, first_line });
    }
    if let Some(file) = file {
        return plan_file(&file, table);
    }
    let place = report.place(&span);
    old.map(|plan| Written { plan: Text::Migrated(plan), place, first_line: 1 })
}

fn plan_file(file: &Spanned<String>, table: &Table<'_, '_>) -> Option<Written> {
    let path = table.report.resolve(file.get_ref());
    match fs::read_to_string(&path) {
        Ok(text) => {
            let place = Place { file: path.display().to_string(), line: None };
            Some(Written { plan: Text::Json(text), place, first_line: 1 })
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
    report: &Report<'_>,
    place: &Place,
) -> bool {
    let leaves = count(level, depth);
    if leaves.is_some_and(|leaves| leaves <= max_workers) {
        return true;
    }
    let leaves = leaves.map_or_else(|| "more than 2^127".to_owned(), |leaves| leaves.to_string());
    let what = format!("the plan has {leaves} workers, and `max_workers` is {max_workers}");
    let remedy = "lower `nested_worker_depth` or `samples`, or raise `max_workers`";
    report.problem_at(place.clone(), what, remedy);
    false
}

/// One line for all, as scripts expect it, and one for each with where and what to do.
fn undefined(references: Vec<Reference>, models: &Models, report: &Report<'_>, place: &Place) {
    let mut missing: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for Reference { model, path } in references {
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
        let remedy = match did_you_mean(&model, names) {
            Some(name) => format!("did you mean `{name}`?"),
            None => "add one, or name another".to_owned(),
        };
        report.problem_at(place.clone(), what, remedy);
    }
}

/// Warns of copies that will all say the same.
fn alike(level: &Level, depth: u32, models: &Models, report: &Report<'_>, place: &Place) {
    let mut groups: Vec<(&Stage, u64)> = Vec::new();
    let doublings = depth.saturating_sub(1);
    for (stage, samples) in level.leaves() {
        if !always_zero(stage, level.wants_auto(), models) {
            continue;
        }
        let copies = samples.saturating_mul(1_u64.checked_shl(doublings).unwrap_or(u64::MAX));
        match groups.iter_mut().find(|(known, _)| *known == stage) {
            Some((_, many)) => *many = many.saturating_add(copies),
            None => groups.push((stage, copies)),
        }
    }
    for (stage, copies) in groups.into_iter().filter(|(_, copies)| *copies > 1) {
        let text = format!(
            "{copies} identical workers of `{}` at temperature 0 will answer alike; give them \
             another temperature or fewer copies",
            stage.model
        );
        report.warn(place.clone(), text);
    }
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
