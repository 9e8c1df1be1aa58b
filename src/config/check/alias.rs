//! `[[alias]]`: further names for workflows and models.

use indexmap::IndexMap;
use toml::Spanned;

use super::model::Models;
use crate::config::{
    Alias, DEFAULT_WORKFLOW, Workflow, error::did_you_mean, names::is_reserved, raw::Table,
    report::Report,
};

/// What an alias can stand for.
pub(super) struct Targets<'a> {
    pub(super) models: &'a Models,
    pub(super) profiles: &'a IndexMap<String, Workflow>,
    /// No profile is left out for being broken.
    pub(super) all: bool,
}

impl Targets<'_> {
    fn has(&self, name: &str) -> bool {
        name == DEFAULT_WORKFLOW
            || self.profiles.contains_key(name)
            || self.models.contains(name)
            || !self.all
    }
}

pub(super) fn read(tables: Vec<Table<'_, '_>>, targets: &Targets<'_>) -> Vec<Alias> {
    let mut aliases: Vec<Alias> = Vec::with_capacity(tables.len());
    for mut table in tables {
        let name = table.required("name");
        if let Some(name) = &name {
            table.label = format!("alias `{}`", name.get_ref().escape_debug());
        }
        let model = table.required("model");
        let note = table.string("note").map(Spanned::into_inner);
        let report = table.report;
        let fine = name.as_ref().is_some_and(|name| is_usable(name, &table));
        let there = model.as_ref().is_some_and(|model| is_there(model, &table, targets));
        table.finish();
        if let (Some(name), Some(model), true, true) = (name, model, fine, there) {
            let span = name.span();
            let alias = Alias::new(name.into_inner(), model.into_inner(), note);
            if let Some(why) = unreachable(&alias, &aliases, targets) {
                let what = format!("alias `{}` never applies: {why}", alias.name.escape_debug());
                warn(report, &span, what);
            }
            aliases.push(alias);
        }
    }
    aliases
}

fn warn(report: &Report<'_>, span: &std::ops::Range<usize>, what: String) {
    report.warn(report.place(span), what, "take it out, or move it up or rename it");
}

fn is_usable(name: &Spanned<String>, table: &Table<'_, '_>) -> bool {
    let text = name.get_ref();
    let what = if is_reserved(text) {
        "the name is reserved for the default workflow"
    } else if text.trim() != text || text.chars().any(char::is_control) {
        "the name has blanks around it, or control characters"
    } else {
        return true;
    };
    let what = format!("{}: {what}", table.label);
    table.report.problem(&name.span(), what, "write another name, or a pattern such as \"gpt-*\"");
    false
}

/// Whether what it stands for is a workflow or a model. One alias cannot lead to another.
fn is_there(model: &Spanned<String>, table: &Table<'_, '_>, targets: &Targets<'_>) -> bool {
    let wanted = model.get_ref().as_str();
    if targets.has(wanted) {
        return true;
    }
    let mut names: Vec<&str> = targets.models.names().collect();
    names.extend(targets.profiles.keys().map(String::as_str));
    names.push(DEFAULT_WORKFLOW);
    names.sort_unstable();
    let what =
        format!("{}: there is no workflow or model `{}`", table.label, wanted.escape_debug());
    let remedy = match did_you_mean(wanted, names) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("name `{DEFAULT_WORKFLOW}`, a workflow-profile or a [[model]]"),
    };
    table.report.problem(&model.span(), what, remedy);
    false
}

/// Why no request can ever mean it.
fn unreachable(alias: &Alias, earlier: &[Alias], targets: &Targets<'_>) -> Option<String> {
    let name = alias.name.as_str();
    if targets.models.contains(name) {
        return Some("a [[model]] has the name".to_owned());
    }
    if targets.profiles.contains_key(name) {
        return Some("a workflow-profile has the name".to_owned());
    }
    // A `*` that takes the other's `*` and `?` for letters takes all that they stand for.
    let covers = |one: &&Alias| {
        one.name == name || ((alias.is_exact() || !one.name.contains('?')) && one.matches(name))
    };
    let first = earlier.iter().find(covers)?;
    Some(format!("alias `{}` above it takes its names", first.name.escape_debug()))
}
