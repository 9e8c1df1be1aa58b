//! The messages of a call. All calls that share them share what their protocols write of them too:
//! a long conversation is converted and serialised once per run, not once per worker and attempt.

use std::{
    fmt,
    ops::Deref,
    sync::{Arc, OnceLock},
};

use serde_json::{
    Map, Value,
    value::{RawValue, to_raw_value},
};

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
    written: [OnceLock<Option<Arc<Written>>>; Protocol::ALL.len() * FORMS],
}

/// Fields of a request that hold a conversation, in their order on the wire.
pub(in crate::llm) type Written = Vec<WrittenField>;

/// One field of a written conversation.
pub(in crate::llm) struct WrittenField {
    pub(in crate::llm) name: String,
    pub(in crate::llm) raw: Box<RawValue>,
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

    /// What this protocol writes of it in this form: `fields`, which must not depend on anything
    /// else, serialised when they are asked for first. `None` if they cannot be.
    pub(in crate::llm) fn written(
        &self,
        protocol: Protocol,
        form: Form,
        fields: impl FnOnce() -> Map<String, Value>,
    ) -> Option<Arc<Written>> {
        let place = (protocol as usize).saturating_mul(FORMS).saturating_add(form as usize);
        let write = || {
            let field = |(name, value)| {
                let (raw, shape) = (to_raw_value(&value).ok()?, redact::shape(&value));
                Some(WrittenField { name, raw, shape })
            };
            fields().into_iter().map(field).collect::<Option<Written>>().map(Arc::new)
        };
        self.0.written.get(place)?.get_or_init(write).clone()
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
