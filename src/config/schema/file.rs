//! The file as a whole, `[[client]]` and `[log]`.

use schemars::JsonSchema;

use super::{
    model::Model,
    server::Server,
    workflow::{Integration, Profile, Workflow},
};

/// The config of Chorus: one prompt, many language models, one streamed answer.
///
/// `chorus check` says more than an editor can: names that are taken, keys that are not set, plans
/// that name no model.
#[derive(JsonSchema)]
#[schemars(title = "Chorus config", deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct File {
    /// The listener and what clients see.
    server: Option<Server>,
    /// Who may call; with none, everybody who can reach the port (beyond this machine only with
    /// `allow_unauthenticated`).
    client: Option<Vec<Client>>,
    /// The models that workflows and clients can name; at least one. Written as `[[model]]`: a
    /// single table `[model]` is an old form, which loads and which `chorus migrate` rewrites.
    #[schemars(length(min = 1))]
    model: Vec<Model>,
    /// The default workflow: what the model name `chorus` means.
    workflow_integration: Integration,
    /// Further workflows, which clients choose by name.
    workflow_profile: Option<Vec<Profile>>,
    /// Further names for workflows and models. A name is looked for among these last, from the first
    /// on.
    alias: Option<Vec<Alias>>,
    /// Time limits, retries, health of endpoints, connections.
    workflow: Option<Workflow>,
    /// How the log looks.
    log: Option<Log>,
}

/// Somebody who may call.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Client {
    /// Who it is, for you.
    #[schemars(regex(pattern = r"\S"), example = &"laptop")]
    name: String,
    /// The key it sends: the key itself, `env:NAME`, `file:PATH` or `sha256:HEX` (64 digits, made
    /// with `printf %s "$KEY" | sha256sum`).
    #[schemars(
        regex(pattern = r"\S"),
        transform = super::wording::digest,
        example = &"env:CHORUS_LAPTOP_KEY"
    )]
    key: String,
}

/// A further name, or many.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Alias {
    /// A name, or a pattern: `*` stands for any characters, `/` and `:` included, `?` for one.
    #[schemars(
        regex(pattern = super::model::NAME),
        extend("not" = { "enum": ["chorus", "chorus:latest"] }),
        example = &"gpt-*"
    )]
    name: String,
    /// The workflow, profile or model it means.
    #[schemars(regex(pattern = r"\S"), example = &"chorus")]
    model: String,
    /// For you.
    #[schemars(example = &"what the editor asks for")]
    note: Option<String>,
}

/// The log.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Log {
    /// What a line looks like.
    #[schemars(extend("default" = "pretty"))]
    format: Option<LogFormat>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase", inline)]
enum LogFormat {
    /// for people
    Pretty,
    /// one JSON object a line
    Json,
}
