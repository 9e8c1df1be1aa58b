//! An upstream on a real socket that gives scripted replies, byte for byte.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    time::{sleep, timeout},
};

/// One reply and how it is given.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    head: String,
    body: Vec<u8>,
    /// The byte at which the body is cut into two writes.
    split: Option<usize>,
    /// The pause between writes of one event each.
    pause: Option<Duration>,
    ending: Ending,
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    /// The last chunk, this long after the body.
    Complete(Duration),
    /// Nothing more, for ever.
    Hang,
    /// The connection is closed without a last chunk.
    Cut,
    /// Not even a head comes, for ever.
    Silence,
    /// Closed before the head.
    Closed,
}

impl Reply {
    fn new(status: u16, content_type: &str, body: &str) -> Self {
        let kind = if content_type.is_empty() {
            String::new()
        } else {
            format!("content-type: {content_type}\r\n")
        };
        Self {
            head: format!("HTTP/1.1 {status} Scripted\r\ntransfer-encoding: chunked\r\n{kind}"),
            body: body.as_bytes().to_vec(),
            split: None,
            pause: None,
            ending: Ending::Complete(Duration::ZERO),
        }
    }

    pub(super) fn sse(body: String) -> Self {
        Self::new(200, "text/event-stream", &body)
    }

    pub(super) fn body(content_type: &str, body: &str) -> Self {
        Self::new(200, content_type, body)
    }

    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json", &body.to_string())
    }

    /// Reads the request and never answers.
    pub(super) fn hang() -> Self {
        Self { ending: Ending::Silence, ..Self::new(200, "", "") }
    }

    /// Reads the request and closes the connection.
    pub(super) fn hang_up() -> Self {
        Self { ending: Ending::Closed, ..Self::new(200, "", "") }
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.head.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    pub(super) fn split_at(mut self, at: usize) -> Self {
        self.split = Some(at);
        self
    }

    pub(super) fn slowly(mut self, pause: Duration) -> Self {
        self.pause = Some(pause);
        self
    }

    pub(super) fn then_hang(mut self) -> Self {
        self.ending = Ending::Hang;
        self
    }

    pub(super) fn cut(mut self) -> Self {
        self.ending = Ending::Cut;
        self
    }

    /// The last chunk comes this long after the terminator.
    pub(super) fn late_end(mut self, wait: Duration) -> Self {
        self.ending = Ending::Complete(wait);
        self
    }

    /// The body in the pieces it is written in.
    fn pieces(&self) -> Vec<&[u8]> {
        if let Some(at) = self.split {
            let (head, tail) = self.body.split_at(at);
            return vec![head, tail];
        }
        if self.pause.is_some() {
            let text = std::str::from_utf8(&self.body).expect("scripts are text");
            return text.split_inclusive("\n\n").map(str::as_bytes).collect();
        }
        vec![&self.body]
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) head: String,
    pub(super) body: Value,
}

/// Gives its replies in order, over as many connections as the client opens.
pub(super) struct Upstream {
    base: String,
    shared: Arc<Shared>,
    server: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    replies: Mutex<std::collections::VecDeque<Reply>>,
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
    hung_up: Notify,
}

impl Upstream {
    #[expect(clippy::disallowed_methods, reason = "the test's server must run beside the test")]
    pub(super) async fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared { replies: Mutex::new(replies.into()), ..Shared::default() });
        let for_server = Arc::clone(&shared);
        let server = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                for_server.connections.fetch_add(1, Ordering::SeqCst);
                connections.spawn(serve(stream, Arc::clone(&for_server)));
            }
        });
        Self { base, shared, server }
    }

    pub(super) fn base(&self) -> String {
        self.base.clone()
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Waits until a client closes a connection on which a reply hangs.
    pub(super) async fn hung_up_on(&self) {
        let noticed = timeout(Duration::from_secs(10), self.shared.hung_up.notified()).await;
        noticed.expect("the upstream was left talking to nobody");
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    stream.set_nodelay(true).unwrap();
    while let Some(seen) = request(&mut stream).await {
        shared.seen.lock().unwrap().push(seen);
        let reply = shared.replies.lock().unwrap().pop_front().expect("a reply for each request");
        if !give(&mut stream, &reply, &shared).await {
            return;
        }
    }
}

/// Whether the connection can take another request.
async fn give(stream: &mut TcpStream, reply: &Reply, shared: &Shared) -> bool {
    match reply.ending {
        Ending::Closed => return false,
        Ending::Silence => {
            wait_for_hang_up(stream, shared).await;
            return false;
        }
        Ending::Complete(_) | Ending::Hang | Ending::Cut => {}
    }
    if stream.write_all(format!("{}\r\n", reply.head).as_bytes()).await.is_err() {
        return false;
    }
    for piece in reply.pieces().into_iter().filter(|piece| !piece.is_empty()) {
        let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
        chunk.extend_from_slice(piece);
        chunk.extend_from_slice(b"\r\n");
        if stream.write_all(&chunk).await.is_err() {
            shared.hung_up.notify_one();
            return false;
        }
        if reply.split.is_some() {
            sleep(Duration::from_millis(1)).await;
        }
        if let Some(pause) = reply.pause {
            sleep(pause).await;
        }
    }
    match reply.ending {
        Ending::Complete(wait) => {
            if !wait.is_zero() {
                sleep(wait).await;
            }
            stream.write_all(b"0\r\n\r\n").await.is_ok()
        }
        Ending::Hang => {
            wait_for_hang_up(stream, shared).await;
            false
        }
        Ending::Cut | Ending::Silence | Ending::Closed => false,
    }
}

async fn wait_for_hang_up(stream: &mut TcpStream, shared: &Shared) {
    let mut rest = [0; 64];
    while stream.read(&mut rest).await.is_ok_and(|count| count > 0) {}
    shared.hung_up.notify_one();
}

async fn request(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end + 4].to_vec()).unwrap();
            let length = head
                .lines()
                .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok())
                .unwrap_or(0);
            if bytes.len() >= end + 4 + length {
                let body = serde_json::from_slice(&bytes[end + 4..]).unwrap_or_default();
                return Some(Seen { head, body });
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}
