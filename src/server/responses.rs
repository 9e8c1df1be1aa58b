//! OpenAI's newer dialect: `/v1/responses`, in the form that Open Responses describes.

mod entry;
mod input;
mod item;
mod reply;
mod request;
mod resource;
mod store;
mod wire;

use std::sync::Arc;

use axum::{http::HeaderMap, response::Response};

use super::{
    App, caller,
    error::AppError,
    extract::Inbound,
    frames::{self, Job},
};
use reply::{Keep, ResponseReply};
use request::{CreateRequest, Parsed};

pub(super) use store::Store;

/// `POST /v1/responses`.
pub(super) async fn create(
    app: App,
    headers: HeaderMap,
    inbound: Inbound<CreateRequest>,
) -> Result<Response, AppError> {
    let Inbound { body, caller, rest } = inbound;
    let client = caller::client(&headers);
    let parsed = body.read(client, &app.responses, &rest)?;
    let Parsed { request, stream, include_workflow, reasoning, store, context, resource } = parsed;
    let (route, model) = app.route(&caller, &request.model)?;
    let include_workflow = include_workflow || caller.include_workflow;
    let keep = store.then(|| Keep { store: Arc::clone(&app.responses), client, context });
    let encoder = ResponseReply::new(&model, resource, keep, include_workflow);
    let job = Job { route, request, stream, reasoning, include_workflow, encoder };
    Ok(frames::answer(&app, caller, job).await)
}

/// The form of an answer that is not kept.
pub(super) fn plain_reply(model: &str) -> ResponseReply {
    ResponseReply::new(model, resource::Resource::default(), None, false)
}
