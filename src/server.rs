//! HTTP: dialects, errors, streaming.
//!
//! A request passes `observe` (id, log line, admission), `auth` (Host, Origin, key) and reaches a
//! handler, which is a paragraph: `extract` reads the dialect's body, `openai` or `ollama` turns it
//! into the engine's request, and `frames` turns the run's events back into the dialect's bytes.

mod auth;
mod content;
mod cors;
mod dialect;
pub mod encoding;
mod error;
mod extract;
mod frames;
mod lifecycle;
mod listener;
mod observe;
mod ollama;
mod openai;
mod ops;
mod passthrough;
mod progress;
mod responses;
#[cfg(test)]
mod test_support;
#[cfg(test)]
mod tests;
mod tools;
mod unread;
mod wire;

use std::{future::Future, sync::Arc};

use axum::{
    Router,
    extract::Request,
    middleware::from_fn_with_state,
    routing::{any, get, post},
};
use jiff::Timestamp;
use tokio::{
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore},
};

pub use listener::bind;

use crate::{
    config::Config,
    workflow::{DEFAULT_WORKFLOW, Engine, Route},
};
use auth::Door;
use error::AppError;
use lifecycle::Lifecycle;
use observe::Caller;

/// What every handler shares.
#[derive(Clone, Debug)]
pub struct AppState {
    engine: Arc<Engine>,
    lifecycle: Lifecycle,
    in_flight: Arc<Semaphore>,
    started: Timestamp,
    responses: Arc<responses::Store>,
}

impl AppState {
    /// Around an engine.
    #[must_use]
    pub fn new(engine: Arc<Engine>) -> Self {
        let permits = engine.config().server.max_in_flight.min(Semaphore::MAX_PERMITS);
        Self {
            engine,
            lifecycle: Lifecycle::new(),
            in_flight: Arc::new(Semaphore::new(permits)),
            started: Timestamp::now(),
            responses: Arc::default(),
        }
    }

    fn config(&self) -> &Config {
        self.engine.config()
    }

    /// Whether a request may come in now; the permit is held until its response is over. The
    /// probes need none, so that a full server does not look like a dead one.
    fn admit(&self, path: &str) -> Result<Option<OwnedSemaphorePermit>, AppError> {
        if self.lifecycle.is_draining() {
            return Err(AppError::ShuttingDown);
        }
        if ops::is_probe(path) {
            return Ok(None);
        }
        let permit = Arc::clone(&self.in_flight).try_acquire_owned();
        permit.map(Some).map_err(|_| AppError::Overloaded)
    }

    /// Who answers `model`, and the name to echo: the one that was sent, `chorus` when none was.
    fn route(&self, caller: &Caller, model: &str) -> Result<(Route, String), AppError> {
        let name = if model.is_empty() { DEFAULT_WORKFLOW } else { model };
        caller.log.model(name);
        match self.engine.route(model) {
            Some(route) => Ok((route, name.to_owned())),
            None => Err(AppError::UnknownModel(name.to_owned())),
        }
    }
}

/// Serves until `shutdown` resolves and the drain is over, and looks after the upstreams meanwhile: nothing new is accepted, running
/// requests get `shutdown_grace`, and what is left then ends with an error its client can see.
pub async fn serve(listener: TcpListener, app: AppState, shutdown: impl Future<Output = ()>) {
    let on_loopback = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
    let lifecycle = app.lifecycle.clone();
    let grace = app.config().server.shutdown_grace;
    let engine = Arc::clone(&app.engine);
    let router = router(app, on_loopback);
    tokio::select! {
        () = listener::run(listener, router, &lifecycle, grace, shutdown) => {}
        // Looks after the upstreams, and never ends by itself.
        () = engine.tend() => {}
    }
}

/// Every endpoint inside its middleware; the last layer is the outermost.
fn router(app: AppState, on_loopback: bool) -> Router {
    let door = Door::new(app.config(), on_loopback);
    // Below the alias the dialect is always Ollama's own: for its clients that look like scripts.
    let router = ollama_routes(ollama_routes(Router::new(), ""), "/ollama");
    router
        .route("/ollama", get(ollama::root))
        .route("/v1/chat/completions", post(openai::chat_completions))
        .route("/v1/completions", post(openai::completions))
        .route("/v1/embeddings", post(passthrough::embeddings))
        .route("/v1/responses", post(responses::create))
        .route("/v1/models", get(openai::models))
        .route("/v1/models/{*id}", get(openai::model))
        .route("/health", get(ops::health))
        .route("/ready", get(ops::ready))
        .fallback(unknown_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(app.clone(), observe::admit))
        .layer(from_fn_with_state(door, auth::guard))
        .layer(from_fn_with_state(app.clone(), observe::observe))
        .with_state(app)
}

/// Ollama's own paths below a prefix.
fn ollama_routes(router: Router<AppState>, prefix: &str) -> Router<AppState> {
    let at = |path: &str| format!("{prefix}{path}");
    let router = router
        .route(&at("/"), get(ollama::root))
        .route(&at("/api/chat"), post(ollama::chat))
        .route(&at("/api/generate"), post(ollama::generate))
        .route(&at("/api/embed"), post(passthrough::ollama_embed))
        .route(&at("/api/embeddings"), post(passthrough::ollama_embeddings))
        .route(&at("/api/tags"), get(ollama::tags))
        .route(&at("/api/ps"), get(ollama::ps))
        .route(&at("/api/show"), post(ollama::show))
        .route(&at("/api/version"), get(ollama::version));
    ["pull", "push", "create", "copy", "delete", "blobs/{*digest}"].iter().fold(
        router,
        |router, operation| {
            router.route(&at(&format!("/api/{operation}")), any(ollama::unsupported))
        },
    )
}

async fn unknown_route(request: Request) -> AppError {
    AppError::UnknownRoute(format!("{} {}", request.method(), request.uri().path()))
}

async fn method_not_allowed(request: Request) -> AppError {
    AppError::MethodNotAllowed(request.method().to_string())
}
