//! One logical call: permits, attempts, repairs, retries, the limit, and the events of it all.

use std::{sync::Arc, time::Duration};

use async_stream::stream;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep},
};

use super::{
    Attempt, Call, CallEvent, CallStream, Completion, LlmError, LlmErrorKind, Model,
    clock::Clock,
    endpoint::{Endpoint, Prepared},
    exchange::{self, Exchange},
    failure::{Failure, Words},
    redact,
    repair::{Parameter, Repair, diagnose},
    retry::{Advice, Retries},
    wire::wire,
};
use crate::types::{FinishReason, Image, Part};

/// The call as a stream of its events. It owns everything it does: dropped at any point, it hangs
/// up and gives its permits back.
pub(super) fn run(model: Arc<Model>, call: Call) -> CallStream {
    Box::pin(stream! {
        let mut refusal = model.unsupported(&call);
        let mut retries = Retries::new(&model.retry);
        let mut repaired = Vec::new();
        let mut clock: Option<Clock> = None;
        loop {
            if let Some(error) = refusal.take() {
                yield Err(error);
                return;
            }
            let waiting = Instant::now();
            let permits = Permits::acquire(&model, &call).await;
            // Another call may have learned it while this one waited.
            refusal = model.unsupported(&call);
            if refusal.is_some() {
                continue;
            }
            let queued = waiting.elapsed();
            if let Some(clock) = &mut clock {
                clock.extend(queued);
            }
            let Some(mut attempt) = Try::new(&model, &call) else {
                yield Err(no_endpoint(&model));
                return;
            };
            yield Ok(CallEvent::Started { queued, endpoint: attempt.number });
            let clock = clock.get_or_insert_with(|| Clock::start(call.limit));
            let failure = match clock.bound(attempt.open()).await {
                Err(failure) => failure,
                Ok(mut exchange) => loop {
                    let next = match exchange.is_complete() {
                        true => exchange.next().await,
                        false => clock.bound(exchange.next()).await,
                    };
                    match next {
                        Err(failure) => break failure,
                        Ok(Some(delta)) => {
                            attempt.note_delta();
                            yield Ok(CallEvent::Delta(delta));
                            // Only now: a slow consumer is not the upstream's silence.
                            clock.next_gap();
                        }
                        Ok(None) => {
                            // What has come is read even if nobody polls after `Finished`.
                            exchange.drain_ready().await;
                            match attempt.completion(&exchange) {
                                Err(failure) => break failure,
                                Ok((done, completion)) => {
                                    drop(permits);
                                    yield Ok(CallEvent::Attempt(done));
                                    yield Ok(CallEvent::Finished(completion));
                                    exchange.drain().await;
                                    return;
                                }
                            }
                        }
                    }
                },
            };
            drop(permits);
            yield Ok(CallEvent::Attempt(attempt.failed(&failure)));
            match attempt.next_step(&failure, &mut retries, &mut repaired, clock.remaining()) {
                Step::Repair => {}
                Step::Wait(pause) => sleep(pause).await,
                Step::GiveUp => {
                    yield Err(attempt.error(failure));
                    return;
                }
            }
        }
    })
}

/// No endpoint can be asked.
pub(super) fn no_endpoint(model: &Model) -> LlmError {
    LlmError {
        kind: LlmErrorKind::Setup,
        model: model.config.name.clone(),
        endpoint: None,
        message: "none of its endpoints can be asked".to_owned(),
    }
}

/// The model's permit and the request's, in this order everywhere, so that no two calls wait for
/// each other.
struct Permits {
    _model: Option<OwnedSemaphorePermit>,
    _request: Option<OwnedSemaphorePermit>,
}

impl Permits {
    async fn acquire(model: &Model, call: &Call) -> Self {
        let model = permit(model.permits.as_ref()).await;
        Self { _model: model, _request: permit(call.permits.as_ref()).await }
    }
}

/// `None` where there is no limit, or no more (a closed semaphore limits nothing).
async fn permit(semaphore: Option<&Arc<Semaphore>>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(semaphore?).acquire_owned().await.ok()
}

/// What happens after a failed attempt.
enum Step {
    Repair,
    Wait(Duration),
    GiveUp,
}

/// One attempt and its times.
struct Try<'a> {
    model: &'a Model,
    number: usize,
    endpoint: Arc<Endpoint>,
    call: &'a Call,
    prepared: Prepared,
    begun: Instant,
    first_delta: Option<Instant>,
}

impl<'a> Try<'a> {
    fn new(model: &'a Model, call: &'a Call) -> Option<Self> {
        let (number, endpoint) = model.pool.choose(call.avoid)?;
        let prepared = endpoint.prepare(call)?;
        let begun = Instant::now();
        Some(Self { model, number, endpoint, call, prepared, begun, first_delta: None })
    }

    /// Sends the request; a refusal is examined for a parameter it names.
    async fn open(&mut self) -> Result<Box<Exchange>, Failure> {
        let wire = wire(self.model.config.protocol);
        wire.sign(&mut self.prepared.body, &|call| self.model.signatures.of(call));
        self.log_request();
        let verbatim = self.call.raw;
        let opened = exchange::open(self.model, &self.endpoint, &self.prepared, verbatim).await;
        let mut failure = match opened {
            Ok(exchange) => {
                self.prepared.body.clear(); // images are large, and answers take long
                return Ok(exchange);
            }
            Err(failure) => failure,
        };
        if let Words::Upstream(refusal) = &failure.words
            && failure.kind != LlmErrorKind::ContextLength
        {
            failure.repair = diagnose(refusal, wire, &self.prepared.body, self.call);
        }
        if let Some(Repair::Unsupported(_)) = failure.repair {
            failure.kind = LlmErrorKind::UnsupportedInput;
            failure.advice = Advice::Never;
        }
        Err(failure)
    }

    fn note_delta(&mut self) {
        self.first_delta.get_or_insert_with(Instant::now);
    }

    /// A complete answer's events, or why it is none.
    fn completion(&self, exchange: &Exchange) -> Result<(Attempt, Completion), Failure> {
        let answer = exchange.answer();
        let reason: FinishReason = answer.reason().map_err(|kind| {
            let words = match kind {
                LlmErrorKind::ContentFilter => "the answer was withheld by a content filter",
                _ => "the answer is empty",
            };
            Failure::new(kind, words)
        })?;
        let ended = Instant::now();
        let first = self.first_delta.unwrap_or(ended);
        let usage = answer.usage(self.prompt_bytes(), first - self.begun, ended - first);
        self.log_answer(exchange, reason);
        Ok((self.ended("ok"), Completion { reason, usage }))
    }

    fn failed(&self, failure: &Failure) -> Attempt {
        let outcome = failure.kind.code();
        tracing::debug!(
            model = self.model.config.name,
            endpoint = self.endpoint.name(),
            outcome,
            duration_ms = self.begun.elapsed().as_millis(),
            "upstream attempt failed"
        );
        self.ended(outcome)
    }

    fn ended(&self, outcome: &'static str) -> Attempt {
        Attempt {
            endpoint: self.endpoint.name().to_owned(),
            outcome,
            duration: self.begun.elapsed(),
            temperature: self.prepared.temperature,
        }
    }

    /// Repairs come before retries and cost none; after a delta there is neither.
    fn next_step(
        &self,
        failure: &Failure,
        retries: &mut Retries,
        repaired: &mut Vec<Parameter>,
        remaining: Duration,
    ) -> Step {
        if let Some(Repair::Unsupported(parameter) | Repair::Without(parameter)) = failure.repair {
            self.endpoint.remember(parameter);
        }
        if self.first_delta.is_some() {
            return Step::GiveUp;
        }
        if let Some(Repair::Without(parameter)) = failure.repair
            && !repaired.contains(&parameter)
        {
            repaired.push(parameter);
            return Step::Repair;
        }
        retries.next(failure.advice, remaining).map_or(Step::GiveUp, Step::Wait)
    }

    /// The error the call fails with, safe to be shown.
    fn error(&self, failure: Failure) -> LlmError {
        failure.into_error(&self.endpoint, &self.texts())
    }

    /// Everything of the conversation that an upstream might quote.
    fn texts(&self) -> Vec<&str> {
        let of_part = |part: &'a Part| match part {
            Part::Text(text) => text.as_str(),
            Part::Image(Image::Url { url, .. }) => url,
            Part::Image(Image::Inline { base64, .. }) => base64,
        };
        let messages = self.call.messages.iter();
        let parts = messages.clone().flat_map(|message| &message.parts).map(of_part);
        let calls = messages.flat_map(|message| &message.tool_calls);
        let tools = self.call.tools.iter().filter_map(|tool| tool.description.as_deref());
        parts.chain(calls.map(|call| call.arguments.as_str())).chain(tools).collect()
    }

    fn prompt_bytes(&self) -> usize {
        let parts = self.call.messages.iter().flat_map(|message| &message.parts);
        parts.map(|part| if let Part::Text(text) = part { text.len() } else { 0 }).sum()
    }

    fn log_request(&self) {
        if !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        let (model, endpoint) = (&self.model.config.name, self.endpoint.name());
        let body = &self.prepared.body;
        tracing::debug!(model, endpoint, request = redact::fields(body), "upstream attempt");
        if self.model.log_payloads {
            let text = serde_json::to_string(body).unwrap_or_default();
            let text = redact::excerpt(&text, &self.endpoint.secrets());
            tracing::debug!(model, endpoint, text, "upstream request");
        }
    }

    fn log_answer(&self, exchange: &Exchange, reason: FinishReason) {
        let (model, endpoint) = (&self.model.config.name, self.endpoint.name());
        let (text_bytes, reasoning_bytes, tool_bytes) = exchange.answer().lengths();
        tracing::debug!(
            model,
            endpoint,
            outcome = "ok",
            duration_ms = self.begun.elapsed().as_millis(),
            finish_reason = reason.as_str(),
            text_bytes,
            reasoning_bytes,
            tool_bytes,
            "upstream attempt ended"
        );
        if let Some(text) = exchange.answer().excerpt() {
            let text = redact::excerpt(text, &self.endpoint.secrets());
            tracing::debug!(model, endpoint, text, "upstream answer");
        }
    }
}
