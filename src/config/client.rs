//! `[[client]]`: who may call, and how much.

use ipnet::IpNet;
use jiff::Timestamp;
use wildmatch::WildMatch;

pub use super::file::client::Period;
use super::{Config, DEFAULT_WORKFLOW};
use crate::types::PICODOLLARS;

/// Somebody who may call.
#[derive(Clone, Debug, PartialEq)]
pub struct Client {
    /// For logs; what it has used is kept under it.
    pub name: String,
    /// SHA-256 of the key, so that comparing is constant in time whatever was sent.
    pub key_sha256: [u8; 32],
    /// The names that it may ask for; empty = all.
    pub models: Vec<WildMatch>,
    /// How much of everything.
    pub limits: ClientLimits,
    /// Where it may call from; empty = from anywhere.
    pub allowed_ips: Vec<IpNet>,
    /// From when on its key is refused.
    pub expires: Option<Timestamp>,
    /// Whether it may see what concerns everybody.
    pub admin: bool,
    /// Whether its key is good at all.
    pub enabled: bool,
}

/// What bounds a client; `None` = no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientLimits {
    /// Requests for answers within any minute.
    pub requests_per_minute: Option<u32>,
    /// Tokens of all calls within any minute.
    pub tokens_per_minute: Option<u64>,
    /// Requests for answers at once.
    pub max_in_flight: Option<u32>,
    /// What may be used up in a day, week or month; all of them hold.
    pub budgets: Vec<Budget>,
}

/// What may be used up in a period; `None` = no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// How long it is for.
    pub per: Period,
    /// In [`PICODOLLARS`].
    pub picodollars: Option<u64>,
    /// Tokens of all calls.
    pub tokens: Option<u64>,
    /// Calls of models.
    pub calls: Option<u64>,
}

impl Budget {
    /// Dollars as they are added up.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
    pub fn picodollars_of(usd: f64) -> u64 {
        (usd * PICODOLLARS).round() as u64
    }
}

impl ClientLimits {
    /// Whether anything is bounded that a run has to be weighed for beforehand.
    #[must_use]
    pub fn weigh_runs(&self) -> bool {
        self.tokens_per_minute.is_some() || !self.budgets.is_empty()
    }
}

impl Client {
    /// A client with a key and no limit.
    #[must_use]
    pub fn with_key(name: impl Into<String>, key_sha256: [u8; 32]) -> Self {
        Self {
            name: name.into(),
            key_sha256,
            models: Vec::new(),
            limits: ClientLimits::default(),
            allowed_ips: Vec::new(),
            expires: None,
            admin: false,
            enabled: true,
        }
    }

    /// Whether it may ask for a name: its `models` fit the workflow or model that is meant, or the
    /// alias that leads there. What fits is never the name as it was sent: an alias such as `*` would
    /// give every workflow a name that fits. A name that nobody has stands for the default workflow at
    /// most.
    #[must_use]
    pub fn may_ask(&self, config: &Config, asked: &str) -> bool {
        if self.models.is_empty() {
            return true;
        }
        let fits = |name: &str| self.models.iter().any(|pattern| pattern.matches(name));
        match config.named_through(asked) {
            Some((named, alias)) => {
                fits(named.name()) || alias.is_some_and(|alias| fits(&alias.name))
            }
            None => fits(DEFAULT_WORKFLOW),
        }
    }

    /// The names that it is shown, in the order of [`Config::listed_names`].
    pub fn listed_names<'c>(&self, config: &'c Config) -> impl Iterator<Item = &'c str> {
        config.listed_names().filter(|name| self.may_ask(config, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_add_up_exactly() {
        assert_eq!(Budget::picodollars_of(5.0), 5_000_000_000_000);
        assert_eq!(Budget::picodollars_of(0.000_001), 1_000_000);
        assert_eq!(Budget::picodollars_of(f64::MAX), u64::MAX);
    }
}
