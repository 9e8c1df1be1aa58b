//! Tokens and cost, in a record and beside an answer.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer};

use crate::types::{Usage, WorkflowId};

/// Tokens and cost.
#[derive(Clone, Copy, Debug, Default, Serialize, JsonSchema)]
pub struct UsageRecord {
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
    /// Both.
    pub total_tokens: u64,
    /// The cost in US dollars, where every call's price is known.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "billionths")]
    pub cost_usd: Option<f64>,
    /// At least one count is an estimate.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
}

impl UsageRecord {
    /// The record of this usage, with its cost where that is known.
    #[must_use]
    pub fn new(usage: &Usage, cost_usd: Option<f64>) -> Self {
        Self {
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            total_tokens: usage.total_tokens(),
            cost_usd,
            estimated: usage.estimated,
        }
    }

    /// Both; the cost is known only while no part that used tokens lacks one.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let cost_usd = match (self.cost_usd, other.cost_usd) {
            (Some(one), Some(two)) => Some(one + two),
            (known, None) if other.total_tokens == 0 => known,
            (None, known) if self.total_tokens == 0 => known,
            (_, None) | (None, _) => None,
        };
        Self {
            prompt_tokens: self.prompt_tokens.saturating_add(other.prompt_tokens),
            completion_tokens: self.completion_tokens.saturating_add(other.completion_tokens),
            total_tokens: self.total_tokens.saturating_add(other.total_tokens),
            cost_usd,
            estimated: self.estimated || other.estimated,
        }
    }
}

/// What a run took in all, reported beside the answer: its `usage` may be of one call.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// The sum of all calls.
    pub usage: UsageRecord,
    /// Upstream attempts made.
    pub calls: u64,
    /// The run; `None` for a sum over several.
    pub workflow_id: Option<WorkflowId>,
}

impl Spent {
    /// The sum of two runs that answer one request.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            usage: self.usage.plus(&other.usage),
            calls: self.calls.saturating_add(other.calls),
            workflow_id: None,
        }
    }
}

/// [`Spent`] on the wire.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Spent")]
struct Totals {
    total_usage: UsageRecord,
    /// Null where the price of a call is not known.
    #[serde(serialize_with = "billionths")]
    cost_usd: Option<f64>,
    calls: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    workflow_id: Option<WorkflowId>,
}

impl Serialize for Spent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let total_usage = UsageRecord { cost_usd: None, ..self.usage };
        let (cost_usd, calls) = (self.usage.cost_usd, self.calls);
        Totals { total_usage, cost_usd, calls, workflow_id: self.workflow_id }.serialize(serializer)
    }
}

impl JsonSchema for Spent {
    fn schema_name() -> Cow<'static, str> {
        Totals::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Totals::json_schema(generator)
    }
}

/// Dollars without the dust that adding floats leaves: 0.00122665, not 0.0012266500000000001.
#[expect(clippy::ref_option, reason = "the signature serde calls")]
fn billionths<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    value.map(|value| (value * 1e9).round() / 1e9).serialize(serializer)
}
