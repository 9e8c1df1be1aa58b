//! The status and the stable code of what the engine and upstreams fail with.

use axum::http::StatusCode;

use crate::{
    llm::{FailureClass, LlmError, LlmErrorKind},
    workflow::WorkflowError,
};

/// The code that agents take for a word to shorten the conversation.
pub(super) const TOO_LONG: &str = "context_length_exceeded";

pub(super) fn run_kind(error: &WorkflowError, direct: bool) -> (StatusCode, &'static str) {
    match error {
        WorkflowError::AllWorkersFailed { .. } => (StatusCode::BAD_GATEWAY, "all_workers_failed"),
        WorkflowError::RateLimited { .. } => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded"),
        WorkflowError::Timeout { .. } => (StatusCode::GATEWAY_TIMEOUT, "timeout"),
        WorkflowError::UnsupportedInput { .. } | WorkflowError::Invalid { .. } => {
            (StatusCode::BAD_REQUEST, "invalid_request")
        }
        WorkflowError::TooLong { .. } => (StatusCode::BAD_REQUEST, TOO_LONG),
        WorkflowError::Upstream(error) => upstream_kind(error, direct),
    }
}

/// An upstream's 401 is about our key, never the caller's, so it is not relayed; its 400 is the
/// caller's to mend only when the caller's own conversation went to one model as it was, and its
/// 429 only then the whole reason: in a workflow others were asked, and paid for, before.
pub(super) fn upstream_kind(error: &LlmError, direct: bool) -> (StatusCode, &'static str) {
    match (error.kind.class(), error.kind) {
        (FailureClass::TimedOut, _) => (StatusCode::GATEWAY_TIMEOUT, "timeout"),
        (_, LlmErrorKind::OutOfResources) => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
        (_, LlmErrorKind::RateLimited { .. }) if direct => {
            (StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded")
        }
        (_, LlmErrorKind::ContextLength) => (StatusCode::BAD_REQUEST, TOO_LONG),
        // As another Chorus says of a circle that leads through both.
        (_, LlmErrorKind::Upstream { status: 508 }) => (StatusCode::LOOP_DETECTED, "loop_detected"),
        (FailureClass::Request, _) if direct => (StatusCode::BAD_REQUEST, "invalid_request"),
        _ => (StatusCode::BAD_GATEWAY, "upstream_error"),
    }
}
