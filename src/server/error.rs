//! What goes wrong with a request, and the only place that knows which status that is.

mod body;
mod kind;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{dialect::Dialect, limits::Refusal};
use crate::{
    llm::{LlmError, LlmErrorKind},
    types::{RequestId, WorkflowId},
    workflow::{Failed, WorkflowError, WorkflowExecutionDetails, in_words},
};
use kind::{TOO_LONG, run_kind, upstream_kind};

pub(super) use body::{
    AnthropicErrorBody, ErrorBody, GeminiErrorBody, OllamaErrorBody, OpenAiErrorBody,
    ScriptErrorBody,
};

/// Names the run on every response that has one, all of them where there are several.
const WORKFLOW_ID: HeaderName = HeaderName::from_static("x-chorus-workflow-id");

/// Tells the OpenAI SDKs whether trying again makes sense.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// What `Retry-After` says when nobody named a time.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(5);

/// SDKs sit out a longer wait in silence: it is reported, and they are asked not to.
const LONGEST_SILENT_WAIT: Duration = Duration::from_secs(60);

/// OpenAI's code, and kind, for a budget that is used up.
const QUOTA: &str = "insufficient_quota";

/// Why a request is not answered. `Display` is for the caller and says what to do.
#[derive(Debug, thiserror::Error)]
pub(super) enum AppError {
    /// The request cannot be understood or run; the caller can mend it.
    #[error("{message}")]
    Invalid {
        /// What is wrong and what to do; never a value the caller sent, only names.
        message: String,
        /// The field to blame, as a path: `messages[2].content`.
        param: Option<String>,
    },
    /// No key, or one that no `[[client]]` has.
    #[error("{0}")]
    InvalidKey(&'static str),
    /// An address, Host or Origin that is not allowed. Our own addition to the contract's table: 403,
    /// `forbidden`, `invalid_request_error`.
    #[error("{0}")]
    Forbidden(&'static str),
    /// No model of that name; for its message see [`crate::config::Config::about_unknown`].
    #[error("{0}")]
    UnknownModel(String),
    /// A model that the client's `models` leave out. Our own addition to the contract's table: 403,
    /// `model_not_allowed`, `invalid_request_error`; for its message see
    /// [`crate::config::Config::about_forbidden`].
    #[error("{0}")]
    ModelNotAllowed(String),
    /// Something that only clients with `admin = true` may see. As `Forbidden`.
    #[error("only a [[client]] with `admin = true` may see this")]
    AdminsOnly,
    /// The client has used up something; `insufficient_quota`, as OpenAI has it, where that is a budget.
    #[error(transparent)]
    Limited(#[from] Refusal),
    /// `previous_response_id` names nothing that is kept. Our own id, so it is no secret.
    #[error("previous response '{0}' not found; it was not stored, or is no longer kept")]
    UnknownResponse(String),
    /// An id in the path names no response that is kept.
    #[error("response '{0}' not found; it was not stored, or is no longer kept")]
    NotKept(String),
    /// An id in the path names no run that is in flight or kept.
    #[error("run '{0}' not found; it is not in flight, and not or no longer kept (`[runs]`)")]
    NoRun(String),
    /// A run that is over cannot be ended. Our own addition to the contract's table: 409, `run_is_over`,
    /// `invalid_request_error`.
    #[error("the run is over")]
    RunIsOver,
    /// Somebody ended the run. Our own addition to the contract's table: 499, `cancelled`, `api_error`: a
    /// status on which no client tries again.
    #[error("the run was cancelled with DELETE /chorus/runs/{{id}}")]
    Cancelled,
    /// No such path; for its message see [`super::paths`].
    #[error("{0}")]
    UnknownRoute(String),
    /// The path is right and the method is not; likewise.
    #[error("{0}")]
    MethodNotAllowed(String),
    /// What a server of models does and this one does not.
    #[error("{0} is not supported: models are configured in Chorus' config file")]
    Unsupported(String),
    /// The client stopped sending its body. Our own addition to the contract's table: 408,
    /// `request_timeout`, `invalid_request_error`.
    #[error("the request body did not arrive in time")]
    BodyStalled,
    /// The body is larger than `[server] request_body_limit`.
    #[error("the request body is larger than the limit of {limit} bytes")]
    BodyTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// Chorus has asked Chorus, again and again: in the end itself. Our own addition to the contract's
    /// table: 508, `loop_detected`, `api_error`.
    #[error(
        "this request has been passed on from Chorus to Chorus {0} times: one of them has another, or \
         itself, as a model's api_base; correct it there"
    )]
    Loop(u32),
    /// `[server] max_in_flight` requests are running.
    #[error("too many requests are running; try again in a moment")]
    Overloaded,
    /// `[limits] memory` is used up.
    #[error(
        "the requests and answers in flight take all the memory there may be; try again in a moment"
    )]
    NoMemory,
    /// The limit of open files carries no further connection.
    #[error("too many connections are open; try again in a moment")]
    Crowded,
    /// The server is about to end.
    #[error("the server is shutting down; try again in a moment")]
    ShuttingDown,
    /// The run failed.
    #[error("{}", .failed.error)]
    Run {
        /// Why, and the record of the run.
        failed: Box<Failed>,
        /// Whether the caller asked for the record (`include_workflow`).
        include_workflow: bool,
    },
    /// A request that was passed on to one model's upstream failed there.
    #[error("{0}")]
    Upstream(LlmError),
    /// The answer calls a tool in a way that cannot be sent in Ollama's form.
    #[error("the model called the tool '{tool}' with arguments that are not a JSON object")]
    UnusableToolCall {
        /// The tool's name.
        tool: String,
    },
    /// The answer is nothing but calls of tools, on an endpoint that has none.
    #[error("the model called a tool instead of answering, and this endpoint has no tools")]
    OnlyToolCalls,
    /// A fault of ours.
    #[error("internal error: {0}")]
    Internal(&'static str),
}

impl AppError {
    /// A request that names no particular field.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid { message: message.into(), param: None }
    }

    /// A request with one field to blame.
    pub(super) fn field(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid { message: message.into(), param: Some(param.into()) }
    }

    /// Status and stable code; the README lists them.
    fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Invalid { .. } => (StatusCode::BAD_REQUEST, "invalid_request"),
            Self::InvalidKey(_) => (StatusCode::UNAUTHORIZED, "invalid_api_key"),
            Self::Forbidden(_) | Self::AdminsOnly => (StatusCode::FORBIDDEN, "forbidden"),
            Self::ModelNotAllowed(_) => (StatusCode::FORBIDDEN, "model_not_allowed"),
            Self::Limited(refusal) if refusal.is_of_budget() => {
                (StatusCode::TOO_MANY_REQUESTS, QUOTA)
            }
            Self::Limited(_) => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded"),
            Self::UnknownModel(_) => (StatusCode::NOT_FOUND, "model_not_found"),
            Self::UnknownResponse(_) => (StatusCode::BAD_REQUEST, "previous_response_not_found"),
            Self::UnknownRoute(_) | Self::NotKept(_) | Self::NoRun(_) => {
                (StatusCode::NOT_FOUND, "not_found")
            }
            Self::RunIsOver => (StatusCode::CONFLICT, "run_is_over"),
            Self::Cancelled => {
                (StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST), "cancelled")
            }
            Self::MethodNotAllowed(_) => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::Unsupported(_) => (StatusCode::NOT_IMPLEMENTED, "unsupported_operation"),
            Self::BodyStalled => (StatusCode::REQUEST_TIMEOUT, "request_timeout"),
            Self::BodyTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "request_too_large"),
            Self::Overloaded | Self::NoMemory | Self::Crowded | Self::ShuttingDown => {
                (StatusCode::SERVICE_UNAVAILABLE, "overloaded")
            }
            Self::Run { failed, .. } => run_kind(&failed.error, failed.trace.mode == "direct"),
            Self::Upstream(error) => upstream_kind(error, true),
            Self::UnusableToolCall { .. } | Self::OnlyToolCalls => {
                (StatusCode::BAD_GATEWAY, "upstream_error")
            }
            Self::Loop(_) => (StatusCode::LOOP_DETECTED, "loop_detected"),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal_error"),
        }
    }

    /// The HTTP status, as long as headers are unsent.
    pub(super) fn status(&self) -> StatusCode {
        self.kind().0
    }

    /// The same as a dialect has it: Anthropic's clients know an overloaded server by another one.
    fn status_in(&self, dialect: Dialect) -> StatusCode {
        match (self.status(), dialect) {
            (StatusCode::SERVICE_UNAVAILABLE, Dialect::Anthropic) => {
                StatusCode::from_u16(529).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
            }
            (status, _) => status,
        }
    }

    /// The stable code.
    pub(super) fn code(&self) -> &'static str {
        self.kind().1
    }

    /// Whether the log gets an error line. A request that its client can mend is no failure, and
    /// its words are about the client's own; a run that was made and failed always is one.
    pub(super) fn is_failure(&self) -> bool {
        match self {
            Self::Run { .. } | Self::Upstream(_) => true,
            Self::Unsupported(_) => false,
            _ => self.status().is_server_error(),
        }
    }

    /// Whether the request was turned away before anything was asked of an upstream.
    pub(super) fn is_refusal(&self) -> bool {
        !matches!(
            self,
            Self::Run { .. }
                | Self::Upstream(_)
                | Self::UnusableToolCall { .. }
                | Self::OnlyToolCalls
                | Self::Internal(_)
        )
    }

    /// The field to blame.
    fn param(&self) -> Option<&str> {
        match self {
            Self::Invalid { param, .. } => param.as_deref(),
            Self::UnknownModel(_) | Self::ModelNotAllowed(_) => Some("model"),
            Self::UnknownResponse(_) => Some("previous_response_id"),
            Self::NotKept(_) => Some("id"),
            Self::Run { failed, .. } => match &failed.error {
                WorkflowError::Invalid { param, .. } => param.as_deref(),
                WorkflowError::TooLong { .. } => Some("messages"),
                _ => None,
            },
            _ => None,
        }
    }

    /// The record of the run that failed, for a caller who asked for it.
    pub(super) fn record(&self) -> Option<&WorkflowExecutionDetails> {
        match self {
            Self::Run { failed, include_workflow: true } => Some(&failed.trace),
            _ => None,
        }
    }

    /// OpenAI's word for the kind of error.
    fn openai_type(&self) -> &'static str {
        let (status, code) = self.kind();
        match code {
            "not_found" => "not_found_error",
            "rate_limit_exceeded" => "rate_limit_error",
            QUOTA => QUOTA,
            "unsupported_operation" => "invalid_request_error",
            // Nothing was wrong with the request.
            "cancelled" => "api_error",
            _ if status.is_client_error() => "invalid_request_error",
            _ => "api_error",
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        let asked = match self {
            Self::Run { failed, .. } => match &failed.error {
                WorkflowError::RateLimited { retry_after } => *retry_after,
                WorkflowError::Upstream(error) => match error.kind {
                    LlmErrorKind::RateLimited { retry_after } => retry_after,
                    _ => None,
                },
                _ => None,
            },
            Self::Upstream(error) => match error.kind {
                LlmErrorKind::RateLimited { retry_after } => retry_after,
                _ => None,
            },
            Self::Limited(refusal) => Some(refusal.wait),
            _ => None,
        };
        let status = self.status();
        let waits =
            matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        waits.then(|| asked.unwrap_or(DEFAULT_RETRY_AFTER))
    }

    /// A wait that nobody should sit out without knowing.
    fn long_wait(&self) -> Option<Duration> {
        self.retry_after().filter(|wait| *wait > LONGEST_SILENT_WAIT)
    }

    /// What went wrong and what to do, for the caller.
    pub(super) fn message(&self) -> String {
        let names_it = matches!(self, Self::Run { failed, .. }
            if matches!(failed.error, WorkflowError::RateLimited { .. }));
        match self.long_wait().filter(|_| !names_it) {
            Some(wait) => format!("{self} (in {})", in_words(wait)),
            None => self.to_string(),
        }
    }

    fn write_headers(&self, headers: &mut HeaderMap) {
        if let Some(wait) = self.retry_after() {
            let secs = wait.as_secs_f64().ceil().max(1.0) as u64;
            headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        // It was tried again as often as makes sense.
        let is_tried =
            matches!(self, Self::Upstream(_) | Self::Loop(_)) && self.status().is_server_error();
        let is_final = matches!(self.code(), TOO_LONG | QUOTA);
        if is_tried || is_final || self.long_wait().is_some() {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
    }

    /// The response to a request whose runs were made, whoever noticed that it came to nothing.
    pub(super) fn into_response_of(self, runs: &[WorkflowId]) -> Response {
        // The SDKs would run (and pay for) the whole workflow twice more.
        let costly = matches!(self.status().as_u16(), 500 | 502 | 504);
        let mut response = self.into_response();
        let headers = response.headers_mut();
        name_runs(headers, runs);
        if costly {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        response
    }

    /// Fills in the body that [`IntoResponse`] left out because it does not know the dialect.
    /// Returns the error when `response` has one.
    pub(super) fn render(
        response: &mut Response,
        dialect: Dialect,
        id: RequestId,
    ) -> Option<Arc<Self>> {
        let error = response.extensions_mut().remove::<Arc<Self>>()?;
        *response.status_mut() = error.status_in(dialect);
        let body = error.body(dialect).of_request(id);
        let body = serde_json::to_vec(&body).unwrap_or_default();
        *response.body_mut() = Body::from(body);
        let headers = response.headers_mut();
        // The router counted the empty body of an error that a handler returned.
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Some(error)
    }
}

/// Says which runs a response is of.
pub(super) fn name_runs(headers: &mut HeaderMap, runs: &[WorkflowId]) {
    let ids: Vec<String> = runs.iter().map(WorkflowId::to_string).collect();
    if let Ok(ids) = HeaderValue::try_from(ids.join(", ")) {
        headers.insert(WORKFLOW_ID, ids);
    }
}

/// Status and headers; the middleware that knows the dialect calls [`AppError::render`].
impl IntoResponse for AppError {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        self.write_headers(response.headers_mut());
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}
