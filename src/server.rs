//! HTTP: dialects, errors, streaming.

use std::{future::Future, io, net::SocketAddr, sync::Arc};

use tokio::net::TcpListener;

use crate::workflow::Engine;

/// What every handler shares.
#[derive(Clone, Debug)]
pub struct AppState {
    _engine: Arc<Engine>,
}

impl AppState {
    /// Around an engine.
    #[must_use]
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { _engine: engine }
    }
}

/// Binds with a backlog of 1024.
///
/// # Errors
/// The socket's.
pub fn bind(_address: SocketAddr) -> io::Result<TcpListener> {
    Err(io::Error::other("unfinished skeleton"))
}

/// Serves until `shutdown` resolves and the drain is over.
pub async fn serve(_listener: TcpListener, _app: AppState, _shutdown: impl Future<Output = ()>) {}
