//! A table of the config while it is checked: what messages call it, and where its keys are.

use std::ops::Range;

use super::{
    grammar,
    report::{FileSpan, Report},
    tree::child,
};

/// A table of the config.
pub(super) struct Section<'a, 't> {
    pub(super) report: &'a Report<'t>,
    /// How messages call it: `[server]`, or `model` and its name.
    pub(super) label: String,
    path: String,
}

impl<'a, 't> Section<'a, 't> {
    /// `[workflow.retry]`.
    pub(super) fn of(report: &'a Report<'t>, path: &str) -> Self {
        Self { report, label: format!("[{path}]"), path: path.to_owned() }
    }

    /// One of `[[model]]`, by its number and its name.
    pub(super) fn entry(
        report: &'a Report<'t>,
        list: &str,
        index: usize,
        name: Option<&String>,
    ) -> Self {
        let label = grammar::label(list, name.map_or("", String::as_str));
        Self { report, label, path: format!("{list}[{index}]") }
    }

    /// One of `[[model.endpoint]]`.
    pub(super) fn inner(&self, list: &str, index: usize) -> Self {
        let outer = self.path.split('[').next().unwrap_or_default();
        let label = format!("{}: [[{outer}.{list}]]", self.label);
        Self { report: self.report, label, path: format!("{}.{list}[{index}]", self.path) }
    }

    /// `[workflow.domains."host"]`.
    pub(super) fn table(&self, name: &str) -> Self {
        let label = format!("{}.{name:?}]", self.label.trim_end_matches(']'));
        Self { report: self.report, label, path: child(&self.path, name) }
    }

    /// A table within it, by the label of the outer one.
    pub(super) fn within(&self, key: &str) -> Self {
        Self { report: self.report, label: self.label.clone(), path: self.path_of(key) }
    }

    fn path_of(&self, key: &str) -> String {
        if key.is_empty() { self.path.clone() } else { child(&self.path, key) }
    }

    /// Whether a key is written, even if its value is of no use.
    pub(super) fn has(&self, key: &str) -> bool {
        self.report.spots().has(&self.path_of(key))
    }

    /// The place of a key's value, else that of the table, which itself has the empty key.
    pub(super) fn place(&self, key: &str) -> FileSpan {
        self.report.config_place(self.span(key))
    }

    /// The same as a stretch of the config.
    pub(super) fn span(&self, key: &str) -> Option<Range<usize>> {
        self.report.spots().value(&self.path_of(key))
    }

    /// The place of a key itself.
    pub(super) fn place_of_key(&self, key: &str) -> FileSpan {
        self.report.config_place(self.report.spots().key(&self.path_of(key)))
    }

    /// Reports a problem of a key; `what` goes on where the table was named: `[server]: ...`.
    pub(super) fn problem(&self, key: &str, what: impl AsRef<str>, remedy: impl Into<String>) {
        let what = format!("{}: {}", self.label, what.as_ref());
        self.report.problem_at(self.place(key), what, remedy);
    }

    /// Tells of what works but is probably not meant.
    pub(super) fn warn(&self, key: &str, what: impl AsRef<str>, remedy: impl Into<String>) {
        let what = format!("{}: {}", self.label, what.as_ref());
        self.report.warn(self.place(key), what, remedy);
    }
}
