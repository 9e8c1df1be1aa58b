//! What is kept of runs that are over: `[runs]`.

use std::{path::PathBuf, time::Duration};

/// How many runs are kept, where, and with what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    /// How many are kept in memory.
    pub recent: usize,
    /// Texts are kept with them.
    pub keep_text: bool,
    /// Where they outlive the process.
    pub file: Option<RunsFile>,
}

/// A file of runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunsFile {
    /// Where it is.
    pub path: PathBuf,
    /// How many runs it keeps.
    pub keep: usize,
    /// How long it keeps them.
    pub keep_for: Duration,
}
