//! `[runs]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is kept of the runs that are over, for `GET /chorus/runs`.
#[derive(Deserialize, JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub(in crate::config) struct Runs {
    /// How many are kept in memory; 0: none.
    #[schemars(range(min = 0, max = 100_000), extend("default" = 256))]
    pub recent: usize,
    /// Whether questions, drafts, answers and the judge's reasons are kept with them, for whoever may
    /// see the run.
    #[schemars(extend("default" = false))]
    pub keep_text: bool,
    /// A file in which they are kept over restarts, relative to this one; its folder has to be there.
    /// Only its owner may read it. Without it they are kept in memory only.
    #[schemars(regex(pattern = r"\S"), extend("x-shown" = "path"), example = &"runs.redb")]
    pub path: Option<String>,
    /// How many that file keeps; older ones are deleted.
    #[schemars(range(min = 1, max = 10_000_000), extend("default" = 100_000))]
    pub keep: usize,
    /// How many days that file keeps them.
    #[schemars(range(min = 1, max = 36_500), extend("default" = 30))]
    pub keep_days: u32,
}
