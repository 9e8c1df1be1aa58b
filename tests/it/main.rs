//! Chorus as its clients and its upstreams see it: the real server on a real socket, over a fake
//! model server that misbehaves on command. One binary, so that it links once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that is wrong about what it got should stop there and then"
)]
#![expect(unreachable_pub, reason = "`pub` in the harness marks what stories may use")]

mod audit;
mod chaos;
mod clients_limits;
mod completions;
mod compliance;
mod demo;
mod documents;
mod door;
mod doors;
mod early_replies;
mod endpoints;
mod examples;
mod failures;
mod fake_upstream;
mod field;
mod first_config;
mod first_token;
mod fuzz;
mod gemini;
mod golden;
mod guard;
mod hangup;
mod hedging;
mod house;
mod inputs;
mod keep_warm;
#[cfg(unix)]
mod launch;
mod layers;
mod logs;
mod mcp;
mod messages;
mod metrics;
mod mixing;
mod open_files;
mod page;
mod parallel;
mod passthrough;
mod policies;
mod probe;
mod protocols;
mod reloading;
mod resources;
mod responses;
mod reuse;
mod runs;
mod secured;
mod shutdown;
mod starting;
mod support;
mod tool_turns;
mod transport;
