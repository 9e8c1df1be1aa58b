//! What was found, as models of a config and a workflow over them. Pure.

use serde_json::{Value, json};

use super::{
    local::{Kind, Server, short},
    providers::Known,
};
use crate::{config::DEFAULT_WORKFLOW, llm::endpoint::probe::about::Capacity, types::ModelName};

/// Models of one server that are written down; whoever has more rarely wants them all.
const MOST_PER_SERVER: usize = 24;
/// Workers of the proposal.
const MOST_WORKERS: usize = 4;
/// Fewer workers than this are joined by further models of the same families.
const ENOUGH_WORKERS: usize = 3;
/// Smaller models (in billions) are left to simple tasks where there are others.
const SMALL: f64 = 1.0;

/// A `[[model]]` to be.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Model {
    /// Unique, and never `chorus`.
    pub(super) name: String,
    /// What the upstream calls it.
    pub(super) upstream: String,
    pub(super) api_base: String,
    pub(super) protocol: Option<&'static str>,
    /// The variable its key is in.
    pub(super) key: Option<&'static str>,
    pub(super) fixed_temperature: bool,
    /// What it was found in, as a heading.
    pub(super) source: String,
    /// What its server takes, where that says so.
    pub(super) capacity: Capacity,
    family: String,
    strength: f64,
    fast: bool,
}

impl Model {
    /// What a file holds when nothing was found: the model that most people try first.
    pub(super) fn placeholder() -> Self {
        Self {
            name: "qwen3:8b".to_owned(),
            upstream: "qwen3:8b".to_owned(),
            api_base: "http://127.0.0.1:11434".to_owned(),
            protocol: Some("ollama"),
            key: None,
            fixed_temperature: false,
            source: "Fill in: a model that you have. `ollama pull qwen3:8b` fetches this one."
                .to_owned(),
            capacity: Capacity::default(),
            family: "qwen".to_owned(),
            strength: 8.0,
            fast: false,
        }
    }

    /// Whether it runs on a server that loads it when it is asked.
    pub(super) fn is_local(&self) -> bool {
        self.key.is_none()
    }
}

/// Every model that was found, servers first.
pub(super) fn models(servers: &[Server], known: &[Known]) -> Vec<Model> {
    let mut models: Vec<Model> = Vec::new();
    for server in servers {
        let url = server.address.url.as_str().trim_end_matches('/');
        let (api_base, protocol) = match server.address.kind {
            Kind::Ollama => (url.to_owned(), "ollama"),
            Kind::OpenAi => (format!("{url}/v1"), "openai"),
        };
        for local in server.models.iter().take(MOST_PER_SERVER) {
            models.push(Model {
                name: short(&local.id).to_owned(),
                upstream: local.id.clone(),
                api_base: api_base.clone(),
                protocol: Some(protocol),
                key: None,
                fixed_temperature: false,
                source: format!("{} at {url}", server.address.name),
                capacity: local.capacity,
                family: local.family.clone(),
                // Hosted models begin above; no local one is worth more for its size alone.
                strength: local.billions.unwrap_or(SMALL).min(900.0),
                fast: false,
            });
        }
    }
    for Known { provider, key, base } in known {
        for hosted in provider.models {
            models.push(Model {
                name: hosted.name.to_owned(),
                upstream: hosted.name.to_owned(),
                api_base: base.clone(),
                protocol: provider.protocol,
                key: Some(key),
                fixed_temperature: hosted.fixed_temperature,
                source: format!(
                    "{}, with the key in {key}. Adapt the names to what your account offers.",
                    provider.name
                ),
                capacity: Capacity::default(),
                family: hosted.family.to_owned(),
                strength: hosted.strength,
                fast: hosted.fast,
            });
        }
    }
    named_apart(models)
}

/// Gives every model a name that a config takes, and that no other has.
fn named_apart(models: Vec<Model>) -> Vec<Model> {
    let mut apart: Vec<Model> = Vec::with_capacity(models.len());
    for mut model in models {
        let plain = match model.name.trim() {
            "" => continue,
            name if ModelName::of(name) == ModelName::of(DEFAULT_WORKFLOW) => {
                format!("{name}-upstream")
            }
            name => name.to_owned(),
        };
        let free = |name: &String| apart.iter().all(|other| other.name != *name);
        let numbered = (2_u32..).map(|number| format!("{plain}-{number}"));
        if let Some(name) = std::iter::once(plain.clone()).chain(numbered).find(free) {
            model.name = name;
            apart.push(model);
        }
    }
    apart
}

/// The model of each role.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Workflow {
    pub(super) analyzer: String,
    /// Names, or the only model at a temperature each.
    pub(super) workers: Vec<Worker>,
    /// Selects and writes.
    pub(super) strongest: String,
    /// Takes the strongest one's place when that fails.
    pub(super) second: Option<String>,
    /// Answers clients' background tasks.
    pub(super) smallest: String,
}

/// A worker of the proposal.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Worker {
    /// A model of its own.
    Model(String),
    /// One of several drafts by the same model.
    Sample { label: &'static str, model: String, temperature: f64 },
}

/// The workflow for these models; `None` without any.
pub(super) fn workflow(models: &[Model]) -> Option<Workflow> {
    let mut ranked: Vec<&Model> = models.iter().collect();
    ranked.sort_by(|a, b| b.strength.total_cmp(&a.strength));
    let (strongest, others) = ranked.split_first()?;
    let elsewhere = others.iter().find(|model| model.source != strongest.source);
    let second = elsewhere.or_else(|| others.first());
    Some(Workflow {
        analyzer: analyzer(models, &ranked)?.name.clone(),
        workers: workers(&ranked),
        strongest: strongest.name.clone(),
        second: second.map(|model| model.name.clone()),
        smallest: ranked.last()?.name.clone(),
    })
}

/// A fast hosted model, else the smallest that can follow instructions.
fn analyzer<'m>(models: &'m [Model], ranked: &[&'m Model]) -> Option<&'m Model> {
    let hosted = models.iter().find(|model| model.fast);
    let able = || ranked.iter().rev().find(|model| model.strength >= SMALL).copied();
    hosted.or_else(able).or_else(|| ranked.last().copied())
}

/// The strongest of each family, since families err differently; then whoever is next.
fn workers(ranked: &[&Model]) -> Vec<Worker> {
    if let [only] = ranked {
        let sample =
            |(label, temperature)| Worker::Sample { label, model: only.name.clone(), temperature };
        return [("careful", 0.3), ("balanced", 0.7), ("free", 1.0)].map(sample).to_vec();
    }
    let able: Vec<&Model> = ranked.iter().copied().filter(|it| it.strength >= SMALL).collect();
    let pool = if able.len() < 2 { ranked } else { &able };
    let mut chosen: Vec<&Model> = Vec::new();
    for model in pool {
        if chosen.len() < MOST_WORKERS && chosen.iter().all(|other| other.family != model.family) {
            chosen.push(model);
        }
    }
    for model in pool {
        if chosen.len() < ENOUGH_WORKERS && chosen.iter().all(|other| other.name != model.name) {
            chosen.push(model);
        }
    }
    chosen.iter().map(|model| Worker::Model(model.name.clone())).collect()
}

impl Workflow {
    /// The plan as the value of `json`.
    pub(super) fn plan(&self) -> Value {
        let worker = |worker: &Worker| match worker {
            Worker::Model(name) => json!({ "ref": name }),
            Worker::Sample { label, model, temperature } => {
                json!({ "name": label, "ref": model, "temperature": temperature })
            }
        };
        let workers: Vec<Value> = self.workers.iter().map(worker).collect();
        let mut judge = json!({ "ref": self.strongest });
        if let (Some(second), Some(judge)) = (&self.second, judge.as_object_mut()) {
            judge.insert("fallback".to_owned(), json!([second]));
        }
        json!({
            "analyzer": { "ref": self.analyzer },
            "workers": workers,
            "selector": judge,
            "synthesizer": judge,
        })
    }
}
