//! The bodies of errors, in each dialect: OpenAI's error object (its API reference, "Errors"),
//! Ollama's (its API documentation, "Errors"), Anthropic's (its API reference, "Errors"), Google's
//! (its guide to API design, "Errors"), and the one for scripts.

use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use super::{super::dialect::Dialect, AppError, TOO_LONG};
use crate::{
    types::RequestId,
    workflow::{WorkflowError, WorkflowExecutionDetails},
};

/// What a refusal begins with for Anthropic's clients, where asking for less would help: Claude Code
/// leaves out by itself what a model cannot take.
const CAPABILITY: &str = "capability_rejected: ";
/// What agents look for in the words of a refusal before they shorten the conversation, as Anthropic
/// and as Google say it.
const ANTHROPICS_TOO_LONG: &str = "prompt is too long: ";
const GOOGLES_TOO_LONG: &str =
    "the input token count exceeds the maximum number of tokens allowed: ";

/// An error as JSON: a response's body, or an event of a stream.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "{J}")]
pub(in super::super) struct ErrorBody<'a, J = ErrorJson<'a>> {
    #[serde(flatten)]
    json: J,
    /// Chorus' own: the record of the run that failed, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    workflow: Option<&'a WorkflowExecutionDetails>,
    /// Ollama's clients stop at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    done: Option<bool>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(in super::super) enum ErrorJson<'a> {
    OpenAi(OpenAiErrorBody<'a>),
    Script(ScriptErrorBody),
    Ollama(OllamaErrorBody),
    Anthropic(AnthropicErrorBody),
    Gemini(GeminiErrorBody),
}

#[derive(Debug, JsonSchema, Serialize)]
pub(in super::super) struct OpenAiErrorBody<'a> {
    error: OpenAiError<'a>,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(in super::super) struct ScriptErrorBody {
    error: ScriptError,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(in super::super) struct OllamaErrorBody {
    /// Text: Ollama's clients throw a TypeError at an object.
    error: String,
    code: &'static str,
}

/// All four are always there.
#[derive(Debug, JsonSchema, Serialize)]
struct OpenAiError<'a> {
    message: String,
    #[serde(rename = "type")]
    kind: &'static str,
    /// The field to blame.
    param: Option<&'a str>,
    code: &'static str,
}

#[derive(Debug, JsonSchema, Serialize)]
struct ScriptError {
    message: String,
    code: &'static str,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(in super::super) struct AnthropicErrorBody {
    /// `error`.
    #[serde(rename = "type")]
    kind: &'static str,
    error: AnthropicError,
    request_id: Option<RequestId>,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(in super::super) struct GeminiErrorBody {
    error: GoogleError,
}

#[derive(Debug, JsonSchema, Serialize)]
struct AnthropicError {
    #[serde(rename = "type")]
    kind: &'static str,
    message: String,
}

#[derive(Debug, JsonSchema, Serialize)]
struct GoogleError {
    /// The HTTP status.
    code: u16,
    message: String,
    status: &'static str,
}

impl<'a> ErrorBody<'a> {
    fn of(error: &'a AppError, dialect: Dialect) -> Self {
        let (message, code) = (error.message(), error.code());
        let json = match dialect {
            Dialect::OpenAi => ErrorJson::OpenAi(OpenAiErrorBody {
                error: OpenAiError {
                    message,
                    kind: error.openai_type(),
                    param: error.param(),
                    code,
                },
            }),
            Dialect::Script => {
                ErrorJson::Script(ScriptErrorBody { error: ScriptError { message, code } })
            }
            Dialect::Ollama => ErrorJson::Ollama(OllamaErrorBody { error: message, code }),
            Dialect::Anthropic => ErrorJson::Anthropic(AnthropicErrorBody {
                kind: "error",
                error: AnthropicError {
                    kind: anthropic_type(error.status()),
                    message: [anthropic_opening(error), message.as_str()].concat(),
                },
                request_id: None,
            }),
            Dialect::Gemini { .. } => ErrorJson::Gemini(GeminiErrorBody {
                error: GoogleError {
                    code: error.status().as_u16(),
                    message: match code {
                        TOO_LONG => [GOOGLES_TOO_LONG, message.as_str()].concat(),
                        _ => message,
                    },
                    status: google_status(error.status()),
                },
            }),
        };
        Self { json, workflow: error.record(), done: None }
    }

    /// The error of this request, in a dialect whose errors name it.
    pub(in super::super) fn of_request(mut self, id: RequestId) -> Self {
        if let ErrorJson::Anthropic(AnthropicErrorBody { request_id, .. }) = &mut self.json {
            *request_id = Some(id);
        }
        self
    }

    /// The error as the last object of a stream.
    pub(in super::super) fn in_a_stream(self) -> Self {
        let done = matches!(self.json, ErrorJson::Ollama(_)).then_some(true);
        Self { done, ..self }
    }
}

/// Anthropic's word for the kind of error.
fn anthropic_type(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 => "overloaded_error",
        504 => "timeout_error",
        499 => "api_error",
        400..=499 | 501 => "invalid_request_error",
        _ => "api_error",
    }
}

/// What Anthropic's clients know some errors by.
fn anthropic_opening(error: &AppError) -> &'static str {
    match error {
        _ if error.code() == TOO_LONG => ANTHROPICS_TOO_LONG,
        AppError::Run { failed, .. }
            if matches!(failed.error, WorkflowError::UnsupportedInput { .. }) =>
        {
            CAPABILITY
        }
        _ => "",
    }
}

/// Google's word for the kind of error (its `google.rpc.Code`).
fn google_status(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        408 | 504 => "DEADLINE_EXCEEDED",
        499 => "CANCELLED",
        400..=499 => "INVALID_ARGUMENT",
        501 => "UNIMPLEMENTED",
        503 => "UNAVAILABLE",
        _ => "INTERNAL",
    }
}

impl AppError {
    /// The error as a JSON object: a response's body, or an event of a stream.
    pub(in super::super) fn body(&self, dialect: Dialect) -> ErrorBody<'_> {
        ErrorBody::of(self, dialect)
    }
}
