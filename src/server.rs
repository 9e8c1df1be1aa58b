//! HTTP: dialects, errors, streaming.
//!
//! A request passes `Front`: `observe` (id, log line), `auth` (Host, Origin, key), and a place among
//! those in flight. It reaches a handler, which is a paragraph: `extract` reads the dialect's body,
//! `openai`, `ollama` or another dialect turns it into the engine's request, and `frames` turns the
//! run's events back into the dialect's bytes. `state` holds the config in use, and swaps it.

mod anthropic;
mod audit;
mod auth;
mod caller;
mod certificate;
mod client_addr;
mod clients;
mod content;
mod cors;
mod dialect;
mod drains;
#[doc(hidden)]
pub mod encoding;
mod error;
mod extract;
mod form;
mod frames;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod gemini;
mod give_back;
mod history;
mod keys;
mod limits;
mod listener;
mod mcp;
mod metrics;
mod models;
mod observe;
mod ollama;
mod openai;
mod openapi;
mod operation;
mod ops;
mod parsed;
mod passthrough;
mod paths;
mod progress;
mod reloads;
mod responses;
mod runs;
mod scrape;
mod session;
mod state;
mod status;
#[cfg(test)]
mod test_support;
#[cfg(test)]
mod tests;
mod tokens;
mod tools;
mod ui;
mod wire;
mod workers;

use std::{convert::Infallible, future::Future, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
    routing::{MethodRouter, any, get, post},
};
use hyper::{
    body::Incoming,
    service::{Service, service_fn},
};
use hyper_util::service::TowerToHyperService;
use tokio::{task::JoinSet, time::sleep};

pub use limits::{Bounds, ClientReport, Measure, PeriodReport, Taken, kept_reports};
#[cfg(unix)]
pub use listener::UnixSocket;
pub use listener::{Listeners, bind, open_files::raise_open_files};
pub use mcp::serve_tools;
pub use state::AppState;
pub use workers::Workers;

use auth::{Checked, OnLoopback};
use error::AppError;
use give_back::give_back;
use listener::{Room, Rules, open_files::most_connections, timer_keepalive::TimerKeepalive};
use observe::{Observed, observe};
use state::App;
use workers::Worker;

/// Serves until `shutdown` resolves and the drain is over, and looks after the upstreams meanwhile:
/// `/ready` says so first, then nothing new is accepted, running requests get `shutdown_grace`, and what is left then ends with an
/// error its client can see. Connections are answered by `workers`, which end with it.
pub async fn serve(
    listeners: impl Into<Listeners>,
    workers: Workers,
    state: AppState,
    shutdown: impl Future<Output = ()>,
) {
    let listeners = listeners.into();
    let on_loopback = listeners.is_on_loopback();
    // The rest of it belongs to one config.
    let lifecycle = state.app().lifecycle.clone();
    let rules = || {
        let engine = state.engine();
        let server = &engine.config().server;
        Rules {
            write: server.write_timeout,
            delay: server.shutdown_delay,
            grace: server.shutdown_grace,
            tls: server.tls.as_ref().map(|tls| Arc::clone(&tls.acceptor)),
        }
    };
    let service = |worker: &Worker, room| {
        let keepalive = Arc::clone(&worker.timer_keepalive);
        let mut front = Front::new(state.clone(), on_loopback, keepalive);
        front.room = room;
        let front = Arc::new(front);
        service_fn(move |request: hyper::Request<Incoming>| {
            let front = Arc::clone(&front);
            async move { Ok::<_, Infallible>(front.answer(request.map(Body::new)).await) }
        })
    };
    let count = workers.iter().count();
    let most = || most_connections(state.engine().config(), count);
    let mut warming = JoinSet::new();
    for worker in workers.iter() {
        let state = state.clone();
        warming.spawn_on(async move { state.keep_warm().await }, &worker.runtime);
    }
    tokio::select! {
        () = listener::run(listeners, &workers, service, most, &lifecycle, rules, shutdown) => {}
        // They never end by themselves.
        () = state.check_health() => {}
        () = give_back() => {}
        () = state.settle_metrics() => {}
        () = certificate::remind(|| state.engine().config().server.tls.as_ref()?.ends) => {}
    }
}

/// What every request passes, from the outside in: a config to work with and a log line, the door, a
/// place, a handler. Plain functions rather than layers of the router's, each of which would put its
/// future into a box and clone the service behind it.
struct Front {
    state: AppState,
    on_loopback: OnLoopback,
    room: Room,
    timer_keepalive: Arc<TimerKeepalive>,
    routes: TowerToHyperService<Router>,
}

impl Front {
    fn new(state: AppState, on_loopback: bool, timer_keepalive: Arc<TimerKeepalive>) -> Self {
        let routes = TowerToHyperService::new(routes());
        let on_loopback = OnLoopback(on_loopback);
        Self { state, on_loopback, room: Room::Left, timer_keepalive, routes }
    }

    async fn answer(&self, request: Request) -> Response<Observed> {
        let app = self.state.app();
        let mut request = keys::out_of_query(paths::straightened(request));
        app.door.locate(&mut request);
        let keepalive = self.timer_keepalive.hold();
        observe(app.clone(), keepalive, request, |request| self.admitted(app, request)).await
    }

    /// The pages that may read the answer may read a refusal too, such as that the server is full.
    async fn admitted(&self, app: App, mut request: Request) -> Response {
        let origin = match app.door.check_place(self.on_loopback, &request) {
            Ok(origin) => origin,
            Err(error) => return error.into_response(),
        };
        if self.room == Room::None {
            return AppError::Crowded.into_response();
        }
        let checked = app.door.check_caller(&mut request);
        if let Some(wait) = app.door.wait(&request, &app.wrong_keys) {
            sleep(wait).await;
        }
        let (mut response, client) = match checked {
            Checked::Answered(answer) => (answer, None),
            Checked::LetIn(client) => match app.admit(&request) {
                Ok(()) => (self.handled(request).await, client),
                Err(error) => (error.into_response(), client),
            },
        };
        if let Some(client) = client {
            limits::describe(response.headers_mut(), &client.account, &client.limits);
        }
        if let Some(origin) = origin {
            cors::allow(response.headers_mut(), origin);
        }
        response
    }

    async fn handled(&self, request: Request) -> Response {
        let Ok(response) = self.routes.call(request).await;
        response
    }
}

fn routes() -> Router {
    let all = endpoints().into_iter();
    let router = all.fold(Router::new(), |router, (path, answer)| router.route(&path, answer));
    router.fallback(unknown_route).method_not_allowed_fallback(method_not_allowed)
}

/// Every endpoint.
fn endpoints() -> Vec<(String, MethodRouter)> {
    let own = [
        ("/", get(ollama::front)),
        ("/ui", get(ui::page)),
        ("/ui/{file}", get(ui::part)),
        ("/ollama", get(ollama::root)),
        ("/ollama/", get(ollama::root)),
        ("/v1/chat/completions", post(openai::chat_completions)),
        ("/v1/completions", post(openai::completions)),
        ("/v1/embeddings", post(passthrough::embeddings)),
        ("/v1/rerank", post(passthrough::rerank)),
        ("/v1/reranking", post(passthrough::rerank)),
        ("/v2/rerank", post(passthrough::rerank)),
        ("/v1/responses", post(responses::create)),
        ("/v1/responses/{id}", get(responses::retrieve).delete(responses::delete)),
        ("/v1/messages", post(anthropic::messages)),
        ("/v1/messages/count_tokens", post(anthropic::count_tokens)),
        ("/api/hello", get(anthropic::hello)),
        ("/mcp", post(mcp::post)),
        ("/v1/models", get(models::list)),
        ("/v1/models/{*id}", get(models::one).post(gemini::call)),
        ("/v1beta/models", get(models::list)),
        ("/v1beta/models/{*id}", get(models::one).post(gemini::call)),
        ("/health", get(ops::health)),
        ("/ready", get(ops::ready)),
        ("/metrics", get(scrape::metrics)),
        ("/chorus/config", get(ops::config)),
        ("/chorus/clients", get(ops::clients)),
        ("/chorus/config/versions", get(ops::versions)),
        ("/chorus/status", get(status::status)),
        ("/chorus/runs", get(history::list)),
        ("/chorus/runs/live", get(history::watch)),
        ("/chorus/runs/{id}", get(history::one).delete(history::cancel)),
        ("/openapi.json", get(openapi::openapi)),
    ];
    let mut all: Vec<_> = own.into_iter().map(|(path, answer)| (path.to_owned(), answer)).collect();
    // Below the alias the dialect is always Ollama's own: for its clients that look like scripts.
    for prefix in ["", "/ollama"] {
        let below = ollama_endpoints().into_iter();
        all.extend(below.map(|(path, answer)| (format!("{prefix}{path}"), answer)));
    }
    all
}

/// Ollama's own.
fn ollama_endpoints() -> Vec<(&'static str, MethodRouter)> {
    let unsupported = || any(ollama::unsupported);
    vec![
        ("/api/chat", post(ollama::chat)),
        ("/api/generate", post(ollama::generate)),
        ("/api/embed", post(passthrough::ollama_embed)),
        ("/api/embeddings", post(passthrough::ollama_embeddings)),
        ("/api/tags", get(ollama::tags)),
        ("/api/ps", get(ollama::ps)),
        ("/api/show", post(ollama::show)),
        ("/api/version", get(ollama::version)),
        ("/api/pull", unsupported()),
        ("/api/push", unsupported()),
        ("/api/create", unsupported()),
        ("/api/copy", unsupported()),
        ("/api/delete", unsupported()),
        ("/api/blobs/{*digest}", unsupported()),
    ]
}

async fn unknown_route(request: Request) -> AppError {
    AppError::UnknownRoute(paths::about_unknown(request.method(), request.uri().path()))
}

async fn method_not_allowed(request: Request) -> AppError {
    AppError::MethodNotAllowed(paths::about_method(request.method(), request.uri().path()))
}
