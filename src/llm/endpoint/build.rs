//! Makes models that can be called of a config, and of the config that follows it.
//!
//! What a reload keeps is what belongs to an upstream and not to the text of the config: open
//! connections, whether it is in service, how fast it is, what it refuses, what it left on its turns, and how
//! many of its permits are taken.

use std::sync::Arc;

use super::{
    Endpoint,
    balance::{Pool, Weighting},
    connections::Connections,
    http::{Base, ClientKey, Clients, STANDARD},
    slot::{Member, Record},
};
use crate::{
    config::{self, Config, LimitKind},
    llm::{Llm, LlmError, LlmErrorKind, Model},
};

/// An endpoint on its way into its model's pool.
type Built = (String, Weighting, Endpoint, Option<Arc<Record>>);

impl Llm {
    /// Builds the clients of every model. Reads `CHORUS_LOG_PAYLOADS` from the environment.
    ///
    /// # Errors
    /// When a client cannot be built: a CA that is no certificate, a key that fits no header.
    pub fn new(config: &Config) -> Result<Self, LlmError> {
        Self::build(config, logs_payloads(), STANDARD, None)
    }

    /// The models of the next config. Whatever is reached as before keeps its connections and what
    /// is known of it; both may be called at the same time. Nothing changes when it fails.
    ///
    /// # Errors
    /// Those of [`Llm::new`].
    pub fn successor(&self, config: &Config) -> Result<Self, LlmError> {
        Self::build(config, logs_payloads(), STANDARD, Some(self))
    }

    /// Builds it with clients that start from `base`.
    pub(in crate::llm) fn build(
        config: &Config,
        log_payloads: bool,
        base: Base,
        previous: Option<&Self>,
    ) -> Result<Self, LlmError> {
        let mut clients = Clients::new(&config.transport);
        // All that can fail comes first: what is known of an endpoint is shared with the previous
        // models, and takes the rules of the new config when it joins the pool.
        let mut prepared = Vec::with_capacity(config.models.len());
        for model in config.models.values() {
            let before = previous
                .and_then(|previous| previous.model(&model.name))
                .filter(|before| before.config.is_reached_like(model));
            let former = previous.map(|previous| &previous.clients);
            let built = endpoints(config, model, before, |key| clients.get(key, former, base))?;
            prepared.push((model, before, built));
        }
        let states = previous.map(|previous| Arc::clone(&previous.states)).unwrap_or_default();
        let model = |(model, before, built): (&Arc<config::Model>, Option<&Arc<Model>>, _)| {
            let (balance, sticky) = (model.balance, model.sticky);
            let pool = Pool::keeping(&model.name, built, balance, sticky, config.health);
            let before = before.map(|before| &**before);
            let config = (Arc::clone(model), config.retry);
            let it = Model::new(config, pool, Arc::clone(&states), log_payloads, before);
            (model.name.clone(), Arc::new(it))
        };
        let models = prepared.into_iter().map(model).collect();
        Ok(Self { models, clients, states, probe_interval: config.health.probe_interval })
    }
}

fn logs_payloads() -> bool {
    std::env::var_os("CHORUS_LOG_PAYLOADS").is_some_and(|value| value == "1")
}

/// A model's endpoints, each with what is known of it from `before`.
fn endpoints(
    config: &Config,
    model: &Arc<config::Model>,
    before: Option<&Arc<Model>>,
    mut client: impl FnMut(ClientKey) -> Result<Arc<Connections>, String>,
) -> Result<Vec<Built>, LlmError> {
    let mut known: Vec<&Arc<Member<Endpoint>>> =
        before.map(|before| before.pool.members().iter().collect()).unwrap_or_default();
    let build = |endpoint: &config::Endpoint| {
        let key = ClientKey {
            connect: config.timeouts.of_host(LimitKind::Connect, &endpoint.api_base),
            ca: model.ca_cert.clone(),
            loopback: endpoint.is_loopback(),
            plain: endpoint.api_base.scheme() == "http",
        };
        let client = client(key).map_err(|message| LlmError {
            kind: LlmErrorKind::Setup,
            model: model.name.clone(),
            endpoint: Some(endpoint.authority()),
            message,
        })?;
        let weighting = Weighting { weight: endpoint.weight, priority: endpoint.priority };
        let mut built = Endpoint::new(Arc::clone(model), endpoint.clone(), client)?;
        // Each is taken once: the same address may stand there twice.
        let same = known.iter().position(|member| member.endpoint.config.is_reached_like(endpoint));
        let member = same.map(|at| known.remove(at));
        if let Some(member) = member {
            built.follow(&member.endpoint);
        }
        let record = member.map(|member| Arc::clone(member.record()));
        Ok((endpoint.authority(), weighting, built, record))
    };
    model.endpoints.iter().map(build).collect()
}
