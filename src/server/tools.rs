//! Tools and the choice of them, in the forms of `wire-contracts` 2.4.

use serde::Deserialize;
use serde_json::Value;

use super::error::AppError;
use crate::types::{ToolChoice, ToolDefinition};

/// A function tool: nested as in chat and Ollama, or flat as in Responses.
#[derive(Deserialize)]
pub(super) struct RawTool {
    #[serde(rename = "type")]
    kind: Option<String>,
    function: Option<RawDefinition>,
    name: Option<String>,
    description: Option<String>,
    parameters: Option<Value>,
    strict: Option<bool>,
}

#[derive(Deserialize)]
struct RawDefinition {
    name: Option<String>,
    description: Option<String>,
    parameters: Option<Value>,
    strict: Option<bool>,
}

/// The functions of a `tools` array.
///
/// # Errors
/// 400 for a tool that is no function, or has no name.
pub(super) fn definitions(tools: Vec<RawTool>) -> Result<Vec<ToolDefinition>, AppError> {
    tools.into_iter().enumerate().map(|(index, tool)| tool.read(index)).collect()
}

impl RawTool {
    fn read(self, index: usize) -> Result<ToolDefinition, AppError> {
        if self.kind.as_deref().is_some_and(|kind| kind != "function") {
            let path = format!("tools[{index}].type");
            let message = format!("{path}: unsupported tool type; only functions are");
            return Err(AppError::field(path, message));
        }
        let flat = RawDefinition {
            name: self.name,
            description: self.description,
            parameters: self.parameters,
            strict: self.strict,
        };
        let RawDefinition { name, description, parameters, strict } = self.function.unwrap_or(flat);
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            let path = format!("tools[{index}].function.name");
            return Err(AppError::field(path.as_str(), format!("{path}: missing")));
        };
        Ok(ToolDefinition { name, description, parameters, strict })
    }
}

/// Reads a `tool_choice`; one that allows only some tools takes the others out of `tools`.
///
/// # Errors
/// 400 for a form we do not know, or a tool that is not there.
pub(super) fn choice(
    value: Value,
    tools: &mut Vec<ToolDefinition>,
) -> Result<Option<ToolChoice>, AppError> {
    let unknown = || {
        AppError::field(
            "tool_choice",
            "tool_choice: expected none, auto, required, a function or allowed_tools",
        )
    };
    match &value {
        Value::Null => return Ok(None),
        Value::String(mode) => return mode_choice(mode, tools).ok_or_else(unknown)?,
        _ => {}
    }
    match value.get("type").and_then(Value::as_str) {
        Some("function") => {
            let name = name_of(&value).ok_or_else(unknown)?;
            if !tools.iter().any(|tool| tool.name == name) {
                return Err(AppError::field("tool_choice", "tool_choice: no tool has that name"));
            }
            Ok(Some(ToolChoice::Named(name.to_owned())))
        }
        Some("allowed_tools") => {
            // Chat nests it once more.
            let allowed = value.get("allowed_tools").unwrap_or(&value);
            let names: Vec<&str> = match allowed.get("tools") {
                Some(Value::Array(list)) => list.iter().filter_map(name_of).collect(),
                _ => return Err(unknown()),
            };
            tools.retain(|tool| names.contains(&tool.name.as_str()));
            let mode = allowed.get("mode").and_then(Value::as_str).unwrap_or("auto");
            mode_choice(mode, tools).ok_or_else(unknown)?
        }
        _ => Err(unknown()),
    }
}

/// `None` for a mode that does not exist.
fn mode_choice(
    mode: &str,
    tools: &[ToolDefinition],
) -> Option<Result<Option<ToolChoice>, AppError>> {
    Some(match mode {
        "none" => Ok(Some(ToolChoice::None)),
        "auto" => Ok(Some(ToolChoice::Auto)),
        "required" | "any" if tools.is_empty() => Err(AppError::field(
            "tool_choice",
            "tool_choice: a call is required, without any tools",
        )),
        "required" | "any" => Ok(Some(ToolChoice::Required)),
        _ => return None,
    })
}

fn name_of(value: &Value) -> Option<&str> {
    value.get("function").unwrap_or(value).get("name")?.as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(tools: Value) -> Result<Vec<ToolDefinition>, AppError> {
        definitions(serde_json::from_value(tools).unwrap())
    }

    #[test]
    fn both_forms_of_a_function_mean_the_same() {
        let schema = json!({"type": "object"});
        let nested = json!([{"type": "function", "function": {
            "name": "f", "description": "d", "parameters": schema, "strict": true}}]);
        let flat = json!([{"type": "function", "name": "f", "description": "d",
                           "parameters": schema, "strict": true}]);
        let want = ToolDefinition {
            name: "f".to_owned(),
            description: Some("d".to_owned()),
            parameters: Some(schema.clone()),
            strict: Some(true),
        };
        assert_eq!(read(nested).unwrap(), std::slice::from_ref(&want));
        assert_eq!(read(flat).unwrap(), [want]);
        assert_eq!(read(json!([{"function": {"name": "f"}}])).unwrap()[0].parameters, None);
    }

    #[test]
    fn other_tools_are_refused() {
        for (tool, param) in [
            (json!({"type": "web_search"}), "tools[0].type"),
            (json!({"type": "function", "function": {}}), "tools[0].function.name"),
            (json!({"type": "function", "name": ""}), "tools[0].function.name"),
        ] {
            let Err(AppError::Invalid { param: got, .. }) = read(json!([tool])) else {
                panic!("accepted: {tool}");
            };
            assert_eq!(got.as_deref(), Some(param));
        }
    }

    #[test]
    fn a_choice_is_read_in_every_form() {
        let tool = |name: &str| json!({"type": "function", "function": {"name": name}});
        let allowed = |mode: &str| json!({"mode": mode, "tools": [tool("g")]});
        for (value, want, left) in [
            (json!(null), Some(None), 2),
            (json!("none"), Some(Some(ToolChoice::None)), 2),
            (json!("auto"), Some(Some(ToolChoice::Auto)), 2),
            (json!("required"), Some(Some(ToolChoice::Required)), 2),
            (tool("f"), Some(Some(ToolChoice::Named("f".to_owned()))), 2),
            (
                json!({"type": "function", "name": "g"}),
                Some(Some(ToolChoice::Named("g".to_owned()))),
                2,
            ),
            (
                json!({"type": "allowed_tools", "allowed_tools": allowed("auto")}),
                Some(Some(ToolChoice::Auto)),
                1,
            ),
            (
                json!({"type": "allowed_tools", "mode": "required", "tools": [tool("g")]}),
                Some(Some(ToolChoice::Required)),
                1,
            ),
            (tool("missing"), None, 2),
            (json!("sometimes"), None, 2),
            (json!(5), None, 2),
            (json!({"type": "mcp"}), None, 2),
        ] {
            let mut tools = read(json!([tool("f"), tool("g")])).unwrap();
            let got = choice(value.clone(), &mut tools).ok();
            assert_eq!((got, tools.len()), (want, left), "{value}");
        }
        assert!(choice(json!("required"), &mut Vec::new()).is_err());
        assert_eq!(choice(json!("auto"), &mut Vec::new()).unwrap(), Some(ToolChoice::Auto));
    }
}
