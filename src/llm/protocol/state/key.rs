//! What a turn is found by: its tool calls' ids and its thoughts. Pure.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Map, Value};

use crate::{
    llm::Call,
    types::{ToolCall, TurnState},
};

/// Makes the keys of one conversation.
#[derive(Clone, Copy, Debug)]
pub(in crate::llm) struct Keys {
    caller: u64,
    conversation: u64,
}

impl Keys {
    /// Those of a call whose model gets its turns back; `None` for others.
    pub(in crate::llm) fn of(call: &Call) -> Option<Self> {
        let caller = call.turns_of?;
        Some(Self { caller, conversation: call.conversation.unwrap_or(caller) })
    }

    /// The keys of a tool call, the surest first: its id, where that is one of its own, and what was
    /// called in this conversation, for clients that give calls other ids or none.
    pub(super) fn of_call(self, call: &ToolCall) -> impl Iterator<Item = u64> {
        let own = is_unique(&call.id).then(|| hash(("id", self.caller, &call.id)));
        let arguments = canonical(&call.arguments);
        let called = hash(("called", self.conversation, &call.name, arguments));
        own.into_iter().chain([called])
    }

    /// The key of a chain of thought.
    pub(super) fn of_thoughts(self, thoughts: &Thoughts) -> Option<u64> {
        thoughts.digest().map(|digest| hash(("thoughts", self.caller, digest)))
    }
}

/// A chain of thought as it comes, without its white space, which clients trim.
#[derive(Clone, Debug)]
pub(super) struct Thoughts(u64);

impl Default for Thoughts {
    fn default() -> Self {
        Self(FNV_START)
    }
}

const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

impl Thoughts {
    pub(super) fn push(&mut self, text: &str) {
        for byte in text.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        }
    }

    /// Adds all that details say, in their order.
    fn push_details(&mut self, details: &[Value]) {
        for detail in details {
            for name in ["text", "summary", "data"] {
                self.push(detail.get(name).and_then(Value::as_str).unwrap_or_default());
            }
        }
    }

    /// All that other fields say: for a turn that has nothing else.
    fn push_fields(&mut self, fields: &Map<String, Value>) {
        for value in fields.values() {
            self.push(&value.to_string());
        }
    }

    /// The keys of a turn.
    pub(super) fn of(state: &TurnState, mut thoughts: Self) -> Self {
        if thoughts.digest().is_none() {
            thoughts.push_details(&state.details);
        }
        if thoughts.digest().is_none() {
            thoughts.push_fields(&state.fields);
        }
        thoughts
    }

    fn digest(&self) -> Option<u64> {
        (self.0 != FNV_START).then_some(self.0)
    }
}

/// Whether an id names one call only. Some servers count: `call_0`, `functions.search:1`.
fn is_unique(id: &str) -> bool {
    id.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| {
        let mixed = word.bytes().any(|byte| byte.is_ascii_digit())
            && word.bytes().any(|byte| byte.is_ascii_alphabetic());
        word.len() >= 8 && (mixed || word.len() >= 24)
    })
}

/// Arguments as clients give them back, who write JSON anew.
fn canonical(arguments: &str) -> String {
    match serde_json::from_str::<Value>(arguments) {
        Ok(mut value) => {
            value.sort_all_objects();
            value.to_string()
        }
        Err(_) if arguments.trim().is_empty() => "{}".to_owned(),
        Err(_) => arguments.to_owned(),
    }
}

fn hash(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(id: &str, name: &str, arguments: &str) -> ToolCall {
        ToolCall { id: id.into(), name: name.into(), arguments: arguments.into() }
    }

    #[test]
    fn an_id_that_others_have_too_is_no_key() {
        for id in ["call_8fk2j1xq", "toolu_01A09q90qw", "D681PevKs7", "chatcmpl-tool-0a1b2c3d4e5f"]
        {
            assert!(is_unique(id), "{id}");
        }
        for id in ["", "0", "call_0", "call_12_3", "functions.get_weather:0", "get_forecast"] {
            assert!(!is_unique(id), "{id}");
        }
    }

    #[test]
    fn a_call_is_found_by_its_id_or_within_its_conversation() {
        let here = Keys { caller: 1, conversation: 2 };
        let keys = |keys: Keys, call: &ToolCall| keys.of_call(call).collect::<Vec<_>>();
        let made = keys(here, &call("call_8fk2j1xq", "f", "{\"a\":1,\"b\":2}"));
        assert_eq!(made.len(), 2);
        assert_eq!(keys(here, &call("", "f", " {\"b\": 2, \"a\": 1}")), made[1..]);
        assert_eq!(keys(here, &call("call_8fk2j1xq", "f", "{}"))[0], made[0]);
        for elsewhere in [Keys { caller: 3, conversation: 4 }, Keys { caller: 1, conversation: 4 }]
        {
            let other = keys(elsewhere, &call("call_1", "f", "{\"a\":1,\"b\":2}"));
            assert!(!made.contains(&other[0]));
        }
        let stranger = Keys { caller: 3, conversation: 2 };
        assert_ne!(keys(stranger, &call("call_8fk2j1xq", "f", "{}"))[0], made[0]);
    }

    #[test]
    fn thoughts_are_the_same_however_they_are_cut_and_trimmed() {
        let digest = |pieces: &[&str]| {
            let mut thoughts = Thoughts::default();
            pieces.iter().for_each(|piece| thoughts.push(piece));
            thoughts.digest()
        };
        assert_eq!(digest(&["I th", "ink\n"]), digest(&["I think"]));
        assert_ne!(digest(&["I think"]), digest(&["I thank"]));
        assert_eq!(digest(&[" \n"]), None);
    }
}
