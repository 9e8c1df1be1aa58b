//! Tools and the choice of them as a response repeats them (the Open Responses specification).

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::types::ToolDefinition;

/// How a client knows the tool behind a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ClientTool {
    pub(super) name: String,
    /// The group that it is in.
    pub(super) namespace: Option<String>,
    /// Whether it takes free text.
    pub(super) is_custom: bool,
}

/// A tool as it is repeated.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "ResponseTool")]
#[serde(untagged)]
pub(super) enum ToolObject {
    Function(FunctionObject),
    /// Of another kind.
    AsSent(Value),
}

/// A function as it is repeated: flat, and with all five keys, whichever form was sent.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "ResponseFunction")]
pub(super) struct FunctionObject {
    #[serde(rename = "type")]
    kind: &'static str,
    name: String,
    description: Option<String>,
    parameters: Option<Value>,
    strict: Option<bool>,
}

impl From<&ToolDefinition> for ToolObject {
    fn from(tool: &ToolDefinition) -> Self {
        let ToolDefinition { name, description, parameters, strict, .. } = tool.clone();
        let kind = "function";
        Self::Function(FunctionObject { kind, name, description, parameters, strict })
    }
}

/// `tool_choice` as it is repeated.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "ResponseToolChoice")]
#[serde(untagged)]
pub(super) enum ToolChoiceObject {
    /// `none`, `auto` or `required`.
    Mode(&'static str),
    /// This tool has to be called.
    Named(NamedTool),
    /// Only some of the tools.
    Allowed(AllowedTools),
}

/// A tool by its name.
#[derive(JsonSchema, Serialize)]
pub(super) struct NamedTool {
    /// `function` or `custom`.
    #[serde(rename = "type")]
    kind: &'static str,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
}

/// `allowed_tools`.
#[derive(JsonSchema, Serialize)]
pub(super) struct AllowedTools {
    #[serde(rename = "type")]
    kind: &'static str,
    tools: Vec<NamedTool>,
    mode: &'static str,
}

impl NamedTool {
    pub(super) fn new(tool: ClientTool) -> Self {
        let ClientTool { name, namespace, is_custom } = tool;
        Self { kind: if is_custom { "custom" } else { "function" }, name, namespace }
    }
}

impl AllowedTools {
    pub(super) fn new(tools: impl Iterator<Item = ClientTool>, mode: &'static str) -> Self {
        Self { kind: "allowed_tools", tools: tools.map(NamedTool::new).collect(), mode }
    }
}
