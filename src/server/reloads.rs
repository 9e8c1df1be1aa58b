//! What became of the configs since the start.

use jiff::Timestamp;
use serde::Serialize;

/// How the config came in and what became of later ones, for operators.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Reloads {
    /// When the config in use was loaded.
    pub(in crate::server) loaded_at: Timestamp,
    /// How often it was replaced since the start.
    pub(in crate::server) reloads: u64,
    /// Why the file, as it is now, was not loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::server) last_error: Option<Refusal>,
}

/// A config that was not taken.
#[derive(Clone, Debug, Serialize)]
pub(in crate::server) struct Refusal {
    /// When it was first found so.
    pub(in crate::server) at: Timestamp,
    /// One line each.
    pub(in crate::server) problems: Vec<String>,
}
