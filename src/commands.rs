//! One file per command of the `chorus` binary.

pub mod check;
pub mod demo;
pub mod find;
pub mod logging;
pub mod serve;
