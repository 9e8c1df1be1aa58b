//! The object a response is (the Open Responses specification): every key always there, in
//! one order.

use std::fmt;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::types::Usage;

/// What never changes from one response to the next, and the place of what does.
fn blank() -> Value {
    json!({
        "id": null, "object": "response", "created_at": null, "completed_at": null,
        "status": "in_progress", "incomplete_details": null, "model": null,
        "previous_response_id": null, "instructions": null, "output": [], "error": null,
        "tools": [], "tool_choice": "auto", "truncation": "disabled", "parallel_tool_calls": true,
        "text": {"format": {"type": "text"}}, "top_p": 1.0, "presence_penalty": 0.0,
        "frequency_penalty": 0.0, "top_logprobs": 0, "temperature": 1.0, "reasoning": null,
        "user": null, "usage": null, "max_output_tokens": null, "max_tool_calls": null,
        "store": true, "background": false, "service_tier": "default", "metadata": {},
        "safety_identifier": null, "prompt_cache_key": null
    })
}

/// How a response ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// It is whole.
    Completed,
    /// It ended early, for this reason.
    Incomplete(&'static str),
    /// It broke off.
    Failed,
}

impl Status {
    /// Its name.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Incomplete(_) => "incomplete",
            Self::Failed => "failed",
        }
    }
}

/// A response in the making. `Debug` shows none of it: it repeats prompts.
pub(super) struct Resource(Map<String, Value>);

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resource").finish_non_exhaustive()
    }
}

impl Resource {
    /// With the fields that repeat the request.
    pub(super) fn new(echo: Map<String, Value>) -> Self {
        let Value::Object(mut fields) = blank() else { return Self(echo) };
        fields.extend(echo);
        Self(fields)
    }

    /// Sets what is known from the start.
    pub(super) fn begin(&mut self, id: &str, model: &str, created: Timestamp) {
        self.set("id", id);
        self.set("model", model);
        self.set("created_at", created.as_second());
    }

    /// Sets how it ends and what it says.
    pub(super) fn end(&mut self, status: Status, output: Vec<Value>) {
        self.set("status", status.as_str());
        self.set("output", output);
        match status {
            Status::Completed => self.set("completed_at", Timestamp::now().as_second()),
            Status::Incomplete(reason) => self.set("incomplete_details", json!({"reason": reason})),
            Status::Failed => {}
        }
    }

    /// Sets what it took.
    pub(super) fn used(&mut self, usage: &Usage) {
        let told = json!({
            "input_tokens": usage.prompt_tokens,
            "input_tokens_details": {"cached_tokens": usage.cached_tokens},
            "output_tokens": usage.completion_tokens,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
            "total_tokens": usage.total_tokens()
        });
        self.set("usage", told);
    }

    /// Sets (or adds) a field.
    pub(super) fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// As JSON.
    pub(super) fn told(&self) -> Value {
        Value::Object(self.0.clone())
    }
}
