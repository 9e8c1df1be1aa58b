//! The tools of a request: functions, groups of them (`namespace`), tools that take free text
//! (`custom`), and those that the provider would run itself. Models are offered functions only; a call
//! goes back to the client under the name that it knows.

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use serde_json::{Map, Value, json};

use super::tool_object::{AllowedTools, ClientTool, NamedTool, ToolChoiceObject, ToolObject};
use crate::{
    server::{
        error::AppError,
        extract::{Parted, typed},
        tools::{self, RawTool},
    },
    types::{ToolChoice, ToolDefinition},
};

/// The longest name of a function that every upstream takes, in characters.
const MOST_NAME_CHARS: usize = 64;
/// Most kinds of left out tools and items that are named in warnings.
const MOST_LEFT_OUT: usize = 16;

/// The tools behind functions that clients know otherwise, by the function's name.
#[derive(Debug, Default)]
pub(super) struct ClientTools(HashMap<String, ClientTool>);

impl ClientTools {
    /// The tool behind a function.
    pub(super) fn behind(&self, function: &str) -> ClientTool {
        let known = self.0.get(function).cloned();
        known.unwrap_or_else(|| ClientTool { name: function.to_owned(), ..ClientTool::default() })
    }
}

/// What a request has of tools.
#[derive(Default)]
pub(super) struct Toolbox {
    /// What models are offered.
    pub(super) functions: Vec<ToolDefinition>,
    /// What the answer repeats.
    pub(super) repeated: Vec<ToolObject>,
    /// The kinds of tools and items that no model is shown.
    pub(super) left_out: Vec<String>,
    pub(super) clients: ClientTools,
}

impl Toolbox {
    /// Adds the tools of a list at `path`.
    ///
    /// # Errors
    /// 400 for a tool that has no name, or whose fields have other types.
    pub(super) fn add(&mut self, tools: Vec<Value>, path: &str) -> Result<(), AppError> {
        for (index, tool) in tools.into_iter().enumerate() {
            let path = format!("{path}[{index}]");
            if tool.get("type").and_then(Value::as_str) != Some("namespace") {
                self.add_one(tool, &path, None)?;
                continue;
            }
            let group = needed_name(&tool, &path)?;
            let inner = tool.get("tools").and_then(Value::as_array).cloned().unwrap_or_default();
            self.repeated.push(ToolObject::AsSent(tool));
            for (index, tool) in inner.into_iter().enumerate() {
                self.add_one(tool, &format!("{path}.tools[{index}]"), Some(&group))?;
            }
        }
        Ok(())
    }

    fn add_one(&mut self, tool: Value, path: &str, group: Option<&str>) -> Result<(), AppError> {
        match tool.get("type").and_then(Value::as_str) {
            None | Some("function") => {
                let tool: Parted<RawTool> = typed(tool, path)?;
                let definition = tools::definition(tool, path)?;
                if group.is_none() {
                    self.repeated.push(ToolObject::from(&definition));
                }
                self.offer(definition, group, false);
            }
            Some("custom") => {
                let definition = taking_text(&tool, path)?;
                if group.is_none() {
                    self.repeated.push(ToolObject::AsSent(tool));
                }
                self.offer(definition, group, true);
            }
            Some(kind) => self.leave_out(kind),
        }
        Ok(())
    }

    fn offer(&mut self, mut definition: ToolDefinition, group: Option<&str>, is_custom: bool) {
        let name = definition.name.clone();
        if group.is_some() || is_custom {
            definition.name = self.free(&joined(group, &name));
            let tool = ClientTool { name, namespace: group.map(str::to_owned), is_custom };
            self.clients.0.insert(definition.name.clone(), tool);
        }
        self.functions.push(definition);
    }

    /// The name, or one like it where a function has it already.
    fn free(&self, name: &str) -> String {
        let taken = |name: &str| self.functions.iter().any(|function| function.name == name);
        if !taken(name) {
            return name.to_owned();
        }
        let mut numbered = (2_usize..).map(|number| shortened(&format!("{number}_{name}")));
        numbered.find(|name| !taken(name)).unwrap_or_default()
    }

    /// Notes a kind of tool or item that no model is shown.
    pub(super) fn leave_out(&mut self, kind: &str) {
        let kind: String = kind.chars().take(40).collect();
        if self.left_out.len() < MOST_LEFT_OUT && !self.left_out.contains(&kind) {
            self.left_out.push(kind);
        }
    }

    /// The function by which models know a client's tool; also of one that is no longer there.
    pub(super) fn function(&self, name: &str, group: Option<&str>) -> String {
        let is_it = |tool: &ClientTool| tool.name == name && tool.namespace.as_deref() == group;
        let known = self.clients.0.iter().find(|(_, tool)| is_it(tool));
        known.map_or_else(|| joined(group, name), |(function, _)| function.clone())
    }

    /// Reads a `tool_choice`, and gives it in the form that the answer repeats; one that allows only
    /// some tools takes the others out of the functions.
    ///
    /// # Errors
    /// 400 for a form we do not know, a tool that is not there, or one that the provider would run.
    pub(super) fn choose(
        &mut self,
        choice: Value,
    ) -> Result<(Option<ToolChoice>, ToolChoiceObject), AppError> {
        let only_some = choice.get("type").and_then(Value::as_str) == Some("allowed_tools");
        let choice = tools::choice(self.of_functions(choice)?, &mut self.functions)?;
        let mode = match &choice {
            None | Some(ToolChoice::Auto) => "auto",
            Some(ToolChoice::None) => "none",
            Some(ToolChoice::Required) => "required",
            Some(ToolChoice::Named(name)) => {
                let named = ToolChoiceObject::Named(NamedTool::new(self.clients.behind(name)));
                return Ok((choice, named));
            }
        };
        let allowed = || self.functions.iter().map(|tool| self.clients.behind(&tool.name));
        let repeated = match only_some {
            true => ToolChoiceObject::Allowed(AllowedTools::new(allowed(), mode)),
            false => ToolChoiceObject::Mode(mode),
        };
        Ok((choice, repeated))
    }

    /// A choice in which tools have the names of their functions.
    fn of_functions(&self, mut choice: Value) -> Result<Value, AppError> {
        match choice.get("type").and_then(Value::as_str) {
            None => Ok(choice),
            Some("allowed_tools") => {
                // Chat nests it once more.
                let nested = choice.get("allowed_tools").is_some();
                let within =
                    if nested { choice.get_mut("allowed_tools") } else { Some(&mut choice) };
                if let Some(Value::Array(list)) = within.and_then(|it| it.get_mut("tools")) {
                    let named = std::mem::take(list);
                    *list = named.iter().flat_map(|tool| self.named(tool)).collect();
                }
                Ok(choice)
            }
            Some("function" | "custom") => Ok(self.named(&choice).pop().unwrap_or(choice)),
            Some(kind) => {
                let kind: String = kind.chars().take(40).collect();
                let message = format!(
                    "tool_choice: a call of '{kind}' is demanded, which only its provider can run; \
                     choose a function or auto"
                );
                Err(AppError::field("tool_choice", message))
            }
        }
    }

    /// The functions that an entry of a choice names, in the form of one.
    fn named(&self, tool: &Value) -> Vec<Value> {
        let text = |name: &str| tool.get("function").unwrap_or(tool).get(name)?.as_str();
        let Some(name) = text("name") else { return Vec::new() };
        let names = match tool.get("type").and_then(Value::as_str) {
            Some("namespace") => {
                let all = self.clients.0.iter();
                let inside = all.filter(|(_, tool)| tool.namespace.as_deref() == Some(name));
                inside.map(|(function, _)| function.clone()).collect()
            }
            _ => vec![self.function(name, text("namespace"))],
        };
        names.into_iter().map(|name| json!({"type": "function", "name": name})).collect()
    }
}

/// A tool that takes free text, as a function of one text.
fn taking_text(tool: &Value, path: &str) -> Result<ToolDefinition, AppError> {
    let text =
        |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let mut description = text(tool, "description").unwrap_or_default();
    let format = tool.get("format").unwrap_or(tool);
    if let Some(grammar) = text(format, "definition") {
        let syntax = text(format, "syntax").unwrap_or_default();
        description.push_str("\n\nThe input must follow this grammar (");
        description.push_str(&syntax);
        description.push_str("):\n");
        description.push_str(&grammar);
    }
    let parameters = json!({
        "type": "object",
        "properties": {"input": {"type": "string", "description": "The whole input, as plain text."}},
        "required": ["input"],
        "additionalProperties": false,
    });
    Ok(ToolDefinition {
        name: needed_name(tool, path)?,
        description: (!description.is_empty()).then_some(description),
        parameters: Some(parameters),
        strict: None,
        unknown: Map::new(),
    })
}

/// The text that a call of such a function means.
pub(super) fn free_text(arguments: &str) -> String {
    match serde_json::from_str(arguments) {
        Ok(Value::String(text)) => text,
        Ok(Value::Object(fields)) => match fields.get("input") {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None if fields.is_empty() => String::new(),
            None => arguments.to_owned(),
        },
        // Some models write the text itself.
        _ => arguments.to_owned(),
    }
}

/// The arguments of such a function.
pub(super) fn text_arguments(text: &str) -> String {
    json!({ "input": text }).to_string()
}

fn needed_name(tool: &Value, path: &str) -> Result<String, AppError> {
    let name = tool.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
    name.map(str::to_owned).ok_or_else(|| {
        let path = format!("{path}.name");
        AppError::field(path.as_str(), format!("{path}: missing"))
    })
}

/// The name of a function for a tool of a group: what agents called it before there were groups.
fn joined(group: Option<&str>, name: &str) -> String {
    match group {
        Some(group) => shortened(&format!("{}__{name}", group.trim_end_matches('_'))),
        None => name.to_owned(),
    }
}

/// A name that every upstream takes; long ones that begin alike stay apart.
fn shortened(name: &str) -> String {
    if name.chars().count() <= MOST_NAME_CHARS {
        return name.to_owned();
    }
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    let mark = format!("_{:08x}", hasher.finish() & 0xffff_ffff);
    let kept = MOST_NAME_CHARS.saturating_sub(mark.len());
    name.chars().take(kept).chain(mark.chars()).collect()
}
