//! The listener: our own accept loop on hyper, because axum's has no header timeout, no say in the
//! backlog, and a drain that waits for ever.

mod connection;
pub(super) mod drain_body;
mod listeners;
pub(super) mod open_files;
pub(super) mod shutdown;
mod streams;
pub(super) mod timer_keepalive;
#[cfg(unix)]
mod unix_socket;
mod write_timeout;

use std::{
    convert::Infallible, error::Error, future::Future, io, pin::pin, sync::Arc, time::Duration,
};

use axum::{body::HttpBody, http::Response};
use hyper::{
    Request,
    body::{Bytes, Incoming},
    service::Service,
};
use hyper_util::server::graceful::GracefulShutdown;
use rustls::ServerConfig;
use tokio::{
    task::{JoinError, JoinSet},
    time::{sleep, timeout},
};

pub use listeners::{Listeners, bind};
#[cfg(unix)]
pub use unix_socket::UnixSocket;

use super::workers::{Worker, Workers};
use crate::types::process;
pub(super) use connection::Room;
use connection::{Treatment, answer};
use open_files::REFUSED_AT_ONCE;
use shutdown::Lifecycle;

/// Pause after `accept` fails for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long clients may take to read their error event once the grace is over.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What the config in use says of connections.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// How long is waited for a client that does not read.
    pub(super) write: Duration,
    /// How long a shutdown goes on as before, but for saying that it comes.
    pub(super) delay: Duration,
    /// How long it then waits for all clients.
    pub(super) grace: Duration,
    /// For connections from the network.
    pub(super) tls: Option<Arc<ServerConfig>>,
}

/// Accepts until `shutdown` resolves, and some time longer, then drains: nothing new is accepted, what runs may finish
/// within `grace`, what is left then is asked to end by `lifecycle`, and at last hung up on.
/// Dropping the future closes every connection.
///
/// A connection goes to the worker that has the fewest, and stays there. `service` is asked for each
/// worker, once for what it answers and once for how it refuses a connection beyond what `most` says;
/// such a connection ends with its first answer. `SO_REUSEPORT` would spare the dealing, but spreads a few connections badly.
pub(super) async fn run<S, B>(
    listeners: Listeners,
    workers: &Workers,
    service: impl Fn(&Worker, Room) -> S,
    most: impl Fn() -> Option<usize>,
    lifecycle: &Lifecycle,
    rules: impl Fn() -> Rules,
    shutdown: impl Future<Output = ()>,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static,
{
    let graceful = GracefulShutdown::new();
    let both = |one| (one, service(one, Room::Left), service(one, Room::None));
    let services: Vec<(&Worker, S, S)> = workers.iter().map(both).collect();
    // A set of tasks, not detached ones: they cannot outlive the server.
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(async {
        shutdown.await;
        lifecycle.leave();
        sleep(rules().delay).await;
    });
    loop {
        let beyond = most().and_then(|most| connections.len().checked_sub(most));
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(ended) = connections.join_next(), if !connections.is_empty() => report(ended),
            accepted = listeners.accept(), if beyond < Some(REFUSED_AT_ONCE) => match accepted {
                Ok(accepted) => {
                    let idlest = services.iter().min_by_key(|(worker, ..)| worker.connections());
                    let Some((worker, service, refusing)) = idlest else { continue };
                    let (service, room) = match beyond {
                        None => (service.clone(), Room::Left),
                        Some(_) => (refusing.clone(), Room::None),
                    };
                    let Rules { write, tls, .. } = rules();
                    let treatment = Treatment { room, write, tls, lifecycle: lifecycle.clone() };
                    let (watcher, place) = (graceful.watcher(), worker.deal());
                    let answering = answer(accepted, service, watcher, treatment, place);
                    connections.spawn_on(answering, &worker.runtime);
                }
                Err(error) => accept_failed(&error).await,
            },
        }
    }
    drop(listeners);
    lifecycle.drain();
    let grace = rules().grace;
    tracing::info!(
        connections = connections.len(),
        grace_secs = grace.as_secs(),
        "shutting down: nothing new is accepted, running requests may finish"
    );
    let mut closed = pin!(graceful.shutdown());
    if timeout(grace, &mut closed).await.is_ok() {
        return;
    }
    lifecycle.end();
    if timeout(LAST_WORDS, &mut closed).await.is_err() {
        tracing::warn!("some clients did not read their last event and are hung up on");
    }
}

fn report(ended: Result<Result<(), hyper::Error>, JoinError>) {
    match ended {
        Ok(Ok(())) => {}
        // A client that left, or that does not speak HTTP: its own business.
        Ok(Err(error)) => tracing::debug!(%error, "a connection ended early"),
        Err(_) => tracing::error!("the task of a connection panicked"),
    }
}

/// A connection that broke while it waited is gone; anything else (no file descriptors, no memory)
/// would fail again at once, so that the loop would spin.
async fn accept_failed(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        return;
    }
    process::SHORTAGES.count();
    tracing::warn!(%error, "no connection can be accepted at the moment");
    sleep(ACCEPT_PAUSE).await;
}

#[cfg(test)]
mod tests;
