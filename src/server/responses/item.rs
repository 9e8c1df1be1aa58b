//! The items of a response's output as they grow, and the names of the events about them (the
//! Open Responses specification).

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::{
    entry::{Entry, Item},
    tool_object::ClientTool,
    toolbox::{free_text, text_arguments},
};
use crate::{
    server::wire::Never,
    types::{Message, Role, ToolCall, random_id},
};

/// One item of the output.
pub(super) struct OutputItem {
    pub(super) id: String,
    pub(super) kind: Kind,
    /// All that its deltas said.
    pub(super) text: String,
    pub(super) status: ItemStatus,
}

pub(super) enum Kind {
    Reasoning,
    Message,
    Call {
        /// The call's index in the engine's deltas.
        index: u32,
        call_id: String,
        /// The name that models know.
        function: String,
        /// What the client knows.
        tool: ClientTool,
    },
}

impl Serialize for OutputItem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.object().serialize(serializer)
    }
}

impl OutputItem {
    /// An open item without text.
    pub(super) fn new(kind: Kind) -> Self {
        let id = random_id(match kind {
            Kind::Reasoning => "rs_",
            Kind::Message => "msg_",
            Kind::Call { tool: ClientTool { is_custom: true, .. }, .. } => "ctc_",
            Kind::Call { .. } => "fc_",
        });
        Self { id, kind, text: String::new(), status: ItemStatus::InProgress }
    }

    /// An item of an answer that is over; a call may lack its end, when that was `cut`.
    pub(super) fn closed(kind: Kind, text: String, cut: bool) -> Self {
        let mut item = Self { text, status: ItemStatus::Completed, ..Self::new(kind) };
        if cut && item.is_half_call() {
            item.status = ItemStatus::Incomplete;
        } else if item.lacks_arguments() {
            item.text.push_str("{}");
        } else if item.is_custom() {
            item.text = free_text(&item.text);
        }
        item
    }

    /// Whether it is a call of a tool that takes free text. While it is open, the text are its
    /// function's arguments; afterwards what they mean.
    pub(super) fn is_custom(&self) -> bool {
        matches!(self.kind, Kind::Call { tool: ClientTool { is_custom: true, .. }, .. })
    }

    /// No arguments at all are no JSON; clients parse them.
    pub(super) fn lacks_arguments(&self) -> bool {
        let is_call = matches!(self.kind, Kind::Call { .. });
        is_call && !self.is_custom() && self.text.trim().is_empty()
    }

    /// Whether it is a call whose arguments do not go to their end.
    pub(super) fn is_half_call(&self) -> bool {
        self.call().is_some_and(|call| !call.is_whole())
    }

    fn call(&self) -> Option<ToolCall> {
        let Kind::Call { call_id, function, .. } = &self.kind else { return None };
        let arguments = match self.is_custom() && self.status == ItemStatus::Completed {
            true => text_arguments(&self.text),
            false => self.text.clone(),
        };
        Some(ToolCall { id: call_id.clone(), name: function.clone(), arguments })
    }

    /// Whether more of it may come.
    pub(super) fn is_open(&self) -> bool {
        self.status == ItemStatus::InProgress
    }

    /// The item as JSON. One in progress has no content yet, whatever its deltas said.
    pub(super) fn object(&self) -> ItemObject<'_> {
        let (id, status) = (self.id.as_str(), self.status);
        let parts = || if self.is_open() { Vec::new() } else { vec![self.kind.part(&self.text)] };
        match &self.kind {
            Kind::Reasoning => ItemObject::Reasoning { id, status, summary: parts() },
            Kind::Message => {
                ItemObject::Message { id, status, role: "assistant", content: parts() }
            }
            Kind::Call { call_id, tool, .. } => {
                let ClientTool { name, namespace, is_custom } = tool;
                let (namespace, text) = (namespace.as_deref(), self.text.as_str());
                match is_custom {
                    true => {
                        // What an open one has is no text of its own yet.
                        let input = if self.is_open() { "" } else { text };
                        ItemObject::CustomToolCall { id, call_id, name, namespace, input, status }
                    }
                    false => {
                        let arguments = text;
                        ItemObject::FunctionCall { id, call_id, name, namespace, arguments, status }
                    }
                }
            }
        }
    }

    /// The payload of an event about the item's text.
    pub(super) fn event<'a>(&'a self, output_index: usize, piece: TextPiece<'a>) -> TextEvent<'a> {
        let is_message = matches!(self.kind, Kind::Message);
        let is_part = matches!(piece, TextPiece::Part(_));
        TextEvent {
            item_id: &self.id,
            output_index,
            summary_index: matches!(self.kind, Kind::Reasoning).then_some(0),
            content_index: is_message.then_some(0),
            piece,
            logprobs: (is_message && !is_part).then_some([]),
        }
    }

    /// All of the text.
    pub(super) fn whole(&self) -> TextPiece<'_> {
        match self.kind {
            Kind::Reasoning | Kind::Message => TextPiece::Text(&self.text),
            Kind::Call { .. } if self.is_custom() => TextPiece::Input(&self.text),
            Kind::Call { .. } => TextPiece::Arguments(&self.text),
        }
    }

    /// The item as part of the conversation; reasoning is no part of it, nor is half a call: no
    /// upstream takes its arguments.
    pub(super) fn entry(&self) -> Option<Entry> {
        let item = match &self.kind {
            Kind::Reasoning => return None,
            Kind::Message => Item::Message(Message::text(Role::Assistant, &self.text)),
            Kind::Call { .. } => Item::Call(self.call().filter(ToolCall::is_whole)?),
        };
        Some(Entry { id: Some(self.id.clone()), item: Arc::new(item) })
    }
}

impl Kind {
    /// The part of this kind of item, with a text.
    pub(super) fn part<'a>(&self, text: &'a str) -> PartObject<'a> {
        match self {
            Self::Reasoning => PartObject::SummaryText { text },
            Self::Message | Self::Call { .. } => {
                PartObject::OutputText { text, annotations: [], logprobs: [] }
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
            Self::Call { tool: ClientTool { is_custom: true, .. }, .. } => {
                ("response.custom_tool_call_input.delta", "response.custom_tool_call_input.done")
            }
            Self::Call { .. } => {
                ("response.function_call_arguments.delta", "response.function_call_arguments.done")
            }
        }
    }
}

/// The payload of the events about an item's text.
#[derive(Serialize, JsonSchema)]
pub(super) struct TextEvent<'a> {
    pub(super) item_id: &'a str,
    /// The item's place, from 0.
    pub(super) output_index: usize,
    /// Only for reasoning, which has one part: always 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) summary_index: Option<u8>,
    /// Only for a message, which has one part: always 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content_index: Option<u8>,
    #[serde(flatten)]
    pub(super) piece: TextPiece<'a>,
    /// Only beside a message's text; always empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) logprobs: Option<[Never; 0]>,
}

/// The one field that says something.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum TextPiece<'a> {
    /// A piece of the text.
    Delta(&'a str),
    /// All text of a message or a summary.
    Text(&'a str),
    /// All arguments of a call.
    Arguments(&'a str),
    /// All text of a call that takes free text.
    Input(&'a str),
    /// The part that holds the text.
    Part(PartObject<'a>),
}

/// An item of the output.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OutputItem")]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ItemObject<'a> {
    Reasoning {
        id: &'a str,
        status: ItemStatus,
        summary: Vec<PartObject<'a>>,
    },
    Message {
        id: &'a str,
        status: ItemStatus,
        role: &'static str,
        content: Vec<PartObject<'a>>,
    },
    FunctionCall {
        id: &'a str,
        call_id: &'a str,
        name: &'a str,
        /// Only of a tool in a group.
        #[serde(skip_serializing_if = "Option::is_none")]
        namespace: Option<&'a str>,
        /// JSON as text.
        arguments: &'a str,
        status: ItemStatus,
    },
    CustomToolCall {
        id: &'a str,
        call_id: &'a str,
        name: &'a str,
        /// Only of a tool in a group.
        #[serde(skip_serializing_if = "Option::is_none")]
        namespace: Option<&'a str>,
        /// Free text.
        input: &'a str,
        status: ItemStatus,
    },
}

/// How far an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ItemStatus {
    InProgress,
    Completed,
    /// Only the last one can be, and calls that lack their end.
    Incomplete,
}

/// The one part of an item.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OutputPart")]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum PartObject<'a> {
    SummaryText { text: &'a str },
    OutputText { text: &'a str, annotations: [Never; 0], logprobs: [Never; 0] },
}
