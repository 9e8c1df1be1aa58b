//! A config that is changed while others use the service: loaded, checked, its clients built, and
//! swapped in whole; or refused whole, and then nothing changes.
//!
//! It happens on a thread of its own (`watch.rs`), since reading files and building TLS clients would
//! hold up the listener, as would programs and Vault that are asked for keys, and ends with the [`Reload`] that `serve` holds.

mod loader;
mod stamps;
mod watch;

use std::{future::Future, io, sync::mpsc, thread};

use tokio::sync::oneshot;

pub use loader::{Source, Variables};
pub use stamps::Seen;
pub use watch::Pace;

use crate::server::AppState;
use loader::Loader;
use watch::{Requested, Watch};

/// Keeps a server's config up to date until it is dropped.
#[derive(Debug)]
pub struct Reload {
    /// The thread ends when it is gone. It is not waited for: it may be reading from a slow disk.
    requests: mpsc::Sender<Requested>,
}

impl Reload {
    /// Begins: from now on `app` follows the file, and [`Reload::now`].
    ///
    /// # Errors
    /// When there can be no further thread.
    pub fn start(source: Source, app: AppState, pace: Pace) -> io::Result<Self> {
        let (sender, requests) = mpsc::channel();
        let watch = Watch { requests, pace };
        let loader = Loader::new(source, app);
        thread::Builder::new().name("reload".to_owned()).spawn(move || watch.run(loader))?;
        Ok(Self { requests: sender })
    }

    /// Loads the file again, also when it did not change.
    pub fn now(&self) {
        drop(self.finished());
    }

    /// The same, and waits until it is loaded or refused.
    pub fn finished(&self) -> impl Future<Output = ()> + use<> {
        let (done, finished) = oneshot::channel();
        // A thread that has ended serves nobody any more.
        let _ = self.requests.send(Requested { _done: done });
        async {
            // The other end is dropped when it is done.
            let _ = finished.await;
        }
    }
}

#[cfg(test)]
mod tests;
