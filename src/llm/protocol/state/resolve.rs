//! Finds the author of each turn: what of a conversation goes back to a model. Pure but for the memory.

use serde_json::Map;

use super::{
    TurnStates, Writer, Written,
    key::{Keys, Thoughts},
};
use crate::{
    llm::{Call, Conversation},
    types::{Message, Role, TurnState},
};

/// The call with its model's state on its turns: what the client sent back, unless another model is
/// known to have written it, and what the client dropped, from memory. A call whose model gets
/// nothing back stays as it is; [`super::super::ask::Ask`] shows it nothing.
pub(in crate::llm) fn resolve(call: Call, states: &TurnStates, writer: Writer) -> Call {
    let Some(keys) = Keys::of(&call) else { return call };
    let changes: Vec<(usize, Option<TurnState>)> = call
        .messages
        .iter()
        .enumerate()
        .filter(|(_, message)| message.role == Role::Assistant)
        .filter_map(|(at, message)| {
            let state = state_of(message, keys, states, writer);
            (state.as_ref() != message.state()).then_some((at, state))
        })
        .collect();
    if changes.is_empty() {
        return call;
    }
    let mut messages = call.messages.to_vec();
    for (at, state) in changes {
        let Some(message) = messages.get_mut(at) else { continue };
        message.extras.get_or_insert_default().state = state.unwrap_or_default();
    }
    Call { messages: Conversation::from(messages), ..call }
}

/// What goes back with a turn; `None` for nothing.
fn state_of(
    message: &Message,
    keys: Keys,
    states: &TurnStates,
    writer: Writer,
) -> Option<TurnState> {
    let sent = message.state();
    let remembered = message
        .tool_calls
        .iter()
        .find_map(|call| keys.of_call(call).find_map(|key| states.of(key)).map(|it| (call, it)));
    if let Some((_, written)) = &remembered
        && written.writer != writer
    {
        return None;
    }
    if let Some((_, written)) = remembered {
        return Some(renamed(message, &written, keys, states)).filter(|state| !state.is_empty());
    }
    let sent = sent?;
    let mut thoughts = Thoughts::default();
    thoughts.push(&sent.thoughts);
    let thoughts = Thoughts::of(sent, thoughts);
    match keys.of_thoughts(&thoughts).and_then(|key| states.of(key)) {
        Some(Written { writer: other, .. }) if other != writer => None,
        Some(Written { state, .. }) => {
            Some(TurnState { field: state.field.clone(), ..sent.clone() })
        }
        None => Some(sent.clone()),
    }
}

/// What is remembered of a turn, with the ids that the client gave its calls.
fn renamed(message: &Message, written: &Written, keys: Keys, states: &TurnStates) -> TurnState {
    let mut state = TurnState::clone(&written.state);
    state.calls = Vec::with_capacity(message.tool_calls.len());
    let known = written.state.beside();
    for (place, call) in message.tool_calls.iter().enumerate() {
        let own = known.get(call.id.as_str()).map(|fields| Map::clone(fields));
        // Under another id it is the one at the same place of the turn that it was made in.
        let made_in = || keys.of_call(call).find_map(|key| states.of(key));
        let by_place = || made_in().and_then(|turn| Some(turn.state.calls.get(place)?.1.clone()));
        let found = own.or_else(by_place);
        state.calls.extend(found.map(|fields| (call.id.clone(), fields)));
    }
    state
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::{
        llm::{Delta, ToolCallDelta, protocol::state::Recorder, testing},
        types::{ToolCall, TurnExtras},
    };

    fn call(messages: Vec<Message>) -> Call {
        Call {
            messages: messages.into(),
            turns_of: Some(1),
            conversation: Some(2),
            ..testing::call("")
        }
    }

    fn turn(id: &str, thoughts: &str) -> Message {
        let tool = ToolCall { id: id.into(), name: "f".into(), arguments: "{\"a\":1}".into() };
        let state = TurnState {
            thoughts: thoughts.into(),
            field: Some("reasoning_content".into()),
            ..TurnState::default()
        };
        let extras = TurnExtras { state, ..TurnExtras::default() };
        Message {
            tool_calls: vec![tool],
            extras: (!thoughts.is_empty()).then(|| Box::new(extras)),
            ..Message::text(Role::Assistant, "")
        }
    }

    fn answered(states: &TurnStates, writer: Writer) {
        let mut recorder = Recorder::new(Keys::of(&call(Vec::new())));
        recorder.field("reasoning");
        recorder.await_call(Map::from_iter([("extra_content".to_owned(), json!({"s": 1}))]));
        recorder.see(&Delta::Reasoning("hm".into()));
        let shown = recorder.see(&Delta::ToolCall(ToolCallDelta {
            index: 0,
            id: Some("call_abc12345".into()),
            name: Some("f".into()),
            arguments: "{\"a\": 1}".into(),
        }));
        assert!(shown.is_some(), "before the call");
        recorder.remember(states, writer);
    }

    #[test]
    fn a_turn_goes_back_to_who_wrote_it_and_to_no_other() {
        let (states, writer, other) = (TurnStates::default(), Writer::fresh(), Writer::fresh());
        let (mine, yours) = (turn("call_abc12345", ""), turn("call_abc12345", "hm"));
        // Nothing is known (a restart): it goes to whoever is asked.
        let unknown = resolve(call(vec![yours.clone()]), &states, other);
        assert_eq!(unknown.messages[0], yours);
        answered(&states, writer);
        for message in [mine, yours.clone(), turn("", ""), turn("call_9", "hm")] {
            let id = message.tool_calls[0].id.clone();
            let back = resolve(call(vec![message.clone()]), &states, writer);
            let state = back.messages[0].state().expect("its own state");
            assert_eq!(
                (state.thoughts.as_str(), state.field.as_deref()),
                ("hm", Some("reasoning"))
            );
            assert_eq!(state.beside().get(id.as_str()).map(|it| it.len()), Some(1), "{id}");
            let elsewhere = resolve(call(vec![message]), &states, other);
            assert!(elsewhere.messages[0].state().is_none(), "{id}");
        }
        let mut said = yours;
        said.tool_calls.clear();
        let back = resolve(call(vec![said.clone()]), &states, writer);
        assert_eq!(back.messages[0].state().unwrap().field.as_deref(), Some("reasoning"));
        assert!(resolve(call(vec![said]), &states, other).messages[0].state().is_none());
    }

    #[test]
    fn a_call_that_gets_nothing_back_shares_its_messages() {
        let shared: Arc<[Message]> = Arc::from([turn("call_abc12345", "")]);
        let worker = Call { turns_of: None, ..call(Vec::new()) };
        let states = TurnStates::default();
        answered(&states, Writer::fresh());
        let worker = Call { messages: Arc::clone(&shared).into(), ..worker };
        let same = resolve(worker, &states, Writer::fresh());
        assert!(same.messages[0].state().is_none());
    }
}
