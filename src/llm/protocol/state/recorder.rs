//! What an answer leaves for its model, noted while the answer is read. Pure.

use std::{collections::VecDeque, sync::Arc};

use serde_json::{Map, Value};

use super::{
    TurnStates, Writer, Written,
    key::{Keys, Thoughts},
};
use crate::{
    llm::{Delta, StatePiece},
    types::{ToolCall, TurnState, join_state},
};

/// Something that a model wants back and that is neither text nor thought.
#[derive(Debug, PartialEq)]
pub(in crate::llm) enum Kept {
    /// OpenRouter's `reasoning_details`, a piece of them perhaps.
    Details(Vec<Value>),
    /// Other fields of the message, a piece of them perhaps.
    Fields(Map<String, Value>),
    /// A `thinking` block of Anthropic's begins; thoughts and signature follow.
    Block(Value),
    /// The signature of the last block.
    Signature(String),
}

/// Notes what an answer leaves; nothing for calls whose models get nothing back.
#[derive(Debug, Default)]
pub(in crate::llm) struct Recorder {
    keys: Option<Keys>,
    state: TurnState,
    thoughts: Thoughts,
    calls: Vec<ToolCall>,
    /// What came beside the calls, by their number.
    beside: Vec<(u32, Map<String, Value>)>,
    /// What came beside a call that was not handed on yet.
    waiting: VecDeque<Map<String, Value>>,
}

impl Recorder {
    /// A recorder for a call with these keys.
    pub(in crate::llm) fn new(keys: Option<Keys>) -> Self {
        Self { keys, ..Self::default() }
    }

    /// Whether anything is noted.
    pub(in crate::llm) fn is_on(&self) -> bool {
        self.keys.is_some()
    }

    /// A piece of a chain of thought in a field of its own, as it is read.
    pub(in crate::llm) fn block_text(&mut self, text: &str) {
        let last = self.state.blocks.last_mut().and_then(Value::as_object_mut);
        last.into_iter().for_each(|block| append(block, "thinking", text));
    }

    /// The field that thoughts come in; empty when they come in none.
    pub(in crate::llm) fn field(&mut self, name: &'static str) {
        self.state.field = Some(name.into());
    }

    /// Whether thoughts that come now are of a field that is not known yet.
    pub(in crate::llm) fn wants_field(&self) -> bool {
        self.keys.is_some() && self.state.field.is_none() && self.state.blocks.is_empty()
    }

    pub(in crate::llm) fn keep(&mut self, kept: Kept) {
        match kept {
            _ if self.keys.is_none() => {}
            Kept::Details(details) => {
                details.into_iter().for_each(|detail| self.state.add_detail(detail));
            }
            Kept::Fields(fields) => join_state(&mut self.state.fields, fields),
            Kept::Block(block) => self.state.blocks.push(block),
            Kept::Signature(signature) => {
                let last = self.state.blocks.last_mut().and_then(Value::as_object_mut);
                last.into_iter().for_each(|block| append(block, "signature", &signature));
            }
        }
    }

    /// Keeps what came beside a tool call for the next call that is handed on.
    pub(in crate::llm) fn await_call(&mut self, fields: Map<String, Value>) {
        self.waiting.push_back(fields);
    }

    /// Takes note of what is handed on; gives what has to go before it.
    pub(in crate::llm) fn see(&mut self, delta: &Delta) -> Option<Delta> {
        match delta {
            Delta::Text(_) => None,
            Delta::Reasoning(text) => {
                self.thoughts.push(text);
                self.state.thoughts.push_str(text);
                None
            }
            Delta::State(StatePiece::Details(_) | StatePiece::Fields(_)) => None,
            Delta::State(StatePiece::Call { index, fields }) => {
                self.beside.push((*index, fields.clone()));
                None
            }
            Delta::ToolCall(piece) => {
                let index = usize::try_from(piece.index).unwrap_or(usize::MAX);
                let known = self.calls.get_mut(index);
                match known {
                    Some(call) => call.arguments.push_str(&piece.arguments),
                    None => self.calls.push(ToolCall {
                        id: piece.id.clone().unwrap_or_default(),
                        name: piece.name.clone().unwrap_or_default(),
                        arguments: piece.arguments.clone(),
                    }),
                }
                piece.id.as_ref()?;
                let fields = self.waiting.pop_front()?;
                self.beside.push((piece.index, fields.clone()));
                Some(Delta::State(StatePiece::Call { index: piece.index, fields }))
            }
        }
    }

    /// Remembers a whole answer as this model's: all it left by its calls, and whose the thoughts
    /// are, which the client has.
    pub(in crate::llm) fn remember(&self, states: &TurnStates, writer: Writer) {
        let Some(keys) = self.keys else { return };
        let mut state = self.state.clone();
        let thoughts = Thoughts::of(&state, self.thoughts.clone());
        // What came in a field of its own goes back in it, and only there.
        if !state.blocks.is_empty() || state.field.as_deref() == Some("") {
            state.thoughts.clear();
        }
        let known = TurnState { field: state.field.clone(), ..TurnState::default() };
        let whose = Written { writer, state: Arc::new(known) };
        states.remember(keys.of_thoughts(&thoughts), &whose);
        if self.calls.is_empty() {
            return;
        }
        for (number, call) in (0..).zip(&self.calls) {
            let fields = self.beside.iter().filter(|(index, _)| *index == number);
            let fields = fields.flat_map(|(_, fields)| fields.clone()).collect();
            state.calls.push((call.id.clone(), fields));
        }
        let written = Written { writer, state: Arc::new(state) };
        states.remember(self.calls.iter().flat_map(|call| keys.of_call(call)), &written);
    }
}

/// Puts text behind a text field.
fn append(fields: &mut Map<String, Value>, name: &str, text: &str) {
    match fields.get_mut(name) {
        Some(Value::String(known)) => known.push_str(text),
        _ => drop(fields.insert(name.to_owned(), text.into())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::llm::testing;

    fn recorder() -> Recorder {
        Recorder::new(Keys::of(&crate::llm::Call { turns_of: Some(1), ..testing::call("hi") }))
    }

    #[test]
    fn blocks_hold_their_thoughts_and_signatures() {
        let mut recorder = recorder();
        recorder.keep(Kept::Block(json!({"type": "thinking", "thinking": "", "signature": ""})));
        recorder.block_text("I th");
        recorder.block_text("ink");
        recorder.keep(Kept::Signature("sig".into()));
        let block = json!({"type": "thinking", "thinking": "I think", "signature": "sig"});
        assert_eq!(recorder.state.blocks, [block]);
        assert!(!recorder.wants_field());
    }

    #[test]
    fn without_keys_nothing_is_noted() {
        let mut recorder = Recorder::default();
        recorder.keep(Kept::Details(vec![json!({})]));
        assert!(recorder.state.is_empty() && !recorder.is_on() && !recorder.wants_field());
    }
}
