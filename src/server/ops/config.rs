//! `GET /chorus/config`: what the config in use amounts to, defaults included, under the names of the
//! file. It holds no secret: of keys, headers and proxies it says that they are set, of addresses it
//! leaves out what may be one, and of texts for models it says how long they are.
//!
//! Everything is taken apart, so that a new field has to be placed here too.

#[cfg(test)]
mod tests;

use std::time::Duration;

use serde_json::{Map, Value, json};
use url::Url;

use crate::{
    config::{
        Alias, Balance, Client, Config, Domain, Endpoint, Gateway, Health, Leaf, LogFormat, Member,
        Mode, Model, PlainClientFormat, Plan, Policy, Price, Progress, Proxies, Proxy, Quorum,
        ReasoningField, Reranker, Retry, Schedule, Server, Stage, StructuredOutput, TimeLimits,
        Timeouts, Transport, UnknownModel, UsageScope, WorkerTools, Workflow,
    },
    types::without_keys,
};

/// Stands where a secret is.
const SET: &str = "(set)";

/// The whole config.
pub(super) fn shown(config: &Config) -> Value {
    let Config {
        server,
        clients,
        models,
        workflow,
        profiles,
        aliases,
        timeouts,
        retry,
        health,
        transport,
        log_format,
        path,
        files: _,
        notices: _,
        warnings: _,
    } = config;
    let log_format = match log_format {
        LogFormat::Pretty => "pretty",
        LogFormat::Json => "json",
    };
    json!({
        "path": path.as_ref().map(|path| path.display().to_string()),
        "server": server_of(server),
        "client": clients.iter().map(client).collect::<Vec<_>>(),
        "model": models.values().map(|model| model_of(model)).collect::<Vec<_>>(),
        "workflow-integration": workflow_of(workflow),
        "workflow-profile": profiles.values().map(workflow_of).collect::<Vec<_>>(),
        "alias": aliases.iter().map(alias).collect::<Vec<_>>(),
        "workflow": {
            "timeouts": timeouts_of(&timeouts.base),
            "domains": domains(timeouts),
            "retry": retry_of(retry),
            "health": health_of(health),
            "pool": transport_of(transport),
        },
        "log": { "format": log_format },
    })
}

fn server_of(server: &Server) -> Value {
    let Server {
        host,
        port,
        request_body_limit,
        max_in_flight,
        shutdown_grace,
        header_hold,
        heartbeat,
        unknown_model,
        plain_client_format,
        progress,
        usage,
        reasoning_field,
        task_model,
        ollama_version,
        allowed_hosts,
        cors_origins,
        allow_unauthenticated,
    } = server;
    json!({
        "host": host,
        "port": port,
        "request_body_limit": request_body_limit,
        "max_in_flight": max_in_flight,
        "shutdown_grace_secs": secs(*shutdown_grace),
        "header_hold_secs": secs(*header_hold),
        "heartbeat_secs": secs(*heartbeat),
        "unknown_model": match unknown_model {
            UnknownModel::Workflow => "workflow",
            UnknownModel::Reject => "reject",
        },
        "plain_client_format": match plain_client_format {
            PlainClientFormat::Auto => "auto",
            PlainClientFormat::Sse => "sse",
            PlainClientFormat::Ndjson => "ndjson",
        },
        "progress": match progress {
            Progress::Stages => "auto",
            Progress::Off => "off",
            Progress::Drafts => "drafts",
        },
        "usage": match usage {
            UsageScope::Total => "total",
            UsageScope::Answer => "answer",
        },
        "reasoning_field": match reasoning_field {
            ReasoningField::ReasoningContent => "reasoning_content",
            ReasoningField::Reasoning => "reasoning",
            ReasoningField::Both => "both",
        },
        "task_model": task_model,
        "ollama_version": ollama_version,
        "allowed_hosts": allowed_hosts,
        "cors_origins": cors_origins,
        "allow_unauthenticated": allow_unauthenticated,
    })
}

fn client(client: &Client) -> Value {
    let Client { name, key_sha256: _ } = client;
    json!({ "name": name, "key": SET })
}

fn alias(alias: &Alias) -> Value {
    json!({ "name": alias.name, "model": alias.model, "note": alias.note })
}

fn model_of(model: &Model) -> Value {
    let Model {
        name,
        endpoints,
        protocol,
        api_version,
        mode,
        upstream_model,
        auto_temperature,
        temperature,
        max_temperature,
        send_temperature,
        structured_output,
        vision,
        tools,
        context_tokens,
        max_concurrency,
        price,
        headers,
        ca_cert,
        balance,
        sticky,
        hedge_after,
        warm_up,
        listed,
        gateway,
        thinking_forced_open,
    } = model;
    let headers: Map<String, Value> =
        headers.keys().map(|name| (name.as_str().to_owned(), SET.into())).collect();
    let price = price.as_ref().map(|Price { input_per_mtok, output_per_mtok }| {
        json!({ "input_per_mtok": input_per_mtok, "output_per_mtok": output_per_mtok })
    });
    json!({
        "name": name,
        "endpoint": endpoints.iter().map(endpoint).collect::<Vec<_>>(),
        "protocol": protocol.as_str(),
        "api_version": api_version,
        "mode": match mode {
            Mode::Chat => "chat",
            Mode::Completion => "completion",
        },
        "upstream_model": upstream_model,
        "auto_temperature": auto_temperature,
        "temperature": temperature.map(short),
        "max_temperature": short(*max_temperature),
        "send_temperature": send_temperature,
        "structured_output": match structured_output {
            StructuredOutput::None => "none",
            StructuredOutput::Json => "json",
            StructuredOutput::Schema => "schema",
        },
        "vision": vision,
        "tools": tools,
        "context_tokens": context_tokens,
        "max_concurrency": max_concurrency,
        "price": price,
        "headers": headers,
        "ca_cert": ca_cert.as_ref().map(|ca| ca.path.display().to_string()),
        "balance": match balance {
            Balance::Weighted => "weighted",
            Balance::LeastBusy => "least-busy",
            Balance::Fastest => "fastest",
        },
        "sticky": sticky,
        "hedge_after_ms": hedge_after.map_or(0, millis),
        "warm_up": warm_up,
        "listed": listed,
        "gateway": gateway.map(|gateway| match gateway {
            Gateway::LiteLlm => "litellm",
            Gateway::Retrying => "retrying",
        }),
        "thinking_forced_open": thinking_forced_open,
    })
}

fn endpoint(endpoint: &Endpoint) -> Value {
    let Endpoint { api_base, api_key, weight, priority } = endpoint;
    json!({
        "api_base": address(api_base),
        "api_key": (!api_key.is_empty()).then_some(SET),
        "weight": weight,
        "priority": priority,
    })
}

/// Without user, password, query and fragment, and what could be a key in its path.
fn address(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let path = url.path().trim_end_matches('/');
    without_keys(&format!("{}://{host}{port}{path}", url.scheme()))
}

fn workflow_of(workflow: &Workflow) -> Value {
    let Workflow { plan, max_concurrency } = workflow;
    let limit = max_concurrency.unwrap_or_default();
    json!({ "name": plan.name, "max_concurrency": limit, "plan": plan_of(plan) })
}

/// Expanded, copies and samples included.
fn plan_of(plan: &Plan) -> Value {
    let Plan { name: _, analyzer, members, reranker, selector, synthesizer, policy } = plan;
    let reranker = reranker.as_ref().map(|Reranker { stage, top_k }| {
        let mut fields = stage_of(stage);
        fields.insert("top_k".to_owned(), json!(top_k));
        fields
    });
    json!({
        "analyzer": analyzer.as_ref().map(stage_of),
        "workers": members.iter().map(member).collect::<Vec<_>>(),
        "reranker": reranker,
        "selector": selector.as_ref().map(stage_of),
        "synthesizer": synthesizer.as_ref().map(stage_of),
        "policy": policy_of(policy),
    })
}

fn member(member: &Member) -> Value {
    let (name, mut fields) = match member {
        Member::Leaf(Leaf { name, stage, copy: _ }) => (name, stage_of(stage)),
        Member::Nested(plan) => {
            let fields = match plan_of(plan) {
                Value::Object(fields) => fields,
                _ => Map::new(),
            };
            (&plan.name, fields)
        }
    };
    fields.shift_insert(0, "name".to_owned(), json!(name));
    Value::Object(fields)
}

fn stage_of(stage: &Stage) -> Map<String, Value> {
    let Stage { model, temperature, auto_temperature, max_tokens, system, timeout, fallback } =
        stage;
    let length = system.as_ref().map(|text| format!("({} characters)", text.chars().count()));
    let mut fields = Map::from_iter([("ref".to_owned(), json!(model))]);
    // What is not set here is left out: a plan may have many stages.
    for (key, value) in [
        ("temperature", temperature.map(|value| json!(short(value)))),
        ("auto_temperature", auto_temperature.map(Value::from)),
        ("max_tokens", max_tokens.map(Value::from)),
        ("system", length.map(Value::from)),
        ("timeout_secs", timeout.map(secs)),
        ("fallback", (!fallback.is_empty()).then(|| json!(fallback))),
    ] {
        if let Some(value) = value {
            fields.insert(key.to_owned(), value);
        }
    }
    fields
}

fn policy_of(policy: &Policy) -> Value {
    let Policy {
        min_success,
        quorum,
        grace,
        deadline,
        agreement,
        schedule,
        overrides,
        worker_tools,
    } = policy;
    json!({
        "min_success": min_success,
        "quorum": quorum.map(|quorum| match quorum {
            Quorum::Members(members) => json!(members),
            Quorum::Share(share) => json!(share),
        }),
        "grace_ms": millis(*grace),
        "deadline_secs": deadline.map(secs),
        "agreement": agreement,
        "schedule": match schedule {
            Schedule::Overlap => "overlap",
            Schedule::Sequential => "sequential",
        },
        "overrides": overrides,
        "worker_tools": match worker_tools {
            WorkerTools::List => "list",
            WorkerTools::Schemas => "schemas",
        },
    })
}

fn timeouts_of(limits: &Timeouts) -> Value {
    let Timeouts { analyzer, worker, selector, synthesizer, connect } = limits;
    json!({
        "analyzer_timeout_secs": secs(*analyzer),
        "worker_timeout_secs": secs(*worker),
        "selector_timeout_secs": secs(*selector),
        "synthesizer_timeout_secs": secs(*synthesizer),
        "connect_timeout_secs": secs(*connect),
    })
}

/// Sorted, so that the answer is the same every time.
fn domains(limits: &TimeLimits) -> Value {
    let TimeLimits { base: _, domains } = limits;
    let mut sorted: Vec<(&String, &Domain)> = domains.iter().collect();
    sorted.sort_by_key(|(host, _)| *host);
    let domain = |(host, domain): (&String, &Domain)| {
        let Domain { analyzer, worker, selector, synthesizer, connect } = domain;
        let limits = json!({
            "analyzer_timeout_secs": analyzer.map(secs),
            "worker_timeout_secs": worker.map(secs),
            "selector_timeout_secs": selector.map(secs),
            "synthesizer_timeout_secs": synthesizer.map(secs),
            "connect_timeout_secs": connect.map(secs),
        });
        (host.clone(), limits)
    };
    Value::Object(sorted.into_iter().map(domain).collect())
}

fn retry_of(retry: &Retry) -> Value {
    let Retry { max_retries, base_delay, max_delay } = retry;
    json!({
        "max_retries": max_retries,
        "base_delay_ms": millis(*base_delay),
        "max_delay_ms": millis(*max_delay),
    })
}

fn health_of(health: &Health) -> Value {
    let Health { failure_threshold, failure_ratio, open, probe_interval } = health;
    json!({
        "failure_threshold": failure_threshold,
        "failure_ratio": failure_ratio,
        "open_secs": secs(*open),
        "probe_interval_secs": probe_interval.map_or(json!(0), secs),
    })
}

fn transport_of(transport: &Transport) -> Value {
    let Transport { max_idle_per_host, idle, proxies } = transport;
    let Proxies { http, https, bypass } = proxies;
    let proxy = |proxy: &Proxy| {
        let Proxy { variable, url } = proxy;
        // Its path means nothing, and may be a slip of the pen.
        let host = url.host_str().unwrap_or_default();
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        json!({ "variable": variable, "url": format!("{}://{host}{port}", url.scheme()) })
    };
    json!({
        "max_idle_per_host": max_idle_per_host,
        "idle_secs": secs(*idle),
        "http_proxy": http.as_ref().map(proxy),
        "https_proxy": https.as_ref().map(proxy),
        "no_proxy": bypass,
    })
}

/// Whole seconds as such, others with a fraction.
fn secs(time: Duration) -> Value {
    if time.subsec_nanos() == 0 { json!(time.as_secs()) } else { json!(time.as_secs_f64()) }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// As it was written: 0.7, and not the double nearest to the float nearest to it.
fn short(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| f64::from(value))
}
