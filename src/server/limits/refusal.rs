//! Why a request is not let in, and until when.

use std::time::Duration;

use crate::config::Period;

/// Which limit a request would pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Limit {
    /// `max_in_flight`.
    InFlight(u32),
    /// `requests_per_minute`.
    Requests(u32),
    /// `tokens_per_minute`.
    Tokens(u64),
    /// A budget, by what of it is used up.
    Budget(Period, &'static str),
    /// The same, as far as requests that are running may still take it.
    Rest(&'static str),
}

/// A request that is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .limit.words())]
pub(in crate::server) struct Refusal {
    pub(super) limit: Limit,
    /// When it is worth asking again.
    pub(in crate::server) wait: Duration,
}

impl Refusal {
    /// Whether a budget is used up, so that asking again soon is of no use.
    pub(in crate::server) fn is_of_budget(&self) -> bool {
        matches!(self.limit, Limit::Budget(..))
    }
}

impl Limit {
    fn words(self) -> String {
        match self {
            Self::InFlight(most) => format!(
                "this key may have {most} requests at once, and they are running; wait for one to end"
            ),
            Self::Requests(most) => format!(
                "this key may send {most} requests a minute, and has; wait as Retry-After says"
            ),
            Self::Tokens(most) => format!(
                "this key may use {most} tokens a minute, and has or may by what is running; wait as \
                 Retry-After says"
            ),
            Self::Rest(what) => format!(
                "what is left of this key's budget of {what} may be taken by its requests that are \
                 running; wait for one to end"
            ),
            Self::Budget(per, what) => {
                let (now, next) = match per {
                    Period::Day => ("today", "tomorrow"),
                    Period::Week => ("this week", "next week"),
                    Period::Month => ("this month", "next month"),
                };
                format!(
                    "this key's budget of {what} for {now} is used up; the next one begins {next} (UTC), \
                     or ask whoever runs this server for more"
                )
            }
        }
    }
}
