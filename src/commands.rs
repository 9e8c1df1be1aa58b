//! One file per command of the `chorus` binary.

pub mod check;
pub mod demo;
