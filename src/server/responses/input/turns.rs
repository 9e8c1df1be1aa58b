//! Items to the turns that upstreams take.

use std::collections::HashMap;

use crate::{
    server::{
        content,
        error::AppError,
        responses::entry::{Entry, Item},
    },
    types::{Message, Role},
};

/// One message, and the results that stand directly after it.
struct Turn {
    message: Message,
    outputs: Vec<Message>,
}

/// Items to messages: calls join the assistant's message before them, results go where their calls
/// are, because upstreams refuse anything else.
///
/// # Errors
/// 400 for a result without a call.
pub(super) fn messages(context: &[Entry]) -> Result<Vec<Message>, AppError> {
    let mut turns: Vec<Turn> = Vec::new();
    let mut outputs = Vec::new();
    let mut called: HashMap<&str, (usize, &str)> = HashMap::new();
    let mut thoughts = Vec::new();
    for entry in context {
        match &*entry.item {
            Item::Message(message) => {
                let calls = message.tool_calls.iter();
                called.extend(calls.map(|c| (c.id.as_str(), (turns.len(), c.name.as_str()))));
                let mut message = message.clone();
                if message.role == Role::Assistant {
                    give_thoughts(&mut message, &mut thoughts);
                }
                thoughts.clear();
                turns.push(Turn { message, outputs: Vec::new() });
            }
            Item::Thoughts(text) => thoughts.push(text.as_str()),
            Item::Tools(_) => {}
            Item::Call(call) => {
                match turns.last_mut() {
                    Some(turn)
                        if turn.message.role == Role::Assistant && turn.outputs.is_empty() =>
                    {
                        turn.message.tool_calls.push(call.clone());
                    }
                    _ => {
                        let parts = Vec::new();
                        let tool_calls = vec![call.clone()];
                        let silent = Message::text(Role::Assistant, "");
                        let message = Message { parts, tool_calls, ..silent };
                        turns.push(Turn { message, outputs: Vec::new() });
                    }
                }
                let at = turns.len().saturating_sub(1);
                if let Some(turn) = turns.get_mut(at) {
                    give_thoughts(&mut turn.message, &mut thoughts);
                }
                called.insert(&call.id, (at, &call.name));
            }
            Item::Output(output) => {
                if !answer(&mut turns, &called, output) {
                    outputs.push(output);
                }
            }
        }
    }
    // A result may be listed before its call.
    if !outputs.into_iter().all(|output| answer(&mut turns, &called, output)) {
        let message = "input: a function_call_output has a call_id that no function_call has";
        return Err(AppError::field("input", message));
    }
    let mut messages = Vec::new();
    for turn in turns {
        messages.push(turn.message);
        messages.extend(turn.outputs);
    }
    content::link_tool_results(&mut messages);
    Ok(messages)
}

/// What was thought before a turn belongs to it.
fn give_thoughts(message: &mut Message, thoughts: &mut Vec<&str>) {
    if thoughts.is_empty() {
        return;
    }
    let state = &mut message.extras.get_or_insert_default().state;
    if !state.thoughts.is_empty() {
        state.thoughts.push('\n');
    }
    state.thoughts.push_str(&std::mem::take(thoughts).join("\n"));
}

/// Puts a result behind its call; `false` if that is not known (yet).
fn answer(turns: &mut [Turn], called: &HashMap<&str, (usize, &str)>, output: &Message) -> bool {
    let call = output.tool_call_id.as_deref().and_then(|id| called.get(id));
    let Some((at, name)) = call else { return false };
    let Some(turn) = turns.get_mut(*at) else { return false };
    turn.outputs.push(Message { tool_name: Some((*name).to_owned()), ..output.clone() });
    true
}
