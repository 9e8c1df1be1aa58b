//! The messages of a call. All calls that share them share what their protocols write of them too:
//! a long conversation is converted and serialised once per run, not once per worker and attempt.

use std::{
    fmt,
    ops::Deref,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use serde_json::Value;

use super::{hash::hash, prompt};
use crate::{
    llm::redact,
    types::{Image, Message, Part, Protocol, Role},
};

/// A conversation, system messages included. Clones share it. `Debug` shows no text.
#[derive(Clone)]
pub struct Conversation(Arc<Shared>);

struct Shared {
    messages: Arc<[Message]>,
    /// Its JSON by protocol and form, each written when it is first needed.
    written: [OnceLock<Arc<Written>>; Protocol::ALL.len() * FORMS],
}

/// What a protocol writes of a conversation. Messages are written one by one, so that a tree of all of
/// them, which takes many times their text, is never there.
#[derive(Default)]
pub(in crate::llm) struct Written {
    /// Fields of a request, in their order on the wire.
    pub(in crate::llm) fields: Vec<WrittenField>,
    /// Whether a system message stands behind other turns.
    pub(in crate::llm) has_late_system: bool,
}

impl Written {
    /// Writes a field.
    pub(in crate::llm) fn field(&mut self, name: &str, value: &Value) {
        let json = value.to_string().into();
        self.fields.push(WrittenField { name: name.to_owned(), json, shape: redact::shape(value) });
    }

    /// Writes a field that is an array of these, each of which is dropped before the next one is made;
    /// together they take about so many bytes.
    pub(in crate::llm) fn list(
        &mut self,
        name: &str,
        about: usize,
        items: impl Iterator<Item = Value>,
    ) {
        let mut json = Vec::with_capacity(about);
        let (mut count, mut began) = (0_usize, false);
        for item in items {
            let is_system = item.get("role").is_some_and(|role| role == "system");
            began |= !is_system;
            self.has_late_system |= is_system && began;
            json.push(if count == 0 { b'[' } else { b',' });
            // Into memory a value can always be written.
            let written = serde_json::to_writer(&mut json, &item);
            debug_assert!(written.is_ok(), "a value that cannot be written");
            count = count.saturating_add(1);
        }
        json.extend_from_slice(if count == 0 { b"[]" } else { b"]" });
        let (name, shape) = (name.to_owned(), redact::shape_of_list(count));
        self.fields.push(WrittenField { name, json: json.into(), shape });
    }
}

/// About how many bytes these messages are written in: a good deal more only where much is escaped.
pub(in crate::llm) fn size_of(messages: &[Message]) -> usize {
    let part = |part: &Part| match part {
        Part::Text(text) => text.len(),
        Part::Image(Image::Url { url, .. }) => url.len(),
        Part::Image(Image::Inline { base64, .. }) => base64.len(),
        Part::Other(_) => 0,
    };
    let message = |message: &Message| {
        let parts = message.parts.iter().map(part);
        let calls = message.tool_calls.iter().map(|call| call.arguments.len());
        parts.chain(calls).fold(AROUND, usize::saturating_add)
    };
    let whole = messages.iter().map(message).fold(0, usize::saturating_add);
    whole.saturating_add(whole / 16)
}

/// Bytes around what a message says, as a rule.
const AROUND: usize = 64;

/// One field of a written conversation.
pub(in crate::llm) struct WrittenField {
    pub(in crate::llm) name: String,
    /// Its JSON.
    pub(in crate::llm) json: Bytes,
    /// Its kind and length, for logs.
    pub(in crate::llm) shape: String,
}

/// What becomes of the tool turns of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::llm) enum Form {
    /// There are none.
    Toolless,
    /// Each result names its call.
    Linked,
    /// Tool calls and results are plain text.
    Flattened,
}

const FORMS: usize = 3;

impl Conversation {
    /// The conversation with tool calls and results as plain text; shared where there are none.
    #[must_use]
    pub fn flattened(&self) -> Self {
        if !prompt::has_tool_turns(self) {
            return self.clone();
        }
        let mut messages = self.to_vec();
        prompt::flatten_tools(&mut messages);
        messages.into()
    }

    /// A number for each of its beginnings, itself last: the same for the same texts, pictures and
    /// tool calls. System messages have no part in them, since many tell the time. They are for
    /// comparing in memory only.
    pub(in crate::llm) fn digests(&self) -> Vec<u64> {
        let part = |part: &Part| match part {
            Part::Text(text) => hash(text),
            Part::Image(Image::Url { url, .. }) => hash(url),
            Part::Image(Image::Inline { base64, .. }) => hash(base64),
            Part::Other(value) => hash(&value.to_string()),
        };
        let message = |message: &Message| {
            let parts: Vec<u64> = message.parts.iter().map(part).collect();
            let calls = message.tool_calls.iter().map(|call| (&call.name, &call.arguments));
            hash(&(parts, calls.collect::<Vec<_>>()))
        };
        let bare = self.iter().all(|message| message.role == Role::System);
        let turns = self.iter().filter(|message| bare || message.role != Role::System);
        turns
            .scan(0, |before, turn| {
                *before = hash(&(*before, message(turn)));
                Some(*before)
            })
            .collect()
    }

    /// What this protocol writes of it in this form, which must not depend on anything else: written
    /// when it is asked for first.
    pub(in crate::llm) fn written(
        &self,
        protocol: Protocol,
        form: Form,
        write: impl FnOnce() -> Arc<Written>,
    ) -> Arc<Written> {
        let place = (protocol as usize).saturating_mul(FORMS).saturating_add(form as usize);
        match self.0.written.get(place) {
            Some(known) => Arc::clone(known.get_or_init(write)),
            None => write(),
        }
    }
}

impl Deref for Conversation {
    type Target = [Message];

    fn deref(&self) -> &[Message] {
        &self.0.messages
    }
}

impl From<Arc<[Message]>> for Conversation {
    fn from(messages: Arc<[Message]>) -> Self {
        Self(Arc::new(Shared { messages, written: std::array::from_fn(|_| OnceLock::new()) }))
    }
}

impl From<Vec<Message>> for Conversation {
    fn from(messages: Vec<Message>) -> Self {
        Arc::<[Message]>::from(messages).into()
    }
}

impl fmt::Debug for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.messages.fmt(f)
    }
}
