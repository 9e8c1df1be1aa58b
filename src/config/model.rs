//! One upstream model: `[[model]]`.

use std::{path::PathBuf, sync::Arc};

use reqwest::header::HeaderMap;
use url::Url;

use crate::types::{ApiKey, Protocol};

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

#[cfg(test)]
impl Model {
    /// A model with nothing special, for the tests of every layer.
    pub(crate) fn plain(name: &str, api_base: &str) -> Self {
        Self {
            name: name.to_owned(),
            endpoint: Endpoint { api_base: api_base.parse().unwrap(), api_key: ApiKey::default() },
            protocol: Protocol::OpenAi,
            mode: Mode::Chat,
            upstream_model: name.to_owned(),
            auto_temperature: None,
            temperature: None,
            max_temperature: 2.0,
            send_temperature: true,
            structured_output: StructuredOutput::Schema,
            vision: None,
            tools: None,
            context_tokens: 32768,
            max_concurrency: None,
            price: None,
            headers: HeaderMap::new(),
            ca_cert: None,
        }
    }
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
