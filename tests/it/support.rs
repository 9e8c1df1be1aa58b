//! The harness: a fake upstream with a script, Chorus in front of it, and a client that reads.

mod chorus;
mod client;
mod closing;
mod gate;
mod host;
pub mod message_events;
mod play;
mod process;
mod proxy;
mod script;
mod socket;
mod tls;
pub mod typed_events;
mod upstream;
mod wire;

use std::{future::Future, time::Duration};

pub use chorus::{Chorus, Setup, four_stages, worker_count};
pub use client::{Client, ENDPOINTS, Event, Events, body_of, question, text_of};
pub use closing::Closing;
pub use gate::Gate;
pub use host::Host;
pub use process::{Launch, Process};
pub use proxy::Proxy;
pub use script::{Beat, Dice, Script, Veil, fenced};
pub use tls::{TlsUpstream, trusting};
pub use upstream::{Seen, Upstream};

/// Waits for something that ought to happen at once; a story must end even when it does not.
/// Long, because the machine may be busy with other stories.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(20), future).await {
        Ok(value) => value,
        Err(_) => panic!("waited too long for {what}"),
    }
}

/// So many milliseconds.
pub fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}
