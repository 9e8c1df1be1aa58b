//! Requests that go to a model's upstream as they came, and whose answers come back as they are:
//! embeddings and rankings. With the same permit, retries and care with other people's words as a call, but
//! whole in both directions, and nothing is repaired: we do not know what the fields mean.

mod streamed;
mod texts;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::stream::BoxStream;
use indexmap::IndexMap;
use reqwest::{
    Method, Request, Response, Url,
    header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue},
};
use serde_json::{
    Value,
    value::{RawValue, to_raw_value},
};
use tokio::time::{Instant, sleep};

use self::streamed::Rest;
use super::{
    deadline::Clock,
    exchange::{error_body, of_body, of_send},
    failover::{Failover, Next},
    failure::Failure,
    permit,
};
use crate::{
    llm::{
        Limit, LlmError, LlmErrorKind, Model,
        endpoint::{
            Endpoint, HOPS,
            activity::Use,
            breaker::{Cause, Report},
        },
        protocol::{below, below_version, hash::hash, upstream_error::Refusal},
        redact,
    },
    types::Protocol,
};

/// A longer answer is handed on as it comes. Shorter ones are looked through first: an error under a 200 is
/// short.
const SHORT: usize = 256 * 1024;

const NO_OBJECT: &str = "the reply is not a JSON object";

/// What an upstream can be asked for as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passthrough {
    /// OpenAI's `/embeddings`, which other vendors have too.
    Embeddings,
    /// `/rerank`, as Jina, Cohere, vLLM and llama.cpp have it.
    Rerank,
    /// Ollama's `/api/embed`.
    OllamaEmbed,
    /// Ollama's older `/api/embeddings`.
    OllamaEmbeddings,
}

impl Passthrough {
    /// The protocols a model may have for it.
    pub fn protocols(self) -> impl Iterator<Item = Protocol> {
        Protocol::ALL.into_iter().filter(move |protocol| self.is_of(*protocol))
    }

    /// Whether a model of this protocol may have it.
    #[must_use]
    pub fn is_of(self, protocol: Protocol) -> bool {
        match self {
            Self::Embeddings => protocol != Protocol::Anthropic,
            Self::Rerank => protocol == Protocol::OpenAi,
            Self::OllamaEmbed | Self::OllamaEmbeddings => protocol == Protocol::Ollama,
        }
    }

    fn url(self, protocol: Protocol, base: &Url) -> Option<Url> {
        match (self, protocol) {
            (Self::Embeddings, Protocol::Ollama) => below(base, &["v1", "embeddings"]),
            (Self::Embeddings, Protocol::Gemini) => {
                below_version(base, None, "v1beta", &["openai", "embeddings"])
            }
            (Self::Embeddings, _) => below(base, &["embeddings"]),
            (Self::Rerank, _) => below(base, &["rerank"]),
            (Self::OllamaEmbed, _) => below(base, &["api", "embed"]),
            (Self::OllamaEmbeddings, _) => below(base, &["api", "embeddings"]),
        }
    }
}

/// The fields of a request or an answer. Their values are the very bytes that came: to read a float and
/// write it again may change its last digit, and a million small values take a hundred times their size.
pub type Forwarded = IndexMap<String, Box<RawValue>>;

/// An answer.
pub enum ForwardedReply {
    /// A short one.
    Whole(Forwarded),
    /// The bytes of a long one, as they come. It may break off.
    Streamed(BoxStream<'static, Result<Bytes, LlmError>>),
}

/// Without what it says.
impl fmt::Debug for ForwardedReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Whole(_) => "Whole",
            Self::Streamed(_) => "Streamed",
        })
    }
}

/// An answer before it is known whether all of it comes.
enum Reply {
    Whole(Forwarded),
    /// Its beginning, and the rest.
    Begun(Vec<u8>, Response, Use),
}

impl Model {
    /// Sends `body`, with `model` set to the upstream's name, and gives the answer back. `limit` is
    /// for all of it, once the model's permit is held. `calls` counts the attempts as they go out.
    ///
    /// # Errors
    /// Those of a call; the model's protocol must be one of [`Passthrough::protocols`].
    pub async fn forward(
        self: &Arc<Self>,
        what: Passthrough,
        mut body: Forwarded,
        limit: Duration,
        hops: u32,
        calls: &AtomicU64,
    ) -> Result<ForwardedReply, LlmError> {
        let name = to_raw_value(&self.config.upstream_model);
        drop(name.map(|name| body.insert("model".to_owned(), name)));
        let mut clock: Option<Clock> = None;
        let mut failover = Failover::new(self, &|_| true, None, None);
        loop {
            let waiting = Instant::now();
            let permit = permit(self.permits.as_ref()).await;
            if let Some(clock) = &mut clock {
                clock.extend(waiting.elapsed());
            }
            let mut lease = failover.lease()?;
            let begun = Instant::now();
            let endpoint = lease.endpoint();
            let clock = clock.get_or_insert_with(|| Clock::start(Limit::Total(limit)));
            clock.attempt_begins(lease.is_probe() && failover.has_other(lease.number()));
            calls.fetch_add(1, Ordering::Relaxed);
            let failure = match clock
                .bound(exchange(endpoint, (what, self.config.protocol), &body, hops))
                .await
            {
                Ok(answer) => {
                    self.log_forwarded(endpoint, &body, "ok", begun);
                    lease.report(Report::Answered, None);
                    let until = Instant::now() + clock.remaining();
                    return Ok(match answer {
                        Reply::Whole(answer) => ForwardedReply::Whole(answer),
                        Reply::Begun(head, response, using) => {
                            let rest = Rest { response, using, lease, _permit: permit };
                            ForwardedReply::Streamed(rest.behind(head, until))
                        }
                    });
                }
                Err(failure) => failure,
            };

            drop(permit);
            self.log_forwarded(endpoint, &body, failure.kind.code(), begun);
            let is_timeout = failure.kind == LlmErrorKind::Timeout;
            match failure.report() {
                // Too little of the limit was left to call it slow.
                Some(_) if is_timeout && !lease.is_probe() && !clock.had_most(begun) => {}
                // A model for conversations need not have this path.
                Some(Report::Unusable { .. }) if failure.kind == LlmErrorKind::NotFound => {
                    lease.report(Report::Answered, None);
                }
                Some(report) => lease.report_of(report, cause(&failure, &body, begun), None),
                None => {}
            }
            let next = failover.next(lease.number(), &failure, clock.remaining());
            let texts = texts::of(body.values().map(|value| &**value));
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            failover.failed(failure.into_error(lease.endpoint(), &texts));
            drop(lease);
            match next {
                Next::Elsewhere => {}
                Next::Wait(pause) => sleep(pause).await,
                Next::GiveUp => return Err(failover.error()),
            }
        }
    }

    fn log_forwarded(&self, endpoint: &Endpoint, body: &Forwarded, outcome: &str, begun: Instant) {
        if tracing::enabled!(tracing::Level::DEBUG) {
            tracing::debug!(
                model = self.config.name,
                endpoint = endpoint.name(),
                request = redact::fields(body),
                outcome,
                duration_ms = begun.elapsed().as_millis(),
                "upstream attempt ended"
            );
        }
    }
}

/// A connection that was not made never carried the request.
fn cause(failure: &Failure, body: &Forwarded, begun: Instant) -> Cause {
    let sent = failure.kind != LlmErrorKind::Connect;
    let prompt = || vec![hash(&serde_json::to_string(body).unwrap_or_default())];
    Cause::new(sent.then(prompt).unwrap_or_default(), begun.elapsed())
}

async fn exchange(
    endpoint: &Endpoint,
    (what, protocol): (Passthrough, Protocol),
    body: &Forwarded,
    hops: u32,
) -> Result<Reply, Failure> {
    let setup = |words: &'static str| Failure::new(LlmErrorKind::Setup, words);
    let url = what.url(protocol, &endpoint.config.api_base);
    let url = url.ok_or_else(|| setup("api_base takes no path"))?;
    let text = serde_json::to_vec(body).map_err(|_| setup("the request is not JSON"))?;
    let text = Bytes::from(text);
    let mut headers = endpoint.json_headers();
    if protocol == Protocol::Gemini {
        key_as_bearer(&mut headers);
    }
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(HOPS, HeaderValue::from(hops.saturating_add(1)));
    let request = || {
        let mut request = Request::new(Method::POST, url.clone());
        request.headers_mut().clone_from(&headers);
        *request.body_mut() = Some(text.clone().into());
        request
    };
    let using = endpoint.activity().begin();
    let sent = endpoint.send(request, false).await;
    let (mut response, _) = sent.map_err(|error| of_send(error, endpoint))?;
    let status = response.status();
    if !status.is_success() {
        let (headers, asked) = (response.headers().clone(), response.url().clone());
        let refusal = Refusal::of_response(status.as_u16(), &error_body(response).await);
        let refusal = refusal.with_headers(&headers, &asked, &endpoint.config.api_base);
        return Err(Failure::refused(refusal, &headers, endpoint));
    }
    let mut answer = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(of_body)? {
        answer.extend_from_slice(&chunk);
        if answer.len() > SHORT {
            if answer.trim_ascii_start().first() != Some(&b'{') {
                return Err(Failure::new(LlmErrorKind::Garbled, NO_OBJECT));
            }
            return Ok(Reply::Begun(answer, response, using));
        }
    }
    using.kept();
    read(&answer).map(Reply::Whole)
}

/// Google's endpoints in OpenAI's form take the key where OpenAI's do, and only one key.
fn key_as_bearer(headers: &mut HeaderMap) {
    let Some(key) = headers.remove("x-goog-api-key") else { return };
    let bearer = [b"Bearer ", key.as_bytes()].concat();
    if let Ok(mut bearer) = HeaderValue::from_bytes(&bearer) {
        bearer.set_sensitive(true);
        headers.insert(AUTHORIZATION, bearer);
    }
}

/// An answer is an object, and no error under a 200.
fn read(answer: &[u8]) -> Result<Forwarded, Failure> {
    let fields: Forwarded = serde_json::from_slice(answer)
        .map_err(|_| Failure::new(LlmErrorKind::Garbled, NO_OBJECT))?;
    let error = fields.get("error").filter(|error| error.get() != "null");
    match error.and_then(|_| serde_json::from_slice::<Value>(answer).ok()) {
        Some(value) => Err(Failure::in_band(Refusal::inside(&value))),
        None => Ok(fields),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_digit_for_digit() {
        let body = r#"{"data":[ 0.1234567890123456789, 1e-300,-0.0],"model":"x","error":null}"#;
        let fields = read(body.as_bytes()).ok().unwrap();
        assert_eq!(fields["data"].get(), "[ 0.1234567890123456789, 1e-300,-0.0]");
        assert_eq!(fields.keys().collect::<Vec<_>>(), ["data", "model", "error"]);
    }

    #[test]
    fn what_is_no_answer_is_reported() {
        for (body, kind) in [
            ("", LlmErrorKind::Garbled),
            ("[1]", LlmErrorKind::Garbled),
            ("<html>", LlmErrorKind::Garbled),
            (r#"{"error":"boom"}"#, LlmErrorKind::InBand),
            (
                r#"{"error":{"message":"slow","code":429}}"#,
                LlmErrorKind::RateLimited { retry_after: None },
            ),
        ] {
            assert_eq!(
                read(body.as_bytes()).err().map(|failure| failure.kind),
                Some(kind),
                "{body}"
            );
        }
    }
}
