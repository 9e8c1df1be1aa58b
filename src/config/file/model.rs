//! `[[model]]` and `[[model.endpoint]]`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Address, Secret, wording};
use crate::types::Protocol;

/// What an upstream's base URL looks like.
const BASE: &str = r"^\s*https?://[^/?#@\s]+(/[^?#]*)?$";
/// A name without blanks around it.
pub(in crate::config) const NAME: &str = r"^\S(.*\S)?$";

/// A model that workflows and clients can name: a protocol and one or more endpoints.
#[derive(Deserialize, JsonSchema, Serialize)]
#[schemars(
    deny_unknown_fields,
    extend("anyOf" = [{ "required": ["api_base"] }, { "required": ["endpoint"] }]),
    extend("dependentRequired" = { "api_key": ["api_base"] })
)]
pub(in crate::config) struct Model {
    /// What workflows and clients call it; `chorus` is reserved.
    #[schemars(
        required,
        regex(pattern = NAME),
        extend("not" = { "enum": ["chorus", "chorus:latest"] }),
        example = &"qwen3:8b"
    )]
    pub name: Option<String>,
    /// The base URL, without `/chat/completions`, `/api/chat`, `/messages` and the like. Required
    /// unless there are endpoints.
    #[schemars(
        regex(pattern = BASE),
        transform = wording::base_url,
        example = &"https://api.deepseek.com/v1",
        example = &"http://127.0.0.1:11434"
    )]
    pub api_base: Option<Address>,
    /// The key itself, or where it is: `env:NAME`, `file:PATH` (relative to this file), `cred:NAME`,
    /// `cmd:PROGRAM ARGUMENTS` or `vault:PATH#FIELD`. Sent as `Authorization: Bearer`; by `anthropic`
    /// as `x-api-key`, by `gemini` as `x-goog-api-key`. Empty: no header.
    #[schemars(extend("default" = ""), example = &"env:DEEPSEEK_API_KEY")]
    pub api_key: Secret,
    /// What the upstream speaks. Left out, the address tells: a base without a path on port 11434 or
    /// on a host named `ollama` is ollama, `api.anthropic.com` anthropic,
    /// `generativelanguage.googleapis.com` gemini (unless its path ends in `/openai`), all else
    /// openai.
    pub protocol: Option<Protocol>,
    /// With `anthropic` the header `anthropic-version` (default `2023-06-01`), with `gemini` the
    /// version in its paths (default `v1beta`); the others have none.
    #[schemars(
        regex(pattern = r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$"),
        length(min = 1, max = 64),
        example = &"2023-06-01"
    )]
    pub api_version: Option<String>,
    /// Which of the upstream's ways is taken.
    #[schemars(extend("default" = "chat"))]
    pub mode: Mode,
    /// What the upstream calls it; default: its `name`.
    #[schemars(example = &"deepseek-chat")]
    pub upstream_model: Option<String>,
    /// Its temperature where plan and request name none; not set by default. `TEMPERATURE_CONFIG.md`
    /// has the whole rule.
    #[schemars(range(min = 0, max = 2), example = 0.7)]
    pub temperature: Option<f64>,
    /// Whether the analyzer chooses its temperature; not set by default, so that the plan decides.
    #[schemars(example = true)]
    pub auto_temperature: Option<bool>,
    /// Larger temperatures are cut to it. Default: 2, and less for `anthropic` and some hosts
    /// (`TEMPERATURE_CONFIG.md` lists them).
    #[schemars(range(min = 0, max = 2), example = 1.0)]
    pub max_temperature: Option<f64>,
    /// `false` for models that refuse the field.
    #[schemars(extend("default" = true))]
    pub send_temperature: bool,
    /// The strictest form that JSON is asked for in; stepped down when it is refused.
    #[schemars(extend("default" = "schema"))]
    pub structured_output: StructuredOutput,
    /// Whether it takes images. Left out: tried, and a refusal is remembered.
    #[schemars(example = false)]
    pub vision: Option<bool>,
    /// Whether it takes tools. Left out: tried, and a refusal is remembered.
    #[schemars(example = false)]
    pub tools: Option<bool>,
    /// Its context in tokens; default 32768, and 8192 with `ollama`, where it is sent as `num_ctx`.
    #[schemars(range(min = 256, max = 4_294_967_295_u32), example = 65_536)]
    pub context_tokens: Option<u32>,
    /// Calls in flight over all requests; 0 is no limit.
    #[schemars(range(min = 0, max = 1_000_000), extend("default" = 0))]
    pub max_concurrency: usize,
    /// What it costs, for the cost in answers, traces and `chorus check`. Left out, a model at a
    /// loopback or private address, and any of Ollama's, costs nothing.
    pub price: Option<Price>,
    /// Extra headers by name; a value may be written as `api_key` may, and is treated as secret.
    #[schemars(
        transform = wording::header_names,
        extend("default" = {}),
        example = serde_json::json!({ "X-Org": "research" })
    )]
    pub headers: BTreeMap<String, Secret>,
    /// A PEM file with a further certificate authority, relative to this file.
    #[schemars(extend("x-shown" = "path"), example = &"ca.pem")]
    pub ca_cert: Option<String>,
    /// Milliseconds of silence after which a stage that waits for it asks a second time, elsewhere;
    /// whoever speaks first is taken. Costs a second prompt; 0 is never.
    #[schemars(range(min = 0, max = 86_400_000), extend("default" = 0), example = 1500)]
    pub hedge_after_ms: u64,
    /// Keeps connections open from the start; an Ollama model is loaded too and stays in memory.
    #[schemars(extend("default" = false))]
    pub warm_up: bool,
    /// `false` leaves it out of the lists that clients see; it can be called all the same.
    #[schemars(extend("default" = true))]
    pub listed: bool,
    /// `true` where its chat template opens the thought in the prompt, so that answers begin inside one
    /// and only the closing tag comes: then streamed answers are split there too.
    #[schemars(extend("default" = false))]
    pub thinking_forced_open: bool,
    /// Which of several endpoints gets a call.
    #[schemars(extend("default" = "weighted"))]
    pub balance: Balance,
    /// Whether a session (where the client names one) or a conversation stays with one endpoint while
    /// that is in service, so that prompt caches stay warm.
    #[schemars(extend("default" = false))]
    pub sticky: bool,
    /// What is between Chorus and the model, where a gateway's answers do not say it themselves.
    /// With `litellm` its retries are switched off and it is told the time limit; what a `retrying`
    /// one has tried is not tried again.
    #[schemars(example = &"litellm")]
    pub gateway: Option<Gateway>,
    /// Further places that serve it, instead of or beside its `api_base`, which has weight 1 and
    /// priority 1.
    #[schemars(extend("default" = []))]
    pub endpoint: Vec<Endpoint>,
}

/// A further place that serves the model.
#[derive(Deserialize, JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub(in crate::config) struct Endpoint {
    /// As of the model.
    #[schemars(
        required,
        regex(pattern = BASE),
        transform = wording::base_url,
        example = &"https://eu.example.com/v1"
    )]
    pub api_base: Option<Address>,
    /// As of the model; each endpoint has its own.
    #[schemars(extend("default" = ""), example = &"env:EU_KEY")]
    pub api_key: Secret,
    /// Its share of the calls among the endpoints of its priority.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = 1))]
    pub weight: u32,
    /// A higher number is used only when all endpoints of the lower are out of service.
    #[schemars(range(min = 0, max = 1_000_000), extend("default" = 1))]
    pub priority: u32,
}

/// Prices in dollars; both are needed.
#[derive(Deserialize, JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub(in crate::config) struct Price {
    /// Dollars for a million tokens of prompts.
    #[schemars(
        required,
        range(min = 0, max = 1_000_000),
        extend("x-missing" = "write both prices, in dollars a million"),
        example = 0.27
    )]
    pub input_per_mtok: Option<f64>,
    /// Dollars for a million tokens of answers.
    #[schemars(
        required,
        range(min = 0, max = 1_000_000),
        extend("x-missing" = "write both prices, in dollars a million"),
        example = 1.1
    )]
    pub output_per_mtok: Option<f64>,
}

/// `mode`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Mode {
    /// the upstream's chat
    Chat,
    /// its plain `/completions` or `/api/generate`; anthropic and gemini have none
    Completion,
}

/// `structured_output`, strictest last.
#[derive(
    Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, PartialOrd, Ord, Serialize,
)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum StructuredOutput {
    /// in words only
    None,
    /// any JSON
    Json,
    /// by JSON Schema
    Schema,
}

/// `gateway`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Gateway {
    /// LiteLLM's proxy
    LiteLlm,
    /// another one that tries again by itself
    Retrying,
}

/// `balance`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum Balance {
    /// by weight
    Weighted,
    /// fewest calls in flight per weight
    LeastBusy,
    /// shortest time to the first token
    Fastest,
}
