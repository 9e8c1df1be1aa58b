//! Which runs are wanted, and what those that are have in common.

use std::borrow::Cow;

use axum::http::Uri;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::server::{dialect::query, error::AppError};

/// How many are listed where nobody says.
const DEFAULT_LIMIT: usize = 50;
/// And at most.
const MOST: usize = 1000;

/// The query of `GET /chorus/runs`.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct Filter {
    /// The client that they must be of, whatever the query says.
    pub(in crate::server) own: Option<String>,
    client: Option<String>,
    status: Option<String>,
    model: Option<String>,
    slower_than_ms: Option<u64>,
    since: Option<Timestamp>,
    pub(in crate::server) limit: usize,
}

impl Filter {
    /// Reads it.
    ///
    /// # Errors
    /// 400 for a value that means nothing.
    pub(in crate::server) fn of(uri: &Uri, own: Option<&str>) -> Result<Self, AppError> {
        let number = |name: &str| -> Result<Option<u64>, AppError> {
            let Some(text) = query(uri, name) else { return Ok(None) };
            let read = text.parse().map(Some);
            read.map_err(|_| AppError::field(name, "it must be a whole number"))
        };
        let status = query(uri, "status");
        let known = ["ok", "degraded", "failed", "cancelled"];
        if status.as_ref().is_some_and(|status| !known.contains(&status.as_str())) {
            let message = "it must be ok, degraded, failed or cancelled";
            return Err(AppError::field("status", message));
        }
        let limit = number("limit")?.and_then(|limit| usize::try_from(limit).ok());
        Ok(Self {
            own: own.map(str::to_owned),
            client: query(uri, "client"),
            status,
            model: query(uri, "model"),
            slower_than_ms: number("slower_than_ms")?,
            since: query(uri, "since").map(|text| since(&text)).transpose()?,
            limit: limit.unwrap_or(DEFAULT_LIMIT).min(MOST),
        })
    }

    /// Whether nothing that began before can be wanted.
    pub(in crate::server) fn ends_before(&self, started: Timestamp) -> bool {
        self.since.is_some_and(|since| started < since)
    }

    pub(in crate::server) fn wants(&self, run: &Facts<'_>) -> bool {
        self.concerns(run.client.as_deref(), &run.model, &run.name)
            && self.status.as_deref().is_none_or(|status| *status == run.status)
            && self.slower_than_ms.is_none_or(|least| run.total_ms > least)
            && !self.ends_before(run.started_at)
    }

    /// Whether it is about a client and a name that was asked for or answered.
    pub(in crate::server) fn concerns(
        &self,
        client: Option<&str>,
        model: &str,
        name: &str,
    ) -> bool {
        self.own.as_deref().is_none_or(|own| client == Some(own))
            && self.client.as_deref().is_none_or(|wanted| client == Some(wanted))
            && self.model.as_deref().is_none_or(|wanted| wanted == model || wanted == name)
    }
}

/// A time, seconds since 1970, or how long ago: `15m`, `2h`, `7d`.
fn since(text: &str) -> Result<Timestamp, AppError> {
    let ago = |number: &str, seconds: i64| {
        let number: i64 = number.parse().ok()?;
        Timestamp::now().checked_sub(SignedDuration::from_secs(number.checked_mul(seconds)?)).ok()
    };
    let read = match text.split_at_checked(text.len().saturating_sub(1)) {
        Some((number, "s")) => ago(number, 1),
        Some((number, "m")) => ago(number, 60),
        Some((number, "h")) => ago(number, 3600),
        Some((number, "d")) => ago(number, 86_400),
        _ => match text.parse::<i64>() {
            Ok(seconds) => Timestamp::from_second(seconds).ok(),
            Err(_) => text.parse().ok(),
        },
    };
    read.ok_or_else(|| {
        AppError::field("since", "it must be a time such as 2026-12-01T09:00:00Z, seconds, or 15m")
    })
}

/// What a filter asks of a run.
#[derive(Debug, Deserialize)]
pub(in crate::server) struct Facts<'a> {
    #[serde(borrow, default)]
    client: Option<Cow<'a, str>>,
    #[serde(borrow)]
    model: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    total_ms: u64,
    first_token_ms: Option<u64>,
    pub(in crate::server) started_at: Timestamp,
    usage: FactsUsage,
}

#[derive(Debug, Deserialize)]
struct FactsUsage {
    total_tokens: u64,
    cost_usd: Option<f64>,
}

/// Runs that are wanted.
#[derive(Debug, Default)]
pub(in crate::server) struct Found {
    pub(in crate::server) runs: Vec<Box<RawValue>>,
    pub(in crate::server) totals: Totals,
    first_token: Vec<u64>,
    total: Vec<u64>,
    has_unpriced: bool,
}

/// Of all runs that are wanted, more than the limit included.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "RunTotals")]
pub(in crate::server) struct Totals {
    runs: u64,
    degraded: u64,
    failed: u64,
    cancelled: u64,
    /// The median.
    first_token_ms_p50: Option<u64>,
    /// The median.
    total_ms_p50: Option<u64>,
    total_tokens: u64,
    /// Unknown where a model has no `price`.
    cost_usd: Option<f64>,
}

impl Found {
    /// Takes a run in, if it is wanted.
    pub(in crate::server) fn take(&mut self, entry: Box<RawValue>, filter: &Filter) {
        let Ok(facts) = serde_json::from_str::<Facts<'_>>(entry.get()) else { return };
        if !filter.wants(&facts) {
            return;
        }
        self.totals.runs += 1;
        match facts.status.as_ref() {
            "degraded" => self.totals.degraded += 1,
            "failed" => self.totals.failed += 1,
            "cancelled" => self.totals.cancelled += 1,
            _ => {}
        }
        self.first_token.extend(facts.first_token_ms);
        self.total.push(facts.total_ms);
        self.totals.total_tokens += facts.usage.total_tokens;
        match facts.usage.cost_usd {
            Some(cost) => *self.totals.cost_usd.get_or_insert_default() += cost,
            None => self.has_unpriced |= facts.usage.total_tokens > 0,
        }
        if self.runs.len() < filter.limit {
            self.runs.push(entry);
        }
    }

    pub(in crate::server) fn complete(mut self) -> Self {
        self.totals.first_token_ms_p50 = median(&mut self.first_token);
        self.totals.total_ms_p50 = median(&mut self.total);
        if self.has_unpriced {
            self.totals.cost_usd = None;
        }
        self
    }
}

fn median(values: &mut [u64]) -> Option<u64> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}
