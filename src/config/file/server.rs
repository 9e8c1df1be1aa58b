//! `[server]`.

use std::num::NonZeroUsize;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Address, wording};

/// An address, or a network with the length of its prefix.
pub(super) const NETWORK: &str =
    r"^\s*([0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*)(/[0-9]{1,3})?\s*$";

/// The listener and what clients see. Every key is optional.
#[derive(Deserialize, JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub(in crate::config) struct Server {
    /// The address to listen on, without port. Beyond this machine a `[[client]]` is needed, or
    /// `allow_unauthenticated`.
    #[schemars(
        regex(pattern = r"^\s*(\[[0-9A-Fa-f:.]+\]|[0-9A-Fa-f]*:[0-9A-Fa-f:.]+|[A-Za-z0-9._-]+)\s*$"),
        extend("default" = "127.0.0.1"),
        example = &"::1"
    )]
    pub host: String,
    /// The port to listen on; 0 takes any free one.
    #[schemars(range(min = 0, max = 65_535), extend("default" = 11435))]
    pub port: u16,
    /// The path of a Unix socket to listen on too. One that nobody answers any more is replaced. Who asks
    /// there counts as this machine, `127.0.0.1`. A change takes a restart.
    #[schemars(regex(pattern = r"\S"), extend("x-shown" = "path"), example = &"/run/chorus/chorus.sock")]
    pub unix_socket: Option<String>,
    /// Who may open that socket, as `chmod` has it; `0660` lets the group in, such as a proxy's.
    #[schemars(regex(pattern = r"^0?[0-7]{3}$"), extend("default" = "0600"), example = &"0660")]
    pub unix_socket_mode: String,
    /// TLS for the address and port; with none, they speak plain HTTP.
    pub tls: Option<Tls>,
    /// Larger requests get 413; images arrive as base64. A size, or a number of bytes; less than
    /// 4 GiB.
    #[schemars(
        with = "String",
        transform = wording::size,
        regex(pattern = r"^\s*0*[1-9][0-9]*\s*([KkMmGg]?[Bb]|[KkMmGg]([Ii][Bb])?)?\s*$"),
        extend("default" = "64MiB"),
        example = &"16MiB",
        example = 1_048_576
    )]
    pub request_body_limit: Size,
    /// Requests at once; more get 503 `overloaded` with `Retry-After`.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = 1024))]
    pub max_in_flight: usize,
    /// Threads that answer requests, each with upstream connections of its own. None: as many as there
    /// are cores. A change takes a restart.
    // A plan's `workers` are names, and where a file cannot be read the key alone decides what is shown.
    #[schemars(range(min = 1, max = 1024), example = 2, extend("x-shown" = "name"))]
    pub workers: Option<NonZeroUsize>,
    /// Seconds that a client may leave unread what is there for it; then its connection ends, and with
    /// it the calls that were made for it.
    #[schemars(range(min = 0.1, max = 86_400), extend("default" = 30))]
    pub write_timeout_secs: f64,
    /// Bytes a second that a request body must come with, once 30 seconds have gone; more slowly than
    /// that it gets 408. 0: any rate. No body may take more than 300 seconds.
    #[schemars(range(min = 0, max = 1_000_000_000), extend("default" = 1024))]
    pub min_body_rate: u64,
    /// Seconds that a shutdown goes on answering as before while `/ready` says 503 already, so that load
    /// balancers look elsewhere first.
    #[schemars(range(min = 0, max = 3600), extend("default" = 0), example = 5)]
    pub shutdown_delay_secs: f64,
    /// Seconds that a shutdown (SIGTERM, Ctrl-C) lets running answers finish.
    #[schemars(range(min = 0, max = 86_400), extend("default" = 30))]
    pub shutdown_grace_secs: f64,
    /// Seconds that a stream's headers wait for the first piece of the answer or the first draft while
    /// nothing happens, so that a failure before it has a real status. Once a stage has ended or a
    /// worker has begun to answer, they wait one more second at most.
    #[schemars(range(min = 0, max = 86_400), extend("default" = 5))]
    pub header_hold_secs: f64,
    /// Seconds between signs of life on a stream that is silent.
    #[schemars(range(min = 0.1, max = 86_400), extend("default" = 10))]
    pub heartbeat_secs: f64,
    /// What a model name means that is no workflow's, no model's and no alias'.
    #[schemars(extend("default" = "reject"))]
    pub unknown_model: UnknownModel,
    /// Framing on `/api/*` for clients that state none.
    #[schemars(extend("default" = "auto"))]
    pub plain_client_format: PlainClientFormat,
    /// What workflow streams tell of their stages, a line each in the reasoning channel.
    #[schemars(extend("default" = "auto"))]
    pub progress: Progress,
    /// Whether `GET /metrics` counts requests and runs.
    #[schemars(extend("default" = true))]
    pub metrics: bool,
    /// Which calls the tokens of an answer are counted over; the sum over all of them is in the
    /// field `chorus` of the answer in either case.
    #[schemars(extend("default" = "answer"))]
    pub usage: UsageScope,
    /// The field of a chat chunk that carries reasoning.
    #[schemars(extend("default" = "reasoning_content"))]
    pub reasoning_field: ReasoningField,
    /// The `[[model]]` that answers clients' background tasks (a chat's title, tags, follow-up
    /// questions, search queries, completions, image prompts, emojis, memory notes), recognised by
    /// their form, instead of a workflow. None: they are questions like any other.
    #[schemars(example = &"a")]
    pub task_model: Option<String>,
    /// What `/api/version` says: two to four numbers, each below 65536; clients want 0.6.4 or more.
    #[schemars(regex(pattern = r"^[0-9]+(\.[0-9]+){1,3}$"), extend("default" = "0.32.7"))]
    pub ollama_version: String,
    /// Further names that the `Host` header may hold, without scheme or port; loopback names and IP
    /// addresses always pass.
    #[schemars(
        inner(regex(pattern = r"^\s*[A-Za-z0-9_-][A-Za-z0-9._-]*\s*$")),
        extend("default" = []),
        example = ["chorus.lan"]
    )]
    pub allowed_hosts: Vec<String>,
    /// Further origins of web pages that may ask and read the answers; localhost always passes.
    #[schemars(
        inner(regex(pattern = r"^\s*[A-Za-z][A-Za-z0-9+.-]*://[^/?#@\s]+/*\s*$")),
        extend("default" = []),
        example = ["https://chat.example"]
    )]
    pub cors_origins: Vec<Address>,
    /// The origins of those pages of this machine (`http://localhost:3000`) that may ask without a key;
    /// other ones then need one. None: every page of this machine may, as with Ollama.
    #[schemars(
        inner(regex(pattern = r"^\s*[A-Za-z][A-Za-z0-9+.-]*://[^/?#@\s]+/*\s*$")),
        example = ["http://localhost:3000"]
    )]
    pub ui_origins: Option<Vec<Address>>,
    /// Addresses and networks of proxies whose `X-Forwarded-For` or `Forwarded` is believed, nearest
    /// first: a request then comes from the last address that one of them names. Of anybody else these
    /// headers mean nothing. A proxy has to add the address that asks it to what is there, or to
    /// replace it.
    #[schemars(
        inner(regex(pattern = NETWORK)),
        extend("default" = []),
        example = ["127.0.0.1", "10.0.0.0/8"]
    )]
    pub trusted_proxies: Vec<String>,
    /// Addresses and networks that requests may come from; others get 403, whatever they ask for. None:
    /// anywhere. This machine is `127.0.0.1` and `::1`.
    #[schemars(
        inner(regex(pattern = NETWORK)),
        extend("default" = []),
        example = ["127.0.0.1", "192.168.0.0/16"]
    )]
    pub allowed_ips: Vec<String>,
    /// The folder in which what clients have used of their budgets, and the versions of the config, are
    /// kept, relative to that of the config. None: `chorus` in the system's folder for such things
    /// (`STATE_DIRECTORY` of systemd, else `XDG_STATE_HOME`, `~/.local/state`,
    /// `~/Library/Application Support` or `%LOCALAPPDATA%`).
    #[schemars(extend("x-shown" = "path"), example = &"/var/lib/chorus")]
    pub data_dir: Option<String>,
    /// `true` serves beyond this machine without any `[[client]]`: anybody who can reach the port
    /// spends your tokens.
    #[schemars(extend("default" = false))]
    pub allow_unauthenticated: bool,
}

/// The certificate that the listener shows; files are PEM, relative to this file, and read again when
/// they change.
#[derive(Deserialize, JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub(in crate::config) struct Tls {
    /// The certificate, and behind it those that lead to its authority.
    #[schemars(
        required,
        regex(pattern = r"\S"),
        extend("x-shown" = "path", "x-missing" = "name the certificate's file"),
        example = &"cert.pem"
    )]
    pub cert: Option<String>,
    /// Its private key.
    #[schemars(
        required,
        regex(pattern = r"\S"),
        extend("x-shown" = "path", "x-missing" = "name the private key's file"),
        example = &"key.pem"
    )]
    pub key: Option<String>,
    /// Authorities of client certificates: with it, only those come in who show a certificate that one of
    /// them signed.
    #[schemars(regex(pattern = r"\S"), extend("x-shown" = "path"), example = &"clients.pem")]
    pub client_ca: Option<String>,
}

/// `"64MiB"`, or a number of bytes.
#[derive(Clone, Deserialize, Serialize)]
#[serde(untagged)]
pub(in crate::config) enum Size {
    /// A number of bytes.
    Bytes(usize),
    /// A number with a unit.
    Text(String),
}

/// `unknown_model`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum UnknownModel {
    /// the default workflow answers, and says what was asked for in `warnings`
    Workflow,
    /// 404 `model_not_found`, with the names there are
    Reject,
}

/// `plain_client_format`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum PlainClientFormat {
    /// by path and User-Agent: curl gets SSE, everybody else NDJSON
    Auto,
    /// always SSE
    Sse,
    /// always NDJSON
    Ndjson,
}

/// `progress`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Progress {
    /// what begins, ends and fails, unless the request says otherwise
    #[serde(rename = "auto")]
    Stages,
    /// nothing
    Off,
    /// the same as `auto`, and every draft once it is finished
    Drafts,
}

/// `usage`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum UsageScope {
    /// all calls of the run
    Total,
    /// the call alone that wrote the answer, so that prompt tokens are the length of the conversation
    Answer,
}

/// `reasoning_field`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum ReasoningField {
    /// as DeepSeek, Open WebUI and the AI SDK have it
    ReasoningContent,
    /// as Ollama's `/v1` and OpenRouter have it
    Reasoning,
    /// both fields, with the same text
    Both,
}
