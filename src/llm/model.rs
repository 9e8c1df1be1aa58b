//! One configured model: its endpoints and its permits.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use indexmap::IndexMap;
use tokio::sync::Semaphore;

use super::{
    Call, LlmError, LlmErrorKind,
    endpoint::{Endpoint, balance::Pool, http::Clients},
    protocol::state::{TurnStates, Writer},
};
use crate::config::{self, Retry};

/// One configured model with its endpoints and permits.
pub struct Model {
    pub(super) config: Arc<config::Model>,
    pub(super) pool: Pool<Endpoint>,
    pub(super) retry: Retry,
    /// `max_concurrency`: over all requests.
    pub(super) permits: Option<Arc<Semaphore>>,
    /// Identifies its turns, whichever endpoint made them.
    pub(super) writer: Writer,
    /// What models left on their latest turns.
    pub(super) states: Arc<TurnStates>,
    /// It called a tool that it was only shown, whichever endpoint did.
    calls_unasked: Arc<AtomicBool>,
    /// `CHORUS_LOG_PAYLOADS=1`.
    pub(super) log_payloads: bool,
    /// Stands in for the upstream in the engine's own tests.
    #[cfg(test)]
    pub(super) script: Option<super::testing::Script>,
}

impl Model {
    /// A model that follows on the same of the config `before`, if there was one.
    pub(super) fn new(
        (config, retry): (Arc<config::Model>, Retry),
        pool: Pool<Endpoint>,
        states: Arc<TurnStates>,
        log_payloads: bool,
        before: Option<&Self>,
    ) -> Self {
        let most = config.max_concurrency.map(|most| most.clamp(1, Semaphore::MAX_PERMITS));
        // Permits cannot be taken back from those who have them, so another limit begins anew.
        let same = before.filter(|before| before.config.max_concurrency == config.max_concurrency);
        let permits = match same {
            Some(before) => before.permits.clone(),
            None => most.map(|most| Arc::new(Semaphore::new(most))),
        };
        Self {
            config,
            pool,
            retry,
            permits,
            writer: before.map_or_else(Writer::fresh, |before| before.writer),
            states,
            calls_unasked: before
                .map(|before| Arc::clone(&before.calls_unasked))
                .unwrap_or_default(),
            log_payloads,
            #[cfg(test)]
            script: None,
        }
    }

    /// The model's configuration.
    #[must_use]
    pub fn config(&self) -> &config::Model {
        &self.config
    }

    /// The context to count on, in tokens: the configured one, or the shortest that an endpoint said
    /// it has, whichever is less.
    #[must_use]
    pub fn context_tokens(&self) -> u32 {
        let members = self.pool.members().iter();
        let known = members.map(|member| member.endpoint.context_tokens()).min();
        known.unwrap_or(self.config.context_tokens)
    }

    /// Whether it has called a tool though it was told not to: then it had better be shown none.
    #[must_use]
    pub fn calls_unasked(&self) -> bool {
        self.calls_unasked.load(Ordering::Relaxed)
    }

    /// Remembers that it called a tool though it must not.
    pub fn called_unasked(&self) {
        self.calls_unasked.store(true, Ordering::Relaxed);
    }

    /// How many endpoints it has: with more than one, a late call can be made a second time
    /// elsewhere.
    #[must_use]
    pub fn endpoint_count(&self) -> usize {
        self.pool.members().len()
    }

    /// What of a call's input none of its endpoints can take, as far as is known.
    pub(super) fn unsupported(&self, call: &Call) -> Option<LlmError> {
        let mut first = None;
        for member in self.pool.members() {
            let message = member.endpoint.unsupported(call)?;
            first.get_or_insert(message);
        }
        Some(LlmError {
            kind: LlmErrorKind::UnsupportedInput,
            model: self.config.name.clone(),
            endpoint: None,
            message: first?,
        })
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Model({})", self.config.name)
    }
}

/// Every configured model, ready to be called. Cheap to share; built once per config.
#[derive(Debug)]
pub struct Llm {
    pub(in crate::llm) models: IndexMap<String, Arc<Model>>,
    /// Its HTTP clients, for the next config to take over.
    pub(in crate::llm) clients: Clients,
    /// What models left on their turns; for the next config too.
    pub(in crate::llm) states: Arc<TurnStates>,
    /// How often an endpoint out of service is asked for its model list.
    pub(in crate::llm) probe_interval: Option<Duration>,
}

impl Llm {
    /// The model of that name. Names in a checked plan always exist.
    #[must_use]
    pub fn model(&self, name: &str) -> Option<&Arc<Model>> {
        self.models.get(name)
    }
}
