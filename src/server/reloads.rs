//! What became of the configs since the start.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

/// How the config came in and what became of later ones, for operators.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct Reloads {
    /// When the config in use was loaded.
    pub(super) loaded_at: Timestamp,
    /// How often it was replaced since the start.
    pub(super) reloads: u64,
    /// Why the file, as it is now, was not loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_error: Option<Refusal>,
}

/// A config that was not taken.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct Refusal {
    /// When it was first found so.
    pub(super) at: Timestamp,
    /// One line each.
    pub(super) problems: Vec<String>,
}
