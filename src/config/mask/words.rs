//! The keys whose values may be shown, and how much of them.

use crate::config::{error::did_you_mean, fullwidth};

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
    /// A secret or somebody's prompt, or where it is.
    Key,
    /// A plan's JSON.
    Plan,
}

/// Every key of the config and of plans.
const KEYS: &[(Use, &[&str])] = &[
    (
        Use::Section,
        &[
            "server",
            "alias",
            "client",
            "endpoint",
            "price",
            "workflow",
            "timeouts",
            "retry",
            "health",
            "pool",
            "workflow-integration",
            "workflow-profile",
            "log",
        ],
    ),
    (Use::Hosts, &["domains"]),
    (
        Use::Name,
        &[
            "name",
            "note",
            "model",
            "host",
            "upstream_model",
            "task_model",
            "ollama_version",
            "request_body_limit",
            "allowed_hosts",
            "analyzer_model",
            "worker_models",
            "selector_model",
            "synthesizer_model",
            "ref",
            "fallback",
            "workers",
            "analyzer",
            "reranker",
            "selector",
            "synthesizer",
        ],
    ),
    (
        Use::Word,
        &[
            "port",
            "max_in_flight",
            "shutdown_grace_secs",
            "header_hold_secs",
            "heartbeat_secs",
            "unknown_model",
            "plain_client_format",
            "progress",
            "usage",
            "reasoning_field",
            "allow_unauthenticated",
            "requests_per_minute",
            "tokens_per_minute",
            "protocol",
            "mode",
            "api_version",
            "auto_temperature",
            "temperature",
            "max_temperature",
            "send_temperature",
            "structured_output",
            "vision",
            "tools",
            "context_tokens",
            "max_concurrency",
            "input_per_mtok",
            "output_per_mtok",
            "warm_up",
            "listed",
            "thinking_forced_open",
            "balance",
            "gateway",
            "sticky",
            "hedge_after_ms",
            "weight",
            "priority",
            "nested_worker_depth",
            "nested_worker_mode",
            "max_workers",
            "analyzer_timeout_secs",
            "worker_timeout_secs",
            "selector_timeout_secs",
            "synthesizer_timeout_secs",
            "connect_timeout_secs",
            "max_retries",
            "base_delay_ms",
            "max_delay_ms",
            "failure_threshold",
            "failure_ratio",
            "open_secs",
            "probe_interval_secs",
            "max_idle_per_host",
            "idle_secs",
            "format",
            "max_tokens",
            "timeout_secs",
            "samples",
            "top_k",
            "policy",
            "min_success",
            "quorum",
            "grace_ms",
            "deadline_secs",
            "agreement",
            "schedule",
            "overrides",
            "worker_tools",
        ],
    ),
    (Use::Address, &["api_base", "cors_origins"]),
    (Use::Path, &["ca_cert", "json_file"]),
    (Use::Key, &["api_key", "key", "headers", "system"]),
    (Use::Plan, &["json"]),
];

/// Words in keys of secrets and prompts.
const SECRET: [&str; 20] = [
    "key",
    "token",
    "secret",
    "passw",
    "passphrase",
    "pwd",
    "auth",
    "cred",
    "bearer",
    "cookie",
    "signature",
    "private",
    "header",
    "session",
    "system",
    "prompt",
    "instruction",
    "content",
    "message",
    "login",
];
/// And whole keys of secrets that are a part of other words.
const SECRET_ALONE: [&str; 4] = ["pass", "pw", "pin", "user"];

/// The use of a key; `None`: nobody knows it.
pub(super) fn use_of(key: &str) -> Option<Use> {
    KEYS.iter().find(|(_, keys)| keys.contains(&key)).map(|(use_, _)| *use_)
}

/// What a key is probably meant to be: itself, a known one that it is much like, or a secret's.
pub(super) fn meant(key: &str) -> Option<Use> {
    let key = fullwidth::folded(key);
    let known = || KEYS.iter().flat_map(|(_, keys)| keys.iter().copied());
    let near = || did_you_mean(&key, known()).and_then(use_of);
    // A misspelt secret is one, however much it is like something else.
    let near_secret = || {
        let secrets = KEYS.iter().filter(|(use_, _)| *use_ == Use::Key);
        let secrets = secrets.flat_map(|(_, keys)| keys.iter().copied());
        did_you_mean(&key, secrets).map(|_| Use::Key)
    };
    use_of(&key).or_else(near_secret).or_else(near).or_else(|| is_secret(&key).then_some(Use::Key))
}

/// Whether a word says that what comes next is a secret, or somebody's prompt.
pub(super) fn is_secret(word: &str) -> bool {
    let word = fullwidth::folded(word).to_lowercase();
    match use_of(&word) {
        Some(use_) => use_ == Use::Key,
        None => {
            SECRET.iter().any(|secret| word.contains(secret))
                || word.split(['_', '-', '.']).any(|part| SECRET_ALONE.contains(&part))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_is_judged_by_what_it_was_meant_to_be() {
        for (key, want) in [
            ("api_key", Some(Use::Key)),
            ("api_keyy", Some(Use::Key)),
            ("apikey", Some(Use::Key)),
            ("api-key", Some(Use::Key)),
            ("kye", Some(Use::Key)),
            ("ap_ky", Some(Use::Key)),
            ("token", Some(Use::Key)),
            ("my_password", Some(Use::Key)),
            ("pass", Some(Use::Key)),
            ("heders", Some(Use::Key)),
            ("systm", Some(Use::Key)),
            ("system_prompt", Some(Use::Key)),
            ("worker_timout_secs", Some(Use::Word)),
            ("header_hold_sec", Some(Use::Word)),
            ("context_token", Some(Use::Word)),
            ("tempature", Some(Use::Word)),
            ("hots", Some(Use::Name)),
            ("rfe", Some(Use::Name)),
            ("api_bse", Some(Use::Address)),
            ("modell", Some(Use::Name)),
            ("colour", None),
            ("温度", None),
        ] {
            assert_eq!(meant(key), want, "{key}");
        }
    }
}
