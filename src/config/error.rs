//! The error that a config's problems become, and the words that messages are made of.

use std::{collections::BTreeSet, fmt};

use super::{Diagnostic, diagnostic::Severity};

/// How many names an answer to a wrong one lists.
pub(super) const SHOWN_NAMES: usize = 12;

/// Every problem of a config, reported at once. `Display` shows one a line: where, what, remedy.
/// Neither form ever holds a value of the file that could be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    pub(super) undefined: BTreeSet<String>,
    pub(super) diagnostics: Vec<Diagnostic>,
}

impl ConfigError {
    /// An error of a single problem that is not about the content of a file.
    pub(super) fn single(
        file: impl Into<String>,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let (file, what, remedy) = (file.into(), what.into(), remedy.into());
        let problem = Diagnostic { severity: Severity::Error, file, spot: None, what, remedy };
        Self { undefined: BTreeSet::new(), diagnostics: vec![problem] }
    }

    /// How many things have to be mended.
    #[must_use]
    pub fn count(&self) -> usize {
        self.problems().count()
    }

    /// The problems, and what was warned of or noticed on the way, in the order of the file.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// `Workflow configuration references undefined model(s): a, b`, where there are any.
    #[must_use]
    pub fn undefined_models(&self) -> Option<String> {
        let names: Vec<&str> = self.undefined.iter().map(String::as_str).collect();
        let names = (!names.is_empty()).then(|| names.join(", "))?;
        Some(format!("Workflow configuration references undefined model(s): {names}"))
    }

    fn problems(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter().filter(|found| found.severity == Severity::Error)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problems = self.problems().map(ToString::to_string);
        let lines: Vec<String> = self.undefined_models().into_iter().chain(problems).collect();
        f.write_str(&lines.join("\n"))
    }
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

/// What to write for a name that nobody has: the one that was probably meant, else one of those there
/// are.
pub(super) fn other_name(near: Option<&str>, names: &[&str]) -> String {
    let quoted = |name: &&str| format!("`{}`", name.escape_debug());
    if let Some(near) = near {
        return format!("did you mean {}?", quoted(&near));
    }
    let (first, more) = names.split_at_checked(SHOWN_NAMES).unwrap_or((names, &[]));
    let first: Vec<String> = first.iter().map(quoted).collect();
    let more = match more.len() {
        0 => String::new(),
        count => format!(" or {count} more"),
    };
    match first.as_slice() {
        [] => "add one".to_owned(),
        [only] => format!("name {only}"),
        several => format!("name one of {}{more}", several.join(", ")),
    }
}

/// The word that was probably meant: at most a third of it typed differently.
pub(super) fn did_you_mean<'w>(
    typed: &str,
    words: impl IntoIterator<Item = &'w str>,
) -> Option<&'w str> {
    let plain = |word: &str| word.to_lowercase().replace('-', "_");
    let typed = plain(typed);
    let letters = typed.chars().count();
    let distance = |word: &'w str| {
        let length = word.chars().count();
        let most = (length / 3).max(1).min(length.saturating_sub(1));
        // Reckoning it is dear, and a word of another length is as far at least.
        let near = (length.abs_diff(letters) <= most)
            .then(|| strsim::osa_distance(&typed, &plain(word)))?;
        (near <= most).then_some((near, word))
    };
    words.into_iter().filter_map(distance).min().map(|(_, word)| word)
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
    fn for_a_wrong_name_another_is_shown() {
        let many: Vec<String> = (10..30).map(|number| format!("m{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for (near, names, want) in [
            (Some("a\n"), &["a\n", "b"][..], "did you mean `a\\n`?"),
            (None, &["a", "b"], "name one of `a`, `b`"),
            (None, &["a"], "name `a`"),
            (None, &[], "add one"),
        ] {
            assert_eq!(other_name(near, names), want);
        }
        assert!(other_name(None, &many).ends_with("`m20`, `m21` or 8 more"));
    }

    #[test]
    fn choices_are_listed_in_words() {
        assert_eq!(one_of(&["a", "b", "c"]), "`a`, `b` or `c`");
        assert_eq!(one_of(&["a"]), "`a`");
        assert_eq!(one_of(&[]), "");
    }
}
