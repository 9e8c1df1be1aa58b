//! One HTTP exchange: sends the request, tells a refusal from an answer, and reads the answer
//! delta by delta, however the upstream frames it.

use std::{collections::VecDeque, io, sync::Arc, time::Duration};

use reqwest::{Response, header::CONTENT_TYPE};
use serde_json::Value;
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    Delta, LlmErrorKind, Model,
    answer::{Answer, Piece},
    endpoint::{Endpoint, Prepared},
    failure::Failure,
    http,
    lines::{LINE_LIMIT, LineReader},
    refusal::Refusal,
    signatures::Signatures,
    sse::{SseEvent, SseReader},
    warm::Use,
    wire::{Wire, wire},
};

/// Most bytes of a reply that is read as a whole.
const REPLY_LIMIT: usize = 32 * 1024 * 1024;
/// Most bytes of an error's body; the connection of a longer one is given up.
const ERROR_LIMIT: usize = 64 * 1024;
/// How long an error's body may take.
const ERROR_WAIT: Duration = Duration::from_secs(2);
/// After a finish reason: how long usage and the terminator may take.
const FINISH_WAIT: Duration = Duration::from_secs(1);
/// After the terminator: how long the end of the body may take.
const DRAIN_WAIT: Duration = Duration::from_millis(250);

/// An answer being read. Dropping it hangs up.
pub(super) struct Exchange {
    wire: &'static dyn Wire,
    response: Response,
    framing: Framing,
    answer: Answer,
    signatures: Arc<Signatures>,
    ready: VecDeque<Delta>,
    /// Found behind the deltas that are ready.
    failure: Option<Failure>,
    /// The answer is over, well or badly; nothing more is read for it.
    closed: bool,
    /// The body was read to its end.
    exhausted: bool,
    /// When an answer that has its finish reason counts as over.
    finish_by: Option<Instant>,
    /// Of its connection, for those who keep it warm.
    using: Option<Use>,
}

/// How the body is cut into frames.
enum Framing {
    /// Not known before its first byte.
    Unknown,
    Sse(SseReader),
    Lines(LineReader),
    Whole(Vec<u8>),
}

/// Sends a request and reads the head of the response, of a refusal the body too.
///
/// # Errors
/// When no response comes, or one that refuses.
pub(super) async fn open(
    model: &Model,
    endpoint: &Endpoint,
    prepared: &Prepared,
    verbatim: bool,
) -> Result<Box<Exchange>, Failure> {
    let wire = wire(model.config.protocol);
    let body = serde_json::to_vec(&prepared.body)
        .map_err(|_| Failure::new(LlmErrorKind::Setup, "the request cannot be written as JSON"))?;
    let request =
        endpoint.client.post(prepared.url.clone()).headers(prepared.headers.clone()).body(body);
    let using = endpoint.warmth.begin();
    let response = request.send().await.map_err(|error| of_send(error, endpoint))?;
    let status = response.status();
    if !status.is_success() {
        let headers = response.headers().clone();
        let body = error_body(response).await;
        using.kept();
        let refusal = Refusal::of_response(status.as_u16(), &body);
        return Err(Failure::refused(refusal, &headers, wire));
    }
    let answer = Answer::new(verbatim, model.log_payloads);
    let mut exchange = Exchange::new(wire, response, answer, Arc::clone(&model.signatures))?;
    exchange.using = Some(using);
    Ok(Box::new(exchange))
}

impl Exchange {
    /// Reads the body of a response that is a success.
    ///
    /// # Errors
    /// When it is a web page.
    pub(super) fn new(
        wire: &'static dyn Wire,
        response: Response,
        answer: Answer,
        signatures: Arc<Signatures>,
    ) -> Result<Self, Failure> {
        Ok(Self {
            wire,
            framing: framing(&response, wire)?,
            response,
            answer,
            signatures,
            ready: VecDeque::new(),
            failure: None,
            closed: false,
            exhausted: false,
            finish_by: None,
            using: None,
        })
    }

    /// The next delta; `None` when the answer is complete. Comments and pings give none.
    pub(super) async fn next(&mut self) -> Result<Option<Delta>, Failure> {
        loop {
            if let Some(delta) = self.ready.pop_front() {
                return Ok(Some(delta));
            }
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            if self.closed {
                return Ok(None);
            }
            let chunk = match self.finish_by {
                None => self.response.chunk().await,
                // Complete already: whatever goes wrong now, or nothing at all, ends it well.
                Some(by) if by <= Instant::now() => Ok(None),
                Some(by) => Ok(timeout_at(by, self.response.chunk())
                    .await
                    .map_or(None, |chunk| chunk.unwrap_or(None))),
            };
            match chunk {
                Ok(Some(bytes)) => self.push(&bytes),
                Ok(None) => self.end(),
                Err(error) => self.broken(error),
            }
        }
    }

    /// Whether the upstream has said why it ended: [`Exchange::next`] bounds itself from then on,
    /// and a limit that runs out now must not spoil a complete answer.
    pub(super) fn is_complete(&self) -> bool {
        self.answer.is_complete()
    }

    /// The books of the answer.
    pub(super) fn answer(&self) -> &Answer {
        &self.answer
    }

    /// Reads the rest of a complete answer's body, as far as it has come already.
    pub(super) async fn drain_ready(&mut self) {
        self.drain_until(Duration::ZERO).await;
    }

    /// Reads the rest of a complete answer's body for a short while, so that the connection goes
    /// back to the pool: a body dropped before its last chunk costs a new connection.
    pub(super) async fn drain(&mut self) {
        self.drain_until(DRAIN_WAIT).await;
    }

    async fn drain_until(&mut self, wait: Duration) {
        if self.exhausted {
            return;
        }
        let response = &mut self.response;
        let to_end = async { while let Ok(Some(_)) = response.chunk().await {} };
        self.exhausted = timeout(wait, to_end).await.is_ok();
        if self.exhausted {
            self.kept();
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        if let Framing::Unknown = self.framing {
            let Some(first) = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) else {
                return; // blank lines before the body keep a connection alive
            };
            self.framing = match first {
                b'{' | b'[' => Framing::Whole(Vec::new()),
                b'<' => return self.fail(Failure::new(LlmErrorKind::Garbled, GOT_HTML)),
                _ => Framing::Sse(SseReader::new(LINE_LIMIT)),
            };
        }
        match &mut self.framing {
            Framing::Unknown => {}
            Framing::Sse(reader) => reader.push(bytes),
            Framing::Lines(reader) => reader.push(bytes),
            Framing::Whole(body) if body.len().saturating_add(bytes.len()) > REPLY_LIMIT => {
                return self.fail(Failure::new(LlmErrorKind::Garbled, "the reply is too large"));
            }
            Framing::Whole(body) => body.extend_from_slice(bytes),
        }
        self.read_frames();
    }

    /// Reads every frame that is complete.
    fn read_frames(&mut self) {
        while !self.closed {
            let frame = match &mut self.framing {
                Framing::Unknown | Framing::Whole(_) => Ok(None),
                Framing::Sse(reader) => reader.next_event(),
                Framing::Lines(reader) => reader
                    .next_line()
                    .map(|line| line.map(|data| SseEvent { name: String::new(), data })),
            };
            match frame {
                Ok(Some(frame)) => self.read(&frame),
                Ok(None) => return,
                Err(_) => {
                    return self.fail(Failure::new(LlmErrorKind::Garbled, "a line has no end"));
                }
            }
        }
    }

    /// Reads one frame of a stream.
    fn read(&mut self, frame: &SseEvent) {
        let data = frame.data.trim();
        if data.is_empty() {
            return;
        }
        if data == "[DONE]" {
            return self.take(vec![Piece::End]);
        }
        let value = serde_json::from_str::<Value>(data);
        if frame.name == "error" {
            let value = value.unwrap_or_else(|_| data.into());
            let value = serde_json::json!({ "error": value.get("error").unwrap_or(&value) });
            return self.refuse(Refusal::inside(&value));
        }
        match value.map(|value| self.wire.pieces(&value)) {
            Ok(Ok(pieces)) => self.take(pieces),
            Ok(Err(refusal)) => self.refuse(refusal),
            Err(_) => self.fail(Failure::new(LlmErrorKind::Garbled, "a frame is not JSON")),
        }
    }

    /// Reads a body that came as a whole, though it may be lines after all.
    fn read_whole(&mut self, body: &[u8]) {
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        match serde_json::from_slice::<Value>(body) {
            Ok(value) if self.wire.is_reply(&value) => match self.wire.pieces(&value) {
                Ok(mut pieces) => {
                    if self.wire.ends_with_body() {
                        pieces.push(Piece::End); // a whole body has no other terminator
                    }
                    self.take(pieces);
                }
                Err(refusal) => self.refuse(refusal),
            },
            Ok(value) => match Refusal::in_band(&value) {
                Some(refusal) => self.refuse(refusal),
                None if value.get("message").or_else(|| value.get("detail")).is_some() => {
                    self.refuse(Refusal::inside(&value));
                }
                None => self.fail(Failure::new(LlmErrorKind::Garbled, "the reply has no answer")),
            },
            Err(_) if self.wire.streams_lines() && body.contains(&b'\n') => {
                let mut lines = LineReader::new(REPLY_LIMIT);
                lines.push(body);
                lines.push(b"\n");
                self.framing = Framing::Lines(lines);
                self.read_frames();
            }
            Err(error) if error.is_eof() => {
                self.fail(Failure::new(LlmErrorKind::Truncated, "the reply was cut off"));
            }
            Err(_) => self.fail(Failure::new(LlmErrorKind::Garbled, "the reply is not JSON")),
        }
    }

    fn take(&mut self, pieces: Vec<Piece>) {
        for piece in pieces {
            match piece {
                Piece::Signed { call, signature } => self.signatures.remember(call, signature),
                piece => self.answer.take(piece, &mut self.ready),
            }
        }
        if self.answer.is_flooded() {
            self.fail(Failure::new(LlmErrorKind::Garbled, "the reply is too large"));
        } else if self.answer.is_ended() {
            self.close();
        } else if self.answer.is_complete() && self.finish_by.is_none() {
            self.finish_by = Some(Instant::now() + FINISH_WAIT);
        }
    }

    /// The connection goes back to the pool.
    fn kept(&self) {
        if let Some(using) = &self.using {
            using.kept();
        }
    }

    /// The end of the body.
    fn end(&mut self) {
        self.exhausted = true;
        self.kept();
        let last = match &mut self.framing {
            Framing::Unknown => None,
            Framing::Sse(reader) => reader.finish().ok().flatten(),
            Framing::Lines(reader) => {
                reader.rest().map(|data| SseEvent { name: String::new(), data })
            }
            Framing::Whole(body) => {
                let body = std::mem::take(body);
                self.read_whole(&body);
                None
            }
        };
        if let Some(frame) = last.filter(|_| !self.closed) {
            // The tail of a stream that was cut is rarely JSON: that is a cut, not nonsense.
            let whole = frame.data.trim() == "[DONE]"
                || serde_json::from_str::<serde::de::IgnoredAny>(&frame.data).is_ok();
            if whole {
                self.read(&frame);
            }
        }
        if self.closed {
            return;
        }
        if self.answer.is_complete() {
            self.close();
        } else {
            self.fail(Failure::new(LlmErrorKind::Truncated, CUT));
        }
    }

    fn close(&mut self) {
        self.closed = true;
        self.answer.close(&mut self.ready);
    }

    /// Behind a finish reason nothing can fail any more.
    fn fail(&mut self, failure: Failure) {
        if self.answer.is_complete() {
            return self.close();
        }
        self.closed = true;
        self.failure = Some(failure);
    }

    /// An error inside the answer.
    fn refuse(&mut self, refusal: Refusal) {
        self.fail(Failure::in_band(refusal));
    }

    fn broken(&mut self, error: reqwest::Error) {
        self.exhausted = true;
        self.fail(of_body(error));
    }
}

const GOT_HTML: &str = "a web page came instead of an answer; is api_base right?";
const CUT: &str = "the answer was cut off";

/// The framing that the content type tells; servers mislabel, so most is left to the first byte.
fn framing(response: &Response, wire: &dyn Wire) -> Result<Framing, Failure> {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.unwrap_or_default().to_ascii_lowercase();
    if kind.starts_with("text/html") {
        return Err(Failure::new(LlmErrorKind::Garbled, GOT_HTML));
    }
    Ok(match wire.streams_lines() {
        false => Framing::Unknown,
        true if kind.starts_with("application/json") => Framing::Whole(Vec::new()),
        true => Framing::Lines(LineReader::new(LINE_LIMIT)),
    })
}

/// The body of a refusal, as far as it comes in time.
pub(super) async fn error_body(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    let read = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            body.extend_from_slice(&chunk);
            if body.len() > ERROR_LIMIT {
                break;
            }
        }
    };
    let _in_time = timeout(ERROR_WAIT, read).await;
    body
}

/// A failure inside a body.
pub(super) fn of_body(error: reqwest::Error) -> Failure {
    if is_cut(&error) {
        return Failure::new(LlmErrorKind::Truncated, CUT);
    }
    Failure::new(LlmErrorKind::Transport, format!("the connection broke: {}", http::said(error)))
}

/// A failure before any response.
pub(super) fn of_send(error: reqwest::Error, endpoint: &Endpoint) -> Failure {
    if error.is_connect() {
        let words = if error.is_timeout() {
            format!("no connection to {} in time", endpoint.name())
        } else {
            let cause = http::said(error);
            format!("no connection to {}: {cause}{}", endpoint.name(), remedy(&cause))
        };
        return Failure::new(LlmErrorKind::Connect, words);
    }
    if error.is_builder() {
        return Failure::new(LlmErrorKind::Setup, http::said(error));
    }
    if is_cut(&error) {
        let words = "the connection was closed before an answer came";
        return Failure::new(LlmErrorKind::Transport, words);
    }
    Failure::new(LlmErrorKind::Transport, format!("the connection broke: {}", http::said(error)))
}

/// What to do where the words of the TLS library do not tell.
fn remedy(cause: &str) -> &'static str {
    const REMEDIES: [(&str, &str); 3] = [
        ("UnknownIssuer", "; `ca_cert` can name who issued it"),
        ("CaUsedAsEndEntity", "; the server has to show one that an authority issued to it"),
        ("InvalidContentType", "; does it speak http instead of https?"),
    ];
    REMEDIES.iter().find(|(words, _)| cause.contains(words)).map_or("", |(_, remedy)| remedy)
}

/// Whether the other side ended the connection in the middle, without an error of the network's.
fn is_cut(error: &reqwest::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        let incomplete =
            error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message);
        let early_end = error
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof);
        if incomplete || early_end {
            return true;
        }
        cause = error.source();
    }
    false
}
