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

use super::{App, caller, error::AppError, extract::Inbound, frames};
use reply::{Keep, ResponseReply};
use request::{CreateRequest, Extras};

pub(super) use store::Store;

/// `POST /v1/responses`.
pub(super) async fn create(
    app: App,
    headers: HeaderMap,
    inbound: Inbound<CreateRequest>,
) -> Result<Response, AppError> {
    let Inbound { body, caller, rest } = inbound;
    let client = caller::client(&headers);
    let parsed = body.read(client, &app.responses, &rest)?.with_caller(&caller);
    let (route, model) = app.route(&caller, &parsed.request.model)?;
    let job = parsed.job(route, |Extras { store, context, resource }, record| {
        let keep = store.then(|| Keep { store: Arc::clone(&app.responses), client, context });
        ResponseReply::new(&model, resource, keep, record)
    });
    Ok(frames::answer(&app, caller, job).await)
}

/// The form of an answer that is not kept.
pub(super) fn plain_reply(model: &str) -> ResponseReply {
    ResponseReply::new(model, resource::Resource::default(), None, false)
}
