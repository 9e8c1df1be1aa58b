//! Listening as a server under load should: a long backlog, and a line that says where.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpSocket},
};

/// The default of 128 makes some of a burst of clients wait for a second.
const BACKLOG: u32 = 1024;

/// Listens on loopback and prints the address as the first line.
pub(crate) fn listen(port: u16) -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    let listener = socket.listen(BACKLOG)?;
    println!("{}", listener.local_addr()?);
    Ok(listener)
}

/// Waits until whoever started this process is gone or closes its end.
pub(crate) async fn until_input_ends() {
    let mut input = tokio::io::stdin();
    let mut byte = [0];
    while matches!(input.read(&mut byte).await, Ok(count) if count > 0) {}
}
