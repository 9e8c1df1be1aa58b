//! One logical call: permits, attempts, repairs, retries, the limit, and the events of it all.

mod deadline;
pub(super) mod exchange;
mod failover;
pub(super) mod failure;
pub(super) mod passthrough;
pub(super) mod purpose;
pub(super) mod retry;

use std::{sync::Arc, time::Duration};

use async_stream::stream;
use reqwest::header::HeaderValue;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::{
    Attempt, Call, CallEvent, CallStream, Completion, LlmError, LlmErrorKind, Model,
    endpoint::{
        Endpoint, Prepared,
        balance::Lease,
        breaker::{Cause, Report},
        probe,
    },
    protocol::{
        all::wire,
        blame::Blame,
        parameter::Parameter,
        repair::{Repair, diagnose},
        state::resolve,
    },
    redact,
};
use crate::{
    config::Gateway,
    types::{FinishReason, Image, Part},
};
use deadline::Clock;
use exchange::Exchange;
use failover::{Journey, Next};
use failure::{Failure, Words};
use purpose::SHORT_PAUSE;
use retry::Advice;

impl Model {
    /// Makes one logical call. Nothing happens before the stream is polled.
    #[must_use]
    pub fn call(self: &Arc<Self>, call: Call) -> CallStream {
        #[cfg(test)]
        if let Some(script) = &self.script {
            return script(call);
        }
        run(Arc::clone(self), call)
    }
}

/// The call as a stream of its events. It owns everything it does: dropped at any point, it hangs
/// up and gives its permits back.
fn run(model: Arc<Model>, call: Call) -> CallStream {
    // Not inside, where there would be room for it as it came and as it goes. Boxed for the same
    // reason: what a stream takes along has its place in it twice.
    let call = Box::new(resolve(call, &model.states, model.writer));
    Box::pin(stream! {
        let mut refusal = model.unsupported(&call);
        let takes = |endpoint: &Endpoint| endpoint.unsupported(&call).is_none();
        let mut journey = Journey::new(&model, &takes, call.affinity, call.avoid);
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
            let mut attempt = match Try::new(&model, &call, &mut journey, &repaired) {
                Ok(attempt) => attempt,
                Err(error) => {
                    drop(permits); // another call may wait for them before this stream is dropped
                    yield Err(error);
                    return;
                }
            };
            let number = attempt.lease.number();
            let temperature = attempt.prepared.temperature;
            yield Ok(CallEvent::Started { queued, endpoint: number, temperature });
            let clock = clock.get_or_insert_with(|| Clock::start(call.limit));
            clock.attempt_begins(attempt.lease.is_probe() && journey.has_other(number));
            attempt.hand_over(clock.remaining());
            // Boxed, as it is over long before the answer is.
            let opened = clock.bound(Box::pin(attempt.open())).await;
            let mut failure = match opened {
                Err(failure) => failure,
                Ok(mut exchange) => loop {
                    let more = match exchange.is_complete() {
                        true => exchange.read_on().await,
                        false => clock.bound(exchange.read_on()).await,
                    };
                    match more {
                        Err(failure) => break failure,
                        Ok(true) => {
                            attempt.note_delta(&repaired);
                            // What came together is told together: nothing is awaited between.
                            while let Some(delta) = exchange.next_delta() {
                                yield Ok(CallEvent::Delta(delta));
                            }
                            // Only now: a slow consumer is not the upstream's silence.
                            clock.next_gap();
                        }
                        Ok(false) => {
                            // What has come is read even if nobody polls after `Finished`.
                            exchange.drain_ready();
                            match attempt.completion(&exchange, &repaired) {
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
            attempt.diagnose(&mut failure);
            attempt.weigh_context(&mut failure);
            attempt.confirm(&mut failure, clock).await;
            attempt.report(&failure, clock);
            let code = failure.kind.code();
            yield Ok(CallEvent::Attempt(attempt.failed(&failure)));
            match attempt.next_step(failure, &mut journey, &mut repaired, clock.remaining()) {
                Step::Again => {}
                Step::Wait(pause) => {
                    drop(attempt);
                    if pause > SHORT_PAUSE {
                        yield Ok(CallEvent::Waiting { pause, code });
                    }
                    if !Box::pin(call.purpose.pause(pause)).await {
                        yield Err(journey.error());
                        return;
                    }
                }
                Step::GiveUp => {
                    drop(attempt);
                    yield Err(journey.error());
                    return;
                }
            }
        }
    })
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
pub(super) async fn permit(semaphore: Option<&Arc<Semaphore>>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(semaphore?).acquire_owned().await.ok()
}

/// What happens after a failed attempt.
enum Step {
    Again,
    Wait(Duration),
    GiveUp,
}

/// What a request is sent again without.
#[derive(Clone, Copy)]
struct Repaired {
    endpoint: usize,
    parameter: Parameter,
    /// To be remembered once the request without it is taken: then it was to blame.
    lasts: bool,
}

/// One attempt and its times.
struct Try<'a> {
    model: &'a Model,
    lease: Lease<Endpoint>,
    call: &'a Call,
    prepared: Prepared,
    begun: Instant,
    first_delta: Option<Instant>,
}

impl<'a> Try<'a> {
    /// # Errors
    /// The call's, when no endpoint can be asked.
    fn new(
        model: &'a Model,
        call: &'a Call,
        journey: &mut Journey<'_>,
        repaired: &[Repaired],
    ) -> Result<Self, LlmError> {
        let lease = journey.lease()?;
        let without = repaired.iter().filter(|one| one.endpoint == lease.number());
        let prepared = lease.endpoint().prepare(call, without.map(|one| one.parameter));
        let prepared = prepared.ok_or_else(|| journey.error())?;
        let begun = Instant::now();
        Ok(Self { model, lease, call, prepared, begun, first_delta: None })
    }

    fn endpoint(&self) -> &Endpoint {
        self.lease.endpoint()
    }

    /// Sends the request.
    async fn open(&mut self) -> Result<Box<Exchange>, Failure> {
        self.log_request();
        let (endpoint, prepared) = (self.lease.endpoint(), &mut self.prepared);
        exchange::open(self.model, endpoint, prepared, self.call).await
    }

    /// Examines a refusal for a parameter that it names, also one that came under a 200 in the place
    /// of an answer.
    fn diagnose(&self, failure: &mut Failure) {
        if let Words::Upstream(refusal) = &failure.words
            && failure.kind != LlmErrorKind::ContextLength
            && self.first_delta.is_none()
        {
            let wire = wire(self.model.config.protocol);
            failure.repair = diagnose(refusal, wire, &self.prepared.body, self.call);
        }
        if let Some(Repair::Unsupported(_)) = failure.repair {
            failure.kind = LlmErrorKind::UnsupportedInput;
            failure.advice = Advice::Never;
        }
    }

    /// Tells a gateway that knows such words how long there is, and to leave the retries to us.
    fn hand_over(&mut self, remaining: Duration) {
        if self.model.config.gateway == Some(Gateway::LiteLlm) {
            let seconds = u32::try_from(remaining.as_secs().max(1)).unwrap_or(u32::MAX);
            let headers = Arc::make_mut(&mut self.prepared.headers);
            headers.insert("x-litellm-num-retries", HeaderValue::from_static("0"));
            headers.insert("x-litellm-timeout", seconds.into());
        }
    }

    /// Asks the model list, which is free, whether a refusal that looks like a wrong key or model
    /// is about those.
    async fn confirm(&self, failure: &mut Failure, clock: &mut Clock) {
        let Some(status) = failure.status() else { return };
        if failure.blame != Blame::Unclear
            || failure.repair.is_some()
            || self.call.raw
            || !self.endpoint().may_confirm()
        {
            return;
        }
        let asked = async { Ok(probe::confirms(self.endpoint(), status).await) };
        if clock.bound(Box::pin(asked)).await.unwrap_or(false) {
            failure.blame = Blame::Endpoint;
        }
    }

    /// The request was taken as it is: an answer has come.
    fn learn(&self, repaired: &[Repaired]) {
        let here = repaired.iter().filter(|one| one.endpoint == self.lease.number() && one.lasts);
        here.for_each(|one| self.endpoint().remember(one.parameter));
    }

    fn note_delta(&mut self, repaired: &[Repaired]) {
        if self.first_delta.is_none() {
            self.first_delta = Some(Instant::now());
            self.lease.spoke();
            self.learn(repaired);
            self.prepared.body.clear(); // images are large, and answers take long
        }
    }

    /// A complete answer's events, or why it is none.
    fn completion(
        &mut self,
        exchange: &Exchange,
        repaired: &[Repaired],
    ) -> Result<(Attempt, Completion), Failure> {
        let answer = exchange.answer();
        let endings = &self.lease.endpoint().endings;
        let reason: FinishReason =
            answer.reason(endings).map_err(|(kind, words)| Failure::new(kind, words))?;
        answer.shows(endings);
        self.learn(repaired);
        let ended = Instant::now();
        let first = self.first_delta.unwrap_or(ended);
        let usage = answer.usage(self.prompt_bytes(), first - self.begun, ended - first);
        self.log_answer(exchange, reason);
        self.lease.report(Report::Answered, Some(first - self.begun));
        exchange.recorder().remember(&self.model.states, self.model.writer);
        Ok((self.ended("ok"), Completion { reason, usage }))
    }

    fn failed(&self, failure: &Failure) -> Attempt {
        let outcome = failure.kind.code();
        tracing::debug!(
            model = self.model.config.name,
            endpoint = self.endpoint().name(),
            outcome,
            duration_ms = self.begun.elapsed().as_millis(),
            "upstream attempt failed"
        );
        self.ended(outcome)
    }

    fn ended(&self, outcome: &'static str) -> Attempt {
        Attempt {
            endpoint: self.endpoint().name().to_owned(),
            outcome,
            duration: self.begun.elapsed(),
            temperature: self.prepared.temperature,
        }
    }

    /// Tells the endpoint's breaker of a failure.
    fn report(&mut self, failure: &Failure, clock: &Clock) {
        let timed_out = failure.kind == LlmErrorKind::Timeout;
        let report = match failure.report() {
            // Too little of the limit was left to call it slow.
            Some(_) if timed_out && !self.lease.is_probe() && !clock.had_most(self.begun) => None,
            // The path of plain completions may be all that is missing.
            Some(Report::Unusable { .. })
                if self.call.raw && failure.kind == LlmErrorKind::NotFound =>
            {
                Some(Report::Answered)
            }
            report => report,
        };
        let slow = timed_out.then(|| self.begun.elapsed());
        let first = self.first_delta.map(|first| first - self.begun);
        // A connection that was not made never carried the prompt.
        let sent = failure.kind != LlmErrorKind::Connect;
        let prompt = || self.call.purpose.origin.as_ref().unwrap_or(&self.call.messages).digests();
        if let Some(report) = report {
            let cause = Cause::new(sent.then(prompt).unwrap_or_default(), self.begun.elapsed());
            self.lease.report_of(report, cause, first.or(slow));
        }
    }

    /// Repairs come before retries and cost none; after a delta that somebody saw there is neither.
    fn next_step(
        &self,
        failure: Failure,
        journey: &mut Journey<'_>,
        repaired: &mut Vec<Repaired>,
        remaining: Duration,
    ) -> Step {
        let number = self.lease.number();
        let repair = match failure.repair {
            Some(Repair::Without(parameter)) => Some((parameter, true)),
            Some(Repair::WithoutNow(parameter)) => Some((parameter, false)),
            Some(Repair::Unsupported(parameter)) => {
                self.endpoint().remember(parameter);
                None
            }
            None => None,
        };
        let is_new = |parameter| {
            !repaired.iter().any(|one| one.endpoint == number && one.parameter == parameter)
        };
        if self.first_delta.is_none()
            && let Some((parameter, lasts)) = repair.filter(|(parameter, _)| is_new(*parameter))
        {
            repaired.push(Repaired { endpoint: number, parameter, lasts });
            journey.stay(number);
            return Step::Again;
        }
        let next = if self.first_delta.is_none() || self.call.purpose.retractable {
            journey.next(number, &failure, remaining)
        } else {
            Next::GiveUp
        };
        journey.failed(failure.into_error(self.endpoint(), &self.texts()));
        match next {
            Next::Elsewhere => Step::Again,
            Next::Wait(pause) => Step::Wait(pause),
            Next::GiveUp => Step::GiveUp,
        }
    }

    /// Everything of the conversation that an upstream might quote.
    fn texts(&self) -> Vec<&str> {
        let of_part = |part: &'a Part| match part {
            Part::Text(text) => text.as_str(),
            Part::Other(_) => "",
            Part::Image(Image::Url { url, .. }) => url,
            Part::Image(Image::Inline { base64, .. }) => base64,
        };
        let messages = self.call.messages.iter();
        let parts = messages.clone().flat_map(|message| &message.parts).map(of_part);
        let calls = messages.flat_map(|message| &message.tool_calls);
        let tools = self.call.tools.iter().filter_map(|tool| tool.description.as_deref());
        let parts = parts.chain(self.call.appendix.as_deref());
        parts.chain(calls.map(|call| call.arguments.as_str())).chain(tools).collect()
    }

    fn weigh_context(&self, failure: &mut Failure) {
        failure.weigh_context(self.first_delta.is_some(), self.prompt_bytes(), self.endpoint());
    }

    fn prompt_bytes(&self) -> usize {
        let parts = self.call.messages.iter().flat_map(|message| &message.parts);
        let appendix = self.call.appendix.as_ref().map_or(0, |text| text.len());
        let texts = parts.map(|part| if let Part::Text(text) = part { text.len() } else { 0 });
        texts.sum::<usize>().saturating_add(appendix)
    }

    fn log_request(&self) {
        if !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        let (model, endpoint) = (&self.model.config.name, self.endpoint().name());
        let body = &self.prepared.body;
        tracing::debug!(
            model,
            endpoint,
            request = super::protocol::body::contents(body),
            "upstream attempt"
        );
        if self.model.log_payloads {
            let text = serde_json::to_string(body).unwrap_or_default();
            let text = redact::excerpt(&text, &self.endpoint().secrets());
            tracing::debug!(model, endpoint, text, "upstream request");
        }
    }

    fn log_answer(&self, exchange: &Exchange, reason: FinishReason) {
        let (model, endpoint) = (&self.model.config.name, self.endpoint().name());
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
            let text = redact::excerpt(text, &self.endpoint().secrets());
            tracing::debug!(model, endpoint, text, "upstream answer");
        }
    }
}
