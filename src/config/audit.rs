//! The audit log: `[audit]`.

use std::path::PathBuf;

use super::file::audit::Rotate;

/// The file of the audit log, and how long it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// The file in use.
    pub path: PathBuf,
    /// When another one is begun.
    pub rotate: Rotate,
    /// Files that are kept besides the one in use; 0 keeps all.
    pub keep: usize,
}
