//! One configured model: its client, addresses, headers, permits and what it refused.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use reqwest::{
    Client,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue},
};
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use url::Url;

use super::{
    Call, CallStream, LlmError, LlmErrorKind,
    answer::Piece,
    ask::Ask,
    call, ollama, openai,
    refusal::Refusal,
    repair::{Parameter, Refused},
};
use crate::{
    config::{self, Retry},
    types::Protocol,
};

/// One configured model with its connection pool, permits and remembered refusals.
pub struct Model {
    pub(super) config: Arc<config::Model>,
    pub(super) client: Client,
    pub(super) retry: Retry,
    /// `max_concurrency`: over all requests.
    pub(super) permits: Option<Arc<Semaphore>>,
    /// `CHORUS_LOG_PAYLOADS=1`.
    pub(super) log_payloads: bool,
    endpoint: String,
    chat_url: Url,
    plain_url: Url,
    /// Authorization and the configured headers, all marked sensitive.
    headers: HeaderMap,
    refused: Mutex<Refused>,
    /// Stands in for the upstream in the engine's own tests.
    #[cfg(test)]
    pub(super) script: Option<super::testing::Script>,
}

/// One request, ready to be sent.
pub(super) struct Prepared {
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Map<String, Value>,
    pub(super) temperature: Option<f32>,
}

impl Model {
    pub(super) fn new(
        config: Arc<config::Model>,
        client: Client,
        retry: Retry,
        log_payloads: bool,
    ) -> Result<Self, LlmError> {
        let base = &config.endpoint.api_base;
        let (chat, plain): (&[&str], &[&str]) = match config.protocol {
            Protocol::OpenAi => (&["chat", "completions"], &["completions"]),
            Protocol::Ollama => (&["api", "chat"], &["api", "generate"]),
        };
        let setup = |message: &str| LlmError {
            kind: LlmErrorKind::Setup,
            model: config.name.clone(),
            endpoint: Some(config.endpoint.authority()),
            message: message.to_owned(),
        };
        let no_path = "api_base takes no path; it must be an http or https URL";
        let key = config.endpoint.api_key.expose();
        let mut headers = HeaderMap::new();
        if !key.is_empty() {
            let value = HeaderValue::from_str(&format!("Bearer {key}"));
            let mut value =
                value.map_err(|_| setup("the key holds a line break or a control character"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        for (name, value) in &config.headers {
            let mut value = value.clone();
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(Self {
            endpoint: config.endpoint.authority(),
            chat_url: below(base, chat).ok_or_else(|| setup(no_path))?,
            plain_url: below(base, plain).ok_or_else(|| setup(no_path))?,
            permits: config
                .max_concurrency
                .map(|most| Arc::new(Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS)))),
            refused: Mutex::new(BTreeSet::new()),
            config,
            client,
            retry,
            log_payloads,
            headers,
            #[cfg(test)]
            script: None,
        })
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> &config::Model {
        &self.config
    }

    /// Makes one logical call. Nothing happens before the stream is polled.
    #[must_use]
    pub fn call(self: &Arc<Self>, call: Call) -> CallStream {
        #[cfg(test)]
        if let Some(script) = &self.script {
            return script(call);
        }
        call::run(Arc::clone(self), call)
    }

    /// `host` or `host:port`.
    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// What of a call's input it cannot take, as far as is known.
    pub(super) fn unsupported(&self, call: &Call) -> Option<LlmError> {
        let refused = self.refused();
        let message = Ask { config: &self.config, call, refused: &refused }.unsupported()?;
        Some(LlmError {
            kind: LlmErrorKind::UnsupportedInput,
            model: self.config.name.clone(),
            endpoint: None,
            message,
        })
    }

    /// The request for a call, without what was refused before.
    pub(super) fn prepare(&self, call: &Call) -> Prepared {
        let refused = self.refused();
        let ask = Ask { config: &self.config, call, refused: &refused };
        let (body, streaming) = match self.config.protocol {
            Protocol::OpenAi => (openai::body(&ask), "text/event-stream"),
            Protocol::Ollama => (ollama::body(&ask), "application/x-ndjson"),
        };
        let accept = if call.stream { streaming } else { "application/json" };
        let mut headers = self.json_headers();
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        let url = if ask.is_plain() { &self.plain_url } else { &self.chat_url };
        Prepared { url: url.clone(), headers, body, temperature: ask.temperature() }
    }

    /// The headers of every request: its body is JSON.
    pub(super) fn json_headers(&self) -> HeaderMap {
        let mut headers = self.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers
    }

    /// An address below the model's base.
    pub(super) fn below(&self, path: &[&str]) -> Option<Url> {
        below(&self.config.endpoint.api_base, path)
    }

    /// Remembers a refusal for all later calls.
    pub(super) fn remember(&self, parameter: Parameter) {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).insert(parameter);
    }

    /// Every secret that an upstream might quote.
    pub(super) fn secrets(&self) -> Vec<&str> {
        let headers = self.config.headers.values().filter_map(|value| value.to_str().ok());
        headers.chain([self.config.endpoint.api_key.expose()]).collect()
    }

    /// Reads one frame or whole reply.
    pub(super) fn read(&self, value: &Value) -> Result<Vec<Piece>, Refusal> {
        match self.config.protocol {
            Protocol::OpenAi => openai::pieces(value),
            Protocol::Ollama => ollama::pieces(value),
        }
    }

    /// Whether a whole body has the shape of a reply.
    pub(super) fn is_reply(&self, value: &Value) -> bool {
        match self.config.protocol {
            Protocol::OpenAi => openai::is_reply(value),
            Protocol::Ollama => ollama::is_reply(value),
        }
    }

    fn refused(&self) -> Refused {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Model({})", self.config.name)
    }
}

/// The base with more path; a query of the base (Azure's `api-version`) stays.
fn below(base: &Url, path: &[&str]) -> Option<Url> {
    let mut url = base.clone();
    url.path_segments_mut().ok()?.pop_if_empty().extend(path);
    Some(url)
}
