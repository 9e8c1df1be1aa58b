//! The keys whose values may be shown, and how much of them.

/// What a key's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Further keys.
    Section,
    /// Tables by the names of hosts.
    Hosts,
    /// A name or another text that is no secret.
    Name,
    /// A number, true or false, or one of a few words.
    Word,
    /// A base URL, which may hold a password.
    Address,
    /// A file.
    Path,
    /// A secret, or where it is.
    Key,
    /// A plan's JSON.
    Plan,
}

/// The use of a key of the config; `None`: nobody knows it.
pub(super) fn use_of(key: &str) -> Option<Use> {
    Some(match key {
        "server"
        | "alias"
        | "client"
        | "model"
        | "endpoint"
        | "price"
        | "workflow"
        | "timeouts"
        | "retry"
        | "health"
        | "pool"
        | "workflow-integration"
        | "workflow-profile"
        | "log" => Use::Section,
        "domains" => Use::Hosts,
        "name" | "note" | "host" | "upstream_model" | "ollama_version" | "request_body_limit"
        | "allowed_hosts" | "analyzer_model" | "worker_models" | "selector_model"
        | "synthesizer_model" => Use::Name,
        "port"
        | "max_in_flight"
        | "shutdown_grace_secs"
        | "header_hold_secs"
        | "heartbeat_secs"
        | "unknown_model"
        | "plain_client_format"
        | "progress"
        | "usage"
        | "reasoning_field"
        | "allow_unauthenticated"
        | "requests_per_minute"
        | "tokens_per_minute"
        | "protocol"
        | "mode"
        | "api_version"
        | "auto_temperature"
        | "temperature"
        | "max_temperature"
        | "send_temperature"
        | "structured_output"
        | "vision"
        | "tools"
        | "context_tokens"
        | "max_concurrency"
        | "input_per_mtok"
        | "output_per_mtok"
        | "warm_up"
        | "listed"
        | "balance"
        | "sticky"
        | "hedge_after_ms"
        | "weight"
        | "priority"
        | "nested_worker_depth"
        | "nested_worker_mode"
        | "max_workers"
        | "analyzer_timeout_secs"
        | "worker_timeout_secs"
        | "selector_timeout_secs"
        | "synthesizer_timeout_secs"
        | "connect_timeout_secs"
        | "max_retries"
        | "base_delay_ms"
        | "max_delay_ms"
        | "failure_threshold"
        | "failure_ratio"
        | "open_secs"
        | "probe_interval_secs"
        | "max_idle_per_host"
        | "idle_secs"
        | "format" => Use::Word,
        "api_base" | "cors_origins" => Use::Address,
        "ca_cert" | "json_file" => Use::Path,
        "api_key" | "key" | "headers" => Use::Key,
        "json" => Use::Plan,
        _ => return None,
    })
}

/// The use of a key of a plan; `None`: nobody knows it, or its text is somebody's prompt.
pub(super) fn use_in_plan(key: &str) -> Option<Use> {
    Some(match key {
        "ref" | "name" | "fallback" | "workers" | "analyzer" | "reranker" | "selector"
        | "synthesizer" => Use::Name,
        "temperature" | "auto_temperature" | "max_tokens" | "timeout_secs" | "samples"
        | "top_k" | "policy" | "min_success" | "quorum" | "grace_ms" | "deadline_secs"
        | "agreement" | "schedule" | "overrides" | "worker_tools" => Use::Word,
        _ => return None,
    })
}
