//! Conversations bent to what an upstream takes: tools as plain text, output forms as an
//! instruction, everything as one prompt. Pure.

mod turns;

use std::collections::HashSet;

use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::types::{Message, OpenCalls, OutputFormat, Part, Role, ToolCall};
pub(in crate::llm) use turns::{Turn, Turns, is_blank, turns};

/// What to say of the output's form when the protocol will not enforce it. The word JSON must be
/// there: OpenAI refuses JSON mode without it.
pub(super) fn instruction(format: &OutputFormat) -> Option<String> {
    match format {
        OutputFormat::Text => None,
        OutputFormat::Json => Some(
            "Answer with JSON only: one valid JSON value, no code fence, no other text.".to_owned(),
        ),
        OutputFormat::Schema { schema, .. } => Some(format!(
            "Answer with JSON only: one JSON value that matches this JSON Schema, no code fence, \
             no other text.\n{}",
            schema.text()
        )),
    }
}

/// What to say of a demanded tool call to a protocol that has no word for it.
pub(super) const CALL_A_TOOL: &str =
    "Answer by calling one of the tools you are given, not with text.";

/// Adds text to the leading system message, or puts one in front.
pub(super) fn add_to_system(messages: &mut Vec<Message>, text: &str) {
    match messages.first_mut() {
        Some(first) if first.role == Role::System => {
            let joined = first.joined_text();
            match first.extras {
                None => *first = Message::text(Role::System, format!("{joined}\n\n{text}")),
                Some(_) => first.parts.push(Part::Text(text.to_owned())),
            }
        }
        _ => messages.insert(0, Message::text(Role::System, text)),
    }
}

/// Puts text behind the conversation, but before a beginning of the answer that the model is to go
/// on with. As the person's it joins what the person said last: neighbours of one side are refused
/// by many templates.
pub(super) fn append(messages: &mut Vec<Message>, role: Role, text: &str) {
    let is_begun = |last: &Message| last.role == Role::Assistant && last.tool_calls.is_empty();
    let opening = messages.pop_if(|last| is_begun(last));
    match messages.last_mut().filter(|last| role == Role::User && last.role == Role::User) {
        Some(last) => last.parts.push(Part::Text(text.to_owned())),
        None => messages.push(Message::text(role, text)),
    }
    messages.extend(opening);
}

/// Whether any turn called a tool or brought a result.
pub(super) fn has_tool_turns(messages: &[Message]) -> bool {
    messages.iter().any(|message| message.role == Role::Tool || !message.tool_calls.is_empty())
}

/// Tool calls and results as plain turns, for a model that is shown no tools.
pub(super) fn flatten_tools(messages: &mut [Message]) {
    link_tools(messages);
    messages.iter_mut().for_each(flatten);
}

/// One turn of tools as plain text.
pub(super) fn flatten(message: &mut Message) {
    flatten_calls(message, &HashSet::new());
    if message.role == Role::Tool {
        flatten_result(message);
    }
}

/// The calls whose ids are not among these.
fn flatten_calls(message: &mut Message, kept: &HashSet<String>) {
    let calls = std::mem::take(&mut message.tool_calls);
    let (kept, dropped) = calls.into_iter().partition(|call| kept.contains(&call.id));
    message.tool_calls = kept;
    if !dropped.is_empty() {
        message.parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
        forget_places(message);
        message.parts.extend(dropped.into_iter().map(|call: ToolCall| {
            Part::Text(format!("[called the tool {} with {}]", call.name, call.arguments))
        }));
    }
}

fn flatten_result(message: &mut Message) {
    let name = message.tool_name.take().unwrap_or_else(|| "tool".to_owned());
    message.role = Role::User;
    message.tool_call_id = None;
    forget_places(message);
    message.parts.insert(0, Part::Text(format!("[result of the tool {name}]")));
}

/// What is unknown of its parts and calls, which are no longer where they were.
fn forget_places(message: &mut Message) {
    if let Some(extras) = &mut message.extras {
        extras.unknown.parts.clear();
        extras.unknown.calls.clear();
    }
}

/// Arguments for a protocol that wants an object; what is none is kept inside one, under `value`: a
/// conversation that no upstream takes would be stuck for ever. An object that was written as the
/// text of a JSON string, as some models do, is the object.
pub(super) fn arguments(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ Value::Object(_)) => value,
        Ok(Value::String(inner)) => match serde_json::from_str(&inner) {
            Ok(value @ Value::Object(_)) => value,
            Ok(_) | Err(_) => json!({"value": inner}),
        },
        Ok(value) if !value.is_null() => json!({"value": value}),
        Err(_) if !text.trim().is_empty() => json!({"value": text}),
        Ok(_) | Err(_) => json!({}),
    }
}

/// The same for a protocol that wants text: as it is where it is an object, whose text is part of
/// what servers have cached.
pub(super) fn arguments_text(text: &str) -> String {
    let is_object =
        text.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(text).is_ok();
    if is_object { text.to_owned() } else { arguments(text).to_string() }
}

/// Completes what one protocol leaves out and the other needs: ids of calls, the id and the name
/// each result belongs to. A result that names nothing answers the first call still open.
pub(super) fn link_tools(messages: &mut [Message]) {
    let mut open = OpenCalls::default();
    for (turn, message) in messages.iter_mut().enumerate() {
        if !message.tool_calls.is_empty() {
            open = OpenCalls::default();
        }
        for (place, call) in message.tool_calls.iter_mut().enumerate() {
            if call.id.is_empty() {
                call.id = format!("call_{turn}_{place}");
            }
            open.push(call);
        }
        if message.role != Role::Tool {
            continue;
        }
        let (id, name) = (message.tool_call_id.as_deref(), message.tool_name.as_deref());
        if let Some((id, name)) = open.take(id, name) {
            message.tool_call_id.get_or_insert(id);
            message.tool_name.get_or_insert(name);
        }
    }
}

/// Whether that would change nothing.
pub(super) fn are_linked(messages: &[Message]) -> bool {
    messages.iter().all(|message| {
        let is_linked = message.tool_call_id.is_some() && message.tool_name.is_some();
        (message.role != Role::Tool || is_linked)
            && message.tool_calls.iter().all(|call| !call.id.is_empty())
    })
}

/// The conversation as one prompt, for plain completion:
///
/// ```text
/// {system}
///
/// User: {text}
///
/// Assistant: {text}
///
/// User: {text}
///
/// Assistant:
/// ```
///
/// A lone user message is its text and nothing else: that is what a plain completion is for.
pub(super) fn render(messages: &[Message]) -> String {
    if let [only] = messages
        && only.role == Role::User
    {
        return only.joined_text();
    }
    let turns = messages.iter().map(|message| {
        let text = message.joined_text();
        match message.role {
            Role::System => text,
            Role::User | Role::Tool => format!("{USER_TURN} {text}"),
            Role::Assistant => format!("Assistant: {text}"),
        }
    });
    turns.chain(["Assistant:".to_owned()]).collect::<Vec<_>>().join("\n\n")
}

const USER_TURN: &str = "User:";
/// The text at which the completion of a rendered conversation must stop.
pub(super) const NEXT_TURN: &str = "\nUser:";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ToolCall;

    pub(in crate::llm) fn call(id: &str, name: &str) -> ToolCall {
        ToolCall { id: id.into(), name: name.into(), arguments: "{\"a\":1}".into() }
    }

    pub(super) fn with_tools(
        ids: [&str; 2],
        results: [(Option<&str>, Option<&str>); 2],
    ) -> Vec<Message> {
        let mut asking = Message::text(Role::Assistant, "");
        asking.tool_calls = vec![call(ids[0], "f"), call(ids[1], "g")];
        let mut messages = vec![Message::text(Role::User, "do it"), asking];
        for (id, name) in results {
            let mut result = Message::text(Role::Tool, "42");
            result.tool_call_id = id.map(str::to_owned);
            result.tool_name = name.map(str::to_owned);
            messages.push(result);
        }
        messages
    }

    #[test]
    fn results_find_their_calls() {
        let some = Some;
        for (ids, results, want) in [
            (["a", "b"], [(some("b"), None), (some("a"), None)], ["b g", "a f"]),
            (["", ""], [(None, some("g")), (None, some("f"))], ["call_1_1 g", "call_1_0 f"]),
            (["", ""], [(None, None), (None, None)], ["call_1_0 f", "call_1_1 g"]),
        ] {
            let mut messages = with_tools(ids, results);
            link_tools(&mut messages);
            let linked: Vec<String> = messages[2..]
                .iter()
                .map(|m| {
                    format!(
                        "{} {}",
                        m.tool_call_id.as_ref().unwrap(),
                        m.tool_name.as_ref().unwrap()
                    )
                })
                .collect();
            assert_eq!(linked, want);
        }
    }

    #[test]
    fn tools_become_plain_turns() {
        let mut messages = with_tools(["a", "b"], [(Some("a"), None), (None, None)]);
        assert!(has_tool_turns(&messages));
        flatten_tools(&mut messages);
        assert!(!has_tool_turns(&messages));
        assert_eq!(
            render(&messages),
            "User: do it\n\nAssistant: [called the tool f with {\"a\":1}]\n[called the tool g with \
             {\"a\":1}]\n\nUser: [result of the tool f]\n42\n\nUser: [result of the tool g]\n42\n\n\
             Assistant:"
        );
    }

    #[test]
    fn arguments_become_an_object() {
        for (text, want) in [
            ("{\"a\":1}", json!({"a": 1})),
            ("", json!({})),
            ("null", json!({})),
            ("[1]", json!({"value": [1]})),
            ("Rome, now", json!({"value": "Rome, now"})),
            ("\"Rome\"", json!({"value": "Rome"})),
            ("\"{\\\"a\\\":1}\"", json!({"a": 1})),
            ("{\"a\":", json!({"value": "{\"a\":"})),
        ] {
            assert_eq!(arguments(text), want);
            let written = arguments_text(text);
            assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), want);
            assert!(!text.starts_with("{\"a\":1") || written == text);
        }
    }

    #[test]
    fn prompts_are_rendered() {
        assert_eq!(render(&[Message::text(Role::User, "Once upon")]), "Once upon");
        assert_eq!(
            render(&[Message::text(Role::System, "Be kind."), Message::text(Role::User, "Hi")]),
            "Be kind.\n\nUser: Hi\n\nAssistant:"
        );
    }

    #[test]
    fn an_appendix_comes_last_and_joins_what_the_person_said() {
        let said = |role, text: &str| Message::text(role, text);
        let (system, user, model) = (Role::System, Role::User, Role::Assistant);
        let mut result = said(Role::Tool, "42");
        result.tool_call_id = Some("a".to_owned());
        let mut calling = said(model, "");
        calling.tool_calls = vec![call("a", "f")];
        for (before, role, want) in [
            (vec![said(user, "q")], system, "user: q / system: X"),
            (vec![said(user, "q")], user, "user: q\nX"),
            (
                vec![said(user, "q"), said(model, "It is")],
                system,
                "user: q / system: X / assistant: It is",
            ),
            (vec![said(user, "q"), said(model, "It is")], user, "user: q\nX / assistant: It is"),
            (vec![said(user, "q"), calling.clone()], user, "user: q / assistant:  / user: X"),
            (
                vec![said(user, "q"), calling, result],
                user,
                "user: q / assistant:  / tool: 42 / user: X",
            ),
            (vec![], user, "user: X"),
        ] {
            let mut messages = before;
            append(&mut messages, role, "X");
            let shown: Vec<String> = (messages.iter())
                .map(|message| format!("{}: {}", message.role.as_str(), message.joined_text()))
                .collect();
            assert_eq!(shown.join(" / "), want);
        }
    }

    #[test]
    fn instructions_join_the_leading_system_message() {
        let mut messages = vec![Message::text(Role::User, "hi")];
        add_to_system(&mut messages, "one");
        add_to_system(&mut messages, "two");
        assert_eq!(messages.len(), 2);
        assert_eq!(messages[0], Message::text(Role::System, "one\n\ntwo"));
        assert!(instruction(&OutputFormat::Text).is_none());
        assert!(instruction(&OutputFormat::Json).unwrap().contains("JSON"));
    }
}
