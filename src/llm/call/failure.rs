//! A failed attempt, before it is known whether the call fails with it.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use reqwest::header::HeaderMap;

use super::retry::{Advice, advice, in_words, limit_reset, retry_after, says_to_retry};
use crate::{
    config,
    llm::{
        FailureClass, LlmError, LlmErrorKind,
        endpoint::{Endpoint, breaker::Report, gateway::Gateway},
        protocol::{blame::Blame, repair::Repair, upstream_error::Refusal},
        redact,
    },
};

/// Why an attempt failed, and what may be done about it.
pub(in crate::llm) struct Failure {
    pub(in crate::llm) kind: LlmErrorKind,
    pub(super) advice: Advice,
    /// A parameter was refused.
    pub(super) repair: Option<Repair>,
    /// The one to blame, where a refusal looks like a wrong key or model.
    pub(super) blame: Blame,
    /// How long the upstream asked to be left alone.
    pub(super) wait: Option<Duration>,
    pub(super) words: Words,
}

/// What is known of the failure in words.
pub(super) enum Words {
    /// Ours.
    Own(Cow<'static, str>),
    /// The upstream's, to be checked for keys and prompts before anyone sees them.
    Upstream(Box<Refusal>),
}

impl Failure {
    /// A failure in our own words; what another try may cure follows from its kind.
    pub(in crate::llm) fn new(kind: LlmErrorKind, words: impl Into<Cow<'static, str>>) -> Self {
        let advice = match kind {
            LlmErrorKind::Connect
            | LlmErrorKind::Transport
            | LlmErrorKind::Truncated
            | LlmErrorKind::OutOfResources => Advice::Backoff,
            LlmErrorKind::ToolCallMissing => Advice::Once,
            _ => Advice::Never,
        };
        let (blame, words) = (Blame::Request, Words::Own(words.into()));
        Self { kind, advice, repair: None, blame, wait: None, words }
    }

    /// What it means for the endpoint; `None`: nothing.
    pub(super) fn report(&self) -> Option<Report> {
        if self.repair.is_some() {
            return Some(Report::Answered); // it says what it wants, with whatever status
        }
        let code = self.kind.code();
        if self.blame == Blame::Endpoint {
            return Some(Report::Unusable { code });
        }
        let rest = match self.advice {
            Advice::After(asked) => Some(asked),
            Advice::Never | Advice::Backoff | Advice::Once => None,
        };
        Some(match (self.kind.class(), self.kind) {
            (FailureClass::Ours, _) => return None,
            (_, LlmErrorKind::RateLimited { retry_after }) => {
                Report::Limited { rest: retry_after.or(rest) }
            }
            (_, LlmErrorKind::Quota) => Report::Exhausted,
            // The endpoint is well, and says what it has to say.
            (
                _,
                LlmErrorKind::Unauthorized
                | LlmErrorKind::NotFound
                | LlmErrorKind::Upstream { status: ..499 },
            ) => Report::Answered,
            (_, LlmErrorKind::InBand) if self.advice == Advice::Never => Report::Answered,
            (FailureClass::Upstream | FailureClass::TimedOut, _) => Report::Failed { code, rest },
            (FailureClass::Request | FailureClass::Limited | FailureClass::Answer, _) => {
                Report::Answered
            }
        })
    }

    /// Whether another endpoint might answer: the fault is this endpoint's, not the request's.
    /// What one cannot take another may; which of them refused it before is known elsewhere.
    pub(super) fn may_differ_elsewhere(&self) -> bool {
        match self.kind.class() {
            FailureClass::Upstream if self.kind == LlmErrorKind::InBand => {
                self.advice != Advice::Never
            }
            FailureClass::Upstream | FailureClass::TimedOut | FailureClass::Limited => true,
            FailureClass::Request => self.kind == LlmErrorKind::UnsupportedInput,
            // To another there may be a connection already, or a port.
            FailureClass::Ours => self.kind == LlmErrorKind::OutOfResources,
            FailureClass::Answer => false,
        }
    }

    /// The error that the caller gets, safe to be shown; `texts` are what the request held and an
    /// upstream might quote.
    pub(in crate::llm) fn into_error(self, endpoint: &Endpoint, texts: &[&str]) -> LlmError {
        let secrets = endpoint.secrets();
        let mut message = match self.words {
            Words::Own(words) => {
                redact::cut(&redact::scrub(&words, &secrets), redact::MESSAGE_LIMIT)
            }
            Words::Upstream(refusal) => {
                refusal.describe(self.kind, &secrets, texts.iter().copied())
            }
        };
        if let Some(asked) = self.wait.and_then(in_words) {
            let asked = format!("; it {asked}");
            let left = redact::MESSAGE_LIMIT.saturating_sub(asked.chars().count());
            message = redact::cut(&message, left) + &asked;
        }
        LlmError {
            kind: self.kind,
            model: endpoint.model().name.clone(),
            endpoint: Some(endpoint.name().to_owned()),
            message,
        }
    }

    /// A response that is not a success. The wait it asks for stands in a header, else in its body.
    pub(in crate::llm) fn refused(
        refusal: Refusal,
        headers: &HeaderMap,
        endpoint: &Endpoint,
    ) -> Self {
        let now = SystemTime::now();
        let wait = retry_after(headers, now).or(refusal.wait()).or_else(|| match refusal.status {
            429 => limit_reset(headers, now),
            _ => None,
        });
        let mut kind = refusal.error_kind(wait);
        if kind == (LlmErrorKind::RateLimited { retry_after: None })
            && refusal.status == 429
            && endpoint.wire().rate_limits_say_when()
            && !refusal.names_a_rate()
            && says_to_retry(headers) != Some(true)
        {
            kind = LlmErrorKind::Quota;
        }
        let advice = match kind {
            LlmErrorKind::Quota | LlmErrorKind::ContextLength | LlmErrorKind::ContentFilter => {
                Advice::Never
            }
            LlmErrorKind::Capacity => Advice::Backoff,
            // What a gateway has tried in vain would be tried as often again.
            _ if has_retried(endpoint.model(), headers) => Advice::Never,
            // Who answers 502 to a provider's 429 has most likely tried again itself.
            _ if refusal.is_hidden() => match (kind, wait) {
                (LlmErrorKind::RateLimited { .. }, Some(wait)) => Advice::After(wait),
                _ => Advice::Never,
            },
            // Not there for the moment.
            LlmErrorKind::Upstream { status: 404 } => advice(503, headers, wait),
            _ => advice(refusal.status, headers, wait),
        };
        let blame = Blame::of(&refusal, kind);
        Self { kind, advice, repair: None, blame, wait, words: Words::Upstream(Box::new(refusal)) }
    }

    /// The status of the response that refused.
    pub(super) fn status(&self) -> Option<u16> {
        match &self.words {
            Words::Own(_) => None,
            Words::Upstream(refusal) => Some(refusal.status),
        }
    }

    /// An error inside a stream, or under a 200.
    pub(in crate::llm) fn in_band(refusal: Refusal) -> Self {
        let kind = refusal.error_kind(refusal.wait());
        let advice = match kind {
            LlmErrorKind::RateLimited { retry_after } => {
                retry_after.map_or(Advice::Backoff, Advice::After)
            }
            LlmErrorKind::InBand if !refusal.is_final() => Advice::Once,
            LlmErrorKind::Capacity => Advice::Backoff,
            _ => Advice::Never,
        };
        let (blame, wait) = (Blame::of(&refusal, kind), refusal.wait());
        Self { kind, advice, repair: None, blame, wait, words: Words::Upstream(Box::new(refusal)) }
    }

    /// Decides what an exhausted context means, once it is known whether the answer had begun
    /// (`spoke`) and about how long the prompt is. In the middle of an answer, or under a prompt that
    /// is far below it, the context is not too short for the conversation: the server's requests
    /// share it. Else what the refusal says of its length is remembered.
    pub(super) fn weigh_context(&mut self, spoke: bool, prompt_bytes: usize, endpoint: &Endpoint) {
        let Words::Upstream(refusal) = &self.words else { return };
        if self.kind != LlmErrorKind::ContextLength {
            return;
        }
        let whole = endpoint.context_tokens() as usize;
        let is_short = prompt_bytes / BYTES_PER_TOKEN < whole / 2;
        if spoke || (refusal.names_no_length() && is_short) {
            (self.kind, self.advice) = (LlmErrorKind::Capacity, Advice::Backoff);
        } else if let Some(tokens) = refusal.context_limit() {
            endpoint.learn_context(tokens);
        }
    }
}

/// Whether a gateway before this model tries again by itself. One that is told not to does not.
fn has_retried(model: &config::Model, headers: &HeaderMap) -> bool {
    match model.gateway {
        Some(config::Gateway::LiteLlm) => false,
        Some(config::Gateway::Retrying) => true,
        None => Gateway::has_retried(headers),
    }
}

/// Bytes that a token has at least, as good as always.
const BYTES_PER_TOKEN: usize = 3;
