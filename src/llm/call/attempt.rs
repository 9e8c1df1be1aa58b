//! One attempt of a call: what it sends, and what its ending means.

use std::{sync::Arc, time::Duration};

use reqwest::header::HeaderValue;
use tokio::time::Instant;

use super::{
    deadline::Clock,
    exchange::Exchange,
    failover::{Failover, Next},
    failure::{Failure, Words},
    retry::Advice,
};
use crate::{
    config::Gateway,
    llm::{
        Attempt, Call, Completion, LlmError, LlmErrorKind, Model,
        endpoint::{
            Endpoint, Prepared,
            balance::Lease,
            breaker::{Cause, Report},
            probe,
        },
        protocol::{
            all::wire,
            blame::Blame,
            body::contents,
            parameter::Parameter,
            repair::{Repair, diagnose},
        },
        redact,
    },
    types::{FinishReason, Image, Part},
};

/// What happens after a failed attempt.
pub(super) enum Step {
    Again,
    Wait(Duration),
    GiveUp,
}

/// What a request is sent again without.
#[derive(Clone, Copy)]
pub(super) struct Repaired {
    pub(super) endpoint: usize,
    pub(super) parameter: Parameter,
    /// Remember it once the request is taken without it: then it was to blame.
    lasts: bool,
}

/// One attempt and its times.
pub(super) struct Try<'a> {
    pub(super) model: &'a Model,
    pub(super) lease: Lease<Endpoint>,
    pub(super) call: &'a Call,
    pub(super) prepared: Prepared,
    pub(super) begun: Instant,
    first_delta: Option<Instant>,
}

impl<'a> Try<'a> {
    /// # Errors
    /// The call's, when no endpoint can be asked.
    pub(super) fn new(
        model: &'a Model,
        call: &'a Call,
        failover: &mut Failover<'_>,
        repaired: &[Repaired],
    ) -> Result<Self, LlmError> {
        let lease = failover.lease()?;
        let without = repaired.iter().filter(|one| one.endpoint == lease.number());
        let prepared = lease.endpoint().prepare(call, without.map(|one| one.parameter));
        let prepared = prepared.ok_or_else(|| failover.error())?;
        let begun = Instant::now();
        Ok(Self { model, lease, call, prepared, begun, first_delta: None })
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        self.lease.endpoint()
    }

    /// Sends the request.
    pub(super) async fn open(&mut self) -> Result<Box<Exchange>, Failure> {
        self.log_request();
        let (endpoint, prepared) = (self.lease.endpoint(), &mut self.prepared);
        super::exchange::open(self.model, endpoint, prepared, self.call).await
    }

    /// Examines a refusal for a parameter that it names, also one that came under a 200 in the place
    /// of an answer.
    pub(super) fn diagnose(&self, failure: &mut Failure) {
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

    /// Asks a gateway that knows such headers to answer in time and to leave the retries to us.
    pub(super) fn hand_over(&mut self, remaining: Duration) {
        if self.model.config.gateway == Some(Gateway::LiteLlm) {
            let seconds = u32::try_from(remaining.as_secs().max(1)).unwrap_or(u32::MAX);
            let headers = Arc::make_mut(&mut self.prepared.headers);
            headers.insert("x-litellm-num-retries", HeaderValue::from_static("0"));
            headers.insert("x-litellm-timeout", seconds.into());
        }
    }

    /// Asks the model list, which is free, whether a refusal that looks like a wrong key or model
    /// is about those.
    pub(super) async fn confirm(&self, failure: &mut Failure, clock: &mut Clock) {
        let Some(status) = failure.status() else { return };
        if failure.blame != Blame::Unclear
            || failure.repair.is_some()
            || self.call.prompt.raw
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
    pub(super) fn learn(&self, repaired: &[Repaired]) {
        let here = repaired.iter().filter(|one| one.endpoint == self.lease.number() && one.lasts);
        here.for_each(|one| self.endpoint().remember(one.parameter));
    }

    pub(super) fn note_delta(&mut self, repaired: &[Repaired]) {
        if self.first_delta.is_none() {
            self.first_delta = Some(Instant::now());
            self.lease.spoke();
            self.learn(repaired);
            self.prepared.body.clear(); // images are large, and answers take long
        }
    }

    /// A complete answer's events, or why it is none.
    pub(super) fn completion(
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

    pub(super) fn failed(&self, failure: &Failure) -> Attempt {
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

    pub(super) fn ended(&self, outcome: &'static str) -> Attempt {
        Attempt {
            endpoint: self.endpoint().name().to_owned(),
            outcome,
            duration: self.begun.elapsed(),
            temperature: self.prepared.temperature,
        }
    }

    /// Reports a failure to the endpoint's breaker.
    pub(super) fn report(&mut self, failure: &Failure, clock: &Clock) {
        let timed_out = failure.kind == LlmErrorKind::Timeout;
        let report = match failure.report() {
            // Too little of the limit was left to call it slow.
            Some(_) if timed_out && !self.lease.is_probe() && !clock.had_most(self.begun) => None,
            // The path of plain completions may be all that is missing.
            Some(Report::Unusable { .. })
                if self.call.prompt.raw && failure.kind == LlmErrorKind::NotFound =>
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
    pub(super) fn next_step(
        &self,
        failure: Failure,
        failover: &mut Failover<'_>,
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
            failover.stay(number);
            return Step::Again;
        }
        let next = if self.first_delta.is_none() || self.call.purpose.retractable {
            failover.next(number, &failure, remaining)
        } else {
            Next::GiveUp
        };
        failover.failed(failure.into_error(self.endpoint(), &self.texts()));
        match next {
            Next::Elsewhere => Step::Again,
            Next::Wait(pause) => Step::Wait(pause),
            Next::GiveUp => Step::GiveUp,
        }
    }

    /// Everything of the conversation that an upstream might quote.
    pub(super) fn texts(&self) -> Vec<&str> {
        let of_part = |part: &'a Part| match part {
            Part::Text(text) => text.as_str(),
            Part::Other(_) => "",
            Part::Image(Image::Url { url, .. }) => url,
            Part::Image(Image::Inline { base64, .. }) => base64,
        };
        let messages = self.call.messages.iter();
        let parts = messages.clone().flat_map(|message| &message.parts).map(of_part);
        let calls = messages.flat_map(|message| &message.tool_calls);
        let tools = self.call.prompt.tools.iter().filter_map(|tool| tool.description.as_deref());
        let parts = parts.chain(self.call.appendix.as_deref());
        parts.chain(calls.map(|call| call.arguments.as_str())).chain(tools).collect()
    }

    pub(super) fn weigh_context(&self, failure: &mut Failure) {
        failure.weigh_context(self.first_delta.is_some(), self.prompt_bytes(), self.endpoint());
    }

    pub(super) fn prompt_bytes(&self) -> usize {
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
        tracing::debug!(model, endpoint, request = contents(body), "upstream attempt");
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
