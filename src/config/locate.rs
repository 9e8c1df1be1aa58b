//! Which file is the config: `--config`, then `CHORUS_CONFIG`, then `~/.config/chorus/config.toml`.

use std::path::{Path, PathBuf};

use super::{ConfigError, Env};

/// The location of the config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// This file.
    File {
        /// Its path.
        path: PathBuf,
        /// What named it: `--config` or `CHORUS_CONFIG`; `None`: it is in the standard place.
        named_by: Option<&'static str>,
    },
    /// No file was named and the standard place has none: a first start.
    Nowhere {
        /// The standard place; `None` when there is no home folder.
        standard: Option<PathBuf>,
    },
}

/// Finds the config file.
///
/// # Errors
/// When a file that was named explicitly does not exist: falling through to the next place would
/// silently run another config than the one asked for.
pub fn locate(flag: Option<&Path>, env: Env<'_>) -> Result<Location, ConfigError> {
    if let Some((path, by)) = named(flag, env) {
        if path.exists() {
            return Ok(Location::File { path, named_by: Some(by) });
        }
        let what = format!("there is no such file, and {by} names it");
        let remedy = format!("correct the path or leave {by} out");
        return Err(ConfigError::single(path.display().to_string(), what, remedy));
    }
    Ok(match standard(env) {
        Some(path) if path.exists() => Location::File { path, named_by: None },
        standard => Location::Nowhere { standard },
    })
}

/// Finds the config file where there has to be one.
///
/// # Errors
/// Those of [`locate`], and when there is none.
pub fn existing(flag: Option<&Path>, env: Env<'_>) -> Result<PathBuf, ConfigError> {
    match locate(flag, env)? {
        Location::File { path, .. } => Ok(path),
        Location::Nowhere { standard } => {
            let place = standard.unwrap_or_else(|| PathBuf::from("~/.config/chorus/config.toml"));
            let remedy = "`chorus init` writes one; one elsewhere is named by --config FILE or by \
                          CHORUS_CONFIG";
            Err(ConfigError::single(place.display().to_string(), "there is no config yet", remedy))
        }
    }
}

/// The path of a config that is yet to be written: the place [`locate`] looks at first, whether
/// something is there or not. `None` when nothing is named and there is no home folder.
#[must_use]
pub fn place(flag: Option<&Path>, env: Env<'_>) -> Option<PathBuf> {
    named(flag, env).map(|(path, _)| path).or_else(|| standard(env))
}

/// A file that was named explicitly, and by what.
fn named(flag: Option<&Path>, env: Env<'_>) -> Option<(PathBuf, &'static str)> {
    match flag {
        Some(path) => Some((path.to_owned(), "--config")),
        None => set("CHORUS_CONFIG", env).map(|path| (path, "CHORUS_CONFIG")),
    }
}

/// `~/.config/chorus/config.toml`.
fn standard(env: Env<'_>) -> Option<PathBuf> {
    let home = set("HOME", env).or_else(|| set("USERPROFILE", env))?;
    Some(home.join(".config").join("chorus").join("config.toml"))
}

fn set(name: &str, env: Env<'_>) -> Option<PathBuf> {
    env(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// All eight of: `--config` given or not, `CHORUS_CONFIG` set or not, the standard file there or not;
    /// and in each of them every file that is named, missing.
    #[test]
    fn the_first_named_place_wins_and_never_falls_through() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let standard = path("full/.config/chorus/config.toml");
        fs::create_dir_all(standard.parent().unwrap()).unwrap();
        for file in [path("flag.toml"), path("env.toml"), standard.clone()] {
            fs::write(file, "").unwrap();
        }
        let (flag, variable) = (path("flag.toml"), path("env.toml"));
        let (missing, empty) = (path("missing"), path("empty/.config/chorus/config.toml"));
        for (by_flag, by_variable, there) in [
            (true, true, true),
            (true, true, false),
            (true, false, true),
            (true, false, false),
            (false, true, true),
            (false, true, false),
            (false, false, true),
            (false, false, false),
        ] {
            let found = |flag: &Path, variable: &Path| {
                let env = |name: &str| match name {
                    "CHORUS_CONFIG" => by_variable.then(|| variable.display().to_string()),
                    "HOME" => {
                        Some(path(if there { "full" } else { "empty" }).display().to_string())
                    }
                    _ => None,
                };
                locate(by_flag.then_some(flag), &env).map_err(|error| error.to_string())
            };
            let case = format!("{by_flag} {by_variable} {there}");
            let standard = match there {
                true => Location::File { path: standard.clone(), named_by: None },
                false => Location::Nowhere { standard: Some(empty.clone()) },
            };
            let of = |path: &PathBuf, by| Location::File { path: path.clone(), named_by: Some(by) };
            let want = match (by_flag, by_variable) {
                (true, _) => of(&flag, "--config"),
                (false, true) => of(&variable, "CHORUS_CONFIG"),
                (false, false) => standard.clone(),
            };
            assert_eq!(found(&flag, &variable), Ok(want), "{case}");
            // The one that is named first is missing: an error that says who named it.
            let who = if by_flag { "--config" } else { "CHORUS_CONFIG" };
            match found(&missing, &missing) {
                Err(error) => assert!((by_flag || by_variable) && error.contains(who), "{error}"),
                Ok(other) => {
                    assert_eq!((by_flag || by_variable, other), (false, standard), "{case}")
                }
            }
            // A second one that is missing is of no interest to the first.
            if by_flag {
                assert_eq!(found(&flag, &missing), Ok(of(&flag, "--config")), "{case}");
                assert!(found(&missing, &variable).is_err(), "{case}");
            }
        }
    }

    #[test]
    fn a_new_config_goes_where_it_would_be_looked_for() {
        for (flag, variable, home, want) in [
            (Some("f.toml"), Some("e.toml"), Some("/h"), Some("f.toml")),
            (None, Some("e.toml"), Some("/h"), Some("e.toml")),
            (None, None, Some("/h"), Some("/h/.config/chorus/config.toml")),
            (None, None, None, None),
        ] {
            let env = |name: &str| match name {
                "CHORUS_CONFIG" => variable.map(str::to_owned),
                "HOME" => home.map(str::to_owned),
                _ => None,
            };
            assert_eq!(place(flag.map(Path::new), &env), want.map(PathBuf::from));
        }
    }

    #[test]
    fn a_missing_file_is_named_with_who_named_it() {
        let env = |name: &str| (name == "CHORUS_CONFIG").then(|| "/nowhere/c.toml".to_owned());
        assert_eq!(
            locate(None, &env).unwrap_err().to_string(),
            "/nowhere/c.toml: there is no such file, and CHORUS_CONFIG names it; \
             correct the path or leave CHORUS_CONFIG out"
        );
    }

    #[test]
    fn empty_variables_count_as_unset() {
        let env = |_: &str| Some(String::new());
        assert_eq!(locate(None, &env).unwrap(), Location::Nowhere { standard: None });
    }
}
