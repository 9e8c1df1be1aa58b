//! Which config a command reads, and what a first start shows when there is none.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::config::{self, Env, Location};

/// The config file that a command reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its path.
    pub path: PathBuf,
    /// What named it: `--config` or `CHORUS_CONFIG`; `None`: it is in the standard place.
    pub named_by: Option<&'static str>,
}

/// Finds the config file. `None` when there is none or the one named is missing; what to do is
/// then written to `err`.
///
/// # Errors
/// When `err` cannot be written to.
pub fn config_file(
    flag: Option<&Path>,
    env: Env<'_>,
    err: &mut dyn Write,
) -> io::Result<Option<Found>> {
    match config::locate(flag, env) {
        Ok(Location::File { path, named_by }) => Ok(Some(Found { path, named_by })),
        Ok(Location::Nowhere { standard: default }) => {
            welcome(default.as_deref(), err)?;
            Ok(None)
        }
        Err(error) => {
            writeln!(err, "{error}")?;
            Ok(None)
        }
    }
}

fn welcome(default: Option<&Path>, err: &mut dyn Write) -> io::Result<()> {
    let place = match default {
        Some(path) => path.display().to_string(),
        None => "your home folder".to_owned(),
    };
    write!(
        err,
        "Chorus has no config yet.\n\
         \n\
         See it work first, with no key and no download:\n\
         \x20   chorus demo\n\
         \n\
         Then let it write a config of the model servers and keys that it finds here:\n\
         \x20   chorus init\n\
         \x20   chorus check --probe    asks every endpoint that the config names\n\
         \x20   chorus                  serves it\n\
         \n\
         The config is looked for in {place};\n\
         one elsewhere is named by --config FILE or by CHORUS_CONFIG.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(flag: Option<&str>, home: Option<&str>) -> (Option<Found>, String) {
        let env = |name: &str| home.filter(|_| name == "HOME").map(str::to_owned);
        let mut err = Vec::new();
        let found = config_file(flag.map(Path::new), &env, &mut err).unwrap();
        (found, String::from_utf8(err).unwrap())
    }

    #[test]
    fn a_first_start_says_what_to_do() {
        for (home, place) in
            [(Some("/nowhere"), "/nowhere/.config/chorus/config.toml"), (None, "your home folder")]
        {
            let (found, page) = find(None, home);
            assert_eq!(found, None);
            for words in ["chorus demo", "chorus init", "chorus check", "--config", place] {
                assert!(page.contains(words), "{words} is not in:\n{page}");
            }
        }
    }

    #[test]
    fn a_file_that_was_named_and_is_missing_is_an_error_of_its_own() {
        let (found, words) = find(Some("/nowhere/c.toml"), None);
        assert_eq!(found, None);
        assert!(
            words.starts_with("/nowhere/c.toml: ") && !words.contains("chorus demo"),
            "{words}"
        );
    }
}
