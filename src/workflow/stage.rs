//! The stages of a level, and what they share.

mod alike;
pub(super) mod analyzer;
mod callers;
mod candidates;
pub(super) mod consensus;
pub(super) mod crowd;
pub(super) mod direct;
pub(super) mod drafts;
pub(in crate::workflow) mod excerpt;
pub(super) mod fallback;
mod hedge;
mod in_order;
pub(super) mod lenient;
pub(super) mod model_call;
mod output;
pub(super) mod queued;
pub(super) mod recorder;
pub(super) mod reranker;
pub mod selector;
pub(super) mod synthesizer;
pub(super) mod system;
mod temperature;
pub(super) mod tool_list;
mod waits;
pub(super) mod worker;
mod writers;
