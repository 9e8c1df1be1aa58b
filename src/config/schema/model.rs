//! `[[model]]` and `[[model.endpoint]]`.

use std::collections::BTreeMap;

use schemars::JsonSchema;

/// What an upstream's base URL looks like.
const BASE: &str = r"^\s*https?://[^/?#@\s]+(/[^?#]*)?$";
/// A name without blanks around it.
pub(super) const NAME: &str = r"^\S(.*\S)?$";

/// A model that workflows and clients can name: a protocol and one or more endpoints.
#[derive(JsonSchema)]
#[schemars(
    deny_unknown_fields,
    extend("anyOf" = [{ "required": ["api_base"] }, { "required": ["endpoint"] }]),
    extend("dependentRequired" = { "api_key": ["api_base"] })
)]
pub(super) struct Model {
    /// What workflows and clients call it; `chorus` is reserved.
    #[schemars(
        regex(pattern = NAME),
        extend("not" = { "enum": ["chorus", "chorus:latest"] }),
        example = &"qwen3:8b"
    )]
    name: String,
    /// The base URL, without `/chat/completions`, `/api/chat`, `/messages` and the like. Required
    /// unless there are endpoints.
    #[schemars(
        regex(pattern = BASE),
        transform = super::wording::base_url,
        example = &"https://api.deepseek.com/v1",
        example = &"http://127.0.0.1:11434"
    )]
    api_base: Option<String>,
    /// The key itself, `env:NAME` or `file:PATH` (relative to this file). Sent as `Authorization:
    /// Bearer`; by `anthropic` as `x-api-key`, by `gemini` as `x-goog-api-key`. Empty: no header.
    #[schemars(extend("default" = ""), example = &"env:DEEPSEEK_API_KEY")]
    api_key: Option<String>,
    /// What the upstream speaks. Left out, the address tells: a base without a path on port 11434 or
    /// on a host named `ollama` is ollama, `api.anthropic.com` anthropic,
    /// `generativelanguage.googleapis.com` gemini (unless its path ends in `/openai`), all else
    /// openai.
    protocol: Option<Protocol>,
    /// With `anthropic` the header `anthropic-version` (default `2023-06-01`), with `gemini` the
    /// version in its paths (default `v1beta`); the others have none.
    #[schemars(
        regex(pattern = r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$"),
        length(min = 1, max = 64),
        example = &"2023-06-01"
    )]
    api_version: Option<String>,
    /// Which of the upstream's ways is taken.
    #[schemars(extend("default" = "chat"))]
    mode: Option<Mode>,
    /// What the upstream calls it; default: its `name`.
    #[schemars(example = &"deepseek-chat")]
    upstream_model: Option<String>,
    /// Its temperature where plan and request name none; not set by default. `TEMPERATURE_CONFIG.md`
    /// has the whole rule.
    #[schemars(range(min = 0, max = 2), example = 0.7)]
    temperature: Option<f64>,
    /// Whether the analyzer chooses its temperature; not set by default, so that the plan decides.
    #[schemars(example = true)]
    auto_temperature: Option<bool>,
    /// Larger temperatures are cut to it. Default: 2, and less for `anthropic` and some hosts
    /// (`TEMPERATURE_CONFIG.md` lists them).
    #[schemars(range(min = 0, max = 2), example = 1.0)]
    max_temperature: Option<f64>,
    /// `false` for models that refuse the field.
    #[schemars(extend("default" = true))]
    send_temperature: Option<bool>,
    /// The strictest form that JSON is asked for in; stepped down when it is refused.
    #[schemars(extend("default" = "schema"))]
    structured_output: Option<StructuredOutput>,
    /// Whether it takes images. Left out: tried, and a refusal is remembered.
    #[schemars(example = false)]
    vision: Option<bool>,
    /// Whether it takes tools. Left out: tried, and a refusal is remembered.
    #[schemars(example = false)]
    tools: Option<bool>,
    /// Its context in tokens; default 32768, and 8192 with `ollama`, where it is sent as `num_ctx`.
    #[schemars(range(min = 256, max = 4_294_967_295_u32), example = 65_536)]
    context_tokens: Option<u32>,
    /// Calls in flight over all requests; 0 is no limit.
    #[schemars(range(min = 0, max = 1_000_000), extend("default" = 0))]
    max_concurrency: Option<u32>,
    /// What it costs, for the cost in answers, traces and `chorus check`. Left out, a model at a
    /// loopback or private address, and any of Ollama's, costs nothing.
    price: Option<Price>,
    /// Extra headers by name; a value may be `env:NAME` or `file:PATH`, and is treated as secret.
    #[schemars(
        transform = super::wording::header_names,
        extend("default" = {}),
        example = serde_json::json!({ "X-Org": "research" })
    )]
    headers: Option<BTreeMap<String, String>>,
    /// A PEM file with a further certificate authority, relative to this file.
    #[schemars(example = &"ca.pem")]
    ca_cert: Option<String>,
    /// Milliseconds of silence after which a stage that waits for it asks a second time, elsewhere;
    /// whoever speaks first is taken. Costs a second prompt; 0 is never.
    #[schemars(range(min = 0, max = 86_400_000), extend("default" = 0), example = 1500)]
    hedge_after_ms: Option<u32>,
    /// Keeps connections open from the start; an Ollama model is loaded too and stays in memory.
    #[schemars(extend("default" = false))]
    warm_up: Option<bool>,
    /// `false` leaves it out of the lists that clients see; it can be called all the same.
    #[schemars(extend("default" = true))]
    listed: Option<bool>,
    /// `true` where its chat template opens the thought in the prompt, so that answers begin inside one
    /// and only the closing tag comes: then streamed answers are split there too.
    #[schemars(extend("default" = false))]
    thinking_forced_open: Option<bool>,
    /// Which of several endpoints gets a call.
    #[schemars(extend("default" = "weighted"))]
    balance: Option<Balance>,
    /// Whether a conversation stays with one endpoint while that is in service, so that prompt
    /// caches stay warm.
    #[schemars(extend("default" = false))]
    sticky: Option<bool>,
    /// What is between Chorus and the model, where a gateway's answers do not say it themselves.
    /// With `litellm` its retries are switched off and it is told the time limit; what a `retrying`
    /// one has tried is not tried again.
    #[schemars(example = &"litellm")]
    gateway: Option<Gateway>,
    /// Further places that serve it, instead of or beside its `api_base`, which has weight 1 and
    /// priority 1.
    endpoint: Option<Vec<Endpoint>>,
}

/// A further place that serves the model.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Endpoint {
    /// As of the model.
    #[schemars(
        regex(pattern = BASE),
        transform = super::wording::base_url,
        example = &"https://eu.example.com/v1"
    )]
    api_base: String,
    /// As of the model; each endpoint has its own.
    #[schemars(extend("default" = ""), example = &"env:EU_KEY")]
    api_key: Option<String>,
    /// Its share of the calls among the endpoints of its priority.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = 1))]
    weight: Option<u32>,
    /// A higher number is used only when all endpoints of the lower are out of service.
    #[schemars(range(min = 0, max = 1_000_000), extend("default" = 1))]
    priority: Option<u32>,
}

/// Prices in dollars; both are needed.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Price {
    /// Dollars for a million tokens of prompts.
    #[schemars(range(min = 0, max = 1_000_000), example = 0.27)]
    input_per_mtok: f64,
    /// Dollars for a million tokens of answers.
    #[schemars(range(min = 0, max = 1_000_000), example = 1.1)]
    output_per_mtok: f64,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase", inline)]
enum Protocol {
    /// everything OpenAI-compatible
    OpenAi,
    /// Ollama's own API
    Ollama,
    /// Anthropic Messages
    Anthropic,
    /// Google's Gemini API
    Gemini,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase", inline)]
enum Mode {
    /// the upstream's chat
    Chat,
    /// its plain `/completions` or `/api/generate`; anthropic and gemini have none
    Completion,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase", inline)]
enum StructuredOutput {
    /// by JSON Schema
    Schema,
    /// any JSON
    Json,
    /// in words only
    None,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase", inline)]
enum Gateway {
    /// LiteLLM's proxy
    LiteLlm,
    /// another one that tries again by itself
    Retrying,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case", inline)]
enum Balance {
    /// by weight
    Weighted,
    /// fewest calls in flight per weight
    LeastBusy,
    /// shortest time to the first token
    Fastest,
}
