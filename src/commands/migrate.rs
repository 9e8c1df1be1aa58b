//! `chorus migrate`: writes an old config in its new form, and proves that it means the same before
//! anything is touched.

mod rewrite;
#[cfg(test)]
mod tests;

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::{
    file::{self, Access, FileError},
    output::UntilClosed,
};
use crate::config::{Config, ConfigError, Env, Overrides, SecretStores, shown_whole};
use rewrite::Rewritten;

/// Exit code when the new form is there.
const FINE: u8 = 0;
/// Exit code of a failure at run time.
const FAILED: u8 = 1;
/// Exit code of a config or an output that cannot be used.
const REFUSED: u8 = 2;

/// What is done with the new form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `--output`: a new file instead of the config itself.
    pub output: Option<PathBuf>,
    /// `--dry-run`: to the screen only.
    pub dry_run: bool,
}

/// What a command writes to, and who reads it.
pub struct Screen<'a> {
    /// What the command is asked for.
    pub out: &'a mut dyn Write,
    /// What went wrong, and remarks when `out` carries a file.
    pub err: &'a mut dyn Write,
    /// `out` is shown to whoever stands around, so keys are masked.
    pub terminal: bool,
}

/// Rewrites the config at `path` in place (keeping a backup), into a new file, or to the screen.
/// The environment may lack the keys that the config names. Returns the exit code.
///
/// # Errors
/// When the screen cannot be written to.
pub fn run(
    path: &Path,
    options: &Options,
    env: Env<'_>,
    screen: &mut Screen<'_>,
) -> io::Result<u8> {
    let (mut out, mut err) =
        (UntilClosed::new(&mut *screen.out), UntilClosed::new(&mut *screen.err));
    let screen = &mut Screen { out: &mut out, err: &mut err, terminal: screen.terminal };
    match migrate(path, options, env, screen) {
        Ok(()) => Ok(FINE),
        Err(Failure::Screen(error)) => Err(error),
        Err(failure @ (Failure::Config(_) | Failure::Elsewhere(_) | Failure::Taken(_))) => {
            writeln!(screen.err, "{failure}")?;
            Ok(REFUSED)
        }
        Err(failure) => {
            writeln!(screen.err, "{failure}")?;
            Ok(FAILED)
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}\nNothing was written: mend this first.")]
    Config(#[from] ConfigError),
    #[error("the new file would not load where --output puts it, so nothing was written:\n{0}")]
    Elsewhere(ConfigError),
    #[error("{} is there already; name another file with --output", .0.display())]
    Taken(PathBuf),
    #[error(
        "{}: the new form would not mean the same, so nothing was written; please report this \
         with your file, without its keys",
        .0.display()
    )]
    Meaning(PathBuf),
    #[error("{}: cannot be read: {cause}", path.display())]
    Read { path: PathBuf, cause: io::Error },
    #[error("{0}; nothing was changed")]
    File(FileError),
    #[error("{0}")]
    Screen(#[from] io::Error),
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Taken(path) => Self::Taken(path),
            refused @ FileError::Refused { .. } => Self::File(refused),
        }
    }
}

fn migrate(
    path: &Path,
    options: &Options,
    env: Env<'_>,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    // What a key is makes no difference to the file that names it.
    let env = |name: &str| env(name).or_else(|| Some("not-set".to_owned()));
    let stores = SecretStores::closed();
    let before = Config::load_asking(path, &env, &Overrides::default(), &stores)?;
    let text = fs::read_to_string(path).map(Zeroizing::new);
    let text = text.map_err(|cause| Failure::Read { path: path.to_owned(), cause })?;
    let meaning = || Failure::Meaning(path.to_owned());
    let rewritten = rewrite::rewrite(&text).ok_or_else(meaning)?;
    let output = options.output.as_deref().filter(|output| !same_file(output, path));
    let place = Some(output.unwrap_or(path));
    let after = Config::parse_asking(&rewritten.text, place, &env, &stores);
    let after = after.map_err(|error| match output {
        Some(_) => Failure::Elsewhere(error),
        None => meaning(),
    })?;
    if !before.means_the_same(&after) {
        return Err(meaning());
    }
    if options.dry_run {
        show(path, &rewritten, screen)
    } else {
        write(path, output, &rewritten, screen)
    }
}

fn same_file(one: &Path, other: &Path) -> bool {
    matches!((fs::canonicalize(one), fs::canonicalize(other)), (Ok(one), Ok(other)) if one == other)
}

fn show(path: &Path, rewritten: &Rewritten, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let Rewritten { text, changes, .. } = rewritten;
    if screen.terminal {
        write!(screen.out, "{}", shown_whole(text))?;
    } else {
        write!(screen.out, "{}", text.as_str())?;
    }
    let path = path.display();
    if changes.is_empty() {
        writeln!(screen.err, "{path} is in the new form already; there is nothing to do.")?;
    } else {
        writeln!(screen.err, "This is how {path} would look. Nothing was written.")?;
        list(changes, screen.err)?;
    }
    Ok(list(&rewritten.left, screen.err)?)
}

fn write(
    path: &Path,
    output: Option<&Path>,
    rewritten: &Rewritten,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    let Rewritten { text, changes, left } = rewritten;
    let shown = path.display();
    match output {
        Some(output) => {
            file::create_like(output, text, Some(path))?;
            writeln!(screen.out, "Wrote {shown} in the new form to {}.", output.display())?;
        }
        None if changes.is_empty() => {
            writeln!(screen.out, "{shown} is in the new form already; there is nothing to do.")?;
        }
        None => {
            let backup = file::replace(path, text, Access::AsBefore)?;
            writeln!(screen.out, "{shown} is in the new form now, and means the same.")?;
            writeln!(screen.out, "The old file is kept as {}.", backup.display())?;
        }
    }
    list(changes, screen.out)?;
    Ok(list(left, screen.out)?)
}

fn list(lines: &[String], out: &mut dyn Write) -> io::Result<()> {
    lines.iter().try_for_each(|line| writeln!(out, "  {line}"))
}
