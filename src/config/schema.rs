//! JSON Schemas of the config and of the plan, for editors.
//!
//! The reader (`raw.rs`, `check/`, `plan/grammar.rs`) is written by hand, so that every problem has
//! its place. The structs here only describe what it takes: their comments are what an editor shows
//! at a key. `tests/schema.rs` holds both together: the same keys, ranges, words and defaults.
//!
//! Where a schema cannot say what the reader says (names that are taken, files that are missing), it
//! lets through. In three things it is stricter, since the alternatives would make the messages of
//! editors vague: a list of tables written as one table (`[model]`), a plan's `null` for a key that
//! is left out, and a URL that only a lenient parser reads.

#[expect(dead_code, reason = "described, never built")]
mod file;
#[expect(dead_code, reason = "described, never built")]
mod model;
#[expect(dead_code, reason = "described, never built")]
mod plan;
#[expect(dead_code, reason = "described, never built")]
mod server;
mod wording;
#[expect(dead_code, reason = "described, never built")]
mod workflow;

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::Value;

/// The schema of the config file (draft 2020-12).
#[must_use]
pub fn config() -> Value {
    of::<file::File>()
}

/// The schema of a plan, which is JSON in the config's `json` or in a file of its own.
#[must_use]
pub fn plan() -> Value {
    of::<plan::Plan>()
}

/// A schema as it is printed and committed.
#[must_use]
pub fn text(schema: &Value) -> String {
    format!("{schema:#}\n")
}

fn of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12();
    let generator = settings.with_transform(wording::Plain).into_generator();
    let schema = generator.into_root_schema_for::<T>();
    wording::spelled_out(schema.to_value())
}
