//! Items of kinds that no model is shown as they are: calls of tools that a provider or another client
//! ran become calls with results, lists of tools join the tools, and the rest is left out by name.

use serde_json::{Map, Value};

use super::{Reader, taken_text};
use crate::{
    server::{content, error::AppError, responses::entry::Item},
    types::{Message, Part, Role, ToolCall},
};

/// Where kinds of calls keep what was asked for.
const ARGUMENTS: [&str; 5] = ["arguments", "action", "operation", "input", "query"];

impl Reader<'_> {
    /// A list of tools that counts from here on.
    pub(super) fn tools(
        &mut self,
        fields: &mut Map<String, Value>,
        path: &str,
    ) -> Result<(), AppError> {
        let Some(Value::Array(list)) = fields.remove("tools") else { return Ok(()) };
        self.close_loose();
        self.toolbox.add(list.clone(), &format!("{path}.tools"))?;
        self.push(None, Item::Tools(list));
        Ok(())
    }

    /// Anything else.
    pub(super) fn other(&mut self, kind: &str, mut fields: Map<String, Value>) {
        let id = taken_text(&mut fields, "id");
        let call_id = taken_text(&mut fields, "call_id");
        let output = fields.remove("output").filter(|output| !output.is_null());
        self.close_loose();
        match (kind.strip_suffix("_call"), kind.ends_with("_output"), call_id, id, output) {
            (Some(tool), _, Some(call_id), id, _) => {
                let call = call(tool, call_id, &mut fields);
                self.push(id, Item::Call(call));
            }
            // A provider ran it, and says in one item what came of it.
            (Some(tool), _, None, Some(id), Some(output)) => {
                let call = call(tool, id.clone(), &mut fields);
                self.push(Some(id.clone()), Item::Call(call));
                self.push(None, Item::Output(result(id, output)));
            }
            (None, true, Some(call_id), id, Some(output)) => {
                self.push(id, Item::Output(result(call_id, output)));
            }
            _ => self.toolbox.leave_out(kind),
        }
    }
}

fn call(tool: &str, id: String, fields: &mut Map<String, Value>) -> ToolCall {
    let name = taken_text(fields, "name").unwrap_or_else(|| tool.to_owned());
    let arguments = ARGUMENTS.iter().find_map(|name| fields.remove(*name));
    let arguments = content::arguments_text(arguments.unwrap_or_default());
    ToolCall { id, name, arguments }
}

fn result(call_id: String, output: Value) -> Message {
    let text = match output {
        Value::String(text) => text,
        other => other.to_string(),
    };
    let parts = vec![Part::Text(text)];
    Message { parts, tool_call_id: Some(call_id), ..Message::text(Role::Tool, "") }
}
