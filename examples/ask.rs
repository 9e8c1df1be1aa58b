//! A streaming client in forty lines: asks Chorus and prints the answer as it is written.
//!
//! ```text
//! chorus demo &
//! cargo run --example ask -- "Why is the sky blue?"
//! ```
//!
//! `CHORUS_URL` says where Chorus is, by default <http://127.0.0.1:11435>.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a terminal is where it talks to")]

use std::{
    error::Error,
    io::{self, Write},
};

use futures::StreamExt;
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Chorus builds reqwest without a TLS provider; a program that does so installs one itself.
    drop(rustls::crypto::ring::default_provider().install_default());
    let url = std::env::var("CHORUS_URL").unwrap_or_else(|_| "http://127.0.0.1:11435".to_owned());
    let question = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    let asked = json!({"messages": [{"role": "user", "content": question}]});
    let request = reqwest::Client::builder()
        .build()?
        .post(format!("{url}/api/chat"))
        .header("accept", "application/x-ndjson")
        .body(asked.to_string());
    let response = request.send().await?;
    let mut body = response.bytes_stream();
    let mut pending = Vec::new();
    while let Some(bytes) = body.next().await {
        pending.extend_from_slice(&bytes?);
        // One JSON object a line; a chunk may end anywhere, even inside a character.
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            show(&serde_json::from_slice(&line)?)?;
        }
    }
    println!();
    if pending.is_empty() { Ok(()) } else { Err(String::from_utf8_lossy(&pending).into()) }
}

/// The answer to stdout, the progress of the stages to stderr.
fn show(object: &Value) -> Result<(), Box<dyn Error>> {
    let text = |place| object.pointer(place).and_then(Value::as_str);
    if let Some(error) = text("/error") {
        return Err(error.into());
    }
    eprint!("{}", text("/message/thinking").unwrap_or_default());
    print!("{}", text("/message/content").unwrap_or_default());
    Ok(io::stdout().flush()?)
}
