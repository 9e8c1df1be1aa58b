//! The object a response is (the Open Responses specification): every key is always there, null
//! where there is nothing to say.

use std::{fmt, sync::Arc};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    item::{ItemObject, ItemStatus, OutputItem},
    tool_object::{ToolChoiceObject, ToolObject},
};
use crate::types::{JsonSchema, Usage};

/// A response in the making. `Debug` shows none of it: it repeats prompts.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "ResponseFields")]
pub(super) struct Resource {
    pub(super) id: String,
    pub(super) object: &'static str,
    /// Unix seconds.
    pub(super) created_at: i64,
    /// Unix seconds; only of a complete one.
    pub(super) completed_at: Option<i64>,
    pub(super) status: &'static str,
    pub(super) incomplete_details: Option<IncompleteDetails>,
    /// The name the client used.
    pub(super) model: String,
    pub(super) previous_response_id: Option<String>,
    pub(super) instructions: Option<String>,
    /// Reasoning, then a message, then calls.
    #[schemars(with = "Vec<ItemObject<'static>>")]
    pub(super) output: Vec<OutputItem>,
    pub(super) error: Option<ErrorObject>,
    pub(super) tools: Vec<ToolObject>,
    pub(super) tool_choice: ToolChoiceObject,
    /// `auto` or `disabled`.
    pub(super) truncation: String,
    pub(super) parallel_tool_calls: bool,
    pub(super) text: TextObject,
    pub(super) top_p: f64,
    pub(super) presence_penalty: f64,
    pub(super) frequency_penalty: f64,
    pub(super) top_logprobs: u32,
    pub(super) temperature: f64,
    pub(super) reasoning: Option<ReasoningObject>,
    pub(super) user: Option<String>,
    pub(super) usage: Option<UsageObject>,
    pub(super) max_output_tokens: Option<u32>,
    pub(super) max_tool_calls: Option<u32>,
    pub(super) store: bool,
    /// Never in the background.
    pub(super) background: bool,
    pub(super) service_tier: &'static str,
    pub(super) metadata: Map<String, Value>,
    pub(super) safety_identifier: Option<String>,
    pub(super) prompt_cache_key: Option<String>,
}

/// Why a response ended early: `max_output_tokens` or `content_filter`.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct IncompleteDetails {
    reason: &'static str,
}

/// Why a response broke off.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "ResponseError")]
pub(super) struct ErrorObject {
    code: &'static str,
    message: String,
}

/// `text` as it is repeated.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "ResponseText")]
pub(super) struct TextObject {
    pub(super) format: FormatObject,
    /// Only when it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) verbosity: Option<String>,
}

/// `text.format`, with every key of a schema.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "ResponseFormat")]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum FormatObject {
    Text,
    JsonObject,
    JsonSchema {
        name: String,
        description: Option<String>,
        #[schemars(with = "Map<String, Value>")]
        schema: Arc<JsonSchema>,
        strict: bool,
    },
}

/// `reasoning` as it is repeated, in the words of the schema.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "ResponseReasoning")]
pub(super) struct ReasoningObject {
    pub(super) effort: Option<&'static str>,
    pub(super) summary: Option<String>,
}

/// What a response took.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "ResponseUsage")]
pub(super) struct UsageObject {
    input_tokens: u64,
    input_tokens_details: InputDetails,
    output_tokens: u64,
    output_tokens_details: OutputDetails,
    total_tokens: u64,
}

#[derive(Serialize, schemars::JsonSchema)]
struct InputDetails {
    cached_tokens: u64,
}

#[derive(Serialize, schemars::JsonSchema)]
struct OutputDetails {
    reasoning_tokens: u64,
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
    /// The status as the resource has it.
    fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Incomplete(_) => "incomplete",
            Self::Failed => "failed",
        }
    }

    /// Only the last item can be the one that was cut.
    pub(super) fn of_last_item(self) -> ItemStatus {
        match self {
            Self::Completed => ItemStatus::Completed,
            Self::Incomplete(_) | Self::Failed => ItemStatus::Incomplete,
        }
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resource").finish_non_exhaustive()
    }
}

/// What is repeated of a request that asked for nothing in particular.
impl Default for Resource {
    fn default() -> Self {
        Self {
            id: String::new(),
            object: "response",
            created_at: 0,
            completed_at: None,
            status: "in_progress",
            incomplete_details: None,
            model: String::new(),
            previous_response_id: None,
            instructions: None,
            output: Vec::new(),
            error: None,
            tools: Vec::new(),
            tool_choice: ToolChoiceObject::Mode("auto"),
            truncation: "disabled".to_owned(),
            parallel_tool_calls: true,
            text: TextObject { format: FormatObject::Text, verbosity: None },
            top_p: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            top_logprobs: 0,
            temperature: 1.0,
            reasoning: None,
            user: None,
            usage: None,
            max_output_tokens: None,
            max_tool_calls: None,
            store: true,
            background: false,
            service_tier: "default",
            metadata: Map::new(),
            safety_identifier: None,
            prompt_cache_key: None,
        }
    }
}

impl Resource {
    /// Sets what is known from the start.
    pub(super) fn begin(&mut self, id: String, model: &str, created: Timestamp) {
        self.id = id;
        model.clone_into(&mut self.model);
        self.created_at = created.as_second();
    }

    /// Sets how it ends; the last item ends as it does.
    pub(super) fn end(&mut self, status: Status) {
        self.status = status.as_str();
        let last = self.output.len().saturating_sub(1);
        for (place, item) in self.output.iter_mut().enumerate() {
            if place == last || item.is_open() {
                item.status = status.of_last_item();
            }
        }
        match status {
            Status::Completed => self.completed_at = Some(Timestamp::now().as_second()),
            Status::Incomplete(reason) => {
                self.incomplete_details = Some(IncompleteDetails { reason });
            }
            Status::Failed => {}
        }
    }

    /// Sets what broke it off.
    pub(super) fn fail(&mut self, code: &'static str, message: String) {
        self.end(Status::Failed);
        self.error = Some(ErrorObject { code, message });
    }

    /// Sets what it took.
    pub(super) fn used(&mut self, usage: &Usage) {
        self.usage = Some(UsageObject {
            input_tokens: usage.prompt_tokens,
            input_tokens_details: InputDetails { cached_tokens: usage.cached_tokens },
            output_tokens: usage.completion_tokens,
            output_tokens_details: OutputDetails { reasoning_tokens: usage.reasoning_tokens },
            total_tokens: usage.total_tokens(),
        });
    }
}
