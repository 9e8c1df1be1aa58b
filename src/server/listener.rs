//! The listener: our own accept loop on hyper, because axum's has no header timeout, no say in the
//! backlog, and a drain that waits for ever.

use std::{future::Future, io, net::SocketAddr, pin::pin, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinError, JoinSet},
    time::{sleep, timeout},
};

use super::lifecycle::Lifecycle;

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
/// within `grace`, what is left then is told to end by `lifecycle`, and at last hung up on.
/// Dropping the future closes every connection.
pub(super) async fn run(
    listener: TcpListener,
    router: Router,
    lifecycle: &Lifecycle,
    grace: Duration,
    shutdown: impl Future<Output = ()>,
) {
    let graceful = GracefulShutdown::new();
    // A set of tasks, not detached ones: they cannot outlive the server.
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(ended) = connections.join_next(), if !connections.is_empty() => report(ended),
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(graceful.watch(connection(stream, router.clone())));
                }
                Err(error) => accept_failed(&error).await,
            },
        }
    }
    drop(listener);
    lifecycle.drain();
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

type Connection = http1::Connection<TokioIo<TcpStream>, TowerToHyperService<Router>>;

fn connection(stream: TcpStream, router: Router) -> Connection {
    // Without nodelay a small event waits up to 40 ms for the client's acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "nodelay was refused");
    }
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .max_buf_size(READ_BUFFER)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
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
    tracing::warn!(%error, "no connection can be accepted at the moment");
    sleep(ACCEPT_PAUSE).await;
}
