//! Notices that the config changed: a thread that compares the files' sizes and times once a
//! second, waits until nobody writes any more, and has the config loaded. Nothing is read for that.
//!
//! The system could report changes at once, but not all of them: not that of a single file mounted
//! into a container, of a network share written elsewhere, or of a folder further up. Comparing finds
//! them all, and a log that somebody keeps beside the config costs nothing.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    loader::Loader,
    stamps::{Stamps, stamps},
};

/// How long nobody is asked for keys again after a config was refused: whoever has to unlock a
/// password manager is not to be asked every second.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long is waited for what.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Files that have not changed for so long are loaded; default 200 ms.
    pub quiet: Duration,
    /// They are loaded after so long even if somebody writes all the time, and a file that is not
    /// there is missing only after that; default 2 s.
    pub longest: Duration,
    /// How often files are compared with what they were, and one that cannot be used is loaded again;
    /// default 1 s.
    pub interval: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            quiet: Duration::from_millis(200),
            longest: Duration::from_secs(2),
            interval: Duration::from_secs(1),
        }
    }
}

/// Somebody wants the config loaded.
#[derive(Debug)]
pub(super) struct Requested {
    /// Dropped once it is.
    pub(super) _done: oneshot::Sender<()>,
}

/// The thread's own. It ends with those who may request something.
pub(super) struct Watch {
    pub(super) requests: Receiver<Requested>,
    pub(super) pace: Pace,
}

/// Why the config is loaded.
#[derive(Debug)]
enum Cause {
    Change,
    Request(Requested),
}

impl Watch {
    /// Until it is over.
    pub(super) fn run(self, mut loader: Loader) {
        // It may have changed since the server loaded it.
        let mut seen = stamps(loader.files());
        let mut cause = match loader.may_be_outdated(&seen) {
            true => Some(Cause::Change),
            false => self.wait(&mut loader, &seen),
        };
        while let Some(because) = cause {
            seen = stamps(loader.files());
            match because {
                Cause::Change => loader.reload(false),
                Cause::Request(requested) => {
                    loader.reload(true);
                    drop(requested);
                }
            }
            cause = self.wait(&mut loader, &seen);
        }
    }

    /// Sleeps until there is something to load; `None`: it is over.
    fn wait(&self, loader: &mut Loader, seen: &Stamps) -> Option<Cause> {
        let begun = Instant::now();
        loop {
            match self.requests.recv_timeout(self.pace.interval) {
                Ok(requested) => return Some(Cause::Request(requested)),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) if stamps(loader.files()) != *seen => {
                    return self.settle(loader);
                }
                Err(RecvTimeoutError::Timeout) => loader.keep_stores(),
            }
            let is_due = !loader.asks_others() || begun.elapsed() >= PATIENCE;
            if loader.is_refused() && is_due {
                return Some(Cause::Change);
            }
        }
    }

    /// Waits until nobody writes any more, and the file is there: between the deletion of the old one
    /// and the creation of the new one it is not.
    fn settle(&self, loader: &Loader) -> Option<Cause> {
        let begun = Instant::now();
        let mut before = stamps(loader.files());
        loop {
            match self.requests.recv_timeout(self.pace.quiet) {
                Ok(requested) => return Some(Cause::Request(requested)),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = stamps(loader.files());
            let is_quiet = now == before && loader.path().exists();
            if is_quiet || begun.elapsed() >= self.pace.longest {
                return Some(Cause::Change);
            }
            before = now;
        }
    }
}
