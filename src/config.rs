//! The configuration the rest of the program trusts: resolved, checked, without an `Option` that
//! means "default". The file as TOML sees it is private to this module's folder.

mod audit;
mod check;
mod client;
mod compare;
mod diagnostic;
mod error;
mod file;
mod foreign;
mod fullwidth;
mod grammar;
mod legacy;
mod limits;
mod locate;
mod mask;
mod model;
mod names;
pub mod plan;
mod read;
mod report;
mod runs;
pub mod schema;
mod secret;
mod section;
mod server;
mod shown;
mod stored;
mod syntax;
#[cfg(test)]
pub(crate) mod tests;
mod tls;
mod transport;
mod tree;
mod versions;

use std::{path::PathBuf, sync::Arc, time::Duration};

use indexmap::IndexMap;

pub use audit::Audit;
pub use client::{Budget, Client, ClientLimits, Period};
pub use diagnostic::{Diagnostic, Severity, SourceLine, Spot};
pub use error::ConfigError;
pub use file::{
    LogFormat,
    audit::Rotate,
    model::{Balance, Gateway, Mode, StructuredOutput},
    server::{PlainClientFormat, Progress, ReasoningField, UnknownModel, UsageScope},
};
pub(crate) use legacy::{MILLISECONDS_FROM, STAGE_KEYS, stage_plan};
pub use limits::{LimitKind, TimeLimits, Timeouts};
pub use locate::{Location, existing, locate, place};
pub(crate) use mask::shown_whole;
pub use model::{CaCert, Endpoint, Model, Price};
pub use names::{AGENTS_NAME, Alias, Named};
pub use plan::{
    Leaf, Member, Plan, Policy, Quorum, Reranker, Schedule, Sizes, Spending, Stage, ToolTurns,
    WorkerTools,
};
pub use runs::{Runs, RunsFile};
pub use secret::SecretStores;
pub use server::Server;
pub(crate) use stored::{with_keys_of, without_keys_of};
pub use tls::Tls;
pub use transport::{Proxies, Proxy, Transport};
pub use versions::{Version, Versions};

/// Everything the file said, checked and complete.
#[derive(Debug)]
pub struct Config {
    /// The listener and what clients see.
    pub server: Server,
    /// The clients that may call; empty = open (loopback only, unless `allow_unauthenticated`).
    pub clients: Vec<Client>,
    /// Every `[[model]]` by name, in the order of the file.
    pub models: IndexMap<String, Arc<Model>>,
    /// `[workflow-integration]`, the default workflow; its name is [`DEFAULT_WORKFLOW`].
    pub workflow: Workflow,
    /// Every `[[workflow-profile]]` by name, in the order of the file.
    pub profiles: IndexMap<String, Workflow>,
    /// Every `[[alias]]`, in the order of the file.
    pub aliases: Vec<Alias>,
    /// Time limits of the stages, with overrides by host.
    pub timeouts: TimeLimits,
    /// Retries of one model's call.
    pub retry: Retry,
    /// When an endpoint is left alone, and how it comes back.
    pub health: Health,
    /// How upstreams are reached.
    pub transport: Transport,
    /// Bytes that requests and whole answers in flight may take; `None`: half of what there is.
    pub memory_limit: Option<usize>,
    /// How logs look.
    pub log_format: LogFormat,
    /// The audit log, where there is one.
    pub audit: Option<Audit>,
    /// What is kept of runs that are over.
    pub runs: Runs,
    /// The programs that were run for keys and the Vault that was read, as a person may see them.
    pub asked: Vec<String>,
    /// The config in use under the names of the file, defaults included and without its secrets.
    pub shown: serde_json::Value,
    /// The text of its file without the keys that are written out in it; `None`: it has no file.
    pub stored: Option<Box<str>>,
    /// The versions of its file; `None`: there is no place to keep them.
    pub versions: Option<Versions>,
    /// The file it was read from; `None` for a built-in config.
    pub path: Option<PathBuf>,
    /// The further files it was made of: plans, keys, certificates.
    pub files: Vec<PathBuf>,
    /// Migrations made in memory, each naming `chorus migrate`, in the order of the file.
    pub notices: Vec<Diagnostic>,
    /// Things that work but are probably not meant, in the order of the file.
    pub warnings: Vec<Diagnostic>,
}

/// The name that always means the default workflow.
pub const DEFAULT_WORKFLOW: &str = "chorus";

/// A workflow that clients can name: its plan, and what bounds one request to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Workflow {
    /// Expanded and checked; its name is the workflow's.
    pub plan: Arc<Plan>,
    /// Worker calls in flight per request; `None` = no limit.
    pub max_concurrency: Option<usize>,
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

impl Retry {
    /// How many attempts may follow the first one of a call of a model with so many endpoints: each
    /// of the others may be asked once even where there are fewer retries.
    #[must_use]
    pub fn further_attempts(&self, endpoints: usize) -> usize {
        self.max_retries.max(endpoints.saturating_sub(1))
    }
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

/// `[workflow.health]`: the circuit breaker of each endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Health {
    /// Consecutive failures that open the circuit; default 5.
    pub failure_threshold: u32,
    /// Share of failures among the latest calls that opens it too; default 0.5.
    pub failure_ratio: f64,
    /// How long it stays open before one call may try; default 30 s.
    pub open: Duration,
    /// How often an open endpoint is asked for its model list; `None`: only traffic probes. Default
    /// 15 s.
    pub probe_interval: Option<Duration>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            failure_threshold: 5,
            failure_ratio: 0.5,
            open: Duration::from_secs(30),
            probe_interval: Some(Duration::from_secs(15)),
        }
    }
}

/// Looks up an environment variable; a test passes its own.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What the command line says instead of the file; applied before anything is checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--host`.
    pub host: Option<String>,
    /// `--port`.
    pub port: Option<u16>,
    /// `--log-format`.
    pub log_format: Option<LogFormat>,
}

impl Config {
    /// Every workflow, the default one first, then the profiles in the order of the file.
    pub fn workflows(&self) -> impl Iterator<Item = &Workflow> {
        std::iter::once(&self.workflow).chain(self.profiles.values())
    }

    /// Whether anything is bounded that has to outlive the process.
    #[must_use]
    pub fn has_budgets(&self) -> bool {
        self.clients.iter().any(|client| !client.limits.budgets.is_empty())
    }

    /// The workflow of exactly that name.
    #[must_use]
    pub fn workflow_named(&self, name: &str) -> Option<&Workflow> {
        if name == DEFAULT_WORKFLOW {
            return Some(&self.workflow);
        }
        self.profiles.get(name)
    }

    /// The first model that is at the listener's own address.
    #[must_use]
    pub fn asks_itself(&self) -> Option<&str> {
        let own = |model: &&Arc<Model>| {
            model.endpoints.iter().any(|endpoint| self.server.is_own(&endpoint.api_base))
        };
        self.models.values().find(own).map(|model| model.name.as_str())
    }
}
