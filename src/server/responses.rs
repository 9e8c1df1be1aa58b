//! OpenAI's newer dialect: `/v1/responses`, in the form that Open Responses describes.

mod entry;
mod input;
mod item;
mod operations;
mod reply;
mod request;
mod resource;
mod store;
mod tool_object;
mod toolbox;
mod wire;

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Bytes,
    extract::{Path, rejection::PathRejection},
    http::{HeaderMap, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Serialize;

use super::{App, caller::Caller, error::AppError, extract::Inbound, frames};
pub(super) use operations::operations;
use reply::{Keep, ResponseReply};
use request::{CreateRequest, Extras};
use toolbox::ClientTools;

pub(super) use store::Store;

/// `POST /v1/responses`.
pub(super) async fn create(
    app: App,
    headers: HeaderMap,
    inbound: Inbound<CreateRequest>,
) -> Result<Response, AppError> {
    let Inbound { body, mut caller, rest } = inbound;
    let client = caller.identity(&headers);
    let parsed = body.read(client, &app.responses, &rest)?.with_caller(&mut caller);
    let (route, model) = app.route(&caller, &parsed.request.model)?;
    let job = parsed.job(route, |extras, record| {
        let Extras { store, context, resource, tools } = extras;
        let keep = store.then(|| Keep { store: Arc::clone(&app.responses), client, context });
        ResponseReply::new(&model, resource, keep, tools, record)
    });
    Ok(frames::answer(&app, caller, job).await)
}

/// `GET /v1/responses/{id}`: the response as its last event had it.
///
/// # Errors
/// 404 for one that is not kept, or is another client's.
pub(super) async fn retrieve(
    app: App,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, AppError> {
    let id = known_id(id)?;
    let object = app.responses.object(caller.identity(&headers), &id);
    let object: Bytes = object.ok_or(AppError::NotKept(id))?;
    Ok(([(CONTENT_TYPE, "application/json")], object).into_response())
}

/// The answer of `DELETE /v1/responses/{id}` (OpenAI's API reference).
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "DeletedResponse")]
pub(super) struct Deleted {
    id: String,
    object: &'static str,
    deleted: bool,
}

/// `DELETE /v1/responses/{id}`: it can neither be read nor continued any more.
///
/// # Errors
/// 404 for one that is not kept, or is another client's.
pub(super) async fn delete(
    app: App,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Deleted>, AppError> {
    let id = known_id(id)?;
    match app.responses.remove(caller.identity(&headers), &id) {
        true => Ok(Json(Deleted { id, object: "response", deleted: true })),
        false => Err(AppError::NotKept(id)),
    }
}

fn known_id(id: Result<Path<String>, PathRejection>) -> Result<String, AppError> {
    let Path(id) = id.map_err(|_| AppError::invalid("the path is not UTF-8"))?;
    Ok(id.chars().take(80).collect())
}

/// Reads a body of `/v1/responses`, when nothing is kept.
///
/// # Errors
/// As the endpoint has them.
#[cfg(any(test, fuzzing))]
pub(super) fn read_create(bytes: &[u8]) -> Result<(), AppError> {
    let (body, rest) = super::extract::body::<CreateRequest>(bytes)?;
    body.read([0; 32], &Store::default(), &rest).map(drop)
}

/// The form of an answer that is not kept.
pub(super) fn plain_reply(model: &str) -> ResponseReply {
    let (resource, tools) = (resource::Resource::default(), ClientTools::default());
    ResponseReply::new(model, resource, None, tools, false)
}
