//! One file per command of the `chorus` binary.

pub mod demo;
