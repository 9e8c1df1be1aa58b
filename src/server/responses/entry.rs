//! What is said and done in a conversation, item by item.

use std::sync::Arc;

use serde_json::Value;

use crate::types::{Message, ToolCall};

/// One thing said or done in a conversation.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    /// A turn.
    Message(Message),
    /// A call the model wanted made (`function_call`).
    Call(ToolCall),
    /// What a call gave (`function_call_output`).
    Output(Message),
    /// What the model thought before what follows, for that model alone.
    Thoughts(String),
    /// Tools that count from here on (`additional_tools`, `tool_search_output`).
    Tools(Vec<Value>),
}

/// An item, and the id by which `item_reference` can name it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) id: Option<String>,
    pub(super) item: Arc<Item>,
}

impl Entry {
    pub(super) fn anonymous(item: Item) -> Self {
        Self { id: None, item: Arc::new(item) }
    }
}
