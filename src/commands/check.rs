//! `chorus check`: reads the config as a start would, and shows the workflow that comes of it.

mod cost;
mod json;
mod screen;
#[cfg(test)]
mod tests;
mod tree;

use std::{
    io::{self, Write},
    path::Path,
};

use super::diagnostics::{self, Look};
use crate::config::{Config, Env, Overrides};
pub use screen::show;

/// Exit code of a config that can be used.
pub const FINE: u8 = 0;
/// Exit code of a config that cannot.
pub const BAD_CONFIG: u8 = 2;

/// `--format`: who reads it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// People.
    #[default]
    Text,
    /// Programs: one JSON object, of a bad config too.
    Json,
}

/// How it is shown.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// `--format`.
    pub format: Format,
    /// How `out` looks.
    pub out: Look,
    /// How `err` looks.
    pub err: Look,
}

/// Loads the config at `path` and shows it: every expanded workflow as a tree, the models, what one
/// request to each can cost, then notices and warnings. Problems go to `err`, and in JSON to `out` like
/// all the rest. Returns the exit code.
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
    let loaded = Config::load_with(path, env, overrides);
    let code = if loaded.is_ok() { FINE } else { BAD_CONFIG };
    let shown = match (&loaded, options.format) {
        (_, Format::Json) => json::show(path, &loaded, out),
        (Ok(config), Format::Text) => screen::show(config, options.out, out),
        (Err(error), Format::Text) => diagnostics::refused(error, options.err, err),
    };
    match shown {
        // The reader has seen enough, as `head` has.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(code),
        shown => shown.map(|()| code),
    }
}
