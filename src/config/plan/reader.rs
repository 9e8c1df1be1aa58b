//! A plan while it is read: where its keys are, what is wrong with it, and which models it names.

use std::cell::RefCell;

use serde_json::Value;

use crate::config::{
    file::plan::Plan,
    fullwidth, grammar,
    report::{File, FileSpan, Report},
    tree::{NoJson, Node, Spots},
};

/// A model that the plan names, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct Reference {
    pub(in crate::config) model: String,
    pub(in crate::config) path: String,
}

/// A plan's text, and where it is.
pub(in crate::config) struct Written<'p> {
    pub(in crate::config) text: &'p str,
    /// The `json` key of the config, or the plan's own file.
    pub(in crate::config) place: FileSpan,
    /// The file that holds the plan.
    pub(in crate::config) file: File,
    /// The place in it of each byte of the text; empty when that is not known.
    pub(in crate::config) offsets: Vec<usize>,
}

/// What reading a plan gathers.
pub(in crate::config) struct Reader<'r> {
    report: &'r Report<'r>,
    place: FileSpan,
    file: File,
    spots: Spots,
    references: RefCell<Vec<Reference>>,
}

impl<'r> Reader<'r> {
    /// A plan's text; `None` after reporting that it is no JSON, or no object.
    pub(in crate::config) fn text(
        report: &'r Report<'r>,
        plan: &Written<'_>,
    ) -> Option<(Plan, Self)> {
        let Written { text, place, file, offsets } = plan;
        let start = place.span().start;
        // An escaped quote ends where the next character begins.
        let at = |offset: usize| offsets.get(offset).copied().unwrap_or(start);
        match Node::of_json(text, &at) {
            Ok(node) => {
                let spots = Spots::of(&node);
                let reader = Self::new(report, place.clone(), *file, spots);
                Some((grammar::plan(node, *file, report)?, reader))
            }
            Err(NoJson::Syntax(error)) => {
                syntax(report, plan, &error);
                None
            }
            Err(NoJson::Twice { key, at }) => {
                let what = format!("the plan: key `{}` is there twice", key.escape_debug());
                report.problem_at(FileSpan::of(*file, at), what, "keep one of them");
                None
            }
        }
    }

    /// A plan that was written in keys of the config, and where those are.
    pub(in crate::config) fn keys(
        report: &'r Report<'r>,
        place: FileSpan,
        plan: &Value,
        spots: Spots,
    ) -> Option<(Plan, Self)> {
        let node = Node { span: place.span(), ..Node::of_value(plan) };
        let reader = Self::new(report, place, File::CONFIG, spots);
        Some((grammar::plan(node, File::CONFIG, report)?, reader))
    }

    fn new(report: &'r Report<'r>, place: FileSpan, file: File, spots: Spots) -> Self {
        Self { report, place, file, spots, references: RefCell::default() }
    }

    /// Whether something is written at a path, even if it is of no use.
    pub(in crate::config) fn has(&self, path: &str) -> bool {
        self.spots.has(path)
    }

    /// The place of the value at a path, else of what it would be in.
    pub(in crate::config) fn place(&self, path: &str) -> FileSpan {
        let span = self.spots.value(path);
        span.map_or_else(|| self.place.clone(), |span| FileSpan::of(self.file, span))
    }

    pub(in crate::config) fn problem(&self, path: &str, what: &str, remedy: impl Into<String>) {
        self.report.problem_at(self.place(path), named(path, what), remedy);
    }

    /// Tells of what works but is probably not meant.
    pub(in crate::config) fn warn(&self, path: &str, what: &str, remedy: impl Into<String>) {
        self.report.warn(self.place(path), named(path, what), remedy);
    }

    pub(super) fn reference(&self, model: &str, path: &str) {
        if model.trim().is_empty() {
            self.problem(path, "is empty", "write the name of a model");
            return;
        }
        let reference = Reference { model: model.to_owned(), path: path.to_owned() };
        self.references.borrow_mut().push(reference);
    }

    /// Every model named so far.
    pub(in crate::config) fn references(&self) -> Vec<Reference> {
        self.references.borrow().clone()
    }
}

/// Reports what is not JSON. Only syntax can be wrong, so the message quotes no value.
fn syntax(report: &Report<'_>, plan: &Written<'_>, error: &serde_json::Error) {
    let Written { text, place, file, offsets } = plan;
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    let lines = text.split_inclusive('\n').take(error.line().saturating_sub(1));
    let line: usize = lines.map(str::len).sum();
    let offset = line.saturating_add(error.column().saturating_sub(1)).min(text.len());
    let at = |offset: usize| offsets.get(offset).copied();
    if let Some(span) = fullwidth::outside_quotes(text, offset)
        && let Some((what, remedy)) = text.get(span.clone()).and_then(fullwidth::named)
    {
        let place = match (at(span.start), at(span.end)) {
            (Some(start), Some(end)) => FileSpan::of(*file, start..end),
            _ => place.clone(),
        };
        report.problem_at(place, format!("the plan is not valid JSON: {what}"), remedy);
        return;
    }
    let place = match at(offset) {
        Some(at) => FileSpan::of(*file, at..at.saturating_add(1)),
        None => place.clone(),
    };
    let what = format!("the plan is not valid JSON: {message}");
    report.problem_at(place, what, "mend the JSON at or just before this place");
}

/// A message with the path it is about.
fn named(path: &str, what: &str) -> String {
    let path = if path.is_empty() { "the plan" } else { path };
    format!("{path}: {what}")
}
