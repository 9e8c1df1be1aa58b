//! `/chorus/runs` and below. With `[[client]]`s everybody sees their own runs, and admins all.

mod live;

use std::collections::HashSet;

use axum::{
    Extension, Json,
    extract::{Path, rejection::PathRejection},
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{
    json,
    value::{RawValue, to_raw_value},
};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::{
    App,
    caller::Caller,
    error::AppError,
    operation::{ErrorForm, Operation},
    runs::{Entry, Filter, Found, KeptRun, LiveRun, Totals},
};
use crate::types::WorkflowId;

/// The answer of `GET /chorus/runs`.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "Runs")]
pub(super) struct Listed {
    /// The oldest first.
    in_flight: Vec<LiveRun>,
    /// Those that are over, the latest first.
    #[schemars(with = "Vec<Entry>")]
    runs: Vec<Box<RawValue>>,
    /// Of all that are over and wanted, more than `limit` included.
    totals: Totals,
}

/// What `GET /chorus/runs/live` tells.
#[derive(JsonSchema)]
#[schemars(rename = "LiveRunEvent", untagged)]
#[expect(dead_code, clippy::large_enum_variant, reason = "it only says which there are")]
enum LiveEvent {
    InFlight(Vec<LiveRun>),
    Run(Entry),
}

/// The answer of `DELETE /chorus/runs/{id}`.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "CancelledRun")]
pub(super) struct Cancelling {
    workflow_id: WorkflowId,
    status: &'static str,
}

/// `GET /chorus/runs`: those in flight, and those that are over and kept.
///
/// # Errors
/// 400 for a query that means nothing.
pub(super) async fn list(
    app: App,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Json<Listed>, AppError> {
    let filter = Filter::of(&uri, own(&caller))?;
    let mut in_flight = app.runs.in_flight_now();
    in_flight.retain(|run| filter.concerns(run.client.as_deref(), &run.model, &run.name));
    // A disk is read, and long lists are gone through.
    let found = spawn_blocking(move || {
        let mut found = Found::default();
        let mut known = HashSet::new();
        for run in app.runs.latest() {
            known.insert(run.entry.workflow_id.as_uuid());
            if let Ok(entry) = to_raw_value(&run.entry) {
                found.take(entry, &filter);
            }
        }
        if let Some(file) = app.runs.file() {
            file.find(&filter, |id: Uuid| known.contains(&id), &mut found);
        }
        found.complete()
    });
    let found = found.await.map_err(|_| AppError::Internal("the runs cannot be listed"))?;
    Ok(Json(Listed { in_flight, runs: found.runs, totals: found.totals }))
}

/// `GET /chorus/runs/{id}`: one, by its own id or its request's.
///
/// # Errors
/// 404 for one that is not known, or not the caller's.
pub(super) async fn one(
    app: App,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, AppError> {
    let id = named(id)?;
    let seen = |client: Option<&str>| may_see(&caller, client);
    if let Some(run) = app.runs.find_in_flight(&id, seen) {
        return Ok(Json(LiveRun::of(&run)).into_response());
    }
    if let Some(run) = app.runs.find_recent(&id, seen) {
        return Ok(Json(&*run).into_response());
    }
    let Some(file) = app.runs.file() else { return Err(AppError::NoRun(shortened(&id))) };
    let wanted = id.clone();
    let record = spawn_blocking(move || file.record(&wanted)).await;
    let record = record.map_err(|_| AppError::Internal("the run cannot be read"))?;
    match record {
        Some(record) if may_see(&caller, client_of(&record).as_deref()) => {
            Ok(Json(record).into_response())
        }
        _ => Err(AppError::NoRun(shortened(&id))),
    }
}

/// `DELETE /chorus/runs/{id}`: ends one that is in flight; its client gets an error.
///
/// # Errors
/// 404 for one that is not known, or not the caller's; 409 for one that is over.
pub(super) async fn cancel(
    app: App,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
) -> Result<(StatusCode, Json<Cancelling>), AppError> {
    let id = named(id)?;
    let seen = |client: Option<&str>| may_see(&caller, client);
    if let Some(run) = app.runs.find_in_flight(&id, seen) {
        run.cancel.cancel();
        let workflow_id = run.watch.workflow_id();
        return Ok((StatusCode::ACCEPTED, Json(Cancelling { workflow_id, status: "cancelling" })));
    }
    match app.runs.find_recent(&id, seen) {
        Some(_) => Err(AppError::RunIsOver),
        None => Err(AppError::NoRun(shortened(&id))),
    }
}

/// `GET /chorus/runs/live`: events as runs begin, go on and end.
///
/// # Errors
/// 400 for a query that means nothing.
pub(super) async fn watch(
    app: App,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, AppError> {
    let filter = Filter::of(&uri, own(&caller))?;
    Ok(live::response(app, filter))
}

/// The name of a client that sees its own runs only.
fn own(caller: &Caller) -> Option<&str> {
    let client = caller.client.as_ref().filter(|client| !client.config.admin);
    client.map(|client| &*client.name)
}

pub(super) fn may_see(caller: &Caller, client: Option<&str>) -> bool {
    own(caller).is_none_or(|own| client == Some(own))
}

fn client_of(record: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct Of {
        client: Option<String>,
    }
    serde_json::from_str::<Of>(record.get()).ok()?.client
}

fn named(id: Result<Path<String>, PathRejection>) -> Result<String, AppError> {
    let Path(id) = id.map_err(|_| AppError::invalid("the path is not UTF-8"))?;
    Ok(id)
}

fn shortened(id: &str) -> String {
    id.chars().take(64).collect()
}

/// These endpoints, for the description of the API.
pub(super) fn operations() -> Vec<Operation> {
    let new = |at: (&'static str, &str), summary| {
        Operation::new(at, "Chorus", ErrorForm::Script, summary)
    };
    let (text, number) = (json!({ "type": "string" }), json!({ "type": "integer", "minimum": 0 }));
    let status = json!({ "type": "string", "enum": ["ok", "degraded", "failed", "cancelled"] });
    let id = "The id of the run, or of its request.";
    let since = "A time, seconds since 1970, or how long ago: `15m`, `2h`, `7d`.";
    let filtered = |operation: Operation| {
        operation
            .takes("query", "client", &text, "The `[[client]]` that asked.")
            .takes("query", "model", &text, "The name that was asked for, or that answered.")
            .fails(&[400])
    };
    vec![
        filtered(new(("get", "/chorus/runs"), "The runs in flight, and those that are over."))
            .takes("query", "status", &status, "How they ended.")
            .takes("query", "slower_than_ms", &number, "They took longer.")
            .takes("query", "since", &text, since)
            .takes("query", "limit", &number, "How many of those that are over; 50, at most 1000.")
            .answers::<Listed>(),
        filtered(new(("get", "/chorus/runs/live"), "Events as runs begin, go on and end."))
            .streams::<LiveEvent>("text/event-stream"),
        new(("get", "/chorus/runs/{id}"), "One run, with its record.")
            .takes("path", "id", &text, id)
            .answers::<KeptRun>()
            .fails(&[400, 404]),
        new(("delete", "/chorus/runs/{id}"), "Ends a run that is in flight.")
            .takes("path", "id", &text, id)
            .answers_as::<Cancelling>(202)
            .fails(&[400, 404, 409]),
    ]
}
