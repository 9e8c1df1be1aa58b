//! One HTTP exchange: sends the request, tells a refusal from an answer, and reads the answer
//! delta by delta.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::FutureExt;
use reqwest::{
    Method, Request, Response,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue},
};
use tokio::time::{Instant, timeout, timeout_at};
use url::Url;

use super::{failure::Failure, turns::let_others_run};
use crate::{
    llm::{
        Call, Delta, LlmErrorKind, Model,
        decode::{CUT, ReplyReader, answer::Answer},
        endpoint::{
            Endpoint, HOPS, Prepared,
            activity::Use,
            connections::Answering,
            http::{self, MOST_HEADERS},
            shortage,
        },
        protocol::{
            Wire,
            all::wire,
            body::Pieces,
            state::{Keys, Recorder},
            upstream_error::Refusal,
        },
    },
    types::process,
};
/// Most bytes of an error's body; the connection of a longer one is given up.
const ERROR_LIMIT: usize = 64 * 1024;
/// How long an error's body may take.
const ERROR_WAIT: Duration = Duration::from_secs(2);
/// How long the end of the body may take to come after the terminator.
const DRAIN_WAIT: Duration = Duration::from_millis(250);

/// So many deltas, of so many chunks, are told together at most; what tells them writes no more at
/// once either.
const MOST_TOGETHER: usize = 32;
/// What has come is held for so long at most while others have their turns.
const MOST_HELD: Duration = Duration::from_millis(10);
/// So many turns may bring no chunk. After a single one nothing was gathered, as measured by the writes of a
/// stream: what combines this future with others may poll it again before the other tasks ran.
const IDLE_TURNS: usize = 2;

/// An answer being read. Dropping it hangs up.
pub(in crate::llm) struct Exchange {
    response: Response,
    reader: ReplyReader,
    /// The body was read to its end.
    exhausted: bool,
    /// A delta was handed on.
    has_spoken: bool,
    /// When an answer that has its finish reason counts as over, and how many pieces it had then.
    finish_by: Option<(Instant, u64)>,
    /// Marks its connection as used, for `warm_up`.
    using: Option<Use>,
    /// Marks its connection as answering, for those who use it next.
    answering: Option<Answering>,
}

/// Sends a request, once, and reads the head of the response, of a refusal the body too.
///
/// # Errors
/// When no response comes, or one that refuses.
pub(super) async fn open(
    model: &Model,
    endpoint: &Endpoint,
    prepared: &mut Prepared,
    call: &Call,
) -> Result<Box<Exchange>, Failure> {
    let wire = wire(model.config.protocol);
    let body = Pieces::of(&prepared.body)
        .map_err(|_| Failure::new(LlmErrorKind::Setup, "the request cannot be written as JSON"))?;
    if call.hops > 0 {
        let hops = HeaderValue::from(call.hops.saturating_add(1));
        Arc::make_mut(&mut prepared.headers).insert(HOPS, hops);
    }
    let request = || {
        let mut request = Request::new(Method::POST, Url::clone(&prepared.url));
        request.headers_mut().clone_from(&prepared.headers);
        *request.body_mut() = Some(body.clone().into());
        request
    };
    let using = endpoint.activity().begin();
    let sent = endpoint.send(request, prepared.streamed).await;
    let (response, answering) = sent.map_err(|error| of_send(error, endpoint))?;
    let status = response.status();
    if !status.is_success() {
        let headers = response.headers().clone();
        let body = Box::pin(error_body(response)).await;
        using.kept();
        let refusal = Refusal::of_response(status.as_u16(), &body);
        let refusal = refusal.with_headers(&headers, &prepared.url, &endpoint.config.api_base);
        return Err(Failure::refused(refusal, &headers, endpoint));
    }
    if let Some(coding) = coding(response.headers()) {
        let words = format!(
            "its answer is compressed ({coding}), which nobody asked for; a proxy before it may do so"
        );
        return Err(Failure::new(LlmErrorKind::Garbled, words));
    }
    let answer = Answer::to(call, &model.config, model.log_payloads);
    let mut exchange = Exchange::new(wire, response, answer, Recorder::new(Keys::of(call)));
    exchange.using = Some(using);
    exchange.answering = answering;
    Ok(Box::new(exchange))
}

impl Exchange {
    /// Reads the body of a response that is a success.
    pub(in crate::llm) fn new(
        wire: &'static dyn Wire,
        response: Response,
        answer: Answer,
        recorder: Recorder,
    ) -> Self {
        let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let reader = ReplyReader::new(wire, kind.unwrap_or_default(), answer, recorder);
        Self {
            response,
            reader,
            exhausted: false,
            has_spoken: false,
            finish_by: None,
            using: None,
            answering: None,
        }
    }

    /// The next delta of what was read.
    pub(in crate::llm) fn next_delta(&mut self) -> Option<Delta> {
        self.reader.next_delta()
    }

    /// Reads until there are deltas; `false` when the answer is complete. Comments and pings give
    /// none.
    pub(in crate::llm) async fn read_on(&mut self) -> Result<bool, Failure> {
        loop {
            if self.reader.ready() > 0 {
                self.gather().await;
                return Ok(true);
            }
            if let Some(failure) = self.reader.failure() {
                return Err(failure);
            }
            if self.reader.is_closed() {
                return Ok(false);
            }
            let chunk = match self.finish_by {
                None => Some(self.response.chunk().await),
                Some((by, _)) if by <= Instant::now() => None,
                // As a rule it is there, and needs no timer.
                Some((by, _)) => match self.response.chunk().now_or_never() {
                    Some(chunk) => Some(chunk),
                    None => timeout_at(by, self.response.chunk()).await.ok(),
                },
            };
            match chunk {
                Some(chunk) => self.take(chunk),
                None => {
                    // Nothing is missing that could still be handed on.
                    self.exhausted = true;
                    self.reader.finish();
                }
            }
        }
    }

    /// Takes what has come behind the first deltas along. The connection is a task of its own and hands
    /// over one chunk at a time, so it is given turns for as long as they bring chunks. The first
    /// delta of an answer waits for nothing; the others for what can run now anyway, and never for
    /// time to pass.
    async fn gather(&mut self) {
        let may_wait = std::mem::replace(&mut self.has_spoken, true);
        let began = Instant::now();
        let (mut chunks, mut idle_turns) = (0, 0);
        while self.reader.ready().max(chunks) < MOST_TOGETHER
            && !self.reader.is_closed()
            && !self.is_complete()
        {
            // Nobody is called back by a chunk: with many streams, connection and reader taking
            // turns at once would keep all others waiting.
            match self.response.chunk().now_or_never() {
                Some(chunk) => {
                    (chunks, idle_turns) = (chunks + 1, 0);
                    self.take(chunk);
                }
                None if may_wait && idle_turns < IDLE_TURNS && began.elapsed() < MOST_HELD => {
                    idle_turns += 1;
                    let_others_run().await;
                }
                None => break,
            }
        }
    }

    fn take(&mut self, chunk: reqwest::Result<Option<Bytes>>) {
        match chunk {
            Ok(Some(bytes)) => self.reader.push(bytes),
            Ok(None) => {
                self.exhausted = true;
                self.kept();
                self.reader.end();
            }
            Err(error) => {
                self.exhausted = true;
                self.reader.fail(of_body(error));
            }
        }
        let answer = self.reader.answer();
        // What says nothing, as a sign of life does, renews no wait.
        let renewed = |(by, pieces)| (pieces == answer.pieces()).then_some((by, pieces));
        self.finish_by = answer.last_wait().and_then(|wait| {
            let known = self.finish_by.and_then(renewed);
            known.or_else(|| Some((Instant::now().checked_add(wait)?, answer.pieces())))
        });
    }

    /// Whether the upstream has said why it ended, behind its last piece: [`Exchange::read_on`] bounds
    /// itself from then on, and a limit that runs out now must not spoil a complete answer.
    pub(super) fn is_complete(&self) -> bool {
        self.finish_by.is_some() || self.reader.answer().is_ended()
    }

    /// What is known of the answer so far.
    pub(in crate::llm) fn answer(&self) -> &Answer {
        self.reader.answer()
    }

    /// What the answer leaves for its model.
    pub(in crate::llm) fn recorder(&self) -> &Recorder {
        self.reader.recorder()
    }

    /// Reads the rest of a complete answer's body, as far as it has come already.
    pub(super) fn drain_ready(&mut self) {
        if self.reader.answer().is_cut_short() {
            self.exhausted = true; // it would go on for long
        }
        let drained = self.drain_to_end().now_or_never();
        self.drained(drained.is_some());
    }

    /// Reads the rest of a complete answer's body for a short while, so that the connection goes
    /// back to the pool: a body dropped before its last chunk costs a new connection.
    pub(super) async fn drain(&mut self) {
        if self.exhausted {
            return;
        }
        let drained = timeout(DRAIN_WAIT, self.drain_to_end()).await;
        self.drained(drained.is_ok());
    }

    async fn drain_to_end(&mut self) {
        while !self.exhausted
            && let Ok(Some(_)) = self.response.chunk().await
        {}
    }

    fn drained(&mut self, to_the_end: bool) {
        if to_the_end && !std::mem::replace(&mut self.exhausted, true) {
            self.kept();
        }
    }

    /// The connection goes back to the pool.
    fn kept(&self) {
        if let Some(using) = &self.using {
            using.kept();
        }
        if let Some(answering) = &self.answering {
            answering.ended();
        }
    }
}

/// How an answer is compressed.
fn coding(headers: &HeaderMap) -> Option<&str> {
    let coding = headers.get(CONTENT_ENCODING)?.to_str().ok()?.trim();
    let is_word = !coding.is_empty() && coding.len() <= 20 && coding.is_ascii();
    (is_word && !coding.eq_ignore_ascii_case("identity")).then_some(coding)
}

/// The body of a refusal, as far as it comes in time.
pub(in crate::llm) async fn error_body(mut response: Response) -> Vec<u8> {
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
pub(in crate::llm) fn of_body(error: reqwest::Error) -> Failure {
    if is_cut(&error) {
        return Failure::new(LlmErrorKind::Truncated, CUT);
    }
    Failure::new(LlmErrorKind::Transport, format!("the connection broke: {}", http::said(error)))
}

/// A failure before any response.
pub(in crate::llm) fn of_send(error: reqwest::Error, endpoint: &Endpoint) -> Failure {
    if let Some(lack) = shortage::lacks(&error) {
        process::SHORTAGES.count();
        let name = endpoint.name();
        let words = format!("no connection to {name}, for Chorus itself has no more {lack}");
        return Failure::new(LlmErrorKind::OutOfResources, words);
    }
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
    if let Some(words) = unreadable_head(&error) {
        return Failure::new(LlmErrorKind::Garbled, words);
    }
    Failure::new(LlmErrorKind::Transport, format!("the connection broke: {}", http::said(error)))
}

/// What is wrong with the head of an answer that HTTP libraries refuse, and what can be done.
fn unreadable_head(error: &reqwest::Error) -> Option<String> {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<hyper::Error>().filter(|error| error.is_parse()) {
            return Some(if error.is_parse_too_large() {
                format!("its answer has more than {MOST_HEADERS} headers or very long ones")
            } else if error.to_string().contains("transfer-encoding") {
                "it answers in HTTP/1.0 with a Transfer-Encoding, which that version does not have; \
                 a proxy before it may need `proxy_http_version 1.1`"
                    .to_owned()
            } else {
                format!("what it answers is no HTTP: {error}")
            });
        }
        cause = error.source();
    }
    None
}

/// What to do where the TLS library does not say what is wrong.
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
