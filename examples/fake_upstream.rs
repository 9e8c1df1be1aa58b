//! A tiny OpenAI-compatible model server to point Chorus at without a key: the models of
//! `chorus demo` on a port of your choice.
//!
//! ```text
//! cargo run --example fake_upstream                     # http://127.0.0.1:18080/v1
//! cargo run --example fake_upstream -- 127.0.0.1:9000
//! ```
//!
//! It prints a config; save it as `config.toml` and run `chorus --config config.toml` beside it.

#![expect(clippy::print_stdout, reason = "the config is its output")]

use std::{error::Error, net::SocketAddr};

use chorus::demo::{Demo, Pace};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:18080".to_owned());
    let demo = Demo::start_at(address.parse::<SocketAddr>()?, Pace::Natural).await?;
    println!("# Simulated models at http://{}/v1; Ctrl-C ends them.\n", demo.address());
    println!("{}", demo.config_text());
    demo.serve().await?;
    Ok(())
}
