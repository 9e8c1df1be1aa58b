//! The listener: our own accept loop on hyper, because axum's has no header timeout, no say in the
//! backlog, and a drain that waits for ever.

pub(super) mod drain_body;
pub(super) mod open_files;
pub(super) mod shutdown;
pub(super) mod timer_keepalive;
mod write_timeout;

use std::{
    convert::Infallible,
    error::Error,
    future::Future,
    io,
    net::SocketAddr,
    pin::pin,
    time::{Duration, SystemTime},
};

use axum::{body::HttpBody, http::Response};
use hyper::{
    Request,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinError, JoinSet},
    time::{sleep, timeout},
};

use super::{
    client_addr::Peer,
    workers::{Dealt, Worker, Workers},
};
use crate::types::process;
use open_files::{REFUSAL_WAIT, REFUSED_AT_ONCE};
use shutdown::Lifecycle;
use write_timeout::WriteTimeout;

/// Connections the kernel may hold for us while we are busy.
const BACKLOG: i32 = 1024;
/// How long a client may take over its headers. Idle kept-alive connections end by it too, so it
/// is longer than the idle time of common clients' pools.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(75);
/// Headers larger than this are refused; it is also the read buffer of bodies.
const READ_BUFFER: usize = 64 * 1024;
/// Pause after `accept` fails for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long clients may take to read their error event once the grace is over.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Whether there is room for one more connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// There is.
    Left,
    /// It is refused.
    None,
}

/// How long is waited for clients.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    /// Limit of a client that does not read.
    pub(super) write: Duration,
    /// Limit of all connections, at a shutdown.
    pub(super) grace: Duration,
}

/// Binds with a backlog of 1024. The address may be that of a server that has just ended.
///
/// # Errors
/// The socket's: the port is taken, the address is not ours.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // On Windows the option means something else: it lets two programs share a port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Accepts until `shutdown` resolves, then drains: nothing new is accepted, what runs may finish
/// within `grace`, what is left then is asked to end by `lifecycle`, and at last hung up on.
/// Dropping the future closes every connection.
///
/// A connection goes to the worker that has the fewest, and stays there. `service` is asked for each
/// worker, once for what it answers and once for how it refuses a connection beyond what `most` says;
/// such a connection ends with its first answer. `SO_REUSEPORT` would spare the dealing, but spreads a few connections badly.
pub(super) async fn run<S, B>(
    listener: TcpListener,
    workers: &Workers,
    service: impl Fn(&Worker, Room) -> S,
    most: impl Fn() -> Option<usize>,
    lifecycle: &Lifecycle,
    timing: impl Fn() -> Timing,
    shutdown: impl Future<Output = ()>,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: HttpBody<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let graceful = GracefulShutdown::new();
    let both = |one| (one, service(one, Room::Left), service(one, Room::None));
    let services: Vec<(&Worker, S, S)> = workers.iter().map(both).collect();
    // A set of tasks, not detached ones: they cannot outlive the server.
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let beyond = most().and_then(|most| connections.len().checked_sub(most));
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(ended) = connections.join_next(), if !connections.is_empty() => report(ended),
            accepted = listener.accept(), if beyond < Some(REFUSED_AT_ONCE) => match accepted {
                Ok((stream, _)) => {
                    let idlest = services.iter().min_by_key(|(worker, ..)| worker.connections());
                    let Some((worker, service, refusing)) = idlest else { continue };
                    let (watcher, place) = (graceful.watcher(), worker.deal());
                    if beyond.is_some() {
                        let refusing = refuse(stream, refusing.clone(), watcher, place);
                        connections.spawn_on(refusing, &worker.runtime);
                    } else {
                        let write = timing().write;
                        let answering = answer(stream, service.clone(), watcher, write, place);
                        connections.spawn_on(answering, &worker.runtime);
                    }
                }
                Err(error) => accept_failed(&error).await,
            },
        }
    }
    drop(listener);
    lifecycle.drain();
    let grace = timing().grace;
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

/// Answers the requests of a connection, on the worker whose place is held.
async fn answer<S, B>(
    stream: TcpStream,
    service: S,
    watcher: Watcher,
    write: Duration,
    _place: Dealt,
) -> Result<(), hyper::Error>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    B: HttpBody<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + 'static,
{
    // It was accepted on another runtime, which would go on waking it up.
    let stream = match stream.into_std().and_then(TcpStream::from_std) {
        Ok(stream) => stream,
        Err(error) => {
            tracing::warn!(%error, "a connection could not be handed to its worker");
            return Ok(());
        }
    };
    send_at_once(&stream);
    let peer = stream.peer_addr().ok().map(|address| Peer(address.ip()));
    let service = service_fn(move |mut request: Request<Incoming>| {
        peer.and_then(|peer| request.extensions_mut().insert(peer));
        service.call(request)
    });
    let connection = http1::Builder::new()
        .auto_date_header(has_date())
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .max_buf_size(READ_BUFFER)
        .serve_connection(WriteTimeout::new(TokioIo::new(stream), write), service);
    watcher.watch(connection).await
}

/// Answers one request of a connection that there is no room for.
async fn refuse<S, B>(
    stream: TcpStream,
    service: S,
    watcher: Watcher,
    _place: Dealt,
) -> Result<(), hyper::Error>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    B: HttpBody<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + 'static,
{
    let Ok(stream) = stream.into_std().and_then(TcpStream::from_std) else { return Ok(()) };
    let connection = http1::Builder::new()
        .auto_date_header(has_date())
        .keep_alive(false)
        .max_buf_size(READ_BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    // Whoever takes longer is hung up on.
    timeout(REFUSAL_WAIT, watcher.watch(connection)).await.unwrap_or(Ok(()))
}

/// The HTTP library panics at a date before 1970.
fn has_date() -> bool {
    SystemTime::now() >= SystemTime::UNIX_EPOCH
}

/// Otherwise a small event waits up to 40 ms for the client to acknowledge the one before.
fn send_at_once(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "nodelay was refused");
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
