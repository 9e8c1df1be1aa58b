//! Tools and the choice of them in Anthropic's form (its API reference, "Tool use").

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    server::{error::AppError, extract::Parted},
    types::{Extra, OnlyThere, ToolChoice, ToolDefinition},
};

/// A tool: the client's own (`custom`, or without a type), or one that Anthropic's server or models
/// know by its type.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "AnthropicTool")]
pub(super) struct RawTool {
    r#type: Option<String>,
    name: Option<String>,
    description: Option<String>,
    input_schema: Option<Value>,
    strict: Option<bool>,
}

/// The tools of a request.
pub(super) struct Tools {
    /// The client's own.
    pub(super) definitions: Vec<ToolDefinition>,
    /// The others, as they were sent.
    pub(super) others: Vec<Value>,
    /// And what they are called.
    pub(super) names: Vec<String>,
}

/// Reads a `tools` array.
///
/// # Errors
/// 400 for a tool without a name.
pub(super) fn read(tools: Vec<Parted<RawTool>>) -> Result<Tools, AppError> {
    let mut read = Tools { definitions: Vec::new(), others: Vec::new(), names: Vec::new() };
    for (index, Parted { known: tool, rest }) in tools.into_iter().enumerate() {
        match tool.r#type.as_deref() {
            None | Some("custom") => read.definitions.push(tool.own(rest, index)?),
            Some(_) => {
                read.names.push(tool.label());
                read.others.push(tool.into_sent(rest));
            }
        }
    }
    Ok(read)
}

impl RawTool {
    fn own(self, unknown: Map<String, Value>, index: usize) -> Result<ToolDefinition, AppError> {
        let Some(name) = self.name.filter(|name| !name.is_empty()) else {
            let path = format!("tools[{index}].name");
            return Err(AppError::field(path.as_str(), format!("{path}: missing")));
        };
        let (description, parameters, strict) = (self.description, self.input_schema, self.strict);
        Ok(ToolDefinition { name, description, parameters, strict, unknown })
    }

    fn label(&self) -> String {
        self.name.clone().or_else(|| self.r#type.clone()).unwrap_or_default()
    }

    fn into_sent(self, rest: Map<String, Value>) -> Value {
        let fields = [
            ("type", self.r#type.map(Value::from)),
            ("name", self.name.map(Value::from)),
            ("description", self.description.map(Value::from)),
            ("input_schema", self.input_schema),
            ("strict", self.strict.map(Value::from)),
        ];
        let fields = fields.into_iter().filter_map(|(name, it)| Some((name.to_owned(), it?)));
        fields.chain(rest).collect()
    }
}

/// Whether several calls may be made at once, and whether and what must be called; `others` are the
/// names of tools that are not the client's own.
///
/// # Errors
/// 400 for a form we do not know, or a tool that is not there.
pub(super) fn choice(
    value: Option<Value>,
    tools: &[ToolDefinition],
    others: &[String],
    extra: &mut Extra,
) -> Result<(Option<bool>, Option<ToolChoice>), AppError> {
    let refuse = |why: &str| AppError::field("tool_choice", format!("tool_choice: {why}"));
    let fields = match value {
        None | Some(Value::Null) => return Ok((None, None)),
        Some(Value::Object(fields)) => fields,
        Some(_) => return Err(refuse("expected an object, as in {\"type\": \"auto\"}")),
    };
    let single = fields.get("disable_parallel_tool_use").and_then(Value::as_bool);
    let name = fields.get("name").and_then(Value::as_str);
    let choice = match (fields.get("type").and_then(Value::as_str), name) {
        (Some("auto"), _) => ToolChoice::Auto,
        (Some("none"), _) => ToolChoice::None,
        (Some("any"), _) if tools.is_empty() && others.is_empty() => {
            return Err(refuse("a call is required, without any tools"));
        }
        (Some("any"), _) => ToolChoice::Required,
        (Some("tool"), Some(name)) if tools.iter().any(|tool| tool.name == name) => {
            ToolChoice::Named(name.to_owned())
        }
        (Some("tool"), Some(name)) if others.iter().any(|other| other == name) => {
            let message =
                "capability_rejected: tool_choice: only Anthropic's own models have this tool";
            let only = OnlyThere { param: "tool_choice".to_owned(), message: message.to_owned() };
            extra.only_there.get_or_insert(only);
            ToolChoice::Named(name.to_owned())
        }
        (Some("tool"), _) => return Err(refuse("no tool has that name")),
        _ => return Err(refuse("expected the type auto, any, tool or none")),
    };
    Ok((single.map(|single| !single), Some(choice)))
}
