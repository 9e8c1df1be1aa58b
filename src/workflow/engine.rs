//! Plans and models, ready to run, and who answers which name.

use std::{collections::BTreeSet, sync::Arc};

use super::Task;
use crate::{
    config::{Config, Named, UnknownModel, Workflow},
    llm::{self, Llm, LlmError, ModelHealth},
    types::{Memory, Request},
};

/// Plans and models, ready to run. One per config.
#[derive(Debug)]
pub struct Engine {
    pub(super) config: Arc<Config>,
    pub(super) llm: Llm,
    pub(super) memory: Memory,
}

/// The workflow or model that answers a model name.
#[derive(Clone, Debug)]
pub enum Route {
    /// A workflow.
    Workflow(Workflow),
    /// One model alone.
    Direct(Arc<llm::Model>),
    /// The small model for a client's background task, instead of a workflow.
    Task(Arc<llm::Model>, Task),
}

impl Engine {
    /// Builds the upstream clients of a config.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(config: Arc<Config>) -> Result<Self, LlmError> {
        let llm = Llm::new(&config)?;
        let memory = Memory::new(config.memory_limit);
        Ok(Self { config, llm, memory })
    }

    /// The engine of the next config. Upstreams that are reached as before keep their connections,
    /// circuit breakers and permits; runs of this engine go on beside those of the next one.
    ///
    /// # Errors
    /// When TLS cannot be set up; then nothing has changed.
    pub fn successor(&self, config: Arc<Config>) -> Result<Self, LlmError> {
        let llm = self.llm.successor(&config)?;
        let memory = self.memory.clone();
        Ok(Self { config, llm, memory })
    }

    /// The memory for requests and whole answers, that of the engines before included.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Asks for the model lists of endpoints that are out of service until they are back. Never ends;
    /// to be polled beside whatever uses the engine. Without it endpoints are tried by calls alone.
    pub async fn check_health(&self) {
        self.llm.check_health().await;
    }

    /// Keeps the connections of models with `warm_up` warm, those of the thread that it is polled on.
    /// Never ends.
    pub async fn keep_warm(&self) {
        self.llm.keep_warm(&self.config.transport).await;
    }

    /// How every endpoint of every model is, in the order of the config.
    #[must_use]
    pub fn health(&self) -> Vec<ModelHealth> {
        self.llm.health()
    }

    /// The models that a workflow refers to and none of whose endpoints is in service, sorted.
    #[must_use]
    pub fn unserved(&self) -> Vec<String> {
        let models = &self.config.models;
        let workflows = self.config.workflows();
        let needed =
            workflows.flat_map(|workflow| workflow.plan.worst_case_calls(models).into_keys());
        let is_served = |name: &String| self.llm.model(name).is_some_and(|model| model.is_served());
        let unserved: BTreeSet<String> = needed.filter(|name| !is_served(name)).collect();
        unserved.into_iter().collect()
    }

    /// The context to count on for a name, in tokens: a model's configured one or what its endpoints
    /// said it is, whichever is less; of a workflow the smallest of those who get the conversation
    /// whole, its workers and its writer. `None`: nobody has the name.
    #[must_use]
    pub fn context_tokens(&self, name: &str) -> Option<u32> {
        let of_model = |name: &str| self.llm.model(name).map(|model| model.context_tokens());
        match self.config.named(name)? {
            Named::Model(model) => of_model(&model.name),
            Named::Workflow(workflow) => {
                workflow.plan.readers().into_iter().filter_map(of_model).min()
            }
        }
    }

    /// The config it was built from.
    #[must_use]
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// The route of this model name (as sent; see [`Config::named`]). `None`: nobody has it, and
    /// `unknown_model = "reject"`.
    #[must_use]
    pub fn route(&self, model: &str) -> Option<Route> {
        match self.config.named(model) {
            Some(Named::Workflow(workflow)) => Some(Route::Workflow(workflow.clone())),
            Some(Named::Model(model)) => {
                self.llm.model(&model.name).map(Arc::clone).map(Route::Direct)
            }
            None => {
                let anyway = self.config.server.unknown_model == UnknownModel::Workflow;
                anyway.then(|| Route::Workflow(self.config.workflow.clone()))
            }
        }
    }

    /// The route of this request to a workflow: `[server] task_model` where it is a client's background
    /// task, else whom the model name means.
    #[must_use]
    pub fn for_task(&self, route: Route, request: &Request) -> Route {
        let model = self.config.server.task_model.as_deref();
        match (model.and_then(|name| self.llm.model(name)), &route) {
            (Some(model), Route::Workflow(_)) => match Task::of(request) {
                Some(task) => Route::Task(Arc::clone(model), task),
                None => route,
            },
            _ => route,
        }
    }
}
