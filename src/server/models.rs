//! `GET /v1/models`, which the clients of several vendors ask for: each in its form, workflows first,
//! then models and aliases, and of them those that the client may ask for.

use axum::{
    Extension, Json,
    extract::{Path, rejection::PathRejection},
    http::Uri,
    response::{IntoResponse, Response},
};

use super::{App, anthropic, caller::Caller, dialect::Dialect, error::AppError, gemini, openai};
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
