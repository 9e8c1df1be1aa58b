//! One connection from its first byte to its last: TLS where there is any, the version of HTTP, and
//! the limits that hold whatever both are.

use std::{
    convert::Infallible,
    error::Error,
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{body::HttpBody, http::Response};
use hyper::{
    Request,
    body::{Bytes, Incoming},
    server::conn::{http1, http2},
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::Watcher,
};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::{
    listeners::Accepted,
    open_files::REFUSAL_WAIT,
    shutdown::Lifecycle,
    streams::{Streams, Windowed},
    write_timeout::WriteTimeout,
};
use crate::server::{client_addr::Peer, workers::Dealt};

/// How long a client may take over its headers. Idle kept-alive connections end by it too, so it
/// is longer than the idle time of common clients' pools.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(75);
/// How long a handshake of TLS may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Headers larger than this are refused; it is also the read buffer of bodies.
const READ_BUFFER: usize = 64 * 1024;
/// The same for HTTP/2.
const HEADER_LIST: u32 = 64 * 1024;
/// Requests at once on one connection of HTTP/2.
const MOST_STREAMS: u32 = 128;
/// What a connection of HTTP/2 begins with, as far as no method of HTTP/1.1 does.
const PREFACE: &[u8] = b"PRI ";

/// Whether there is room for one more connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Room {
    /// There is.
    Left,
    /// It is refused.
    None,
}

/// How a connection is treated.
pub(super) struct Treatment {
    pub(super) room: Room,
    /// How long a write may wait.
    pub(super) write: Duration,
    pub(super) tls: Option<Arc<ServerConfig>>,
    pub(super) lifecycle: Lifecycle,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Http1,
    Http2,
}

/// Answers the requests of a connection, on the worker whose place is held; where there is no room for
/// it, one of them.
pub(super) async fn answer<S, B>(
    accepted: Accepted,
    service: S,
    watcher: Watcher,
    treatment: Treatment,
    _place: Dealt,
) -> Result<(), hyper::Error>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Send + 'static,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static,
{
    let room = treatment.room;
    let answered = talk(accepted, service, watcher, treatment);
    match room {
        Room::Left => answered.await,
        // Whoever takes longer is hung up on.
        Room::None => timeout(REFUSAL_WAIT, answered).await.unwrap_or(Ok(())),
    }
}

async fn talk<S, B>(
    accepted: Accepted,
    service: S,
    watcher: Watcher,
    treatment: Treatment,
) -> Result<(), hyper::Error>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Send + 'static,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static,
{
    // It was accepted on another runtime, which would go on waking it up.
    let stream = match accepted {
        Accepted::Tcp(stream) => stream.into_std().and_then(TcpStream::from_std),
        #[cfg(unix)]
        Accepted::Unix(stream) => {
            let stream = stream.into_std().and_then(tokio::net::UnixStream::from_std);
            let Ok(stream) = stream.inspect_err(not_handed_over) else { return Ok(()) };
            let service = from(Peer(Ipv4Addr::LOCALHOST.into()), service);
            return Box::pin(speak_http1(stream, service, watcher, &treatment)).await;
        }
    };
    let Ok(stream) = stream.inspect_err(not_handed_over) else { return Ok(()) };
    send_at_once(&stream);
    let Ok(peer) = stream.peer_addr() else { return Ok(()) };
    let service = from(Peer(peer.ip()), service);
    if let Some(tls) = &treatment.tls {
        let Some((stream, version)) = shaken(tls, stream, &treatment.lifecycle).await else {
            return Ok(());
        };
        return match version {
            Version::Http1 => Box::pin(speak_http1(stream, service, watcher, &treatment)).await,
            Version::Http2 => Box::pin(speak_http2(stream, service, watcher, &treatment)).await,
        };
    }
    match version(&stream, &treatment.lifecycle).await {
        None => Ok(()),
        Some(Version::Http1) => speak_http1(stream, service, watcher, &treatment).await,
        Some(Version::Http2) => Box::pin(speak_http2(stream, service, watcher, &treatment)).await,
    }
}

/// The service, for requests that say where they come from.
fn from<S, B>(
    peer: Peer,
    service: S,
) -> impl Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future = S::Future>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    B: HttpBody,
{
    service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        service.call(request)
    })
}

/// A connection behind its handshake; `None`: there was none, or no time for one.
async fn shaken(
    tls: &Arc<ServerConfig>,
    stream: TcpStream,
    lifecycle: &Lifecycle,
) -> Option<(tokio_rustls::server::TlsStream<TcpStream>, Version)> {
    let accepting = TlsAcceptor::from(Arc::clone(tls)).accept(stream);
    let shaken = tokio::select! {
        biased;
        shaken = timeout(HANDSHAKE_TIMEOUT, accepting) => shaken,
        () = lifecycle.draining() => return None,
    };
    match shaken {
        Ok(Ok(stream)) => {
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let version = if is_http2 { Version::Http2 } else { Version::Http1 };
            Some((stream, version))
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, "a handshake of TLS failed");
            None
        }
        Err(_) => None,
    }
}

/// Which version a client begins to speak, told by its first bytes, which stay unread; `None`: it says
/// nothing. HTTP/2 without TLS is only known by that.
async fn version(stream: &TcpStream, lifecycle: &Lifecycle) -> Option<Version> {
    let mut first = [0; PREFACE.len()];
    let seen = tokio::select! {
        biased;
        seen = timeout(HEADER_READ_TIMEOUT, stream.peek(&mut first)) => seen,
        () = lifecycle.draining() => return None,
    };
    match seen {
        Ok(Ok(0) | Err(_)) | Err(_) => None,
        // Whoever sends less of it at a time does not speak HTTP/2 as anybody does.
        Ok(Ok(_)) if first == PREFACE => Some(Version::Http2),
        Ok(Ok(_)) => Some(Version::Http1),
    }
}

async fn speak_http1<T, S, B>(
    stream: T,
    service: S,
    watcher: Watcher,
    treatment: &Treatment,
) -> Result<(), hyper::Error>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    B: HttpBody<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + 'static,
{
    let connection = http1::Builder::new()
        .auto_date_header(has_date())
        .keep_alive(treatment.room == Room::Left)
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .max_buf_size(READ_BUFFER)
        .serve_connection(WriteTimeout::new(TokioIo::new(stream), treatment.write), service);
    watcher.watch(connection).await
}

async fn speak_http2<T, S, B>(
    stream: T,
    service: S,
    watcher: Watcher,
    treatment: &Treatment,
) -> Result<(), hyper::Error>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let answered = service.call(request);
        async move { answered.await.map(|response| response.map(Windowed::new)) }
    });
    let streams = Streams::new(treatment.write);
    let connection = http2::Builder::new(streams.clone())
        .timer(TokioTimer::new())
        .auto_date_header(has_date())
        .max_concurrent_streams(MOST_STREAMS)
        .max_header_list_size(HEADER_LIST)
        .keep_alive_interval(HEADER_READ_TIMEOUT)
        .keep_alive_timeout(treatment.write)
        .serve_connection(WriteTimeout::new(TokioIo::new(stream), treatment.write), service);
    tokio::select! {
        ended = watcher.watch(connection) => ended,
        () = streams.idle_for(HEADER_READ_TIMEOUT) => Ok(()),
    }
}

fn not_handed_over(error: &std::io::Error) {
    tracing::warn!(%error, "a connection could not be handed to its worker");
}

/// The HTTP library panics at a date before 1970.
fn has_date() -> bool {
    SystemTime::now() >= SystemTime::UNIX_EPOCH
}

/// Otherwise a small event waits up to 40 ms for the client to acknowledge the one before.
pub(super) fn send_at_once(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "nodelay was refused");
    }
}
