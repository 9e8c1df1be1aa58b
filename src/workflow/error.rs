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
    #[error("every model asked is rate-limited upstream; try again {}", when(*.retry_after))]
    RateLimited {
        /// The smallest wait an upstream asked for.
        retry_after: Option<Duration>,
    },
    /// Every worker timed out, or the answering call did.
    #[error("{message}")]
    Timeout {
        /// The time that each had.
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
        /// The model, and what it said of the length.
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

fn when(retry_after: Option<Duration>) -> String {
    retry_after.map_or_else(|| "later".to_owned(), |wait| format!("in {}", in_words(wait)))
}

/// A wait as people say it: `30 seconds`, `12 minutes`, `2.5 hours`.
#[must_use]
pub fn in_words(wait: Duration) -> String {
    let secs = wait.as_secs_f64().ceil().max(1.0);
    match secs {
        ..=1.0 => "1 second".to_owned(),
        ..600.0 => format!("{secs} seconds"),
        ..7200.0 => format!("{} minutes", (secs / 60.0).ceil()),
        _ => format!("{:.1} hours", secs / 3600.0),
    }
}

fn all_failed(workers: &[(String, String)], needed: usize) -> String {
    let each = by_reason(workers.iter().map(|(name, why)| (name.as_str(), why.as_str())));
    if needed > 1 {
        return format!("fewer than {needed} workers succeeded: {each}");
    }
    format!("no worker succeeded: {each}")
}

/// The failures by reason, each reason once: `a, b: no answer in 60 s; c: failed (500)`.
pub(super) fn by_reason<'a>(failures: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut reasons: IndexMap<&str, Vec<&str>> = IndexMap::new();
    for (name, why) in failures {
        reasons.entry(why).or_default().push(name);
    }
    let listed: Vec<String> =
        reasons.iter().map(|(why, names)| format!("{}: {why}", names.join(", "))).collect();
    listed.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_limit_names_its_wait() {
        for (millis, want) in [
            (None, "later"),
            (Some(0), "in 1 second"),
            (Some(2_500), "in 3 seconds"),
            (Some(30_000), "in 30 seconds"),
            (Some(1_800_000), "in 30 minutes"),
            (Some(9_000_000), "in 2.5 hours"),
        ] {
            let retry_after = millis.map(Duration::from_millis);
            let said = WorkflowError::RateLimited { retry_after }.to_string();
            assert!(said.ends_with(&format!("; try again {want}")), "{said}");
        }
    }
}
