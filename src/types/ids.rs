//! Identifiers of requests and runs.

use std::fmt;

use serde::Serialize;
use uuid::Uuid;

/// One HTTP request to Chorus: the `x-request-id` header (UUIDv7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct RequestId(Uuid);

/// One execution of a plan: the `x-chorus-workflow-id` header (UUIDv7). It also seeds the order in
/// which the selector is shown the candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct WorkflowId(Uuid);

impl RequestId {
    /// A fresh id.
    #[must_use]
    pub fn fresh() -> Self {
        Self(Uuid::now_v7())
    }
}

impl WorkflowId {
    /// A fresh id.
    #[must_use]
    pub fn fresh() -> Self {
        Self(Uuid::now_v7())
    }

    /// A seed for decisions that must be repeatable within the run.
    #[must_use]
    pub fn seed(self) -> u64 {
        let (high, low) = self.0.as_u64_pair();
        high ^ low
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for WorkflowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Characters of an identifier after its prefix.
const ID_LENGTH: usize = 29;

/// `prefix` and random letters and digits.
pub fn random_id(prefix: &str) -> String {
    let letters = std::iter::repeat_with(fastrand::alphanumeric).take(ID_LENGTH);
    prefix.chars().chain(letters).collect()
}
