//! The bodies of errors, in each dialect: OpenAI's error object (its API reference, "Errors"),
//! Ollama's (its API documentation, "Errors"), and the one for scripts.

use serde::Serialize;

use super::{super::dialect::Dialect, AppError};
use crate::workflow::WorkflowExecutionDetails;

/// An error as JSON: a response's body, or an event of a stream.
#[derive(Debug, Serialize)]
pub(in super::super) struct ErrorBody<'a> {
    #[serde(flatten)]
    json: ErrorJson<'a>,
    /// Chorus' own: the record of the run that failed, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    workflow: Option<&'a WorkflowExecutionDetails>,
    /// Ollama's clients stop at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    done: Option<bool>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum ErrorJson<'a> {
    OpenAi {
        error: OpenAiError<'a>,
    },
    Script {
        error: ScriptError,
    },
    Ollama {
        /// Text: Ollama's clients throw a TypeError at an object.
        error: String,
        code: &'static str,
    },
}

/// All four are always there.
#[derive(Debug, Serialize)]
struct OpenAiError<'a> {
    message: String,
    #[serde(rename = "type")]
    kind: &'static str,
    /// The field to blame.
    param: Option<&'a str>,
    code: &'static str,
}

#[derive(Debug, Serialize)]
struct ScriptError {
    message: String,
    code: &'static str,
}

impl<'a> ErrorBody<'a> {
    fn of(error: &'a AppError, dialect: Dialect) -> Self {
        let (message, code) = (error.message(), error.code());
        let json = match dialect {
            Dialect::OpenAi => ErrorJson::OpenAi {
                error: OpenAiError {
                    message,
                    kind: error.openai_type(),
                    param: error.param(),
                    code,
                },
            },
            Dialect::Script => ErrorJson::Script { error: ScriptError { message, code } },
            Dialect::Ollama => ErrorJson::Ollama { error: message, code },
        };
        Self { json, workflow: error.record(), done: None }
    }

    /// The error as the last object of a stream.
    pub(in super::super) fn in_a_stream(self) -> Self {
        let done = matches!(self.json, ErrorJson::Ollama { .. }).then_some(true);
        Self { done, ..self }
    }
}

impl AppError {
    /// The error as a JSON object: a response's body, or an event of a stream.
    pub(in super::super) fn body(&self, dialect: Dialect) -> ErrorBody<'_> {
        ErrorBody::of(self, dialect)
    }
}
