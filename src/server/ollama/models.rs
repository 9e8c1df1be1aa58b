//! What Ollama's clients look at before they ask: `/api/tags`, `/api/ps` and `/api/show`
//! (Ollama's API documentation). No upstream is asked for any of it.

use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::super::{App, caller::Caller, error::AppError, extract::Inbound};
use crate::config::{Config, Mode, Model, Named, Progress};

/// The answer of `GET /api/tags` (Ollama's API documentation).
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "OllamaTags")]
pub(in super::super) struct Tags {
    models: Vec<Tag>,
}

/// One name. Every field is one that some client cannot do without.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "OllamaTag")]
struct Tag {
    name: String,
    model: String,
    modified_at: String,
    /// The size in bytes; nothing is stored.
    size: u64,
    /// 64 hex digits that identify the name.
    digest: String,
    details: Details,
    capabilities: Vec<&'static str>,
}

/// `details`, of a tag and of a shown model.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "OllamaDetails")]
struct Details {
    parent_model: &'static str,
    format: &'static str,
    family: &'static str,
    families: [&'static str; 1],
    parameter_size: &'static str,
    quantization_level: &'static str,
}

const DETAILS: Details = Details {
    parent_model: "",
    format: "chorus",
    family: "chorus",
    families: ["chorus"],
    parameter_size: "",
    quantization_level: "",
};

/// The answer of `GET /api/ps` (Ollama's API documentation): nothing is ever loaded here.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "OllamaRunning")]
pub(in super::super) struct Running {
    models: [Tag; 0],
}

/// The body of `POST /api/show` (Ollama's API documentation); `verbose`, `system`, `template` and `options` are ignored.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "OllamaShowRequest")]
pub(in super::super) struct ShowRequest {
    /// Required, here or as `name`.
    model: Option<String>,
    /// The field's name before `model`.
    name: Option<String>,
}

/// The answer of `POST /api/show` (Ollama's API documentation).
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "OllamaShown")]
pub(in super::super) struct Shown {
    modelfile: &'static str,
    parameters: &'static str,
    template: &'static str,
    license: &'static str,
    details: Details,
    model_info: ModelInfo,
    capabilities: Vec<&'static str>,
    modified_at: String,
}

/// `model_info`: what Copilot reads of it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "OllamaModelInfo")]
struct ModelInfo {
    /// Says what the name of the context's length begins with.
    #[serde(rename = "general.architecture")]
    architecture: &'static str,
    /// Shown to people: the name that was asked for.
    #[serde(rename = "general.basename")]
    basename: String,
    /// The context in tokens.
    #[serde(rename = "chorus.context_length")]
    context_length: u32,
}

/// `GET /api/tags`: the workflows first, then models and aliases.
pub(in super::super) async fn tags(app: App, Extension(caller): Extension<Caller>) -> Json<Tags> {
    let config = app.config();
    let tag = |name: &str| Tag {
        name: name.to_owned(),
        model: name.to_owned(),
        modified_at: modified_at(&app),
        size: 0,
        digest: digest(name),
        details: DETAILS,
        capabilities: config
            .named(name)
            .map(|named| capabilities(named, config))
            .unwrap_or_default(),
    };
    Json(Tags { models: app.names(&caller).into_iter().map(tag).collect() })
}

/// `GET /api/ps`: Open WebUI asks for it right after the tags.
pub(in super::super) async fn ps() -> Json<Running> {
    Json(Running { models: [] })
}

impl ShowRequest {
    /// The name that is asked about.
    fn read(self) -> Result<String, AppError> {
        let name = self.model.filter(|model| !model.is_empty()).or(self.name);
        let name = name.filter(|name| !name.is_empty());
        name.ok_or_else(|| AppError::field("model", "model is required"))
    }
}

/// Reads a body of `/api/show`.
///
/// # Errors
/// As the endpoint has them.
#[cfg(any(test, fuzzing))]
pub(in super::super) fn read_show(bytes: &[u8]) -> Result<(), AppError> {
    super::super::extract::body::<ShowRequest>(bytes)?.0.read().map(drop)
}

/// `POST /api/show`.
///
/// # Errors
/// 400 without a name; 404 for a name that nobody has, whatever `unknown_model` says: the
/// caller wants to know what is there; 403 for one that it may not ask for.
pub(in super::super) async fn show(
    app: App,
    inbound: Inbound<ShowRequest>,
) -> Result<Json<Shown>, AppError> {
    let Inbound { body, caller, .. } = inbound;
    let asked = body.read()?;
    caller.log.model(&asked);
    let config = app.config();
    let Some(named) = config.named(&asked) else {
        return Err(app.unknown(&caller, &asked));
    };
    app.check_model(&caller, &asked)?;
    let context_length = app.engine.context_tokens(&asked).unwrap_or_default();
    Ok(Json(Shown {
        modelfile: "# chorus",
        parameters: "",
        template: "",
        license: "",
        details: DETAILS,
        model_info: ModelInfo {
            architecture: "chorus",
            basename: asked,
            context_length, // agents begin to compact by it
        },
        capabilities: capabilities(named, config),
        modified_at: modified_at(&app),
    }))
}

/// RFC 3339, to the second.
fn modified_at(app: &App) -> String {
    format!("{:.0}", app.started)
}

fn digest(name: &str) -> String {
    Sha256::digest(name).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What clients may switch on for a name: tools and pictures unless the config says that the
/// model which would have to take them cannot.
pub(in super::super) fn capabilities(named: Named<'_>, config: &Config) -> Vec<&'static str> {
    let can_think = may_think(&named);
    let (tools, vision) = match named {
        Named::Model(model) => (takes_tools(model), takes_images(model)),
        Named::Workflow(workflow) => {
            let plan = &workflow.plan;
            let answering = match &plan.synthesizer {
                Some(stage) => vec![stage.model.as_str()],
                None => plan.tool_callers().into_iter().map(|(name, _)| name).collect(),
            };
            let answering: Vec<_> =
                answering.into_iter().filter_map(|name| config.models.get(name)).collect();
            let readers = plan.readers();
            let mut models = readers.iter().filter_map(|name| config.models.get(*name));
            (
                answering.is_empty() || answering.iter().any(|model| takes_tools(model)),
                models.any(|model| takes_images(model)),
            )
        }
    };
    let optional = [
        ("tools", tools),
        ("vision", vision),
        ("thinking", can_think && config.server.progress != Progress::Off),
    ];
    let optional = optional.into_iter().filter_map(|(name, has)| has.then_some(name));
    std::iter::once("completion").chain(optional).collect()
}

fn takes_tools(model: &Model) -> bool {
    model.mode == Mode::Chat && model.tools != Some(false)
}

fn takes_images(model: &Model) -> bool {
    model.mode == Mode::Chat && model.vision != Some(false)
}

/// A plain completion has no channel for thoughts, and a direct call no progress.
fn may_think(named: &Named<'_>) -> bool {
    !matches!(named, Named::Model(model) if model.mode != Mode::Chat)
}
