//! One file per command of the `chorus` binary.

pub mod check;
pub mod client;
pub mod command_line;
mod core_dumps;
pub mod demo;
pub mod diagnostics;
mod file;
pub mod find;
pub mod init;
pub mod launch;
pub mod logging;
pub mod mcp;
pub mod migrate;
mod non_blocking;
pub mod output;
pub mod reload;
pub mod schema;
pub mod screen;
pub mod serve;
mod service_manager;
mod toml_text;
pub mod versions;
