//! OpenAI's dialect: `/v1/chat/completions` and `/v1/models`.

mod reply;
mod request;

use axum::{Json, extract::State, response::Response};
use serde_json::{Value, json};

use reply::ChatReply;
pub(super) use reply::random_id;
use request::ChatRequest;
pub(super) use request::{named_effort, schema_name};

use super::{
    AppState,
    error::AppError,
    extract::Inbound,
    frames::{self, Question},
    ops,
};

/// `POST /v1/chat/completions`.
pub(super) async fn chat_completions(
    State(app): State<AppState>,
    inbound: Inbound<ChatRequest>,
) -> Result<Response, AppError> {
    let Inbound { body, rest, caller } = inbound;
    let asked = body.read(rest)?;
    let (route, model) = app.route(&caller, &asked.request.model)?;
    let include_workflow = asked.include_workflow || caller.include_workflow;
    let encoder = ChatReply::new(
        model,
        app.config().server.reasoning_field,
        asked.include_usage,
        include_workflow,
    );
    let question = Question {
        route,
        request: asked.request,
        stream: asked.stream,
        reasoning: asked.reasoning,
        include_workflow,
        encoder,
    };
    Ok(frames::answer(&app, caller, question).await)
}

/// `GET /v1/models`: the workflow first, then every `[[model]]`.
pub(super) async fn models(State(app): State<AppState>) -> Json<Value> {
    let created = app.started.as_second();
    let data: Vec<Value> = ops::names(app.config())
        .map(
            |name| json!({"id": name, "object": "model", "created": created, "owned_by": "chorus"}),
        )
        .collect();
    Json(json!({"object": "list", "data": data}))
}
