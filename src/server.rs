//! HTTP: dialects, errors, streaming.
//!
//! A request passes `observe` (id, the config it works with, log line), `auth` (Host, Origin, key)
//! and admission, and reaches a handler, which is a paragraph: `extract` reads the dialect's body,
//! `openai` or `ollama` turns it into the engine's request, and `frames` turns the run's events back
//! into the dialect's bytes. `state` holds the config in use, and swaps it.

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
mod state;
#[cfg(test)]
mod test_support;
#[cfg(test)]
mod tests;
mod tools;
mod unread;
mod wire;

use std::future::Future;

use axum::{
    Router,
    extract::Request,
    middleware::{from_fn, from_fn_with_state},
    routing::{any, get, post},
};
use tokio::net::TcpListener;

pub use listener::bind;
pub use state::AppState;

use error::AppError;
use state::App;

/// Serves until `shutdown` resolves and the drain is over, and looks after the upstreams meanwhile:
/// nothing new is accepted, running requests get `shutdown_grace`, and what is left then ends with an
/// error its client can see.
pub async fn serve(listener: TcpListener, state: AppState, shutdown: impl Future<Output = ()>) {
    let on_loopback = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
    let lifecycle = state.app().lifecycle.clone();
    let grace = || state.engine().config().server.shutdown_grace;
    let router = router(state.clone(), on_loopback);
    tokio::select! {
        () = listener::run(listener, router, &lifecycle, grace, shutdown) => {}
        // Looks after the upstreams, and never ends by itself.
        () = state.tend() => {}
    }
}

/// Every endpoint inside its middleware; the last layer is the outermost.
fn router(state: AppState, on_loopback: bool) -> Router {
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
        .route("/chorus/config", get(ops::config))
        .fallback(unknown_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn(observe::admit))
        .layer(from_fn_with_state(auth::OnLoopback(on_loopback), auth::guard))
        .layer(from_fn_with_state(state, observe::observe))
}

/// Ollama's own paths below a prefix.
fn ollama_routes(router: Router, prefix: &str) -> Router {
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
