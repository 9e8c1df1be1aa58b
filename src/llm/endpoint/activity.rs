//! Whether an endpoint's connections are in use, and since when they are not.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// What is known of an endpoint's connections.
#[derive(Debug, Default)]
pub(in crate::llm) struct Activity {
    pub(super) busy: AtomicUsize,
    /// When a connection last went back to the pool.
    pub(super) kept: Mutex<Option<Instant>>,
}

impl Activity {
    /// A connection is in use until the guard is dropped.
    pub(in crate::llm) fn begin(self: &Arc<Self>) -> Use {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Use(Arc::clone(self))
    }

    /// How long it needs nothing; zero: it is cold, or soon will be.
    pub(super) fn rest(&self, every: Duration) -> Duration {
        if self.busy.load(Ordering::Relaxed) > 0 {
            return every;
        }
        let kept = *self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.map_or(Duration::ZERO, |kept| every.saturating_sub(kept.elapsed()))
    }
}

/// A connection in use.
#[derive(Debug)]
pub(in crate::llm) struct Use(Arc<Activity>);

impl Use {
    /// The body was read to its end: the connection can be used again.
    pub(in crate::llm) fn kept(&self) {
        let now = Some(Instant::now());
        *self.0.kept.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}
