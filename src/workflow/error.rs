//! Why a run has no answer.

use std::{borrow::Cow, time::Duration};

use indexmap::IndexMap;

use crate::llm::LlmError;

/// Why a run failed. `Display` is for the caller and says what to do; it names workers and models,
/// never prompts or keys.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WorkflowError {
    /// No (or not enough) workers succeeded, for mixed reasons.
    #[error("{}", all_failed(.workers, *.needed))]
    AllWorkersFailed {
        /// Each failed worker's name and why.
        workers: Vec<(String, String)>,
        /// `min_success`.
        needed: usize,
    },
    /// Every worker was rate-limited, or the one model of a direct call.
    #[error("every model asked is rate-limited upstream; try again later")]
    RateLimited {
        /// The smallest wait an upstream asked for.
        retry_after: Option<Duration>,
    },
    /// Every worker timed out, or the answering call did.
    #[error("{message}")]
    Timeout {
        /// Who had how long.
        message: String,
    },
    /// No worker (or not the directly called model) can take a part of the request.
    #[error("{message}")]
    UnsupportedInput {
        /// The model and the part.
        message: String,
    },
    /// The conversation does not fit the context of any worker, of the writer, or of the one model of a
    /// direct call.
    #[error("{message}")]
    TooLong {
        /// Whose context, and what it said of its length.
        message: String,
    },
    /// The request cannot be run this way; the caller can mend it.
    #[error("{message}")]
    Invalid {
        /// What is wrong and what to do.
        message: String,
        /// The field, where one is to blame.
        param: Option<Cow<'static, str>>,
    },
    /// The answering stage failed and nothing could stand in, or it broke after its first token.
    #[error("{0}")]
    Upstream(LlmError),
}

fn all_failed(workers: &[(String, String)], needed: usize) -> String {
    let each = by_reason(workers.iter().map(|(name, why)| (name.as_str(), why.as_str())));
    if needed > 1 {
        return format!("fewer than {needed} workers succeeded: {each}");
    }
    format!("no worker succeeded: {each}")
}

/// Who failed why, each reason once: `a, b: no answer in 60 s; c: failed (500)`.
pub(super) fn by_reason<'a>(failures: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut reasons: IndexMap<&str, Vec<&str>> = IndexMap::new();
    for (name, why) in failures {
        reasons.entry(why).or_default().push(name);
    }
    let told: Vec<String> =
        reasons.iter().map(|(why, names)| format!("{}: {why}", names.join(", "))).collect();
    told.join("; ")
}
