//! The file as it is written: one field for each key, whose comment, bounds, default and example are
//! all that is said of it anywhere. From here come the schema of editors, the reader's checks of keys,
//! kinds, words and bounds (`grammar.rs`), the tables of the manual, what may be shown, and what
//! `/chorus/config` answers.
//!
//! A key with a `default` is filled in before the structs are read; of any other an absent or wrong
//! one is `None`. What the words beginning with `x-` say is for Chorus alone, see `schema.rs`.

pub(super) mod audit;
pub(super) mod client;
mod limits;
pub(super) mod model;
pub(super) mod plan;
pub(super) mod runs;
pub(super) mod server;
mod value;
pub(super) mod wording;
pub(super) mod workflow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use audit::Audit;
use client::Client;
pub(super) use limits::Limits;
use model::Model;
use runs::Runs;
use server::Server;
pub(super) use value::{Address, Instruction, Secret};
use workflow::{Integration, Profile, Workflow};

/// The config of Chorus: one prompt, many language models, one streamed answer.
///
/// `chorus check` says more than an editor can: names that are taken, keys that are not set, plans
/// that name no model.
#[derive(Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
#[schemars(title = "Chorus config", deny_unknown_fields)]
pub(super) struct File {
    /// The listener and what clients see.
    #[schemars(extend("default" = {}))]
    pub server: Server,
    /// The clients that may call; with none, everybody who can reach the port (beyond this machine
    /// only with `allow_unauthenticated`).
    #[schemars(extend("default" = []))]
    pub client: Vec<Client>,
    /// The models that workflows and clients can name; at least one. Written as `[[model]]`: a
    /// single table `[model]` is an old form, which loads and which `chorus migrate` rewrites.
    #[schemars(
        required,
        length(min = 1),
        extend("x-missing" = "add a [[model]] with `name` and `api_base`, or try `chorus demo`")
    )]
    pub model: Option<Vec<Model>>,
    /// The default workflow: what the model name `chorus` means.
    #[schemars(with = "Integration", extend("x-missing" = workflow::EXAMPLE))]
    pub workflow_integration: Option<Integration>,
    /// Further workflows, which clients choose by name.
    #[schemars(extend("default" = []))]
    pub workflow_profile: Vec<Profile>,
    /// Further names for workflows and models. A name is looked for among these last, from the first
    /// on.
    #[schemars(extend("default" = []))]
    pub alias: Vec<Alias>,
    /// Time limits, retries, health of endpoints, connections.
    #[schemars(extend("default" = {}))]
    pub workflow: Workflow,
    /// What all requests together may take of the machine.
    #[schemars(extend("default" = {}))]
    pub limits: Limits,
    /// How the log looks.
    #[schemars(extend("default" = {}))]
    pub log: Log,
    /// Who asked for what, whether it was let in, and what it took. Left out: nobody writes it down.
    pub audit: Option<Audit>,
    /// What is kept of the runs that are over.
    #[schemars(extend("default" = {}))]
    pub runs: Runs,
}

/// A further name, or many.
#[derive(Deserialize, JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub(super) struct Alias {
    /// A name, or a pattern: `*` stands for any characters, `/` and `:` included, `?` for one.
    #[schemars(
        required,
        regex(pattern = model::NAME),
        extend("not" = { "enum": ["chorus", "chorus:latest"] }),
        example = &"gpt-*"
    )]
    pub name: Option<String>,
    /// The workflow, profile or model it means.
    #[schemars(required, regex(pattern = r"\S"), example = &"chorus")]
    pub model: Option<String>,
    /// A note for you; Chorus does not use it.
    #[schemars(example = &"what the editor asks for")]
    pub note: Option<String>,
}

/// The log.
#[derive(Deserialize, JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub(super) struct Log {
    /// What a line looks like; `--log-format` wins.
    #[schemars(extend("default" = "pretty"))]
    pub format: LogFormat,
}

/// `[log] format`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum LogFormat {
    /// for people
    Pretty,
    /// one JSON object a line
    Json,
}
