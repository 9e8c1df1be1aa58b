//! The pretended upstream: chat completions, streamed and whole, whose latency, length and pace
//! stand in the model's name. Every byte of an answer is built once, and HTTP is read by hand, so
//! that it is far faster than whatever is measured with it.

mod canned;

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::{Buf, BytesMut};
use memchr::memmem;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep_until},
};

use crate::listen;
use canned::{Canned, Fault, response};

/// More than any prompt of the comparison.
const REQUEST_LIMIT: usize = 16 * 1024 * 1024;

#[derive(Default)]
struct Mock {
    connections: AtomicU64,
    requests: AtomicU64,
    answers: RwLock<HashMap<String, Arc<Canned>>>,
}

/// Serves until standard input ends.
pub(crate) async fn serve(port: u16) -> Result<(), crate::Fault> {
    let listener = listen::listen(port)?;
    let mock = Arc::new(Mock::default());
    let accept = async {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            mock.connections.fetch_add(1, Ordering::Relaxed);
            let mock = mock.clone();
            tokio::spawn(async move {
                // A client that hangs up is no news here.
                let _hung_up = mock.converse(stream).await;
            });
        }
    };
    tokio::select! {
        () = accept => {}
        () = listen::until_input_ends() => {}
    }
    Ok(())
}

/// The ends of a request's parts in the bytes read.
struct Shape {
    head: usize,
    whole: usize,
}

impl Mock {
    async fn converse(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut read = BytesMut::with_capacity(16 * 1024);
        loop {
            let shape = loop {
                if let Some(shape) = shape(&read)? {
                    break shape;
                }
                if stream.read_buf(&mut read).await? == 0 {
                    return Ok(());
                }
            };
            let arrived = Instant::now();
            let request = read.get(..shape.whole).unwrap_or_default();
            let body = request.get(shape.head..).unwrap_or_default();
            if request.starts_with(b"POST ") {
                self.requests.fetch_add(1, Ordering::Relaxed);
                match self.answer(body) {
                    Some(canned) => match canned.next_fault() {
                        None => write(&mut stream, &canned, body, arrived).await?,
                        Some(fault) => {
                            return go_wrong(&mut stream, fault, &canned, arrived).await;
                        }
                    },
                    None => stream.write_all(&unknown_model()).await?,
                }
            } else if request.starts_with(b"GET /stats ") {
                stream.write_all(&self.stats()).await?;
            } else {
                let models = r#"{"object":"list","data":[{"id":"writer","object":"model"}]}"#;
                stream.write_all(&response("200 OK", models)).await?;
            }
            read.advance(shape.whole);
        }
    }

    /// The answer of the model that a body names.
    fn answer(&self, body: &[u8]) -> Option<Arc<Canned>> {
        const KEY: &[u8] = b"\"model\":\"";
        let start = memmem::find(body, KEY)? + KEY.len();
        let name = body.get(start..)?;
        let name = std::str::from_utf8(name.get(..memchr::memchr(b'"', name)?)?).ok()?;
        let known = self.answers.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if known.is_some() {
            return known;
        }
        let built = Arc::new(Canned::of(name)?);
        let mut answers = self.answers.write().unwrap_or_else(PoisonError::into_inner);
        answers.insert(name.to_owned(), built.clone());
        Some(built)
    }

    fn stats(&self) -> Vec<u8> {
        let connections = self.connections.load(Ordering::Relaxed);
        let requests = self.requests.load(Ordering::Relaxed);
        response("200 OK", &format!(r#"{{"connections":{connections},"requests":{requests}}}"#))
    }
}

async fn write(
    stream: &mut TcpStream,
    canned: &Canned,
    body: &[u8],
    arrived: Instant,
) -> std::io::Result<()> {
    let streamed = memmem::find(body, b"\"stream\":true").is_some();
    let usage = memmem::find(body, b"\"include_usage\":true").is_some();
    let spec = &canned.spec;
    let pause = |tokens: u32| arrived + spec.latency + spec.gap * tokens;
    if !streamed {
        until(pause(spec.tokens.saturating_sub(1))).await;
        return stream.write_all(&canned.whole).await;
    }
    if spec.gap.is_zero() {
        until(pause(0)).await;
        return stream.write_all(canned.at_once(usage)).await;
    }
    for (number, token) in (0..).zip(canned.tokens()) {
        until(pause(number)).await;
        stream.write_all(token).await?;
    }
    stream.write_all(canned.tail(usage)).await
}

/// Answers with the fault; the connection ends with it.
async fn go_wrong(
    stream: &mut TcpStream,
    fault: Fault,
    canned: &Canned,
    arrived: Instant,
) -> std::io::Result<()> {
    match fault {
        Fault::Status(status) => {
            let error = r#"{"error":{"message":"pretended","type":"server_error","code":null}}"#;
            stream.write_all(&response(&format!("{status} Pretended"), error)).await?;
        }
        Fault::Cut(most) => {
            for (number, token) in (0..most).zip(canned.tokens()) {
                until(arrived + canned.spec.latency + canned.spec.gap * number).await;
                stream.write_all(token).await?;
            }
        }
        // Until the caller leaves.
        Fault::Silence => while stream.read(&mut [0; 1024]).await? > 0 {},
    }
    stream.shutdown().await
}

/// Deadlines, not pauses, so that a late token does not make the next ones late.
async fn until(deadline: Instant) {
    if deadline > Instant::now() + Duration::from_micros(50) {
        sleep_until(deadline).await;
    }
}

/// The end of the first request, when all of it is there.
fn shape(read: &[u8]) -> std::io::Result<Option<Shape>> {
    let Some(end) = memmem::find(read, b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = end + 4;
    let length = length(read.get(..end).unwrap_or_default());
    if length > REQUEST_LIMIT {
        return Err(std::io::Error::other("the request is too large"));
    }
    let whole = head + length;
    Ok((read.len() >= whole).then_some(Shape { head, whole }))
}

/// `Content-Length`, which every client of the comparison sends with a body.
fn length(head: &[u8]) -> usize {
    const NAME: &[u8] = b"content-length:";
    let lines = head.split(|byte| *byte == b'\n');
    let line = lines.filter_map(|line| line.split_at_checked(NAME.len()));
    let value = line.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(NAME));
    let digits = value.and_then(|(_, value)| std::str::from_utf8(value).ok());
    digits.and_then(|digits| digits.trim().parse().ok()).unwrap_or(0)
}

fn unknown_model() -> Vec<u8> {
    let error = r#"{"error":{"message":"no such model","type":"invalid_request_error","code":"model_not_found"}}"#;
    response("404 Not Found", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_ends_with_its_body() {
        let request = b"POST / HTTP/1.1\r\nHost: x\r\ncontent-Length: 3\r\n\r\nabcGET";
        let shape = shape(request).unwrap().unwrap();
        assert_eq!(&request[shape.head..shape.whole], b"abc");
        assert!(super::shape(&request[..shape.whole - 1]).unwrap().is_none());
        assert!(super::shape(b"GET / HTTP/1.1\r\n").unwrap().is_none());
    }
}
