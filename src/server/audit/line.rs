//! One line of the audit log.

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::super::client_addr::ClientAddr;
use crate::{
    types::{RequestId, WorkflowId, escaped_json},
    workflow::UsageRecord,
};

/// What came of a request. Neither a key nor a text of anybody's is in it, and of the path not the
/// query, in which some clients put their key.
#[derive(Debug, Serialize)]
pub(in super::super) struct Line<'a> {
    /// When the request came.
    #[serde(serialize_with = "microseconds")]
    pub(in super::super) time: Timestamp,
    pub(in super::super) request_id: RequestId,
    /// The run, or the first of several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) workflow_id: Option<WorkflowId>,
    /// The name of the `[[client]]`; absent where no key is needed, or none was right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) client: Option<&'a str>,
    /// The address it came from; absent over a socket that has none.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "displayed")]
    pub(in super::super) from: Option<ClientAddr>,
    pub(in super::super) method: &'a str,
    pub(in super::super) path: &'a str,
    /// The model that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) model: Option<&'a str>,
    /// The workflow or model that answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) answered_by: Option<&'a str>,
    pub(in super::super) decision: Decision,
    /// Why it was refused, or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) code: Option<&'a str>,
    /// The status of the response; null when the client left before there was one.
    pub(in super::super) status: Option<u16>,
    /// How the run ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) run_status: Option<&'a str>,
    /// What it took; absent where nothing ran.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(in super::super) spent: Option<Spending>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) first_token_ms: Option<u64>,
    pub(in super::super) duration_ms: u64,
}

/// Whether a request was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in super::super) enum Decision {
    Allowed,
    /// It cost no upstream call.
    Refused,
}

/// What all runs of a request took.
#[derive(Clone, Copy, Debug, Serialize)]
pub(in super::super) struct Spending {
    /// Upstream attempts.
    calls: u64,
    prompt_tokens: u64,
    completion_tokens: u64,
    /// Null where the price of a call is not known.
    cost_usd: Option<f64>,
}

impl Spending {
    pub(in super::super) fn new(calls: u64, usage: &UsageRecord) -> Self {
        let UsageRecord { prompt_tokens, completion_tokens, cost_usd, .. } = *usage;
        Self { calls, prompt_tokens, completion_tokens, cost_usd }
    }
}

impl Line<'_> {
    /// The line as it stands in the file: with its end, and what a terminal would obey or hide escaped.
    pub(super) fn json(&self) -> Vec<u8> {
        let json = serde_json::to_string(self).unwrap_or_default();
        format!("{}\n", escaped_json(&json)).into_bytes()
    }
}

/// The line that stands in for so many.
pub(super) fn missing(count: u64, now: Timestamp) -> Vec<u8> {
    format!("{{\"time\":\"{now:.6}\",\"missing_lines\":{count}}}\n").into_bytes()
}

#[expect(clippy::ref_option, reason = "the signature serde calls")]
fn displayed<S: Serializer>(from: &Option<ClientAddr>, serializer: S) -> Result<S::Ok, S::Error> {
    from.map(|from| from.to_string()).serialize(serializer)
}

fn microseconds<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.6}"))
}
