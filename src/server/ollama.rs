//! Ollama's dialect, and the one for scripts on the same paths: `/api/chat`, `/api/generate` and
//! the routes its clients look at first.

mod duration;
mod options;
mod reply;
mod request;

use axum::{Json, extract::State, response::Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use reply::{Form, OllamaReply};
use request::{Asked, ChatRequest, GenerateRequest};

use super::{
    AppState,
    error::AppError,
    extract::Inbound,
    frames::{self, Question},
    observe::Caller,
    ops,
};
use crate::{
    config::{Config, Member, Model, Plan},
    workflow::{DEFAULT_WORKFLOW, Route},
};

/// `POST /api/chat`.
pub(super) async fn chat(
    State(app): State<AppState>,
    inbound: Inbound<ChatRequest>,
) -> Result<Response, AppError> {
    let Inbound { body, rest, caller } = inbound;
    let form = Form::chat(caller.dialect);
    answer(&app, caller, body.read(rest)?, form).await
}

/// `POST /api/generate`.
pub(super) async fn generate(
    State(app): State<AppState>,
    inbound: Inbound<GenerateRequest>,
) -> Result<Response, AppError> {
    let Inbound { body, rest, caller } = inbound;
    answer(&app, caller, body.read(rest)?, Form::Generate).await
}

async fn answer(
    app: &AppState,
    caller: Caller,
    asked: Asked,
    form: Form,
) -> Result<Response, AppError> {
    let (route, model) = app.route(&caller, &asked.request.model)?;
    let include_workflow = asked.include_workflow || caller.include_workflow;
    let encoder = OllamaReply::new(form, model, include_workflow);
    if asked.loads {
        // `ollama run` and an "unload" button: nothing is asked, so nothing runs.
        return Ok(frames::json(&encoder.loaded(asked.unloads)));
    }
    if asked.request.raw && matches!(route, Route::Workflow(_)) {
        let message = "raw: only a single model takes a raw prompt; name one as the model";
        return Err(AppError::field("raw", message));
    }
    let question = Question {
        route,
        request: asked.request,
        stream: asked.stream,
        reasoning: asked.reasoning,
        include_workflow,
        encoder,
    };
    Ok(frames::answer(app, caller, question).await)
}

/// `GET /`: the Go client probes it before nearly every command.
pub(super) async fn root() -> &'static str {
    "Ollama is running"
}

/// `GET /api/version`: an Ollama version, which clients compare numerically.
pub(super) async fn version(State(app): State<AppState>) -> Json<Value> {
    Json(json!({"version": app.config().server.ollama_version}))
}

/// `GET /api/tags`: the workflow first, then every `[[model]]`; no upstream is asked.
pub(super) async fn tags(State(app): State<AppState>) -> Json<Value> {
    let modified = format!("{:.0}", app.started);
    let config = app.config();
    let models: Vec<Value> = ops::names(config)
        .map(|name| {
            json!({
                "name": name, "model": name, "modified_at": modified, "size": 0,
                "digest": digest(name),
                "details": {
                    "parent_model": "", "format": "chorus", "family": "chorus",
                    "families": ["chorus"], "parameter_size": "", "quantization_level": ""
                },
                "capabilities": capabilities(name, config)
            })
        })
        .collect();
    Json(json!({"models": models}))
}

/// Clients want 64 hex digits that tell one model from another.
fn digest(name: &str) -> String {
    Sha256::digest(name).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What clients may switch on for a name: tools and pictures unless the config says that the
/// model which would have to take them cannot.
pub(super) fn capabilities(name: &str, config: &Config) -> Vec<&'static str> {
    let (tools, vision) = match config.models.get(name) {
        Some(model) if name != DEFAULT_WORKFLOW => (takes_tools(model), takes_images(model)),
        _ => {
            let models = plan_models(&config.workflow, config);
            let answering = models.first();
            (
                answering.is_none_or(|model| takes_tools(model)),
                models.iter().any(|model| takes_images(model)),
            )
        }
    };
    let optional = [("tools", tools), ("vision", vision), ("thinking", config.server.progress)];
    let optional = optional.into_iter().filter_map(|(name, has)| has.then_some(name));
    std::iter::once("completion").chain(optional).collect()
}

fn takes_tools(model: &Model) -> bool {
    model.tools != Some(false)
}

fn takes_images(model: &Model) -> bool {
    model.vision != Some(false)
}

/// The models of a plan's synthesizer and workers, the one that answers with tools first.
fn plan_models<'a>(plan: &Plan, config: &'a Config) -> Vec<&'a Model> {
    let mut names = Vec::new();
    collect_names(plan, &mut names);
    names.into_iter().filter_map(|name| config.models.get(name).map(AsRef::as_ref)).collect()
}

fn collect_names<'a>(plan: &'a Plan, names: &mut Vec<&'a str>) {
    names.extend(plan.synthesizer.iter().map(|stage| stage.model.as_str()));
    for member in &plan.members {
        match member {
            Member::Leaf(leaf) => names.push(&leaf.stage.model),
            Member::Nested(plan) => collect_names(plan, names),
        }
    }
}
