//! `GET /v1/models`, which the clients of several vendors ask for: each in its form, workflows first,
//! then models and aliases, and of them those that the client may ask for.

use axum::{
    Extension, Json,
    extract::{Path, rejection::PathRejection},
    http::Uri,
    response::{IntoResponse, Response},
};

use schemars::JsonSchema;
use serde_json::json;

use super::{
    App, anthropic,
    caller::Caller,
    dialect::Dialect,
    error::AppError,
    gemini, openai,
    operation::{ErrorForm, Operation},
};
use crate::config::AGENTS_NAME;

/// `GET /v1/models`.
///
/// # Errors
/// 400 for a page that cannot be given.
pub(super) async fn list(
    app: App,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, AppError> {
    let mut names = app.names(&caller);
    match caller.dialect {
        Dialect::Anthropic => {
            names.retain(|name| *name != AGENTS_NAME);
            if app.check_model(&caller, AGENTS_NAME).is_ok() {
                names.insert(0, AGENTS_NAME);
            }
            Ok(Json(anthropic::models(&app, &names, &uri)?).into_response())
        }
        Dialect::Gemini { .. } => Ok(Json(gemini::models(&app, &names)).into_response()),
        Dialect::OpenAi | Dialect::Ollama | Dialect::Script => {
            Ok(Json(openai::models(&app, &names)).into_response())
        }
    }
}

/// `GET /v1/models/{id}`; an id may hold slashes and colons.
///
/// # Errors
/// 404 for a name that nobody has, whatever `unknown_model` says; 403 for one that the client may not
/// ask for.
pub(super) async fn one(
    app: App,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, AppError> {
    let Path(id) = id.map_err(|_| AppError::invalid("the path is not UTF-8"))?;
    if app.config().named(&id).is_none() {
        return Err(app.unknown(&caller, &id));
    }
    app.check_model(&caller, &id)?;
    Ok(match caller.dialect {
        Dialect::Anthropic => Json(anthropic::model(&app, &id)).into_response(),
        Dialect::Gemini { .. } => Json(gemini::model(&app, &id)).into_response(),
        Dialect::OpenAi | Dialect::Ollama | Dialect::Script => {
            Json(openai::model(&app, &id)).into_response()
        }
    })
}

/// The list in any form.
#[derive(JsonSchema)]
#[schemars(rename = "Models", untagged)]
#[expect(dead_code, reason = "it only says which there are")]
enum AnyList {
    OpenAi(openai::ModelList),
    Anthropic(anthropic::ModelPage),
    Gemini(gemini::ModelList),
}

/// One model in any form.
#[derive(JsonSchema)]
#[schemars(rename = "AnyModel", untagged)]
#[expect(dead_code, reason = "it only says which there are")]
enum AnyModel {
    OpenAi(openai::ModelObject),
    Anthropic(anthropic::ModelInfo),
    Gemini(gemini::ModelInfo),
}

/// These endpoints, for the description of the API.
pub(super) fn operations() -> Vec<Operation> {
    let string = json!({ "type": "string" });
    let list = |path: &'static str, group, form| {
        Operation::new(("get", path), group, form, "Lists workflows, models and aliases.")
            .answers::<AnyList>()
            .fails(&[400])
    };
    let one = |path: &'static str, group, form| {
        let id = "The name of a workflow, model or alias; it may hold slashes.";
        Operation::new(("get", path), group, form, "Shows one of them.")
            .takes("path", "id", &string, id)
            .answers::<AnyModel>()
            .fails(&[400, 404])
    };
    let vendor = |operation: Operation| {
        let form = "With it, the answer has Anthropic's form.";
        operation.takes("header", "anthropic-version", &string, form)
    };
    let page = "Of a list in Anthropic's form: how many, and after or before which.";
    let number = json!({ "type": "integer", "minimum": 1 });
    vec![
        vendor(list("/v1/models", "OpenAI", ErrorForm::Any))
            .takes("query", "limit", &number, page)
            .takes("query", "after_id", &string, page)
            .takes("query", "before_id", &string, page),
        vendor(one("/v1/models/{id}", "OpenAI", ErrorForm::Any)),
        list("/v1beta/models", "Gemini", ErrorForm::Gemini),
        one("/v1beta/models/{id}", "Gemini", ErrorForm::Gemini),
    ]
}
