//! `chorus check`: reads the config as a start would, and shows the workflow that comes of it.

mod cost;
mod json;
pub mod probe;
mod screen;
#[cfg(test)]
mod tests;
mod tree;

use std::{
    io::{self, Write},
    path::Path,
};

use super::{
    diagnostics::{self, Look},
    output::{Escaped, UntilClosed},
};
use crate::{
    config::{Config, ConfigError, Env, Overrides},
    llm::endpoint::probe::Spend,
};
pub use screen::show;

/// Exit code of a config that can be used.
pub const FINE: u8 = 0;
/// Exit code of a config that can, when a probed endpoint is not fine.
const NOT_FINE: u8 = 1;
/// Exit code of a config that cannot.
pub const BAD_CONFIG: u8 = 2;

/// The form of the result: `--format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Text for people.
    #[default]
    Text,
    /// One JSON object for programs, of a bad config too.
    Json,
}

/// How it is shown.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// `--format`.
    pub format: Format,
    /// `--probe`: ask every endpoint.
    pub probe: bool,
    /// `--spend`: and make one real call of each, for one token.
    pub spend: Spend,
    /// How `out` looks.
    pub out: Look,
    /// How `err` looks.
    pub err: Look,
}

/// Loads the config at `path` and shows it: warnings, every expanded workflow as a tree, the models,
/// what one request to each can cost, then notices. Problems go to `err`, and in JSON to `out` like
/// all the rest. Returns the exit code: 1 when the config is good and a probed endpoint is not.
///
/// # Errors
/// When `out` or `err` cannot be written to; that `out` is closed early is none.
pub fn run(
    path: &Path,
    env: Env<'_>,
    overrides: &Overrides,
    options: Options,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    let out = &mut Escaped(UntilClosed::new(out));
    let err = &mut Escaped(UntilClosed::new(err));
    let loaded = Config::load_with(path, env, overrides);
    let code = match &loaded {
        Ok(_) => FINE,
        Err(_) => BAD_CONFIG,
    };
    match (&loaded, options.format) {
        (Ok(config), _) if options.probe => return probed(path, config, options, out),
        (_, Format::Json) => json::show(path, loaded.as_ref(), None, out)?,
        (Ok(config), Format::Text) => screen::show(config, false, options.out, out)?,
        (Err(error), Format::Text) => diagnostics::refused(error, options.err, err)?,
    }
    Ok(code)
}

/// Reports to programs that there is no config to check. Returns the exit code.
///
/// # Errors
/// When `out` cannot be written to; that it is closed early is none.
pub fn missing(error: &ConfigError, out: &mut dyn Write) -> io::Result<u8> {
    let file = error.diagnostics().first().map_or("", |found| found.file.as_str());
    json::show(Path::new(file), Err(error), None, &mut UntilClosed::new(out))?;
    Ok(BAD_CONFIG)
}

/// The same of a good config whose endpoints are asked too. Text begins before they have answered.
fn probed(path: &Path, config: &Config, options: Options, out: &mut dyn Write) -> io::Result<u8> {
    let found = match options.format {
        Format::Text => {
            screen::show(config, true, options.out, out)?;
            let found = probe::of(config, options.spend)?;
            writeln!(out).and_then(|()| probe::show(&found, out))?;
            found
        }
        Format::Json => {
            let found = probe::of(config, options.spend)?;
            json::show(path, Ok(config), Some(&found), out)?;
            found
        }
    };
    let failed = found.iter().any(|one| one.problem.is_some());
    Ok(if failed { NOT_FINE } else { FINE })
}
