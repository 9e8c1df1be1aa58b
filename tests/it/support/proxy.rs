//! A fake HTTP proxy: whatever host it is asked for, it leads to one address, and it remembers
//! what it was asked.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

type Heads = Arc<Mutex<Vec<String>>>;

/// Dropping it closes every connection.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    heads: Heads,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Leads to `target`.
    pub async fn to(target: SocketAddr) -> Self {
        Self::start(Ok(target)).await
    }

    /// Refuses with this status.
    pub async fn to_nowhere(status: u16) -> Self {
        Self::start(Err(status)).await
    }

    async fn start(target: Result<SocketAddr, u16>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let heads = Heads::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, target, Arc::clone(&heads)));
        Self { address, heads, _tasks: tasks }
    }

    /// `127.0.0.1:PORT`.
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// The first request head of each connection: request line and headers.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("no story panics here").clone()
    }
}

async fn accept(listener: TcpListener, target: Result<SocketAddr, u16>, heads: Heads) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let heads = Arc::clone(&heads);
        // A connection that breaks ends its story by itself.
        connections.spawn(async move { drop(lead(stream, target, &heads).await) });
    }
}

async fn lead(
    mut client: TcpStream,
    target: Result<SocketAddr, u16>,
    heads: &Heads,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let tunnel = text.starts_with("CONNECT ");
    heads.lock().expect("no story panics here").push(text);
    let target = match target {
        Ok(target) => target,
        Err(status) => {
            return client.write_all(format!("HTTP/1.1 {status} No\r\n\r\n").as_bytes()).await;
        }
    };
    let mut server = TcpStream::connect(target).await?;
    if tunnel {
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    } else {
        server.write_all(&head).await?;
    }
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
