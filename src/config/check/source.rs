//! Where a config comes from.

use std::path::Path;

use crate::config::{Env, Overrides};

/// Where a config comes from and what may be asked about its surroundings.
pub(in crate::config) struct Source<'a> {
    pub(in crate::config) path: Option<&'a Path>,
    pub(in crate::config) env: Env<'a>,
    pub(in crate::config) overrides: &'a Overrides,
    /// The text was read from `path`, whose permissions are worth a look.
    pub(in crate::config) on_disk: bool,
}
