//! The items of a response's output, and the names of the events that tell them (the Open
//! Responses specification).

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{
    super::openai::random_id,
    input::{Entry, Item},
};
use crate::types::{Message, Role, ToolCall};

/// One item of the output.
pub(super) struct OutputItem {
    pub(super) id: String,
    pub(super) kind: Kind,
    /// All that its deltas said.
    pub(super) text: String,
    pub(super) open: bool,
}

pub(super) enum Kind {
    Reasoning,
    Message,
    Call {
        /// Of the engine's deltas.
        index: u32,
        call_id: String,
        name: String,
    },
}

impl OutputItem {
    /// An open item without text.
    pub(super) fn new(kind: Kind) -> Self {
        let id = random_id(match kind {
            Kind::Reasoning => "rs_",
            Kind::Message => "msg_",
            Kind::Call { .. } => "fc_",
        });
        Self { id, kind, text: String::new(), open: true }
    }

    /// A whole item.
    pub(super) fn closed(kind: Kind, text: String) -> Self {
        let mut item = Self { text, open: false, ..Self::new(kind) };
        if item.lacks_arguments() {
            item.text.push_str("{}");
        }
        item
    }

    /// No arguments at all are no JSON; clients parse them.
    pub(super) fn lacks_arguments(&self) -> bool {
        matches!(self.kind, Kind::Call { .. }) && self.text.trim().is_empty()
    }

    /// As JSON. An item in progress has no content yet, whatever its deltas said.
    pub(super) fn told(&self, status: &str) -> Value {
        let id = &self.id;
        let fresh = status == "in_progress";
        match &self.kind {
            Kind::Reasoning => {
                let summary = if fresh { json!([]) } else { json!([self.whole_part()]) };
                json!({"type": "reasoning", "id": id, "status": status, "summary": summary})
            }
            Kind::Message => {
                let content = if fresh { json!([]) } else { json!([self.whole_part()]) };
                json!({
                    "type": "message", "id": id, "status": status, "role": "assistant",
                    "content": content
                })
            }
            Kind::Call { call_id, name, .. } => json!({
                "type": "function_call", "id": id, "call_id": call_id, "name": name,
                "arguments": self.text, "status": status
            }),
        }
    }

    fn whole_part(&self) -> Value {
        self.kind.told_part(&self.text)
    }

    /// The payload of an event about the item's text: where it is, and `name`.
    pub(super) fn part(&self, place: usize, name: &str, value: Value) -> Value {
        let mut payload = Map::new();
        payload.insert("item_id".to_owned(), self.id.as_str().into());
        payload.insert("output_index".to_owned(), place.into());
        match self.kind {
            Kind::Reasoning => payload.insert("summary_index".to_owned(), 0.into()),
            Kind::Message => payload.insert("content_index".to_owned(), 0.into()),
            Kind::Call { .. } => None,
        };
        payload.insert(name.to_owned(), value);
        if matches!(self.kind, Kind::Message) && name != "part" {
            payload.insert("logprobs".to_owned(), json!([]));
        }
        Value::Object(payload)
    }

    /// As an item of the conversation; reasoning is no part of it.
    pub(super) fn entry(&self) -> Option<Entry> {
        let item = match &self.kind {
            Kind::Reasoning => return None,
            Kind::Message => Item::Message(Message::text(Role::Assistant, &self.text)),
            Kind::Call { call_id, name, .. } => Item::Call(ToolCall {
                id: call_id.clone(),
                name: name.clone(),
                arguments: self.text.clone(),
            }),
        };
        Some(Entry { id: Some(self.id.clone()), item: Arc::new(item) })
    }
}

impl Kind {
    /// A part of this kind of item, with a text.
    pub(super) fn told_part(&self, text: &str) -> Value {
        match self {
            Self::Reasoning => json!({"type": "summary_text", "text": text}),
            Self::Message | Self::Call { .. } => {
                json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
            }
        }
    }

    /// The events that open and close the one part; a call has none.
    pub(super) fn part_events(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Reasoning => Some((
                "response.reasoning_summary_part.added",
                "response.reasoning_summary_part.done",
            )),
            Self::Message => Some(("response.content_part.added", "response.content_part.done")),
            Self::Call { .. } => None,
        }
    }

    /// The events of a piece of the text, and of all of it.
    pub(super) fn text_events(&self) -> (&'static str, &'static str) {
        match self {
            Self::Reasoning => {
                ("response.reasoning_summary_text.delta", "response.reasoning_summary_text.done")
            }
            Self::Message => ("response.output_text.delta", "response.output_text.done"),
            Self::Call { .. } => {
                ("response.function_call_arguments.delta", "response.function_call_arguments.done")
            }
        }
    }

    /// What the text is called when it is told whole.
    pub(super) fn text_name(&self) -> &'static str {
        match self {
            Self::Reasoning | Self::Message => "text",
            Self::Call { .. } => "arguments",
        }
    }
}
