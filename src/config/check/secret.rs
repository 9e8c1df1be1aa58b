//! Keys: a literal, or where one is (`config/secret/`). No message here ever quotes what was written: a key
//! pasted behind the wrong prefix is still a key.

mod elsewhere;

use std::path::Path;

use zeroize::Zeroizing;

use super::source::Source;
use crate::config::{
    Env,
    file::Secret,
    foreign, fullwidth, read,
    report::{FileSpan, Report},
    secret::{Failure, Key, PREFIXES, Reference},
};
use elsewhere::Elsewhere;

/// The folder in which containers get their secrets, which all in them may read.
const SECRETS: &str = "/run/secrets";

/// Resolves keys.
pub(super) struct Secrets<'a, 't> {
    pub(super) report: &'a Report<'t>,
    env: Env<'a>,
    elsewhere: Elsewhere<'a>,
    /// Others on this machine can read the config.
    exposed: bool,
}

impl<'a, 't> Secrets<'a, 't> {
    pub(super) fn new(report: &'a Report<'t>, source: &Source<'a>) -> Self {
        let exposed = source.on_disk && source.path.is_some_and(world_readable);
        Self { report, env: source.env, elsewhere: Elsewhere::new(source), exposed }
    }

    /// The value behind a key that is written at `place`, trimmed; `what` names it in messages. All
    /// are read anew for each load. Warns of placeholders and, where `guarded`, of plain text and of files that
    /// others can read.
    pub(super) fn resolve(
        &self,
        value: &Secret,
        place: &FileSpan,
        what: &str,
        guarded: bool,
    ) -> Option<Key> {
        let text = value.expose();
        if let Some(name) = foreign::variable(text) {
            let name = if name.is_empty() { "NAME" } else { &name };
            let (thing, remedy) = match foreign::is_file(text) {
                true => ("a file", "write file:PATH".to_owned()),
                false => ("a variable", format!("write env:{name}")),
            };
            let what =
                format!("{what} is taken as the key itself: this is how other tools write {thing}");
            self.report.warn(place.clone(), what, remedy);
        }
        let key = match Reference::of(text) {
            Reference::Variable(name) => self.variable(name, what, place)?,
            Reference::File(path) => self.file(path, what, (place, guarded))?,
            Reference::Literal => self.literal(text, what, (place, guarded)),
            Reference::Credential(name) => {
                self.found(self.elsewhere.credential(name, self.report), what, place)?
            }
            Reference::Command(line) => self.found(self.elsewhere.command(line), what, place)?,
            Reference::Vault(text) => self.found(self.elsewhere.vault(text), what, place)?,
        };
        if !key.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            let what = format!("{what} holds characters that no HTTP header can carry");
            let remedy = match fullwidth::named(text)
                .filter(|_| PREFIXES.iter().any(|it| text.starts_with(it.trim_end_matches(':'))))
            {
                Some((_, remedy)) => remedy,
                None => "copy the key again, without line breaks".to_owned(),
            };
            self.report.problem_at(place.clone(), what, remedy);
            return None;
        }
        if is_ours(text)
            && let Some((doubt, remedy)) = doubt(&key)
        {
            self.report.warn(place.clone(), format!("{what} {doubt}"), remedy);
        }
        Some(key)
    }

    fn literal(&self, text: &str, what: &str, (place, guarded): (&FileSpan, bool)) -> Key {
        let is_none = is_placeholder(text) || !is_ours(text);
        if guarded && self.exposed && !text.is_empty() && !is_none {
            let what = format!(
                "{what} is in plain text in a file that every user of this machine can read"
            );
            let remedy = "write env:NAME or file:PATH, or run chmod 600 on the config";
            self.report.warn(place.clone(), what, remedy);
        }
        Zeroizing::new(text.to_owned())
    }

    /// What was found elsewhere, or why not.
    fn found(&self, key: Result<Key, Failure>, what: &str, place: &FileSpan) -> Option<Key> {
        let report = |Failure { what: problem, remedy }| {
            self.report.problem_at(place.clone(), format!("{what}: {problem}"), remedy);
        };
        key.map_err(report).ok()
    }

    fn variable(&self, name: &str, what: &str, place: &FileSpan) -> Option<Key> {
        // Only what looks like the name of a variable is shown.
        let allowed = |byte: u8| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_');
        let shown = !name.is_empty() && name.len() <= 64 && name.bytes().all(allowed);
        let shown = if shown { format!("{name} ") } else { String::new() };
        let (problem, remedy) = match (self.env)(name).map(Zeroizing::new) {
            Some(key) if !key.trim().is_empty() => return Some(trimmed(&key)),
            Some(_) => ("is empty", "set it to the key"),
            None => ("is not set", "export it before starting Chorus, or correct the name"),
        };
        let what = format!("{what}: the environment variable {shown}{problem}");
        self.report.problem_at(place.clone(), what, remedy);
        None
    }

    fn file(&self, path: &str, what: &str, (place, guarded): (&FileSpan, bool)) -> Option<Key> {
        let path = self.report.resolve(path);
        let read = read::named(&path);
        let problem = match read.as_ref().map(|bytes| str::from_utf8(bytes)) {
            Ok(Ok(key)) if !key.trim().is_empty() => {
                if guarded && world_readable(&path) && !path.starts_with(SECRETS) {
                    let what =
                        format!("{what} is in a file that every user of this machine can read");
                    self.report.warn(place.clone(), what, "run chmod 600 on that file");
                }
                return Some(trimmed(key));
            }
            Ok(Ok(_)) => "the file it names is empty".to_owned(),
            Ok(Err(_)) => "the file it names is not text".to_owned(),
            Err(error) => format!("the file it names cannot be read: {error}"),
        };
        let remedy = "correct the path behind file: (relative ones start at the config's folder)";
        self.report.problem_at(place.clone(), format!("{what}: {problem}"), remedy);
        None
    }
}

fn trimmed(key: &str) -> Key {
    Zeroizing::new(key.trim().to_owned())
}

/// Whether a key is not written as another tool would write a variable.
fn is_ours(text: &str) -> bool {
    foreign::variable(text).is_none()
}

/// What is odd about a key, and what to do.
fn doubt(key: &str) -> Option<(&'static str, &'static str)> {
    let begins = |word: &str| key.get(..word.len()).is_some_and(|it| it.eq_ignore_ascii_case(word));
    let is_quoted = |quote: char| key.len() > 2 && key.starts_with(quote) && key.ends_with(quote);
    if is_placeholder(key) {
        return Some(("is a placeholder", "write the real one, or env:NAME"));
    }
    if begins("Bearer ") || begins("Authorization:") {
        return Some((
            "begins as a header does, which Chorus writes itself",
            "write the key alone",
        ));
    }
    if begins("api_key=") || begins("apikey=") {
        return Some(("begins with a name", "write the key alone"));
    }
    if is_quoted('"') || is_quoted('\'') {
        return Some(("has quotation marks of its own", "write the key without them"));
    }
    None
}

/// What examples write where a key belongs.
fn is_placeholder(key: &str) -> bool {
    let key = key.to_lowercase().replace('_', "-");
    let whole = ["changeme", "change-me", "replace-me", "todo", "xxx", "...", "sk-...", "sk-xxx"];
    key.starts_with("your-")
        || key.contains("your-api-key")
        || key.contains("api-key-here")
        || key.starts_with('$')
        || (key.starts_with('<') && key.ends_with('>'))
        || key.contains("xxxxxx")
        || (!key.is_empty() && key.bytes().all(|byte| byte == b'*'))
        || whole.contains(&key.as_str())
}

#[cfg(unix)]
pub(super) fn world_readable(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    path.metadata().is_ok_and(|file| file.mode() & 0o004 != 0)
}

#[cfg(not(unix))]
pub(super) fn world_readable(_path: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_odd_about_a_key_is_said() {
        for (key, want) in [
            ("your-api-key", Some("is a placeholder")),
            ("***", Some("is a placeholder")),
            ("Bearer sk-1f9a", Some("begins as a header does, which Chorus writes itself")),
            ("authorization: x", Some("begins as a header does, which Chorus writes itself")),
            ("api_key=sk-1f9a", Some("begins with a name")),
            ("\"sk-1f9a\"", Some("has quotation marks of its own")),
            ("'sk-1f9a'", Some("has quotation marks of its own")),
            ("sk-1f9a", None),
            ("bearer", None),
            ("it's", None),
            ("", None),
        ] {
            assert_eq!(doubt(key).map(|(what, _)| what), want, "{key}");
        }
    }

    #[test]
    fn placeholders() {
        for key in
            ["your-api-key-here", "YOUR_API_KEY", "<key>", "sk-xxxxxxxx", "${KEY}", "changeme"]
        {
            assert!(is_placeholder(key), "{key}");
        }
        for key in ["sk-1f9a", "", "ollama", "EMPTY", "yourself"] {
            assert!(!is_placeholder(key), "{key}");
        }
    }
}
