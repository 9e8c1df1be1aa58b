//! What this process ran short of since it started, whichever thread noticed: for whoever asks how it is.

use std::sync::atomic::{AtomicU64, Ordering};

/// A count that only grows, shared by all threads.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Counts one more.
    pub fn count(&self) {
        self.add(1);
    }

    /// Counts so many more.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// How many there were.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How often this process itself had no more files, ports or memory for a connection.
pub static SHORTAGES: Counter = Counter::new();

/// Lines of the log that were dropped because standard error did not take them at once.
pub static DROPPED_LOG_LINES: Counter = Counter::new();
