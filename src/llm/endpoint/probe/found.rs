//! What was found out about an endpoint.

use serde::Serialize;

use crate::llm::endpoint::Endpoint;

/// What was found out about one endpoint of a model. It holds no key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Probed {
    /// The model's name in the config.
    pub model: String,
    /// `host` or `host:port`.
    pub endpoint: String,
    /// How it is spoken to: `openai`, `ollama`, `anthropic`, `gemini`.
    pub protocol: &'static str,
    /// Whether it answered at all.
    pub reachable: bool,
    /// What it says of the key.
    pub key: Key,
    /// Whether it has the model.
    pub known: Known,
    /// Names that it has and that are much like the one it does not have, the likest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub near: Vec<String>,
    /// The time from asking to the head of its answer, in milliseconds, the opening of the connection
    /// included; `None` when none came.
    pub latency_ms: Option<u64>,
    /// The context that it says the model has, in tokens, prompt and answer together; `None`: it
    /// does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<u32>,
    /// The gateway that it is, by its headers: a list of its own proves nothing of what is behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<&'static str>,
    /// What does not keep it from answering and is probably not meant, in words and with a remedy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Why calls would fail, in words and with a remedy where one is known; `None`: nothing was
    /// found against it.
    pub problem: Option<String>,
}

/// Whether a real call may be made too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spend {
    /// No: nothing is spent.
    #[default]
    Nothing,
    /// One call of each endpoint, for one token.
    OneToken,
}

/// What an endpoint says of the configured key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Key {
    /// It answers with the key and refuses to without.
    Accepted,
    /// It refuses (401, 403).
    Refused,
    /// It answers just as well without, so that nothing can be said of the key. Some providers
    /// give their list to everybody and want the key later.
    NotAskedFor,
    /// It could not be asked.
    Unknown,
}

/// Whether an endpoint has the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Known {
    /// It is on its list, or answered a real call.
    Yes,
    /// It has a list, and the model is not on it.
    No,
    /// It has no list and answered no real call, or could not be asked.
    Unknown,
}

impl Probed {
    pub(super) fn nothing_of(endpoint: &Endpoint) -> Self {
        Self {
            model: endpoint.model().name.clone(),
            endpoint: endpoint.name().to_owned(),
            protocol: endpoint.model().protocol.as_str(),
            reachable: false,
            key: Key::Unknown,
            known: Known::Unknown,
            near: Vec::new(),
            latency_ms: None,
            context_tokens: None,
            gateway: None,
            notes: Vec::new(),
            problem: None,
        }
    }

    /// Whether it answered as it should: it has the model.
    #[must_use]
    pub fn is_fine(&self) -> bool {
        self.problem.is_none() && !self.is_unknown()
    }

    /// Whether nothing can be said but that it can be reached: it has no list of models, and no real
    /// call was made.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.reachable && self.known == Known::Unknown && self.problem.is_none()
    }
}
