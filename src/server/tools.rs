//! Tools and the choice of them, in the forms of chat completions, responses and Ollama.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{error::AppError, extract::Parted};
use crate::types::{OnlyThere, ToolChoice, ToolDefinition};

/// A function tool: nested as in chat and Ollama, or flat as in Responses.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "Tool")]
pub(super) struct RawTool {
    #[serde(rename = "type")]
    kind: Option<String>,
    function: Option<Parted<RawDefinition>>,
    name: Option<String>,
    description: Option<String>,
    parameters: Option<Value>,
    strict: Option<bool>,
}

/// A function as it is described inside a tool, and in OpenAI's `functions` before there were tools.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "FunctionDefinition")]
pub(super) struct RawDefinition {
    name: Option<String>,
    description: Option<String>,
    parameters: Option<Value>,
    strict: Option<bool>,
}

/// The functions of a `tools` array.
///
/// # Errors
/// 400 for a tool that is no function, or has no name.
pub(super) fn definitions(tools: Vec<Parted<RawTool>>) -> Result<Vec<ToolDefinition>, AppError> {
    let read = |(index, tool)| definition(tool, &format!("tools[{index}]"));
    tools.into_iter().enumerate().map(read).collect()
}

/// Takes the tools out of a `tools` array that are no functions: only an upstream of the client's own
/// protocol can take them, as they are. Also what is said of the first where they cannot be sent on.
pub(super) fn take_others(tools: &mut Vec<Parted<RawTool>>) -> Option<(Vec<Value>, OnlyThere)> {
    let first = tools.iter().position(is_other)?;
    let param = format!("tools[{first}].type");
    let message = format!("{param}: unsupported tool type; only functions are");
    let others = tools.extract_if(.., |tool| is_other(tool)).map(as_sent).collect();
    Some((others, OnlyThere { param, message }))
}

fn is_other(Parted { known: tool, rest }: &Parted<RawTool>) -> bool {
    match &tool.kind {
        Some(kind) => kind != "function",
        None => tool.function.is_none() && tool.name.is_none() && !rest.is_empty(),
    }
}

fn as_sent(Parted { known: tool, rest }: Parted<RawTool>) -> Value {
    let described = |name: Option<String>, description: Option<String>, parameters, strict| {
        let strict: Option<bool> = strict;
        let texts = [("name", name), ("description", description)];
        let texts = texts.map(|(field, text)| (field, text.map(Value::from)));
        let others = [("parameters", parameters), ("strict", strict.map(Value::from))];
        let all = texts.into_iter().chain(others);
        all.filter_map(|(field, value)| Some((field.to_owned(), value?))).collect()
    };
    let mut fields: Map<String, Value> = Map::new();
    fields.extend(tool.kind.map(|kind| ("type".to_owned(), kind.into())));
    fields.extend::<Map<String, Value>>(described(
        tool.name,
        tool.description,
        tool.parameters,
        tool.strict,
    ));
    if let Some(Parted { known, rest }) = tool.function {
        let RawDefinition { name, description, parameters, strict } = known;
        let mut function: Map<String, Value> = described(name, description, parameters, strict);
        function.extend(rest);
        fields.insert("function".to_owned(), function.into());
    }
    fields.extend(rest);
    fields.into()
}

/// The functions of a `functions` array.
///
/// # Errors
/// 400 for one without a name.
pub(super) fn functions(
    functions: Vec<Parted<RawDefinition>>,
) -> Result<Vec<ToolDefinition>, AppError> {
    let read = |(index, function): (usize, Parted<RawDefinition>)| {
        function.known.read(&format!("functions[{index}].name"), within_function(function.rest))
    };
    functions.into_iter().enumerate().map(read).collect()
}

impl RawDefinition {
    /// `path` is where its name should be.
    fn read(self, path: &str, unknown: Map<String, Value>) -> Result<ToolDefinition, AppError> {
        let Self { name, description, parameters, strict } = self;
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return Err(AppError::field(path, format!("{path}: missing")));
        };
        Ok(ToolDefinition { name, description, parameters, strict, unknown })
    }
}

/// The function of the tool at `path`.
///
/// # Errors
/// 400 for a tool that is no function, or has no name.
pub(super) fn definition(tool: Parted<RawTool>, path: &str) -> Result<ToolDefinition, AppError> {
    let Parted { known: tool, rest } = tool;
    if tool.kind.as_deref().is_some_and(|kind| kind != "function") {
        let path = format!("{path}.type");
        let message = format!("{path}: unsupported tool type; only functions are");
        return Err(AppError::field(path, message));
    }
    if let Some(Parted { known: nested, rest: within }) = tool.function {
        let mut unknown = rest;
        unknown.extend(within_function(within));
        return nested.read(&format!("{path}.function.name"), unknown);
    }
    let RawTool { name, description, parameters, strict, .. } = tool;
    let flat = RawDefinition { name, description, parameters, strict };
    flat.read(&format!("{path}.name"), within_function(rest))
}

/// Unknown fields of a function as those of the tool that it is in.
fn within_function(fields: Map<String, Value>) -> Map<String, Value> {
    match fields.is_empty() {
        true => fields,
        false => Map::from_iter([("function".to_owned(), fields.into())]),
    }
}

/// Reads a `function_call`, which went with `functions`: a mode, or the name of one.
///
/// # Errors
/// 400 for a form we do not know, or a function that is not there.
pub(super) fn function_call(
    value: Value,
    tools: &[ToolDefinition],
) -> Result<Option<ToolChoice>, AppError> {
    let refuse = |why: &str| AppError::field("function_call", format!("function_call: {why}"));
    match (value.as_str(), value.get("name").and_then(Value::as_str)) {
        (Some("none"), _) => Ok(Some(ToolChoice::None)),
        (Some("auto"), _) => Ok(Some(ToolChoice::Auto)),
        (_, Some(name)) if tools.iter().any(|tool| tool.name == name) => {
            Ok(Some(ToolChoice::Named(name.to_owned())))
        }
        (_, Some(_)) => Err(refuse("no function has that name")),
        _ => Err(refuse("expected none, auto or an object with a name")),
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
            let names: HashSet<&str> = match allowed.get("tools") {
                Some(Value::Array(list)) => list.iter().filter_map(name_of).collect(),
                _ => return Err(unknown()),
            };
            tools.retain(|tool| names.contains(tool.name.as_str()));
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
            unknown: Map::new(),
        };
        assert_eq!(read(nested).unwrap(), std::slice::from_ref(&want));
        assert_eq!(read(flat).unwrap(), [want]);
        assert_eq!(read(json!([{"function": {"name": "f"}}])).unwrap()[0].parameters, None);
    }

    #[test]
    fn what_is_no_function_is_kept_as_it_was_sent() {
        let others = json!([
            {"type": "builtin_function", "function": {"name": "$web_search", "x": 1}},
            {"type": "web_search", "web_search": {"enable": true}},
            {"type": "custom", "name": "patch", "description": "d", "format": {"type": "text"}},
            {"googleSearch": {}},
        ]);
        let mut sent = others.as_array().unwrap().clone();
        sent.insert(1, json!({"type": "function", "function": {"name": "f"}}));
        let mut tools: Vec<Parted<RawTool>> = serde_json::from_value(sent.into()).unwrap();
        let (taken, only) = take_others(&mut tools).unwrap();
        assert_eq!((json!(taken), only.param.as_str()), (others, "tools[0].type"));
        assert_eq!(tools.len(), 1);
        assert!(take_others(&mut tools).is_none());
    }

    #[test]
    fn other_tools_are_refused() {
        for (tool, param) in [
            (json!({"type": "web_search"}), "tools[0].type"),
            (json!({"type": "function", "function": {}}), "tools[0].function.name"),
            (json!({"type": "function", "name": ""}), "tools[0].name"),
            (json!({"type": "function", "function": null}), "tools[0].name"),
        ] {
            let Err(AppError::Invalid { param: got, .. }) = read(json!([tool])) else {
                panic!("accepted: {tool}");
            };
            assert_eq!(got.as_deref(), Some(param));
        }
    }

    #[test]
    fn functions_are_tools_of_an_earlier_day() {
        let list = |value: Value| functions(serde_json::from_value(value).unwrap());
        let tools = list(json!([{"name": "f", "description": "d", "parameters": {}}])).unwrap();
        let nested = json!([{"function": {"name": "f", "description": "d", "parameters": {}}}]);
        assert_eq!(tools, read(nested).unwrap());
        let error = list(json!([{"name": "f"}, {}])).unwrap_err();
        assert_eq!(error.to_string(), "functions[1].name: missing");
        for (value, want) in [
            (json!("none"), Some(ToolChoice::None)),
            (json!("auto"), Some(ToolChoice::Auto)),
            (json!({"name": "f"}), Some(ToolChoice::Named("f".to_owned()))),
            (json!({"name": "missing"}), None),
            (json!("required"), None),
            (json!({}), None),
            (json!(5), None),
        ] {
            let got = function_call(value.clone(), &tools);
            assert_eq!(got.as_ref().ok(), want.map(Some).as_ref(), "{value}");
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
