//! The configuration the rest of the program trusts: resolved, checked, without an `Option` that
//! means "default". The file as serde sees it is private to this module's folder.

mod limits;
pub mod plan;

use std::{path::PathBuf, sync::Arc, time::Duration};

use indexmap::IndexMap;
use reqwest::header::HeaderMap;
use url::Url;

pub use limits::{Domain, LimitKind, TimeLimits, Timeouts};
pub use plan::{Leaf, Member, Plan, Policy, Schedule, Stage};

use crate::types::{ApiKey, Protocol};

/// Everything the file said, checked and complete.
#[derive(Debug)]
pub struct Config {
    /// The listener and what clients see.
    pub server: Server,
    /// Who may call; empty = open (loopback only, unless `allow_unauthenticated`).
    pub clients: Vec<Client>,
    /// Every `[[model]]` by name, in the order of the file.
    pub models: IndexMap<String, Arc<Model>>,
    /// The default workflow, expanded and checked; its name is `chorus`.
    pub workflow: Arc<Plan>,
    /// Worker calls in flight per request; `None` = no limit.
    pub max_worker_concurrency: Option<usize>,
    /// Time limits of the stages, with overrides by host.
    pub timeouts: TimeLimits,
    /// Retries of one model's call.
    pub retry: Retry,
    /// How logs look.
    pub log_format: LogFormat,
    /// Where it was read from; `None` for a built-in config.
    pub path: Option<PathBuf>,
    /// Migrations made in memory, one line each, each naming `chorus migrate`.
    pub notices: Vec<String>,
    /// Things that work but are probably not meant.
    pub warnings: Vec<String>,
}

/// `[server]`.
#[derive(Clone, Debug)]
pub struct Server {
    /// Address to listen on; default `127.0.0.1`.
    pub host: String,
    /// Port to listen on; default 11435, 0 = any free one.
    pub port: u16,
    /// Largest request body in bytes; default 64 MiB.
    pub request_body_limit: usize,
    /// Requests in flight; more get 503 `overloaded`. Default 1024.
    pub max_in_flight: usize,
    /// How long a shutdown waits for streams; default 30 s.
    pub shutdown_grace: Duration,
    /// How long a stream's headers wait for the first answer delta; default 5 s.
    pub header_hold: Duration,
    /// Pause between heartbeats of a silent stream; default 10 s.
    pub heartbeat: Duration,
    /// What an unknown model name means.
    pub unknown_model: UnknownModel,
    /// Framing for clients of `/api/*` that state no preference.
    pub plain_client_format: PlainClientFormat,
    /// Whether streams carry stage progress in the reasoning channel.
    pub progress: bool,
    /// Which calls the reported usage sums.
    pub usage: UsageScope,
    /// The chat chunk's field(s) for reasoning.
    pub reasoning_field: ReasoningField,
    /// What `/api/version` says; digits and dots.
    pub ollama_version: String,
    /// Extra `Host` names.
    pub allowed_hosts: Vec<String>,
    /// Extra origins.
    pub cors_origins: Vec<String>,
    /// May listen beyond loopback without clients.
    pub allow_unauthenticated: bool,
}

/// `unknown_model`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownModel {
    /// The default workflow answers.
    Workflow,
    /// 404 `model_not_found`.
    Reject,
}

/// `plain_client_format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainClientFormat {
    /// By User-Agent, as `wire-contracts` 0.1 says.
    Auto,
    /// Always SSE.
    Sse,
    /// Always NDJSON.
    Ndjson,
}

/// `usage`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageScope {
    /// All calls of the run.
    Total,
    /// The answering stage's call.
    Answer,
}

/// `reasoning_field`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReasoningField {
    /// `reasoning_content` (DeepSeek, Open WebUI, AI SDK).
    ReasoningContent,
    /// `reasoning` (Ollama's `/v1`, OpenRouter).
    Reasoning,
    /// Both.
    Both,
}

/// `[log] format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// `[[client]]`: somebody who may call.
#[derive(Clone, Debug)]
pub struct Client {
    /// For logs.
    pub name: String,
    /// SHA-256 of the key, so that comparing is constant in time whatever was sent.
    pub key_sha256: [u8; 32],
}

/// `[[model]]`: a name, an upstream and its defaults.
#[derive(Debug)]
pub struct Model {
    /// The name workflows and clients use.
    pub name: String,
    /// Where it is.
    pub endpoint: Endpoint,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// Chat or plain completion.
    pub mode: Mode,
    /// The name the upstream knows it by.
    pub upstream_model: String,
    /// Whether the analyzer's temperature is wanted; `None` leaves it to the plan's analyzer node.
    pub auto_temperature: Option<bool>,
    /// Its own default temperature.
    pub temperature: Option<f32>,
    /// Larger values are clamped to this.
    pub max_temperature: f32,
    /// Whether the field is sent at all.
    pub send_temperature: bool,
    /// The strictest structured output it understands.
    pub structured_output: StructuredOutput,
    /// Whether it takes images; `None`: try, and remember a refusal.
    pub vision: Option<bool>,
    /// Whether it takes tools; `None`: try, and remember a refusal.
    pub tools: Option<bool>,
    /// Its context window (8192 for Ollama, sent as `num_ctx`; else 32768).
    pub context_tokens: u32,
    /// Calls in flight over all requests; `None` = no limit.
    pub max_concurrency: Option<usize>,
    /// For the cost in traces.
    pub price: Option<Price>,
    /// Extra headers, already marked sensitive.
    pub headers: HeaderMap,
    /// Extra trust for this model: the PEM file's path and content.
    pub ca_cert: Option<CaCert>,
}

/// One base URL and its key.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// As given; a trailing slash is taken off.
    pub api_base: Url,
    /// May be empty.
    pub api_key: ApiKey,
}

impl Endpoint {
    /// `host` or `host:port` as the trace shows it (no port when it is the scheme's own).
    #[must_use]
    pub fn authority(&self) -> String {
        let host = self.api_base.host_str().unwrap_or_default();
        match self.api_base.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }
}

/// `mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `/chat/completions`, `/api/chat`.
    Chat,
    /// `/completions`, `/api/generate`.
    Completion,
}

/// `structured_output`, strictest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StructuredOutput {
    /// Only asked for in the prompt.
    None,
    /// JSON mode.
    Json,
    /// JSON Schema.
    Schema,
}

/// `price`, US dollars per million tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Price {
    /// For prompt tokens.
    pub input_per_mtok: f64,
    /// For completion tokens.
    pub output_per_mtok: f64,
}

/// A certificate authority of a model's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CaCert {
    /// Where it was read from, for messages.
    pub path: PathBuf,
    /// PEM, checked to hold at least one certificate.
    pub pem: Arc<[u8]>,
}

/// `[workflow.retry]`, per model and inside its time limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Further attempts after the first; default 2.
    pub max_retries: usize,
    /// Upper bound of the first delay, doubled each time; default 200 ms. Full jitter.
    pub base_delay: Duration,
    /// Cap of the delay; default 5 s.
    pub max_delay: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_retries: 2,
            base_delay: Duration::from_millis(200),
            max_delay: Duration::from_secs(5),
        }
    }
}

/// Looks up an environment variable; a test passes its own.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Every problem of a config, reported at once. `Display` shows one a line: where, what, remedy.
#[derive(Debug, thiserror::Error)]
#[error("bad config")]
pub struct ConfigError {}

impl Config {
    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    /// Everything wrong with it, at once.
    pub fn load(_path: &std::path::Path, _env: Env<'_>) -> Result<Self, ConfigError> {
        Err(ConfigError {})
    }

    /// Checks a config's text; `path` is for messages and relative files.
    ///
    /// # Errors
    /// Everything wrong with it, at once.
    pub fn parse(
        _text: &str,
        _path: Option<&std::path::Path>,
        _env: Env<'_>,
    ) -> Result<Self, ConfigError> {
        Err(ConfigError {})
    }
}
