//! Identifiers of requests and runs.

use std::{
    fmt,
    sync::Mutex,
    time::{SystemTime, UNIX_EPOCH},
};

use schemars::JsonSchema;
use serde::Serialize;
use uuid::{ContextV7, Timestamp, Uuid};

/// What keeps identifiers of one millisecond in their order.
static CONTEXT: Mutex<ContextV7> = Mutex::new(ContextV7::new());

/// An identifier of this time. The library's own panics where the clock says that it is before 1970,
/// as it does on a board without a battery; here that is 1970.
fn uuid_at(time: SystemTime) -> Uuid {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Uuid::new_v7(Timestamp::from_unix(&CONTEXT, since.as_secs(), since.subsec_nanos()))
}

/// One HTTP request to Chorus: the `x-request-id` header (UUIDv7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(transparent)]
pub struct RequestId(Uuid);

/// One execution of a plan: the `x-chorus-workflow-id` header (UUIDv7). It also seeds the order in
/// which the selector is shown the candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(transparent)]
pub struct WorkflowId(Uuid);

impl RequestId {
    /// A fresh id.
    #[must_use]
    pub fn fresh() -> Self {
        Self(uuid_at(SystemTime::now()))
    }
}

impl WorkflowId {
    /// A fresh id.
    #[must_use]
    pub fn fresh() -> Self {
        Self(uuid_at(SystemTime::now()))
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn any_clock_gives_identifiers_that_differ() {
        let day = Duration::from_secs(86_400);
        let times = [UNIX_EPOCH - day * 10_000, UNIX_EPOCH - day, UNIX_EPOCH, SystemTime::now()];
        let mut seen = std::collections::HashSet::new();
        for time in times.into_iter().flat_map(|time| [time; 3]) {
            let id = uuid_at(time);
            assert_eq!(id.get_version_num(), 7, "{time:?}");
            assert!(seen.insert(id), "{time:?}");
        }
    }

    #[test]
    fn identifiers_sort_by_time() {
        let ids: Vec<Uuid> = (0..1000).map(|_| uuid_at(SystemTime::now())).collect();
        assert!(ids.is_sorted(), "{ids:?}");
    }
}
