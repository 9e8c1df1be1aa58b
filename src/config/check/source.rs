//! The source of a config.

use std::path::Path;

use crate::config::{Env, Overrides, SecretStores};

/// The source of a config, and what may be asked about its surroundings.
pub(super) struct Source<'a> {
    pub(super) path: Option<&'a Path>,
    pub(super) env: Env<'a>,
    pub(super) overrides: &'a Overrides,
    /// Who is asked for keys that are elsewhere.
    pub(super) stores: &'a SecretStores,
    /// The text was read from `path`, whose permissions are worth a look.
    pub(super) on_disk: bool,
}
