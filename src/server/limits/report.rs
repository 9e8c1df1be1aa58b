//! What a client has used, against what it may.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{account::Account, periods::Periods};
use crate::{
    config::{Budget, Client, Config, Period},
    store::{Store, StoreError, Table},
    types::{Amount, PICODOLLARS},
};

/// One client, in the answer of `GET /chorus/clients`.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub struct ClientReport {
    /// Its name.
    pub name: String,
    /// Whether its key is good at all.
    pub enabled: bool,
    /// Whether it may see what concerns everybody.
    pub admin: bool,
    /// From when on its key is refused; `null`: never.
    pub expires: Option<Timestamp>,
    /// Its requests that are running.
    pub in_flight: Measure,
    /// What those may take at worst.
    pub reserved: Taken,
    /// Requests within the last minute; counted where they are bounded.
    pub requests_per_minute: Measure,
    /// Tokens within the last minute; likewise.
    pub tokens_per_minute: Measure,
    /// Today's, this week's and this month's.
    pub used: Vec<PeriodReport>,
}

/// Something that is counted, and its limit.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[schemars(rename = "ClientMeasure")]
pub struct Measure {
    /// How much there is now.
    pub used: u64,
    /// How much there may be; `null`: any.
    pub limit: Option<u64>,
}

/// What was used in a period, and what may be.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
#[schemars(rename = "ClientPeriod")]
pub struct PeriodReport {
    /// Which.
    pub per: Period,
    /// When the next one begins.
    pub until: Timestamp,
    /// Used so far.
    pub used: Taken,
    /// The least of what the budgets allow.
    pub limit: Bounds,
}

/// An amount for people: dollars.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[schemars(rename = "ClientUse")]
pub struct Taken {
    /// Calls of models.
    pub calls: u64,
    /// Tokens, read and written.
    pub tokens: u64,
    /// US dollars.
    pub usd: f64,
}

/// The limits of an amount; `null`: none.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[schemars(rename = "ClientBounds")]
pub struct Bounds {
    /// Calls of models.
    pub calls: Option<u64>,
    /// Tokens, read and written.
    pub tokens: Option<u64>,
    /// US dollars.
    pub usd: Option<f64>,
}

impl From<Amount> for Taken {
    fn from(amount: Amount) -> Self {
        Self { calls: amount.calls, tokens: amount.tokens, usd: dollars(amount.picodollars) }
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn dollars(picodollars: u64) -> f64 {
    picodollars as f64 / PICODOLLARS
}

impl ClientReport {
    /// Of a client with an account.
    pub(in crate::server) fn of(client: &Client, account: &Account) -> Self {
        let mut counters = account.counters();
        let now = account.now();
        Self {
            in_flight: Measure { used: counters.in_flight.into(), limit: None },
            reserved: counters.reserved.into(),
            requests_per_minute: Measure { used: counters.requests.sum(now.ms), limit: None },
            tokens_per_minute: Measure { used: counters.tokens.sum(now.ms), limit: None },
            ..Self::of_periods(client, &mut counters.periods, now.date)
        }
        .with_limits(client)
    }

    /// Of a client of which only that is known.
    fn of_periods(client: &Client, periods: &mut Periods, now: Timestamp) -> Self {
        let period = |per| {
            let (used, until) = periods.of(per, now);
            PeriodReport { per, until, used: used.into(), limit: bounds(client, per) }
        };
        Self {
            name: client.name.clone(),
            enabled: client.enabled,
            admin: client.admin,
            expires: client.expires,
            in_flight: Measure::default(),
            reserved: Taken::default(),
            requests_per_minute: Measure::default(),
            tokens_per_minute: Measure::default(),
            used: [Period::Day, Period::Week, Period::Month].map(period).into(),
        }
    }

    fn with_limits(mut self, client: &Client) -> Self {
        let limits = &client.limits;
        self.in_flight.limit = limits.max_in_flight.map(u64::from);
        self.requests_per_minute.limit = limits.requests_per_minute.map(u64::from);
        self.tokens_per_minute.limit = limits.tokens_per_minute;
        self
    }
}

/// The clients of a config with what the store has of them, which a server may be writing meanwhile.
/// What runs, and the last minute, only that server knows.
///
/// # Errors
/// When there is a store that cannot be read.
pub fn kept_reports(config: &Config) -> Result<Vec<ClientReport>, StoreError> {
    let folder = config.server.data_dir.as_deref();
    let kept = folder.map_or(Ok(Vec::new()), |folder| Store::look(folder, Table::Clients))?;
    let now = Timestamp::now();
    let report = |client: &Client| {
        let own = kept.iter().find(|(name, _)| *name == client.name);
        let periods = own.and_then(|(_, text)| Periods::of_text(text));
        ClientReport::of_periods(client, &mut periods.unwrap_or_default(), now).with_limits(client)
    };
    Ok(config.clients.iter().map(report).collect())
}

fn bounds(client: &Client, per: Period) -> Bounds {
    let least = |of: fn(&Budget) -> Option<u64>| {
        client.limits.budgets.iter().filter(|budget| budget.per == per).filter_map(of).min()
    };
    Bounds {
        calls: least(|budget| budget.calls),
        tokens: least(|budget| budget.tokens),
        usd: least(|budget| budget.picodollars).map(dollars),
    }
}
