//! Chorus answers one prompt with many language models.
//!
//! Imports point down only: `main`, `commands` and `demo` may use everything; then
//! [`server`] (HTTP, dialects) -> [`workflow`] (the engine) -> [`llm`] (upstream calls) ->
//! [`config`] -> [`types`]. A layer may skip downward, never up or sideways.

pub mod commands;
pub mod config;
pub mod demo;
pub mod llm;
pub mod server;
pub mod types;
pub mod workflow;
