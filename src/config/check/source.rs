//! Where a config comes from.

use std::path::Path;

use crate::config::{Env, Overrides};

/// Where a config comes from and what may be asked about its surroundings.
pub(super) struct Source<'a> {
    pub(super) path: Option<&'a Path>,
    pub(super) env: Env<'a>,
    pub(super) overrides: &'a Overrides,
    /// The text was read from `path`, whose permissions are worth a look.
    pub(super) on_disk: bool,
}
