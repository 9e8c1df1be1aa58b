//! One kept-alive HTTP/1.1 connection, read by hand: a load generator must cost less than what it
//! measures.

use std::net::SocketAddr;

use bytes::{Buf, Bytes, BytesMut};
use memchr::{memchr, memmem};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

use crate::Fault;

/// A request as it goes over the wire.
pub(crate) fn post(to: SocketAddr, path: &str, body: &str) -> Bytes {
    let length = body.len();
    Bytes::from(format!(
        "POST {path} HTTP/1.1\r\nhost: {to}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    ))
}

/// The same with a client's key.
pub(crate) fn post_with(to: SocketAddr, path: &str, key: &str, body: &str) -> Bytes {
    let length = body.len();
    Bytes::from(format!(
        "POST {path} HTTP/1.1\r\nhost: {to}\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    ))
}

/// The times of one exchange.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// When the request began to be written.
    pub(crate) sent: Instant,
    /// When the first byte came.
    pub(crate) first_byte: Instant,
    /// When the first text came; of a whole answer, its end.
    pub(crate) first_token: Instant,
    /// When the last byte came.
    pub(crate) ended: Instant,
    /// Bytes of streamed text and when they had come, one entry a read.
    pub(crate) text: Vec<(usize, Instant)>,
    /// The body of a whole answer.
    pub(crate) body: Vec<u8>,
}

/// A connection that takes one request after the other.
pub(crate) struct Connection {
    stream: TcpStream,
    read: BytesMut,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Body {
    Length(usize),
    ChunkSize,
    ChunkData(usize),
    Trailer,
    Ended,
}

impl Connection {
    /// Connects without delay of small writes.
    pub(crate) async fn open(to: SocketAddr) -> Result<Self, Fault> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, read: BytesMut::with_capacity(64 * 1024) })
    }

    /// Sends a request and reads its response to the end.
    ///
    /// # Errors
    /// Anything but a complete 200.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<Reply, Fault> {
        let sent = Instant::now();
        self.stream.write_all(request).await?;
        let mut first_byte = None;
        let head_end = loop {
            if let Some(end) = memmem::find(&self.read, b"\r\n\r\n") {
                break end + 4;
            }
            self.fill().await?;
            first_byte.get_or_insert_with(Instant::now);
        };
        let first_byte = first_byte.unwrap_or(sent);
        let head = self.read.split_to(head_end);
        let (mut body, streamed) = head_of(&head)?;
        let mut events = Events::default();
        let mut whole = Vec::new();
        let mut text = Vec::new();
        let mut now = first_byte;
        loop {
            while let Some(piece) = next_piece(&mut self.read, &mut body)? {
                if streamed { events.push(&piece) } else { whole.extend_from_slice(&piece) }
            }
            if events.text > text.last().map_or(0, |(bytes, _)| *bytes) {
                text.push((events.text, now));
            }
            if body == Body::Ended {
                break;
            }
            self.fill().await?;
            now = Instant::now();
        }
        if streamed {
            events.check()?;
        }
        let first_token = text.first().map_or(now, |(_, at)| *at);
        Ok(Reply { sent, first_byte, first_token, ended: now, text, body: whole })
    }

    async fn fill(&mut self) -> Result<(), Fault> {
        self.read.reserve(32 * 1024);
        match self.stream.read_buf(&mut self.read).await? {
            0 => Err("the server hung up".into()),
            _ => Ok(()),
        }
    }
}

/// How long the body is, and whether it is a stream of events.
fn head_of(head: &[u8]) -> Result<(Body, bool), Fault> {
    let head = std::str::from_utf8(head)?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        return Err(format!("the server answered {status}").into());
    }
    let mut body = None;
    let mut streamed = false;
    for line in head.lines().skip(1) {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            body = Some(Body::Length(value.parse()?));
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            body = Some(Body::ChunkSize);
        } else if name.eq_ignore_ascii_case("content-type") {
            streamed = value.starts_with("text/event-stream");
        }
    }
    Ok((body.ok_or("a response without a length")?, streamed))
}

/// Takes a piece of the body from what was read; `None` when more must be read, or at the end.
fn next_piece(read: &mut BytesMut, body: &mut Body) -> Result<Option<BytesMut>, Fault> {
    loop {
        match *body {
            Body::Ended => return Ok(None),
            Body::Length(0) => *body = Body::Ended,
            Body::Length(left) => {
                if read.is_empty() {
                    return Ok(None);
                }
                let piece = read.split_to(left.min(read.len()));
                *body = Body::Length(left - piece.len());
                return Ok(Some(piece));
            }
            Body::ChunkSize => {
                let Some(end) = memchr(b'\n', read) else { return Ok(None) };
                let line = read.split_to(end + 1);
                let digits = std::str::from_utf8(&line)?.trim();
                let size = usize::from_str_radix(digits, 16)?;
                *body = if size == 0 { Body::Trailer } else { Body::ChunkData(size + 2) };
            }
            // The two last bytes are the line break behind the chunk.
            Body::ChunkData(left) if left <= 2 => {
                if read.len() < left {
                    return Ok(None);
                }
                read.advance(left);
                *body = Body::ChunkSize;
            }
            Body::ChunkData(left) => {
                if read.is_empty() {
                    return Ok(None);
                }
                let piece = read.split_to((left - 2).min(read.len()));
                *body = Body::ChunkData(left - piece.len());
                return Ok(Some(piece));
            }
            Body::Trailer => {
                let Some(end) = memchr(b'\n', read) else { return Ok(None) };
                let line = read.split_to(end + 1);
                if line.trim_ascii().is_empty() {
                    *body = Body::Ended;
                }
            }
        }
    }
}

/// Reads server-sent events just far enough to count the bytes of text in them.
#[derive(Default)]
struct Events {
    text: usize,
    done: bool,
    /// What it ended with instead.
    error: Option<String>,
    /// A line whose end has not come.
    partial: Vec<u8>,
}

impl Events {
    fn push(&mut self, mut bytes: &[u8]) {
        while let Some(end) = memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at(end);
            if self.partial.is_empty() {
                self.line(line);
            } else {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(line);
                self.line(&whole);
            }
            bytes = rest.get(1..).unwrap_or_default();
        }
        self.partial.extend_from_slice(bytes);
    }

    fn line(&mut self, line: &[u8]) {
        const CONTENT: &[u8] = b"\"content\":\"";
        let Some(data) = line.strip_prefix(b"data: ") else { return };
        if let Some(at) = memmem::find(data, CONTENT) {
            // The pretended words hold nothing that JSON would escape.
            let text = data.get(at + CONTENT.len()..).unwrap_or_default();
            self.text += memchr(b'"', text).unwrap_or(0);
        } else if data == b"[DONE]" {
            self.done = true;
        } else if data.starts_with(b"{\"error\"") {
            self.error = Some(String::from_utf8_lossy(data).into_owned());
        }
    }

    fn check(&self) -> Result<(), Fault> {
        match &self.error {
            Some(error) => Err(format!("the stream ended with {error}").into()),
            None if !self.done => Err("the stream was cut off".into()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_joined_wherever_they_were_cut() {
        let wire =
            b"7\r\ndata: {\r\n16\r\n\"content\":\"abc\"}\ndata:\r\n8\r\n [DONE]\n\r\n0\r\n\r\n";
        for cut in 0..wire.len() {
            let mut read = BytesMut::new();
            let mut body = Body::ChunkSize;
            let mut events = Events::default();
            for part in [&wire[..cut], &wire[cut..]] {
                read.extend_from_slice(part);
                while let Some(piece) = next_piece(&mut read, &mut body).unwrap() {
                    events.push(&piece);
                }
            }
            assert!(body == Body::Ended, "cut at {cut}");
            assert_eq!((events.text, events.done), (3, true), "cut at {cut}");
        }
    }

    #[test]
    fn only_a_200_with_a_length_is_an_answer() {
        assert!(head_of(b"HTTP/1.1 503 x\r\ncontent-length: 0\r\n\r\n").is_err());
        assert!(head_of(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(head_of(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").is_ok());
    }
}
