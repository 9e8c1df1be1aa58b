//! `[workflow-integration]`, `[[workflow-profile]]`, and what stands below `[workflow]`.

use std::{borrow::Cow, collections::BTreeMap};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::{plan::Plan, wording};

/// What to do where a workflow has no plan.
pub(in crate::config) const EXAMPLE: &str =
    "add `json = '{ \"workers\": [\"a\", \"b\"], \"synthesizer\": \"a\" }'` with your models";

/// The default workflow. Its plan is `json` or `json_file`; exactly one of them.
#[derive(Deserialize, JsonSchema, Serialize)]
#[schemars(
    deny_unknown_fields,
    extend("oneOf" = [
        { "required": ["json"] },
        { "required": ["json_file"] },
        { "required": ["worker_models"] }
    ])
)]
pub(in crate::config) struct Integration {
    /// The plan, as JSON in `"""` or `'''`.
    #[schemars(example = &r#"{ "workers": ["a", "b"], "synthesizer": "a" }"#)]
    pub json: Option<PlanText>,
    /// A file that holds the plan, relative to this one; `chorus config schema --plan` prints the
    /// schema for it.
    #[schemars(extend("x-shown" = "path"), example = &"plan.json")]
    pub json_file: Option<String>,
    #[serde(flatten)]
    pub settings: Settings,
    /// The plan as it was read, wherever it is written.
    #[serde(skip_deserializing)]
    #[schemars(skip)]
    pub plan: Option<Plan>,
    /// Old form of the plan's `analyzer`; `chorus migrate` rewrites it.
    #[schemars(extend("deprecated" = true), example = &"a")]
    pub analyzer_model: Option<String>,
    /// Old form of the plan's `workers`; `chorus migrate` rewrites it.
    #[schemars(length(min = 1), extend("deprecated" = true), example = ["a", "b"])]
    pub worker_models: Option<Vec<String>>,
    /// Old form of the plan's `selector`, by default the synthesizer's model; `chorus migrate`
    /// rewrites it.
    #[schemars(extend("deprecated" = true), example = &"a")]
    pub selector_model: Option<String>,
    /// Old form of the plan's `synthesizer`; `chorus migrate` rewrites it.
    #[schemars(extend("deprecated" = true), example = &"a")]
    pub synthesizer_model: Option<String>,
}

/// Text that holds a plan, whose grammar is among the definitions. As JSON it is nothing: the plan
/// that was read of it stands beside it.
#[derive(Deserialize)]
pub(in crate::config) struct PlanText(pub String);

impl Serialize for PlanText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_none()
    }
}

impl JsonSchema for PlanText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "PlanText".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": generator.subschema_for::<Plan>(),
        })
    }
}

/// What every workflow may have.
#[derive(Deserialize, JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub(in crate::config) struct Settings {
    /// Copies of each worker: 1 makes none, 2 pairs, 3 pairs of pairs.
    #[schemars(range(min = 1, max = 17), extend("x-checked" = true), extend("default" = 1))]
    pub nested_worker_depth: i64,
    /// What becomes of the copies.
    #[schemars(extend("default" = "candidates"))]
    pub nested_worker_mode: Copies,
    /// Worker calls at once per request; 0 is no limit.
    #[schemars(range(min = 0, max = 1_000_000), extend("default" = 0))]
    pub max_concurrency: usize,
    /// A plan with more workers, copies counted, is refused at start-up.
    #[schemars(range(min = 1, max = 65_536), extend("default" = 64))]
    pub max_workers: u32,
}

/// A further workflow. Its plan is `json` or `json_file`; exactly one of them.
#[derive(Deserialize, JsonSchema, Serialize)]
#[schemars(
    deny_unknown_fields,
    extend("oneOf" = [{ "required": ["json"] }, { "required": ["json_file"] }])
)]
pub(in crate::config) struct Profile {
    /// What clients ask for as their model; no model and no other workflow may have it.
    #[schemars(
        required,
        regex(pattern = r"^\S(.*\S)?$"),
        extend("not" = { "enum": ["chorus", "chorus:latest"] }),
        example = &"chorus-fast"
    )]
    pub name: Option<String>,
    /// The plan, as JSON in `"""` or `'''`.
    #[schemars(example = &r#"{ "workers": ["a", "b"], "selector": "a" }"#)]
    pub json: Option<PlanText>,
    /// A file that holds the plan, relative to this one.
    #[schemars(extend("x-shown" = "path"), example = &"fast.json")]
    pub json_file: Option<String>,
    #[serde(flatten)]
    pub settings: Settings,
    /// The plan as it was read, wherever it is written.
    #[serde(skip_deserializing)]
    #[schemars(skip)]
    pub plan: Option<Plan>,
}

/// `nested_worker_mode`: what a copied level does with its copies.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(in crate::config) enum Copies {
    /// all of them go up to the selector
    Candidates,
    /// each pair is analysed, judged and fused
    Workflow,
}

/// Time limits, retries, health of endpoints, connections.
#[derive(Deserialize, JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub(in crate::config) struct Workflow {
    /// Time limits of the stages.
    #[schemars(extend("default" = {}))]
    pub timeouts: Timeouts,
    /// Other time limits by the endpoint's `host`, or by its `host:port`, which wins.
    #[schemars(
        transform = wording::host_names,
        extend("default" = {}),
        example = json!({ "api.deepseek.com": { "worker_timeout_secs": 120 } })
    )]
    pub domains: BTreeMap<String, Domain>,
    /// Further attempts of one call, inside its time limit.
    #[schemars(extend("default" = {}))]
    pub retry: Retry,
    /// When an endpoint goes out of service, and how it comes back.
    #[schemars(extend("default" = {}))]
    pub health: Health,
    /// Connections to upstreams.
    #[schemars(extend("default" = {}))]
    pub pool: Pool,
}

/// Time limits of the stages, in seconds.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct Timeouts {
    /// Seconds for the analyzer in all, retries included.
    #[schemars(transform = wording::seconds, extend("default" = 30))]
    pub analyzer_timeout_secs: Option<f64>,
    /// Seconds for a worker in all, retries included.
    #[schemars(transform = wording::seconds, extend("default" = 60))]
    pub worker_timeout_secs: Option<f64>,
    /// Seconds for the selector in all, and for the reranker; default: the synthesizer's.
    #[schemars(transform = wording::seconds, example = 60)]
    pub selector_timeout_secs: Option<f64>,
    /// Seconds to the first piece of the answer, then for each pause between pieces; direct calls
    /// too.
    #[schemars(transform = wording::seconds, extend("default" = 60))]
    pub synthesizer_timeout_secs: Option<f64>,
    /// Seconds to open a connection.
    #[schemars(transform = wording::seconds, extend("default" = 10))]
    pub connect_timeout_secs: Option<f64>,
}

/// [`Timeouts`] without its defaults.
#[derive(Deserialize, Serialize)]
pub(in crate::config) struct Domain(pub Timeouts);

impl JsonSchema for Domain {
    fn schema_name() -> Cow<'static, str> {
        "Domain".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Timeouts::json_schema(generator);
        let text = "Time limits for one host; what is left out is as in `[workflow.timeouts]`.";
        schema.insert("description".to_owned(), text.into());
        let limits = schema.get_mut("properties").and_then(Value::as_object_mut);
        for limit in limits.into_iter().flat_map(Map::values_mut).filter_map(Value::as_object_mut) {
            if let Some(default) = limit.remove("default") {
                limit.insert("examples".to_owned(), json!([default]));
            }
        }
        schema
    }
}

/// Further attempts of one call. Pauses double from the base to the cap, with full jitter; an
/// upstream's `Retry-After` wins when it fits the time limit.
#[derive(Deserialize, JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub(in crate::config) struct Retry {
    /// Further attempts after the first. Each other endpoint of the model may be asked once even
    /// where this is less.
    #[schemars(range(min = 0, max = 100), extend("default" = 2))]
    pub max_retries: usize,
    /// Milliseconds that the first pause takes at most.
    #[schemars(range(min = 1, max = 3_600_000), extend("default" = 200))]
    pub base_delay_ms: u64,
    /// Milliseconds that any pause takes at most; not less than `base_delay_ms`.
    #[schemars(
        range(min = 1, max = 3_600_000),
        extend("default" = 5000)
    )]
    pub max_delay_ms: u64,
}

/// The circuit breaker of each endpoint.
#[derive(Deserialize, JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub(in crate::config) struct Health {
    /// Failures in a row that put an endpoint out of service.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = 5))]
    pub failure_threshold: u32,
    /// The share of failures among its last 20 calls, of 10 at least, that does so too.
    #[schemars(range(min = 0.01, max = 1), extend("default" = 0.5))]
    pub failure_ratio: f64,
    /// Seconds until one call may try whether it is back.
    #[schemars(range(min = 0.001, max = 86_400), extend("default" = 30))]
    pub open_secs: f64,
    /// Seconds between looks at its model list meanwhile, which cost nothing; 0 is never.
    #[schemars(range(min = 0, max = 86_400), extend("default" = 15))]
    pub probe_interval_secs: f64,
}

/// Connections to upstreams.
#[derive(Deserialize, JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub(in crate::config) struct Pool {
    /// Idle connections kept for each host; 0 keeps none.
    #[schemars(range(min = 0, max = 1_000_000), extend("default" = 1024))]
    pub max_idle_per_host: usize,
    /// Seconds that an idle connection is kept.
    #[schemars(range(min = 1, max = 86_400), extend("default" = 90))]
    pub idle_secs: f64,
}
