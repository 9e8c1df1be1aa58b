//! `[workflow-integration]`, `[[workflow-profile]]`, and what stands below `[workflow]`.

use std::{borrow::Cow, collections::BTreeMap};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::plan::Plan;

/// The default workflow. Its plan is `json` or `json_file`; exactly one of them.
#[derive(JsonSchema)]
#[schemars(
    deny_unknown_fields,
    extend("oneOf" = [
        { "required": ["json"] },
        { "required": ["json_file"] },
        { "required": ["worker_models"] }
    ])
)]
pub(super) struct Integration {
    /// The plan, as JSON in `"""` or `'''`.
    #[schemars(example = &r#"{ "workers": ["a", "b"], "synthesizer": "a" }"#)]
    json: Option<PlanText>,
    /// A file that holds the plan, relative to this one; `chorus config schema --plan` prints the
    /// schema for it.
    #[schemars(example = &"plan.json")]
    json_file: Option<String>,
    #[schemars(flatten)]
    settings: Settings,
    /// Old form of the plan's `analyzer`; `chorus migrate` rewrites it.
    #[schemars(extend("deprecated" = true), example = &"a")]
    analyzer_model: Option<String>,
    /// Old form of the plan's `workers`; `chorus migrate` rewrites it.
    #[schemars(length(min = 1), extend("deprecated" = true), example = ["a", "b"])]
    worker_models: Option<Vec<String>>,
    /// Old form of the plan's `selector`, by default the synthesizer's model; `chorus migrate`
    /// rewrites it.
    #[schemars(extend("deprecated" = true), example = &"a")]
    selector_model: Option<String>,
    /// Old form of the plan's `synthesizer`; `chorus migrate` rewrites it.
    #[schemars(extend("deprecated" = true), example = &"a")]
    synthesizer_model: Option<String>,
}

/// Text that holds a plan, whose grammar is among the definitions.
struct PlanText;

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
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Settings {
    /// Copies of each worker: 1 makes none, 2 pairs, 3 pairs of pairs.
    #[schemars(range(min = 1, max = 17), extend("default" = 1))]
    nested_worker_depth: Option<u32>,
    /// What becomes of the copies.
    #[schemars(extend("default" = "candidates"))]
    nested_worker_mode: Option<NestedWorkerMode>,
    /// Worker calls at once per request; 0 is no limit.
    #[schemars(range(min = 0, max = 1_000_000), extend("default" = 0))]
    max_concurrency: Option<u32>,
    /// A plan with more workers, copies counted, is refused at start-up.
    #[schemars(range(min = 1, max = 65_536), extend("default" = 64))]
    max_workers: Option<u32>,
}

/// A further workflow. Its plan is `json` or `json_file`; exactly one of them.
#[derive(JsonSchema)]
#[schemars(
    deny_unknown_fields,
    extend("oneOf" = [{ "required": ["json"] }, { "required": ["json_file"] }])
)]
pub(super) struct Profile {
    /// What clients ask for as their model; no model and no other workflow may have it.
    #[schemars(
        regex(pattern = r"^\S(.*\S)?$"),
        extend("not" = { "enum": ["chorus", "chorus:latest"] }),
        example = &"chorus-fast"
    )]
    name: String,
    /// The plan, as JSON in `"""` or `'''`.
    #[schemars(example = &r#"{ "workers": ["a", "b"], "selector": "a" }"#)]
    json: Option<PlanText>,
    /// A file that holds the plan, relative to this one.
    #[schemars(example = &"fast.json")]
    json_file: Option<String>,
    #[schemars(flatten)]
    settings: Settings,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase", inline)]
enum NestedWorkerMode {
    /// all of them go up to the selector
    Candidates,
    /// each pair is analysed, judged and fused
    Workflow,
}

/// Time limits, retries, health of endpoints, connections.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Workflow {
    /// Time limits of the stages.
    timeouts: Option<Timeouts>,
    /// Other time limits by the endpoint's `host`, or by its `host:port`, which wins.
    #[schemars(
        transform = super::wording::host_names,
        example = json!({ "api.deepseek.com": { "worker_timeout_secs": 120 } })
    )]
    domains: Option<BTreeMap<String, Domain>>,
    /// Further attempts of one call, inside its time limit.
    retry: Option<Retry>,
    /// When an endpoint goes out of service, and how it comes back.
    health: Option<Health>,
    /// Connections to upstreams.
    pool: Option<Pool>,
}

/// Time limits of the stages, in seconds.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Timeouts {
    /// Seconds for the analyzer in all, retries included.
    #[schemars(transform = super::wording::seconds, extend("default" = 30))]
    analyzer_timeout_secs: Option<f64>,
    /// Seconds for a worker in all, retries included.
    #[schemars(transform = super::wording::seconds, extend("default" = 60))]
    worker_timeout_secs: Option<f64>,
    /// Seconds for the selector in all, and for the reranker; default: the synthesizer's.
    #[schemars(transform = super::wording::seconds, example = 60)]
    selector_timeout_secs: Option<f64>,
    /// Seconds to the first piece of the answer, then for each pause between pieces; direct calls
    /// too.
    #[schemars(transform = super::wording::seconds, extend("default" = 60))]
    synthesizer_timeout_secs: Option<f64>,
    /// Seconds to open a connection.
    #[schemars(transform = super::wording::seconds, extend("default" = 10))]
    connect_timeout_secs: Option<f64>,
}

/// [`Timeouts`] without its defaults.
struct Domain;

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
            if let Some(usual) = limit.remove("default") {
                limit.insert("examples".to_owned(), json!([usual]));
            }
        }
        schema
    }
}

/// Further attempts of one call. Pauses double from the base to the cap, with full jitter; an
/// upstream's `Retry-After` wins when it fits the time limit.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Retry {
    /// Further attempts after the first. Each other endpoint of the model may be asked once even
    /// where this is less.
    #[schemars(range(min = 0, max = 100), extend("default" = 2))]
    max_retries: Option<u32>,
    /// Milliseconds that the first pause takes at most.
    #[schemars(range(min = 1, max = 3_600_000), extend("default" = 200))]
    base_delay_ms: Option<u32>,
    /// Milliseconds that any pause takes at most; not less than `base_delay_ms`.
    #[schemars(
        range(min = 1, max = 3_600_000),
        extend("default" = 5000)
    )]
    max_delay_ms: Option<u32>,
}

/// The circuit breaker of each endpoint.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Health {
    /// Failures in a row that put an endpoint out of service.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = 5))]
    failure_threshold: Option<u32>,
    /// The share of failures among its last 20 calls, of 10 at least, that does so too.
    #[schemars(range(min = 0.01, max = 1), extend("default" = 0.5))]
    failure_ratio: Option<f64>,
    /// Seconds until one call may try whether it is back.
    #[schemars(range(min = 0.001, max = 86_400), extend("default" = 30))]
    open_secs: Option<f64>,
    /// Seconds between looks at its model list meanwhile, which cost nothing; 0 is never.
    #[schemars(range(min = 0, max = 86_400), extend("default" = 15))]
    probe_interval_secs: Option<f64>,
}

/// Connections to upstreams.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Pool {
    /// Idle connections kept for each host; 0 keeps none.
    #[schemars(range(min = 0, max = 1_000_000), extend("default" = 1024))]
    max_idle_per_host: Option<u32>,
    /// Seconds that an idle connection is kept.
    #[schemars(range(min = 1, max = 86_400), extend("default" = 90))]
    idle_secs: Option<f64>,
}
