//! `GET /chorus/status`: the models, and what became of them in the runs that are kept.

use std::collections::HashMap;

use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    App,
    caller::Caller,
    history::may_see,
    operation::{ErrorForm, Operation},
};
use crate::{
    config::DEFAULT_WORKFLOW,
    llm::ModelHealth,
    workflow::{
        UsageRecord,
        trace::{CallRecord, LevelRecord, StageStatus},
    },
};

/// The answer of `GET /chorus/status`.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "Status")]
pub(super) struct Status {
    /// The version of Chorus.
    version: &'static str,
    /// How many runs the counts of the models are of: those that are kept in memory and that the
    /// client may see.
    runs: usize,
    /// Each that can be asked for by name.
    workflows: Vec<String>,
    models: Vec<ModelStatus>,
}

/// A model, its endpoints, and what it did.
#[derive(Debug, JsonSchema, Serialize)]
struct ModelStatus {
    protocol: &'static str,
    /// The name its upstream knows it by.
    upstream_model: String,
    #[serde(flatten)]
    health: ModelHealth,
    #[serde(flatten)]
    work: Work,
}

/// What a model did in some runs.
#[derive(Clone, Debug, Default, JsonSchema, Serialize)]
struct Work {
    /// Calls of its endpoints.
    calls: u64,
    /// Drafts that it wrote as a worker.
    drafts: u64,
    /// How many of them a selector found the best.
    wins: u64,
    /// Tokens and cost of all its calls.
    usage: UsageRecord,
}

/// `GET /chorus/status`.
pub(super) async fn status(app: App, Extension(caller): Extension<Caller>) -> Json<Status> {
    let mut runs = app.runs.latest();
    runs.retain(|run| may_see(&caller, run.entry.client.as_deref()));
    let mut work: HashMap<&str, Work> = HashMap::new();
    for run in &runs {
        take(&run.trace.level, &mut work);
    }
    let config = app.config();
    let names = app.names(&caller);
    let of_models = app.engine.health().into_iter().filter_map(|health| {
        let model = config.models.get(&health.model)?;
        Some(ModelStatus {
            protocol: model.protocol.as_str(),
            upstream_model: model.upstream_model.clone(),
            work: work.remove(health.model.as_str()).unwrap_or_default(),
            health,
        })
    });
    let models = of_models.collect();
    let is_workflow =
        |name: &&str| *name == DEFAULT_WORKFLOW || config.profiles.contains_key(*name);
    let workflows = names.into_iter().filter(is_workflow);
    let workflows = workflows.map(str::to_owned).collect();
    Json(Status { version: env!("CARGO_PKG_VERSION"), runs: runs.len(), workflows, models })
}

/// Adds what models did at a level and below.
fn take<'r>(level: &'r LevelRecord, work: &mut HashMap<&'r str, Work>) {
    let stages = [
        level.analyzer.as_ref().map(|stage| &stage.call),
        level.reranker.as_ref().map(|stage| &stage.call),
        level.selector.as_ref().map(|stage| &stage.call),
        level.synthesizer.as_ref().map(|stage| &stage.call),
    ];
    for call in stages.into_iter().flatten() {
        of(call, work);
    }
    let best = level.selector.as_ref().and_then(|selector| selector.selected_index);
    for (index, worker) in level.workers.iter().enumerate() {
        match &worker.nested {
            Some(nested) => take(nested, work),
            None => {
                let one = of(&worker.call, work);
                one.drafts += u64::from(worker.call.status == StageStatus::Ok);
                one.wins += u64::from(best == Some(index));
            }
        }
    }
}

fn of<'w, 'r>(call: &'r CallRecord, work: &'w mut HashMap<&'r str, Work>) -> &'w mut Work {
    let one = work.entry(&call.model).or_default();
    one.calls += call.attempts as u64;
    one.usage = one.usage.plus(&call.usage);
    one
}

/// This endpoint, for the description of the API.
pub(super) fn operation() -> Operation {
    let summary = "The models, and what they did in the runs that are kept.";
    Operation::new(("get", "/chorus/status"), "Chorus", ErrorForm::Script, summary)
        .answers::<Status>()
}
