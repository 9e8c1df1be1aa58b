//! Workers of one run beside each other. A server may have no room for all of them at once: one that
//! it dropped is asked again when the others have ended, and nobody else with it.

use std::{
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering},
};

use tokio::sync::{Mutex, MutexGuard, Notify};

/// The workers that are drafting in a run.
#[derive(Debug, Default)]
pub(in crate::workflow) struct Crowd {
    drafting: AtomicUsize,
    /// The last one has ended.
    empty: Notify,
    turn: Mutex<()>,
}

/// A worker that is drafting, until this is dropped.
#[derive(Debug)]
pub(super) struct Drafting<'a>(&'a Crowd);

impl Crowd {
    /// Counts one more that drafts, until the guard is dropped.
    pub(super) fn joins(&self) -> Drafting<'_> {
        self.drafting.fetch_add(1, Ordering::AcqRel);
        Drafting(self)
    }

    /// Waits until nobody is drafting, and keeps others who wait for the same back.
    pub(super) async fn alone(&self) -> MutexGuard<'_, ()> {
        let turn = self.turn.lock().await;
        loop {
            let mut empty = pin!(self.empty.notified());
            // Whoever ends from here on is heard.
            empty.as_mut().enable();
            if self.drafting.load(Ordering::Acquire) == 0 {
                return turn;
            }
            empty.await;
        }
    }
}

impl Drop for Drafting<'_> {
    fn drop(&mut self) {
        if self.0.drafting.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.empty.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_is_alone() {
        let crowd = Crowd::default();
        let begun = Instant::now();
        let busy = async {
            let _drafting = crowd.joins();
            sleep(Duration::from_secs(3)).await;
        };
        let late = || async {
            let _alone = crowd.alone().await;
            let since = begun.elapsed().as_secs();
            sleep(Duration::from_secs(1)).await;
            since
        };
        let ((), first, second) = tokio::join!(busy, late(), late());
        assert_eq!((first, second), (3, 4));
    }
}
