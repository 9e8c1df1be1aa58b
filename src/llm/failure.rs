//! A failed attempt, before it is known whether the call fails with it.

use std::borrow::Cow;

use super::{
    LlmError, LlmErrorKind, endpoint::Endpoint, redact, refusal::Refusal, repair::Repair,
    retry::Advice,
};

/// Why an attempt failed, and what may be done about it.
pub(super) struct Failure {
    pub(super) kind: LlmErrorKind,
    pub(super) advice: Advice,
    /// A parameter was refused.
    pub(super) repair: Option<Repair>,
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
    pub(super) fn new(kind: LlmErrorKind, words: impl Into<Cow<'static, str>>) -> Self {
        let advice = match kind {
            LlmErrorKind::Connect | LlmErrorKind::Transport | LlmErrorKind::Truncated => {
                Advice::Backoff
            }
            _ => Advice::Never,
        };
        Self { kind, advice, repair: None, words: Words::Own(words.into()) }
    }

    /// The error that the caller gets, safe to be shown; `texts` are what the request held and an
    /// upstream might quote.
    pub(super) fn into_error(self, endpoint: &Endpoint, texts: &[&str]) -> LlmError {
        let secrets = endpoint.secrets();
        let message = match self.words {
            Words::Own(words) => {
                redact::cut(&redact::scrub(&words, &secrets), redact::MESSAGE_LIMIT)
            }
            Words::Upstream(refusal) => {
                refusal.describe(self.kind, &secrets, texts.iter().copied())
            }
        };
        LlmError {
            kind: self.kind,
            model: endpoint.model().name.clone(),
            endpoint: Some(endpoint.name().to_owned()),
            message,
        }
    }

    /// An error inside a stream, or under a 200.
    pub(super) fn in_band(refusal: Refusal) -> Self {
        let kind = refusal.error_kind(None);
        let advice = match kind {
            LlmErrorKind::RateLimited { .. } => Advice::Backoff,
            LlmErrorKind::InBand if !refusal.is_final() => Advice::Once,
            _ => Advice::Never,
        };
        Self { kind, advice, repair: None, words: Words::Upstream(Box::new(refusal)) }
    }
}
