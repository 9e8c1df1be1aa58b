//! The metrics: names and units as Prometheus and OpenTelemetry's conventions for generative AI have
//! them, with what each means.

use metrics::{describe_counter, describe_gauge, describe_histogram};

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Metric {
    pub(in crate::server) name: &'static str,
    pub(in crate::server) kind: Kind,
    pub(in crate::server) meaning: &'static str,
}

pub(in crate::server) const REQUESTS: &str = "chorus_http_requests_total";
pub(in crate::server) const RUNS: &str = "chorus_runs_total";
pub(in crate::server) const RUNS_IN_FLIGHT: &str = "chorus_runs_in_flight";
pub(in crate::server) const RUN_DURATION: &str = "gen_ai_server_request_duration_seconds";
pub(in crate::server) const FIRST_TOKEN: &str = "gen_ai_server_time_to_first_token_seconds";
pub(in crate::server) const OVERHEAD: &str = "chorus_run_overhead_seconds";
pub(in crate::server) const STAGE_DURATION: &str = "chorus_stage_duration_seconds";
pub(in crate::server) const CALL_DURATION: &str = "gen_ai_client_operation_duration_seconds";
pub(in crate::server) const RETRIES: &str = "chorus_upstream_retries_total";
pub(in crate::server) const HEDGES: &str = "chorus_upstream_hedges_total";
pub(in crate::server) const TOKENS: &str = "chorus_tokens_total";
pub(in crate::server) const COST: &str = "chorus_cost_nanodollars_total";
pub(in crate::server) const DRAFTS: &str = "chorus_drafts_total";
pub(in crate::server) const WINS: &str = "chorus_selector_wins_total";
pub(in crate::server) const AGREEMENT: &str = "chorus_agreements_total";
pub(in crate::server) const FALLBACKS: &str = "chorus_fallbacks_total";
pub(in crate::server) const ENDPOINT_UP: &str = "chorus_endpoint_up";
pub(in crate::server) const ENDPOINT_IN_FLIGHT: &str = "chorus_endpoint_calls_in_flight";
pub(in crate::server) const RELOADS: &str = "chorus_config_reloads_total";
pub(in crate::server) const CONFIG_IS_GOOD: &str = "chorus_config_is_good";
pub(in crate::server) const LOG_LINES_DROPPED: &str = "chorus_log_lines_dropped_total";
pub(in crate::server) const OUT_OF_RESOURCES: &str = "chorus_out_of_resources_total";
pub(in crate::server) const MEMORY_TAKEN: &str = "chorus_memory_taken_bytes";
pub(in crate::server) const MEMORY_LIMIT: &str = "chorus_memory_limit_bytes";
pub(in crate::server) const STARTED: &str = "process_start_time_seconds";
pub(in crate::server) const BUILD: &str = "chorus_build_info";

/// The bounds of the buckets, in seconds, as OpenTelemetry has them for such operations.
pub(in crate::server) const DURATIONS: [f64; 15] =
    [0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];

const fn metric(kind: Kind, name: &'static str, meaning: &'static str) -> Metric {
    Metric { name, kind, meaning }
}

/// All of them.
pub(in crate::server) const METRICS: [Metric; 26] = {
    use Kind::{Counter, Gauge, Histogram};
    [
        metric(Counter, REQUESTS, "Requests that are over, by endpoint, status and error code."),
        metric(Counter, RUNS, "Runs that are over, by who answered and how they ended."),
        metric(Gauge, RUNS_IN_FLIGHT, "Runs that go on."),
        metric(Histogram, RUN_DURATION, "From a run's beginning to its end."),
        metric(Histogram, FIRST_TOKEN, "From a run's beginning to the first piece of its answer."),
        metric(Histogram, OVERHEAD, "What Chorus added to a run beside its upstreams."),
        metric(
            Histogram,
            STAGE_DURATION,
            "From a stage's beginning to its end, its waits included.",
        ),
        metric(Histogram, CALL_DURATION, "One exchange with an upstream, by endpoint and outcome."),
        metric(Counter, RETRIES, "Exchanges that were made again, here or at another endpoint."),
        metric(Counter, HEDGES, "Second calls that were made because the first was late."),
        metric(Counter, TOKENS, "Tokens that models read and wrote."),
        metric(Counter, COST, "What calls cost whose price is known, in billionths of a dollar."),
        metric(Counter, DRAFTS, "Drafts that workers were asked for, by how they ended."),
        metric(Counter, WINS, "How often the selector chose the worker's draft."),
        metric(Counter, AGREEMENT, "Levels whose drafts said the same, or did not."),
        metric(Counter, FALLBACKS, "Answers that another writer, or a draft, stood in for."),
        metric(Gauge, ENDPOINT_UP, "Whether the endpoint is in service: 1, or 0."),
        metric(Gauge, ENDPOINT_IN_FLIGHT, "Calls that the endpoint is answering."),
        metric(Counter, RELOADS, "How often the config was replaced."),
        metric(Gauge, CONFIG_IS_GOOD, "Whether the file, as it is now, could be loaded: 1, or 0."),
        metric(Counter, LOG_LINES_DROPPED, "Lines that standard error did not take at once."),
        metric(
            Counter,
            OUT_OF_RESOURCES,
            "Connections that failed for want of files, ports, memory.",
        ),
        metric(Gauge, MEMORY_TAKEN, "What requests and whole answers in flight take."),
        metric(Gauge, MEMORY_LIMIT, "What they may take."),
        metric(Gauge, STARTED, "When the process started, in seconds since 1970."),
        metric(Gauge, BUILD, "1, with the version."),
    ]
};

/// Tells the recorder what they mean.
pub(in crate::server) fn describe() {
    for Metric { name, kind, meaning } in METRICS {
        match kind {
            Kind::Counter => describe_counter!(name, meaning),
            Kind::Gauge => describe_gauge!(name, meaning),
            Kind::Histogram => describe_histogram!(name, meaning),
        }
    }
}
