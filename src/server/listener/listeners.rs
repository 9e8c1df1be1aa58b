//! Where the server listens: a port, and perhaps a Unix socket beside it.

use std::{io, net::SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

#[cfg(unix)]
use super::unix_socket::UnixSocket;

/// Connections the kernel may hold for us while we are busy.
const BACKLOG: i32 = 1024;

/// What a server accepts from.
#[derive(Debug)]
pub struct Listeners {
    tcp: TcpListener,
    #[cfg(unix)]
    unix: Option<UnixSocket>,
}

/// A connection that was accepted.
#[derive(Debug)]
pub(super) enum Accepted {
    /// From the port.
    Tcp(TcpStream),
    /// From the socket.
    #[cfg(unix)]
    Unix(tokio::net::UnixStream),
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

impl From<TcpListener> for Listeners {
    fn from(tcp: TcpListener) -> Self {
        Self {
            tcp,
            #[cfg(unix)]
            unix: None,
        }
    }
}

impl Listeners {
    /// Listens on a Unix socket too.
    #[cfg(unix)]
    #[must_use]
    pub fn and_unix(self, socket: UnixSocket) -> Self {
        Self { unix: Some(socket), ..self }
    }

    /// The address of the port.
    ///
    /// # Errors
    /// The socket's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Whether only this machine reaches the port; the socket it reaches alone anyway.
    pub(in crate::server) fn is_on_loopback(&self) -> bool {
        self.tcp.local_addr().is_ok_and(|address| address.ip().is_loopback())
    }

    #[cfg(unix)]
    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        let tcp = async { self.tcp.accept().await.map(|(stream, _)| Accepted::Tcp(stream)) };
        match &self.unix {
            None => tcp.await,
            Some(unix) => tokio::select! {
                accepted = tcp => accepted,
                accepted = unix.accept() => accepted.map(Accepted::Unix),
            },
        }
    }

    #[cfg(not(unix))]
    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        self.tcp.accept().await.map(|(stream, _)| Accepted::Tcp(stream))
    }
}
