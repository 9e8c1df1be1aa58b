//! `chorus config schema`: the JSON Schema of the config or of a plan.

use std::io::{self, Write};

use super::output::UntilClosed;
use crate::config::schema;

/// Prints the schema of the config file, or of a plan.
///
/// # Errors
/// When `out` cannot be written to; that it is closed early is none.
pub fn run(plan: bool, out: &mut dyn Write) -> io::Result<u8> {
    let schema = if plan { schema::plan() } else { schema::config() };
    UntilClosed::new(out).write_all(schema::text(&schema).as_bytes())?;
    Ok(0)
}
