//! Tools and the choice of them in Gemini's form (its API reference, "Function calling").

use serde_json::{Map, Value};

use super::{content::taken, schema};
use crate::{
    server::error::AppError,
    types::{ToolChoice, ToolDefinition},
};

/// The tools of a request.
pub(super) struct Tools {
    /// The client's own functions.
    pub(super) definitions: Vec<ToolDefinition>,
    /// The others, as they were sent.
    pub(super) others: Vec<Value>,
    /// And what they are called.
    pub(super) names: Vec<String>,
}

/// Reads `tools`.
///
/// # Errors
/// 400 with the path of what cannot be understood.
pub(super) fn read(tools: Option<Value>) -> Result<Tools, AppError> {
    let mut read = Tools { definitions: Vec::new(), others: Vec::new(), names: Vec::new() };
    let tools = match tools {
        None | Some(Value::Null) => return Ok(read),
        Some(Value::Array(tools)) => tools,
        Some(tool @ Value::Object(_)) => vec![tool],
        Some(_) => return Err(AppError::field("tools", "tools: expected an array of tools")),
    };
    for (index, tool) in tools.into_iter().enumerate() {
        let path = format!("tools[{index}]");
        let Value::Object(mut fields) = tool else {
            return Err(AppError::field(path.as_str(), format!("{path}: expected an object")));
        };
        match taken(&mut fields, "functionDeclarations") {
            None | Some(Value::Null) => {}
            Some(Value::Array(declared)) => {
                for (place, function) in declared.into_iter().enumerate() {
                    let path = format!("{path}.functionDeclarations[{place}]");
                    read.definitions.push(definition(function, &path)?);
                }
            }
            Some(_) => {
                let path = format!("{path}.functionDeclarations");
                return Err(AppError::field(path.as_str(), format!("{path}: expected an array")));
            }
        }
        fields.retain(|_, value| !value.is_null());
        read.names.extend(fields.keys().map(|name| name.chars().take(40).collect()));
        if !fields.is_empty() {
            read.others.push(fields.into());
        }
    }
    Ok(read)
}

fn definition(function: Value, path: &str) -> Result<ToolDefinition, AppError> {
    let missing = || {
        let path = format!("{path}.name");
        AppError::field(path.as_str(), format!("{path}: missing"))
    };
    let Value::Object(mut fields) = function else { return Err(missing()) };
    let text = |fields: &Map<String, Value>, name: &str| {
        fields.get(name).and_then(Value::as_str).filter(|it| !it.is_empty()).map(str::to_owned)
    };
    let name = text(&fields, "name").ok_or_else(missing)?;
    let description = text(&fields, "description");
    let json = taken(&mut fields, "parametersJsonSchema").filter(|schema| !schema.is_null());
    let parameters = json.or_else(|| {
        let parameters = fields.shift_remove("parameters").filter(|schema| !schema.is_null());
        parameters.map(schema::of_open_api)
    });
    Ok(ToolDefinition { name, description, parameters, strict: None, unknown: Map::new() })
}

/// Reads `toolConfig`; one that allows only some functions takes the others out of `tools`.
///
/// # Errors
/// 400 for a mode we do not know, or a function that is not there.
pub(super) fn choice(
    config: Option<Value>,
    tools: &mut Vec<ToolDefinition>,
) -> Result<Option<ToolChoice>, AppError> {
    let refuse = |name: &str, why: &str| {
        let path = format!("toolConfig.functionCallingConfig{name}");
        Err(AppError::field(path.as_str(), format!("{path}: {why}")))
    };
    let mut config = match config {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(config)) => config,
        Some(_) => return Err(AppError::field("toolConfig", "toolConfig: expected an object")),
    };
    let mut calling = match taken(&mut config, "functionCallingConfig") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(calling)) => calling,
        Some(_) => return refuse("", "expected an object"),
    };
    let allowed = match taken(&mut calling, "allowedFunctionNames") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(names)) => names,
        Some(_) => return refuse(".allowedFunctionNames", "expected an array of names"),
    };
    let names: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
    if names.iter().any(|name| !tools.iter().any(|tool| tool.name == *name)) {
        return refuse(".allowedFunctionNames", "no function has one of these names");
    }
    let mode = calling.get("mode").and_then(Value::as_str).unwrap_or_default();
    let choice = match mode.to_ascii_uppercase().as_str() {
        "" | "MODE_UNSPECIFIED" => None,
        "AUTO" | "VALIDATED" => Some(ToolChoice::Auto),
        "NONE" => Some(ToolChoice::None),
        "ANY" if tools.is_empty() => {
            return refuse("", "a call is required, without any functions");
        }
        "ANY" => Some(match names[..] {
            [name] => ToolChoice::Named(name.to_owned()),
            _ => ToolChoice::Required,
        }),
        _ => return refuse(".mode", "expected AUTO, ANY, NONE or VALIDATED"),
    };
    if names.len() > 1 {
        tools.retain(|tool| names.contains(&tool.name.as_str()));
    }
    Ok(choice)
}
