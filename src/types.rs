//! The vocabulary every layer shares: conversations, requests, usage, identifiers, secrets.
//! Nothing here knows of HTTP, of a protocol's field names or of the workflow.

mod chat;
mod escape;
#[cfg(test)]
pub(crate) mod growth;
mod ids;
mod keys;
mod memory;
mod name;
mod open_calls;
pub mod process;
mod progress;
mod protocol;
mod request;
mod schema;
mod secret;
mod session;
mod turn;
mod usage;

pub use chat::{Image, Message, Part, Role, ToolCall};
pub use escape::{escaped, escaped_json, escaped_screen};
pub use ids::{RequestId, WorkflowId, random_id};
pub use keys::{keys_in, without_keys};
pub use memory::{Memory, NoMemory, Share};
pub use name::ModelName;
pub use open_calls::OpenCalls;
pub use progress::{marked, without_progress};
pub use protocol::Protocol;
pub use request::{
    Effort, Extra, FORM_FIELDS, HOPS, OnlyThere, OutputFormat, Prompt, Request, Sampling,
    ToolChoice, ToolDefinition,
};
pub use schema::JsonSchema;
pub use secret::ApiKey;
pub use session::Session;
pub use turn::{
    CALL_STATE, MESSAGE_STATE, TurnExtras, TurnState, UnknownFields, join_state, overlay,
    pick_state, take_state,
};
pub use usage::{Amount, FinishReason, PICODOLLARS, Usage};
