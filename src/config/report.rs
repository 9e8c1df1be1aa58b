//! What is found while a config is read, with its places, until it becomes diagnostics.

use std::{
    cell::{OnceCell, RefCell},
    collections::BTreeSet,
    ops::Range,
    path::{Path, PathBuf},
};

use super::{
    ConfigError, Diagnostic,
    diagnostic::Severity,
    mask::{self, Mask},
    tree::Spots,
};
use crate::types::without_keys;

/// A stretch of one of the files that were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileSpan {
    file: File,
    /// The stretch in bytes; `None`: the file as a whole.
    span: Option<Range<usize>>,
}

impl FileSpan {
    /// A stretch of a file.
    pub(super) fn of(file: File, span: Range<usize>) -> Self {
        Self { file, span: Some(span) }
    }

    /// The stretch; empty for the file as a whole.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone().unwrap_or_default()
    }
}

/// One of the files that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct File(Option<usize>);

impl File {
    /// The config itself; the others are numbered.
    pub(super) const CONFIG: Self = Self(None);
}

/// The text being read, and everything found in it so far. Interior mutability lets the readers
/// of nested tables report without handing a `&mut` around.
pub(super) struct Report<'t> {
    path: Option<&'t Path>,
    name: String,
    text: &'t str,
    /// The places of the config's keys, once it is known to be TOML.
    spots: OnceCell<Spots>,
    plans: RefCell<Vec<PlanFile>>,
    found: RefCell<Found>,
    /// Every path that was resolved so far.
    named: RefCell<Vec<PathBuf>>,
}

struct PlanFile {
    name: String,
    text: String,
}

#[derive(Default)]
struct Found {
    undefined: BTreeSet<String>,
    items: Vec<Item>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Item {
    severity: Severity,
    place: FileSpan,
    what: String,
    remedy: String,
}

/// The warnings and the notices of a config that can be used.
pub(super) struct Remarks {
    pub(super) warnings: Vec<Diagnostic>,
    pub(super) notices: Vec<Diagnostic>,
}

impl<'t> Report<'t> {
    pub(super) fn new(text: &'t str, path: Option<&'t Path>) -> Self {
        let name = path.map_or_else(|| "config".to_owned(), |path| path.display().to_string());
        Self {
            path,
            name,
            text,
            spots: OnceCell::new(),
            plans: RefCell::default(),
            found: RefCell::default(),
            named: RefCell::default(),
        }
    }

    /// Takes in the JSON file of a plan, so that places in it can be shown.
    pub(super) fn plan_file(&self, path: &Path, text: &str) -> File {
        let mut plans = self.plans.borrow_mut();
        plans.push(PlanFile { name: path.display().to_string(), text: text.to_owned() });
        File(Some(plans.len().saturating_sub(1)))
    }

    /// Takes in where the keys of the config are.
    pub(super) fn read(&self, spots: Spots) {
        drop(self.spots.set(spots));
    }

    /// The places of the config's keys; none before it was read.
    pub(super) fn spots(&self) -> &Spots {
        self.spots.get_or_init(Spots::default)
    }

    /// A path the file names: absolute, or relative to the folder of the config.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        let path = self.in_folder(path);
        self.named.borrow_mut().push(path.clone());
        path
    }

    /// The same of a file that the config is not made of, and that nobody has to watch.
    pub(super) fn in_folder(&self, path: &str) -> PathBuf {
        let folder = self.path.and_then(Path::parent);
        folder.map_or_else(|| PathBuf::from(path), |folder| folder.join(path))
    }

    /// Every path that was resolved so far.
    pub(super) fn named_files(&self) -> Vec<PathBuf> {
        self.named.borrow().clone()
    }

    /// How the config's file writes a value.
    pub(super) fn written(&self, span: &Range<usize>) -> &'t str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    /// A stretch of the config.
    #[expect(clippy::unused_self, reason = "only a report's own places mean anything to it")]
    pub(super) fn place(&self, span: &Range<usize>) -> FileSpan {
        FileSpan::of(File::CONFIG, span.clone())
    }

    /// A stretch of the config, or all of it.
    #[expect(clippy::unused_self, reason = "only a report's own places mean anything to it")]
    pub(super) fn config_place(&self, span: Option<Range<usize>>) -> FileSpan {
        FileSpan { file: File::CONFIG, span }
    }

    /// The file as a whole.
    #[expect(clippy::unused_self, reason = "only a report's own places mean anything to it")]
    pub(super) fn whole_file(&self) -> FileSpan {
        FileSpan { file: File::CONFIG, span: None }
    }

    /// A place as another message refers to it: `config.toml:12`.
    pub(super) fn shown(&self, place: &FileSpan) -> String {
        let plans = self.plans.borrow();
        let plan = place.file.0.and_then(|index| plans.get(index));
        let (name, text) = plan.map_or((&self.name, self.text), |plan| (&plan.name, &plan.text));
        match &place.span {
            Some(span) => format!("{name}:{}", mask::line_of(text, span.start).number),
            None => name.clone(),
        }
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
        place: FileSpan,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(Severity::Error, place, what.into(), remedy.into());
    }

    pub(super) fn warn(&self, place: FileSpan, what: impl Into<String>, remedy: impl Into<String>) {
        self.add(Severity::Warning, place, what.into(), remedy.into());
    }

    /// An old form that was migrated in memory.
    pub(super) fn notice(&self, place: FileSpan, what: &str) {
        let remedy = "`chorus migrate` writes the new form";
        self.add(Severity::Notice, place, what.to_owned(), remedy.to_owned());
    }

    fn add(&self, severity: Severity, place: FileSpan, what: String, remedy: String) {
        let item = Item { severity, place, what, remedy };
        let found = &mut self.found.borrow_mut().items;
        if !found.contains(&item) {
            found.push(item);
        }
    }

    /// A model that a workflow names and nobody defines.
    pub(super) fn undefined_model(&self, name: &str) {
        self.found.borrow_mut().undefined.insert(name.to_owned());
    }

    /// Whether an old form was met.
    pub(super) fn is_old(&self) -> bool {
        self.has(Severity::Notice)
    }

    /// Whether something was found that makes the config unusable. What spans several sections is
    /// then only half known, and not worth a warning.
    pub(super) fn is_broken(&self) -> bool {
        self.has(Severity::Error)
    }

    fn has(&self, severity: Severity) -> bool {
        self.found.borrow().items.iter().any(|item| item.severity == severity)
    }

    /// The warnings and the notices, or the error, each in the order of the file.
    pub(super) fn finish(self) -> Result<Remarks, ConfigError> {
        let broken = self.is_broken();
        let Found { undefined, mut items } = self.found.into_inner();
        let plans = self.plans.into_inner();
        let start = |place: &FileSpan| place.span.as_ref().map(|span| span.start);
        items.sort_by_key(|item| (item.place.file.0, start(&item.place)));
        let masks: Vec<Mask> = plans.iter().map(|plan| mask::json(&plan.text)).collect();
        let mask = if items.is_empty() { Mask::default() } else { mask::toml(self.text) };
        let diagnostic = |item: Item| {
            let Item { severity, place, what, remedy } = item;
            let plan = place.file.0.and_then(|index| plans.get(index).zip(masks.get(index)));
            let (file, text, mask) = match plan {
                Some((plan, mask)) => (&plan.name, plan.text.as_str(), mask),
                None => (&self.name, self.text, &mask),
            };
            let spot = place.span.map(|span| mask.spot(text, &span));
            // A key that stands where a name belongs is quoted like one.
            let (what, remedy) = (without_keys(&what), without_keys(&remedy));
            Diagnostic { severity, file: file.clone(), spot, what, remedy }
        };
        let diagnostics = items.into_iter().map(diagnostic);
        if broken {
            let undefined = undefined.iter().map(|name| without_keys(name)).collect();
            return Err(ConfigError { undefined, diagnostics: diagnostics.collect() });
        }
        let is_warning = |of: &Diagnostic| of.severity == Severity::Warning;
        let (warnings, notices) = diagnostics.partition(is_warning);
        Ok(Remarks { warnings, notices })
    }
}
