//! Problems gathered while a config is read, and the error they become.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    fmt,
    ops::Range,
    path::{Path, PathBuf},
};

/// Every problem of a config, reported at once. `Display` shows one a line: where, what, remedy.
/// Neither form ever holds a value of the file that could be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    undefined: BTreeSet<String>,
    problems: Vec<Problem>,
}

impl ConfigError {
    /// An error of a single problem that is not about the content of a file.
    pub(super) fn single(
        file: impl Into<String>,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let place = Place { file: file.into(), line: None };
        let problem = Problem { place, what: what.into(), remedy: remedy.into() };
        Self { undefined: BTreeSet::new(), problems: vec![problem] }
    }

    /// How many things have to be mended.
    #[must_use]
    pub fn count(&self) -> usize {
        self.problems.len()
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = Vec::with_capacity(self.problems.len() + 1);
        if !self.undefined.is_empty() {
            let names: Vec<&str> = self.undefined.iter().map(String::as_str).collect();
            let names = names.join(", ");
            lines.push(format!("Workflow configuration references undefined model(s): {names}"));
        }
        lines.extend(self.problems.iter().map(ToString::to_string));
        f.write_str(&lines.join("\n"))
    }
}

/// Where something is: `config.toml:12`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) file: String,
    pub(super) line: Option<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.file),
            None => f.write_str(&self.file),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Problem {
    place: Place,
    what: String,
    remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.place, self.what, self.remedy)
    }
}

/// The text being read, and everything found in it so far. Interior mutability lets the readers
/// of nested tables report without handing a `&mut` around.
pub(super) struct Report<'t> {
    file: String,
    path: Option<&'t Path>,
    text: &'t str,
    found: RefCell<Found>,
    named: RefCell<Vec<PathBuf>>,
}

#[derive(Default)]
struct Found {
    undefined: BTreeSet<String>,
    problems: Vec<Problem>,
    warnings: Vec<(Place, String)>,
    notices: Vec<(Place, String)>,
}

impl<'t> Report<'t> {
    pub(super) fn new(text: &'t str, path: Option<&'t Path>) -> Self {
        let file = path.map_or_else(|| "config".to_owned(), |path| path.display().to_string());
        Self { file, path, text, found: RefCell::default(), named: RefCell::default() }
    }

    /// A path the file names: absolute, or relative to the folder of the config.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        let folder = self.path.and_then(Path::parent);
        let path = folder.map_or_else(|| PathBuf::from(path), |folder| folder.join(path));
        self.named.borrow_mut().push(path.clone());
        path
    }

    /// Every path that was resolved so far.
    pub(super) fn named_files(&self) -> Vec<PathBuf> {
        self.named.borrow().clone()
    }

    /// The line a span begins in.
    pub(super) fn place(&self, span: &Range<usize>) -> Place {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        Place { file: self.file.clone(), line: Some(line) }
    }

    /// The line in which the text of a string begins: TOML drops a line break after `"""`.
    pub(super) fn first_line_of_text(&self, span: &Range<usize>) -> usize {
        let written = self.text.get(span.start..).unwrap_or_default();
        let rest = written.strip_prefix("\"\"\"").or_else(|| written.strip_prefix("'''"));
        let next = rest.is_some_and(|rest| rest.starts_with('\n') || rest.starts_with("\r\n"));
        self.place(span).line.unwrap_or(1) + usize::from(next)
    }

    /// The file as a whole.
    pub(super) fn whole_file(&self) -> Place {
        Place { file: self.file.clone(), line: None }
    }

    pub(super) fn problem(
        &self,
        span: &Range<usize>,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.problem_at(self.place(span), what, remedy);
    }

    pub(super) fn problem_at(
        &self,
        place: Place,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let problem = Problem { place, what: what.into(), remedy: remedy.into() };
        let found = &mut self.found.borrow_mut().problems;
        if !found.contains(&problem) {
            found.push(problem);
        }
    }

    /// A model that a workflow names and nobody defines.
    pub(super) fn undefined_model(&self, name: &str) {
        self.found.borrow_mut().undefined.insert(name.to_owned());
    }

    pub(super) fn warn(&self, place: Place, text: impl Into<String>) {
        self.found.borrow_mut().warnings.push((place, text.into()));
    }

    /// An old form that was migrated in memory.
    pub(super) fn notice(&self, place: Place, text: &str) {
        let text = format!("{text}; `chorus migrate` writes the new form");
        self.found.borrow_mut().notices.push((place, text));
    }

    /// Whether an old form was met.
    pub(super) fn is_old(&self) -> bool {
        !self.found.borrow().notices.is_empty()
    }

    /// The warnings and the notices, or the error, each in the order of the file.
    pub(super) fn finish(self) -> Result<(Vec<String>, Vec<String>), ConfigError> {
        let Found { undefined, mut problems, warnings, notices } = self.found.into_inner();
        if problems.is_empty() {
            return Ok((in_order(warnings), in_order(notices)));
        }
        problems.sort_by(|a, b| a.place.cmp(&b.place));
        Err(ConfigError { undefined, problems })
    }
}

fn in_order(mut found: Vec<(Place, String)>) -> Vec<String> {
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    found.into_iter().map(|(place, text)| format!("{place}: {text}")).collect()
}

/// `a, b or c`, each in backticks.
pub(super) fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    }
}

/// The word that was probably meant: at most a third of it typed differently.
pub(super) fn did_you_mean<'w>(
    typed: &str,
    words: impl IntoIterator<Item = &'w str>,
) -> Option<&'w str> {
    let plain = |word: &str| word.to_lowercase().replace('-', "_");
    let typed = plain(typed);
    let distance = |word: &str| strsim::osa_distance(&typed, &plain(word));
    let (near, word) = words.into_iter().map(|word| (distance(word), word)).min()?;
    let length = word.chars().count();
    (near < length && near <= (length / 3).max(1)).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_mistake_finds_its_word() {
        let words = ["temperature", "auto_temperature", "name", "ref"];
        for (typed, want) in [
            ("temprature", Some("temperature")),
            ("tempreature", Some("temperature")),
            ("auto-temperature", Some("auto_temperature")),
            ("Name", Some("name")),
            ("rfe", Some("ref")),
            ("colour", None),
            ("x", None),
        ] {
            assert_eq!(did_you_mean(typed, words), want, "{typed}");
        }
        assert_eq!(did_you_mean("a", []), None);
        assert_eq!(did_you_mean("a", ["b"]), None);
    }

    #[test]
    fn choices_are_listed_in_words() {
        assert_eq!(one_of(&["a", "b", "c"]), "`a`, `b` or `c`");
        assert_eq!(one_of(&["a"]), "`a`");
        assert_eq!(one_of(&[]), "");
    }
}
