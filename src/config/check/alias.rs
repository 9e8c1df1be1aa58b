//! `[[alias]]`: further names for workflows and models.

use indexmap::IndexMap;

use super::model::Models;
use crate::config::{
    Alias, DEFAULT_WORKFLOW, Workflow,
    error::{did_you_mean, other_name},
    file,
    names::is_reserved,
    report::Report,
    section::Section,
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

pub(super) fn read(
    written: &[file::Alias],
    targets: &Targets<'_>,
    report: &Report<'_>,
) -> Vec<Alias> {
    let mut aliases: Vec<Alias> = Vec::with_capacity(written.len());
    for (index, file::Alias { name, model, note }) in written.iter().enumerate() {
        let at = Section::entry(report, "alias", index, name.as_ref());
        let fine = name.as_ref().is_some_and(|name| is_usable(name, &at));
        let there = model.as_ref().is_some_and(|model| is_there(model, &at, targets));
        if let (Some(name), Some(model), true, true) = (name, model, fine, there) {
            let alias = Alias::new(name.clone(), model.clone(), note.clone());
            if let Some(why) = unreachable(&alias, &aliases, targets) {
                let what = format!("alias `{}` never applies: {why}", alias.name.escape_debug());
                let remedy = "take it out, or move it up or rename it";
                report.warn(at.place("name"), what, remedy);
            }
            aliases.push(alias);
        }
    }
    aliases
}

fn is_usable(name: &str, at: &Section<'_, '_>) -> bool {
    let what = if is_reserved(name) {
        "the name is reserved for the default workflow"
    } else if name.trim() != name || name.chars().any(char::is_control) {
        "the name has blanks around it, or control characters"
    } else {
        return true;
    };
    at.problem("name", what, "write another name, or a pattern such as \"gpt-*\"");
    false
}

/// Whether what it stands for is a workflow or a model. One alias cannot lead to another.
fn is_there(wanted: &str, at: &Section<'_, '_>, targets: &Targets<'_>) -> bool {
    if targets.has(wanted) {
        return true;
    }
    let mut names: Vec<&str> = targets.models.names().collect();
    names.extend(targets.profiles.keys().map(String::as_str));
    names.push(DEFAULT_WORKFLOW);
    names.sort_unstable();
    let remedy = other_name(did_you_mean(wanted, names.iter().copied()), &names);
    let what = format!("there is no workflow or model `{}`", wanted.escape_debug());
    at.problem("model", what, remedy);
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
