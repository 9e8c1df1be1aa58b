//! The list of models as Google's clients read it (Gemini's API reference, "Models"): always whole.

use schemars::JsonSchema;
use serde::Serialize;

use crate::server::App;

/// One name.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "GeminiModel")]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct ModelInfo {
    name: String,
    base_model_id: String,
    version: &'static str,
    display_name: String,
    description: &'static str,
    /// What of a conversation fits, in tokens.
    input_token_limit: u32,
    output_token_limit: u32,
    supported_generation_methods: [&'static str; 2],
}

impl ModelInfo {
    fn of(app: &App, name: &str) -> Self {
        let context = app.engine.context_tokens(name).unwrap_or_default();
        Self {
            name: format!("models/{name}"),
            base_model_id: name.to_owned(),
            version: "1",
            display_name: name.to_owned(),
            description: "",
            input_token_limit: context,
            output_token_limit: context,
            supported_generation_methods: ["generateContent", "countTokens"],
        }
    }
}

/// All names.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "GeminiModelList")]
pub(in super::super) struct ModelList {
    models: Vec<ModelInfo>,
}

/// `GET /v1beta/models`: these names.
pub(in super::super) fn models(app: &App, names: &[&str]) -> ModelList {
    ModelList { models: names.iter().map(|name| ModelInfo::of(app, name)).collect() }
}

/// `GET /v1beta/models/{id}`, of a name that the client may ask for.
pub(in super::super) fn model(app: &App, id: &str) -> ModelInfo {
    ModelInfo::of(app, id)
}
