//! `[audit]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who asked for what, whether it was let in, and what it took: a line of JSON for each request.
/// Without this table there is no such file.
#[derive(Deserialize, JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub(in crate::config) struct Audit {
    /// The file, relative to this one; its folder has to be there. Only its owner may read it.
    #[schemars(
        required,
        regex(pattern = r"\S"),
        extend("x-shown" = "path"),
        example = &"audit.jsonl"
    )]
    pub path: Option<String>,
    /// When a new file is begun. The one before is then named after its time, in UTC:
    /// `audit.jsonl.2026-12-01`.
    #[schemars(extend("default" = "daily"))]
    pub rotate: Rotate,
    /// Files that are kept besides the one in use; older ones are deleted. 0 keeps all.
    #[schemars(range(min = 0, max = 100_000), extend("default" = 14))]
    pub keep: usize,
}

/// `rotate`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Rotate {
    /// a file a day
    Daily,
    /// a file an hour
    Hourly,
    /// one file; another program, such as logrotate, may move it away
    Never,
}
