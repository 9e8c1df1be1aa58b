//! What the answers of all dialects have in common. The shapes themselves are in `openai/wire.rs`,
//! `openai/completions/wire.rs`, `ollama/wire.rs`, `responses/wire.rs` and `error/body.rs`; the
//! order of their fields is the order on the wire. They hold what was said, so they have no `Debug`.

use std::borrow::Cow;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use crate::workflow::{Finished, Spent, Warning, WorkflowExecutionDetails};

/// Chorus' own fields, at the end of the object that ends an answer.
#[derive(Clone, Copy, Debug, Default, Serialize, JsonSchema)]
pub(super) struct Record<'a> {
    /// What failed and the answer could do without; absent when nothing did.
    #[serde(skip_serializing_if = "<[Warning]>::is_empty")]
    pub(super) warnings: &'a [Warning],
    /// The record of the run, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) workflow: Option<&'a WorkflowExecutionDetails>,
    /// What the run took in all: `usage` beside it may be of one call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) chorus: Option<&'a Spent>,
}

impl<'a> Record<'a> {
    /// The record in an object with usage behind the one that ended the answer.
    pub(super) fn spent(spent: &'a Spent) -> Self {
        Self { chorus: Some(spent), ..Self::default() }
    }

    /// The record of a run that finished.
    pub(super) fn of(finished: &'a Finished, include_workflow: bool) -> Self {
        Self {
            chorus: Some(&finished.spent),
            warnings: &finished.trace.warnings,
            workflow: include_workflow.then_some(&finished.trace),
        }
    }
}

/// What is never there: the fields that hold it are always null, or empty.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) enum Never {}

impl JsonSchema for Never {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Never".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        Schema::from(false)
    }
}

/// RFC 3339 in UTC, always with six digits of a second: some clients read it strictly.
#[derive(Clone, Copy, Debug)]
pub(super) struct Microseconds(pub(super) Timestamp);

impl Microseconds {
    /// Stands for the time in a frame that a template is cut from.
    pub(super) const MARK: Self = Self(Timestamp::MIN);

    /// The time it is.
    pub(super) fn now() -> Self {
        Self(Timestamp::now())
    }
}

impl JsonSchema for Microseconds {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Microseconds".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

impl Serialize for Microseconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:.6}", self.0))
    }
}
