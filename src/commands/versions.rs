//! `chorus config history`, `diff` and `rollback`: the configs that were loaded, see
//! `config/versions.rs`.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use similar::TextDiff;
use zeroize::Zeroizing;

use super::{
    file::{self, Access, FileError},
    output::UntilClosed,
};
use crate::config::{
    Config, ConfigError, Env, SecretStores, Version, Versions, with_keys_of, without_keys_of,
};

/// Exit code when it was done.
const FINE: u8 = 0;
/// Exit code of a failure at run time.
const FAILED: u8 = 1;
/// Exit code of a version or a config that cannot be used.
const REFUSED: u8 = 2;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// All versions.
    History,
    /// What differs between two versions. Without the second it is the file as it is; without the
    /// first, that and the latest version.
    Diff(Option<u64>, Option<u64>),
    /// The text of a version in place of the file.
    Rollback(u64),
}

/// Keeps a config that is in use from now on. That it could not be is a warning, since it hinders
/// nobody.
pub(super) fn keep(config: &Config, changes: &[String]) {
    let (Some(text), Some(versions)) = (&config.stored, &config.versions) else { return };
    let since = |before: &str| between(before, text, config.path.as_deref());
    if let Err(error) = versions.keep(text, changes, since) {
        let folder = versions.folder().display();
        tracing::warn!(%folder, %error, "this version of the config is not kept");
    }
}

/// What differs between two kept texts; where one does not load any more, that something does.
fn between(before: &str, after: &str, path: Option<&Path>) -> Vec<String> {
    let parse = |text| Config::parse_asking(text, path, &anything, &SecretStores::closed());
    match (parse(before), parse(after)) {
        (Ok(before), Ok(after)) => before.changes_to(&after),
        _ => vec!["the file".to_owned()],
    }
}

/// What a key is makes no difference to what a text means besides.
#[expect(clippy::unnecessary_wraps, reason = "it stands for the environment")]
fn anything(_: &str) -> Option<String> {
    Some("not-set".to_owned())
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(
        "there is no place for versions: there is no home folder, and the config has no `[server] data_dir`"
    )]
    Nowhere,
    #[error("there is no version {0}; `chorus config history` lists them")]
    None(u64),
    #[error("no version is kept yet; `chorus` keeps each config that it loads")]
    Empty,
    #[error("{}: cannot be read: {cause}", path.display())]
    Read { path: PathBuf, cause: io::Error },
    #[error("{}: it is no TOML, so its keys cannot be told from the rest", .0.display())]
    NoToml(PathBuf),
    #[error("version {id} does not load any more, so nothing was written:\n{error}")]
    Stale { id: u64, error: ConfigError },
    #[error("{0}; nothing was changed")]
    File(#[from] FileError),
    #[error("{0}")]
    Screen(#[from] io::Error),
}

/// Answers what is asked of the versions of the config at `path`. Returns the exit code.
///
/// # Errors
/// When the screen cannot be written to; that `out` is closed early is none.
pub fn run(
    path: &Path,
    ask: Ask,
    env: Env<'_>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    let out = &mut UntilClosed::new(out);
    let answered = Versions::of(path, env).ok_or(Failure::Nowhere).and_then(|versions| match ask {
        Ask::History => history(&versions, out),
        Ask::Diff(first, second) => diff(path, &versions, (first, second), out),
        Ask::Rollback(id) => rollback(path, &versions, id, out),
    });
    let code = match answered {
        Ok(()) => return Ok(FINE),
        Err(Failure::Screen(error)) => return Err(error),
        Err(failure) => {
            writeln!(err, "{failure}")?;
            match failure {
                Failure::None(_) | Failure::Empty | Failure::NoToml(_) | Failure::Stale { .. } => {
                    REFUSED
                }
                _ => FAILED,
            }
        }
    };
    Ok(code)
}

fn list(versions: &Versions) -> Result<Vec<Version>, Failure> {
    let listed = versions.list();
    listed.map_err(|cause| Failure::Read { path: versions.folder().to_owned(), cause })
}

fn history(versions: &Versions, out: &mut dyn Write) -> Result<(), Failure> {
    let all = list(versions)?;
    if all.is_empty() {
        writeln!(out, "No version is kept yet: chorus keeps each config that it loads.")?;
    }
    for Version { id, at, sha256, changes, .. } in all.iter().rev() {
        let at = at.strftime("%Y-%m-%d %H:%M:%S");
        let hash = sha256.get(..8).unwrap_or_default();
        let changes = if changes.is_empty() { "the first".to_owned() } else { changes.join("; ") };
        writeln!(out, "{id:>4}  {at} UTC  {hash}  {changes}")?;
    }
    Ok(())
}

fn text(versions: &Versions, id: u64) -> Result<String, Failure> {
    versions.text(id).map_err(|cause| match cause.kind() {
        io::ErrorKind::NotFound => Failure::None(id),
        _ => Failure::Read { path: versions.folder().to_owned(), cause },
    })
}

fn today(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let read = fs::read_to_string(path).map(Zeroizing::new);
    read.map_err(|cause| Failure::Read { path: path.to_owned(), cause })
}

fn diff(
    path: &Path,
    versions: &Versions,
    (first, second): (Option<u64>, Option<u64>),
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let latest = || list(versions)?.last().map(|last| last.id).ok_or(Failure::Empty);
    let first = first.map_or_else(latest, Ok)?;
    let before = text(versions, first)?;
    let (after, name) = match second {
        Some(second) => (text(versions, second)?, format!("version {second}")),
        None => {
            let shown = without_keys_of(&today(path)?);
            let shown = shown.ok_or_else(|| Failure::NoToml(path.to_owned()))?;
            (shown, path.display().to_string())
        }
    };
    let changes = TextDiff::from_lines(&before, &after);
    let mut unified = changes.unified_diff();
    write!(out, "{}", unified.header(&format!("version {first}"), &name))?;
    Ok(())
}

fn rollback(path: &Path, versions: &Versions, id: u64, out: &mut dyn Write) -> Result<(), Failure> {
    let kept = text(versions, id)?;
    let now = today(path)?;
    let (old, missing) =
        with_keys_of(&kept, &now).ok_or_else(|| Failure::NoToml(versions.folder().to_owned()))?;
    let old = Zeroizing::new(old);
    let shown = path.display();
    if *old == *now {
        writeln!(out, "{shown} is as version {id} was; there is nothing to do.")?;
        return Ok(());
    }
    let loaded = Config::parse_asking(&old, Some(path), &anything, &SecretStores::closed());
    loaded.map_err(|error| Failure::Stale { id, error })?;
    let backup = file::replace(path, &old, Access::AsBefore)?;
    writeln!(out, "{shown} is what version {id} was. A chorus that runs takes it at once.")?;
    writeln!(out, "The file before it is kept as {}.", backup.display())?;
    if !missing.is_empty() {
        writeln!(
            out,
            "Versions hold no keys, and today's file does not have these; write them in:"
        )?;
        missing.iter().try_for_each(|name| writeln!(out, "  {name}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Overrides;

    struct Story {
        folder: tempfile::TempDir,
    }

    fn written(beat: u32, key: &str) -> String {
        format!(
            "[server]\nheartbeat_secs = {beat} # seconds\n[[model]]\nname = \"a\"\n\
             api_base = \"http://127.0.0.1:9/v1\"\napi_key = \"{key}\"\n\
             [workflow-integration]\njson = '{{ \"workers\": [\"a\"], \"selector\": \"a\" }}'\n"
        )
    }

    impl Story {
        fn new() -> Self {
            Self { folder: tempfile::tempdir().unwrap() }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("c.toml")
        }

        fn env(&self, name: &str) -> Option<String> {
            let state = self.folder.path().join("state");
            (name == "XDG_STATE_HOME").then(|| state.to_str().unwrap().to_owned())
        }

        /// The file gets a text, and a server loads it.
        fn loads(&self, text: &str) {
            fs::write(self.path(), text).unwrap();
            let env = |name: &str| self.env(name);
            let config = Config::load_with(&self.path(), &env, &Overrides::default()).unwrap();
            keep(&config, &[]);
        }

        fn ask(&self, ask: Ask) -> (u8, String) {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let env = |name: &str| self.env(name);
            let code = run(&self.path(), ask, &env, &mut out, &mut err).unwrap();
            (code, String::from_utf8([out, err].concat()).unwrap())
        }

        fn file(&self) -> String {
            fs::read_to_string(self.path()).unwrap()
        }
    }

    #[test]
    fn the_history_says_when_and_what() {
        let story = Story::new();
        fs::write(story.path(), written(1, "s3cret")).unwrap();
        assert!(story.ask(Ask::History).1.contains("No version is kept yet"));
        assert_eq!(story.ask(Ask::Diff(None, None)).0, REFUSED);
        for beat in [1, 1, 2] {
            story.loads(&written(beat, "s3cret"));
        }
        let (code, history) = story.ask(Ask::History);
        let lines: Vec<&str> = history.lines().collect();
        let [second, first] = lines[..] else { panic!("{history}") };
        assert!(second.starts_with("   2  20") && second.ends_with("[server] heartbeat_secs"));
        assert!(first.starts_with("   1  20") && first.ends_with("the first") && code == FINE);
    }

    #[test]
    fn a_diff_is_of_two_versions_or_of_one_and_the_file() {
        let story = Story::new();
        story.loads(&written(1, "s3cret"));
        story.loads(&written(2, "s3cret"));
        fs::write(story.path(), written(3, "s3cret-too")).unwrap();
        for (ask, from, to) in [
            (Ask::Diff(Some(1), Some(2)), 1, 2),
            (Ask::Diff(Some(1), None), 1, 3),
            (Ask::Diff(None, None), 2, 3),
        ] {
            let (code, diff) = story.ask(ask);
            let line =
                |sign: char, beat: u32| format!("\n{sign}heartbeat_secs = {beat} # seconds\n");
            assert!(diff.contains(&line('-', from)) && diff.contains(&line('+', to)), "{diff}");
            assert!(code == FINE && !diff.contains("s3cret"), "{diff}");
        }
        assert_eq!(story.ask(Ask::Diff(Some(7), None)).0, REFUSED);
    }

    #[test]
    fn a_rollback_writes_the_old_text_with_todays_keys_and_keeps_a_backup() {
        let story = Story::new();
        story.loads(&written(1, "s3cret-1"));
        story.loads(&written(2, "s3cret-2"));
        let (code, said) = story.ask(Ask::Rollback(1));
        assert_eq!((code, story.file()), (FINE, written(1, "s3cret-2")), "{said}");
        let backup = fs::read_to_string(story.folder.path().join("c.toml.bak")).unwrap();
        assert_eq!(backup, written(2, "s3cret-2"));
        assert!(!said.contains("s3cret") && said.contains("c.toml.bak"), "{said}");
        assert!(story.ask(Ask::Rollback(1)).1.contains("nothing to do"));
        // A key that went elsewhere is nobody's to write.
        fs::write(story.path(), written(3, "env:KEY")).unwrap();
        let (code, said) = story.ask(Ask::Rollback(2));
        assert!(code == FINE && said.contains("write them in:\n  model a: api_key"), "{said}");
        assert_eq!(story.file(), written(2, "<secret>"));
    }

    #[test]
    fn a_version_that_does_not_load_any_more_changes_nothing() {
        let story = Story::new();
        let plan = story.folder.path().join("plan.json");
        fs::write(&plan, r#"{ "workers": ["a"], "selector": "a" }"#).unwrap();
        let text = written(1, "k");
        let (rest, _) = text.split_once("json = ").unwrap();
        story.loads(&format!("{rest}json_file = \"plan.json\"\n"));
        story.loads(&written(2, "k"));
        fs::remove_file(plan).unwrap();
        let (code, said) = story.ask(Ask::Rollback(1));
        assert!(code == REFUSED && said.contains("`json_file` cannot be read"), "{said}");
        assert_eq!(story.ask(Ask::Rollback(9)).0, REFUSED);
        assert_eq!(story.file(), written(2, "k"));
    }
}
