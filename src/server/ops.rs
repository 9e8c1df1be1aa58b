//! What is neither dialect's: health, readiness, the config in use.

use std::sync::Arc;

use axum::{
    Extension, Json,
    http::{StatusCode, Uri},
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::task::spawn_blocking;
use url::Url;

use super::{
    App,
    audit::AuditHealth,
    caller::{Caller, Welcome},
    clients::Client,
    error::AppError,
    limits::ClientReport,
    listener::open_files,
    operation::{ErrorForm, Operation},
    paths::is_verbose,
    reloads::Reloads,
};
use crate::{
    config::{Config, Proxies, Proxy, Version},
    llm::ModelHealth,
    types::{Memory, process},
};

/// The answer of `GET /health`, which is Chorus' own.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Health {
    status: &'static str,
    /// The version of Chorus.
    version: &'static str,
    /// Shown with `?verbose`, which needs a key where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    models: Option<Vec<ModelHealth>>,
    /// Likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<ConfigHealth>,
    /// Likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<ProcessHealth>,
    /// Likewise, where there is such a log.
    #[serde(skip_serializing_if = "Option::is_none")]
    audit: Option<AuditHealth>,
}

/// What the process ran short of since it started.
#[derive(Debug, Serialize, JsonSchema)]
struct ProcessHealth {
    /// How many there may be; `null`: no limit is known.
    open_files_limit: Option<u64>,
    /// How often a connection could not be opened or accepted for want of files, ports or memory.
    out_of_resources: u64,
    /// What requests and whole answers in flight may take, and what they do, in bytes.
    memory_limit: usize,
    memory_taken: usize,
    /// Standard error did not take them at once.
    dropped_log_lines: u64,
}

/// The source of the config in use, and whether the file is still as good.
#[derive(Debug, Serialize, JsonSchema)]
struct ConfigHealth {
    path: Option<String>,
    #[serde(flatten)]
    reloads: Reloads,
}

/// `GET /ready`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Ready {
    status: &'static str,
    /// The models that no endpoint serves; shown only to those who may call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    models: Vec<String>,
}

/// `GET /health`: alive. A server that drains answers 503 before it gets here.
pub(super) async fn health(app: App, uri: Uri) -> Json<Health> {
    let mut health = Health {
        status: "ok",
        version: env!("CARGO_PKG_VERSION"),
        models: None,
        config: None,
        process: None,
        audit: None,
    };
    if is_verbose(&uri) {
        health.models = Some(app.engine.health());
        health.config = Some(config_health(&app));
        health.process = Some(process_health(app.engine.memory()));
        health.audit = app.audit.as_ref().map(|audit| audit.health());
    }
    Json(health)
}

fn process_health(memory: &Memory) -> ProcessHealth {
    ProcessHealth {
        open_files_limit: open_files::limit(),
        out_of_resources: process::SHORTAGES.get(),
        memory_limit: memory.most(),
        memory_taken: memory.taken(),
        dropped_log_lines: process::DROPPED_LOG_LINES.get(),
    }
}

fn config_health(app: &App) -> ConfigHealth {
    let path = app.config().path.as_ref().map(|path| path.display().to_string());
    ConfigHealth { path, reloads: app.reloads().clone() }
}

/// `GET /chorus/config`: the config in use, defaults included and without its secrets, with the
/// proxies of the environment.
///
/// # Errors
/// 403 for a client that is no admin.
pub(super) async fn config(
    app: App,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Value>, AppError> {
    admins_only(&caller)?;
    Ok(Json(shown(app.config())))
}

/// # Errors
/// 403 for a client that is no admin.
pub(super) fn admins_only(caller: &Caller) -> Result<(), AppError> {
    match &caller.client {
        Some(client) if !client.config.admin => Err(AppError::AdminsOnly),
        _ => Ok(()),
    }
}

/// The answer of `GET /chorus/clients`, which is Chorus' own.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct ClientList {
    /// In the order of the config.
    clients: Vec<ClientReport>,
}

/// `GET /chorus/clients`: what clients have used, against what they may. A client that is no admin sees
/// itself.
pub(super) async fn clients(app: App, Extension(caller): Extension<Caller>) -> Json<ClientList> {
    let is_shown = |client: &&Arc<Client>| match &caller.client {
        Some(asking) => asking.config.admin || asking.name == client.name,
        None => true,
    };
    let shown = app.door.clients.iter().filter(is_shown);
    let clients = shown.map(|client| ClientReport::of(&client.config, &client.account)).collect();
    Json(ClientList { clients })
}

/// The answer of `GET /chorus/config/versions`.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "ConfigVersions")]
pub(super) struct KeptVersions {
    /// The latest first.
    versions: Vec<Version>,
}

/// `GET /chorus/config/versions`: the configs that were loaded: when, and what each changed.
///
/// # Errors
/// 403 for a client that is no admin; 500 when their folder cannot be read.
pub(super) async fn versions(
    app: App,
    Extension(caller): Extension<Caller>,
) -> Result<Json<KeptVersions>, AppError> {
    admins_only(&caller)?;
    let kept = app.config().versions.clone();
    let list = move || kept.map_or_else(|| Ok(Vec::new()), |kept| kept.list());
    let listed = spawn_blocking(list).await;
    let Ok(Ok(mut versions)) = listed else {
        return Err(AppError::Internal("the versions of the config cannot be read"));
    };
    versions.reverse();
    Ok(Json(KeptVersions { versions }))
}

fn shown(config: &Config) -> Value {
    let Proxies { http, https, bypass } = &config.transport.proxies;
    let mut shown = config.shown.clone();
    if let Some(pool) = shown.pointer_mut("/workflow/pool").and_then(Value::as_object_mut) {
        pool.insert("http_proxy".to_owned(), json!(http.as_ref().map(proxy)));
        pool.insert("https_proxy".to_owned(), json!(https.as_ref().map(proxy)));
        pool.insert("no_proxy".to_owned(), json!(bypass));
    }
    if let Some(shown) = shown.as_object_mut() {
        let path = config.path.as_ref().map(|path| path.display().to_string());
        shown.shift_insert(0, "path".to_owned(), json!(path));
    }
    shown
}

/// Its path means nothing, and may be a slip of the pen.
fn proxy(proxy: &Proxy) -> Value {
    let Proxy { variable, url } = proxy;
    let authority = |url: &Url| {
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}{port}", url.host_str().unwrap_or_default())
    };
    json!({ "variable": variable, "url": format!("{}://{}", url.scheme(), authority(url)) })
}

/// `GET /ready`: whether every model that a workflow needs has an endpoint in service, and the server
/// is not about to end.
pub(super) async fn ready(
    app: App,
    welcome: Option<Extension<Welcome>>,
) -> (StatusCode, Json<Ready>) {
    let missing = app.engine.unserved();
    let (code, status) = match missing.is_empty() && !app.lifecycle.is_leaving() {
        true => (StatusCode::OK, "ready"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not_ready"),
    };
    let models = if welcome.is_some() { missing } else { Vec::new() };
    (code, Json(Ready { status, models }))
}

/// These endpoints, for the description of the API.
pub(super) fn operations() -> Vec<Operation> {
    let new = |path: &'static str, summary| {
        Operation::new(("get", path), "Chorus", ErrorForm::Script, summary)
    };
    let verbose = "Shows models, config and process too, and then needs a key where there are any.";
    vec![
        new("/health", "Says that the server is alive.")
            .open()
            .takes("query", "verbose", &json!({ "type": "boolean" }), verbose)
            .answers::<Health>()
            .fails(&[401]),
        new("/ready", "Says whether every model that a workflow needs can be asked.")
            .open()
            .answers::<Ready>()
            .answers_as::<Ready>(503),
        new("/metrics", "What was counted, in Prometheus' form.").says(),
        new("/chorus/config", "The config in use, defaults included and without its secrets.")
            .answers::<Map<String, Value>>(),
        new("/chorus/clients", "What each client has used, against what it may.")
            .answers::<ClientList>(),
        new("/chorus/config/versions", "The configs that were loaded, and what each changed.")
            .answers::<KeptVersions>(),
    ]
}

#[cfg(test)]
mod tests;
