//! The vocabulary every layer shares: conversations, requests, usage, identifiers, secrets.
//! Nothing here knows of HTTP, of a protocol's field names or of the workflow.

mod chat;
mod ids;
mod keys;
mod request;
mod schema;
mod secret;
mod usage;

pub use chat::{Image, Message, Part, Role, ToolCall};
pub use ids::{RequestId, WorkflowId};
pub use keys::{keys_in, without_keys};
pub use request::{
    Effort, Extra, HOPS, OutputFormat, Protocol, Request, Sampling, ToolChoice, ToolDefinition,
};
pub use schema::JsonSchema;
pub use secret::ApiKey;
pub use usage::{FinishReason, Usage};
