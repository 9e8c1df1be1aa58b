//! Chorus answers one prompt with many language models.
//!
//! Imports point down only: `main`, `commands` and `demo` may use everything; then
//! [`server`] (HTTP, dialects) -> [`workflow`] (the engine) -> [`llm`] (upstream calls) ->
//! [`config`] -> [`types`]. A layer may skip downward, never up or sideways. `ARCHITECTURE.md` tells
//! how a request flows through them.
//!
//! ```
//! use std::sync::Arc;
//!
//! use chorus::{config::Config, workflow::Engine};
//!
//! let text = r#"
//!     [[model]]
//!     name = "local"
//!     api_base = "http://127.0.0.1:8080/v1"
//!
//!     [workflow-integration]
//!     json = '{ "workers": [ { "ref": "local", "samples": 3 } ], "synthesizer": { "ref": "local" } }'
//! "#;
//! let config = Config::parse(text, None, &|name| std::env::var(name).ok())?;
//! assert_eq!(config.workflow.plan.leaf_count(), 3);
//! assert_eq!(config.workflow.plan.worst_case_calls(&config.models)["local"], 5);
//!
//! // `server::serve` puts this behind HTTP; `Engine::run` answers one request.
//! let engine = Arc::new(Engine::new(Arc::new(config))?);
//! assert!(engine.route("chorus").is_some());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod commands;
pub mod config;
pub mod demo;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod llm;
pub mod server;
pub mod store;
pub mod types;
pub mod workflow;
