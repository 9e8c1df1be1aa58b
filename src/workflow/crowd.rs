//! Workers of one run beside each other. A server may have no room for all of them at once: one that
//! it dropped is asked again when the others have ended, and nobody else with it.

use tokio::sync::{Mutex, MutexGuard, watch};

/// Who is drafting in a run.
#[derive(Debug)]
pub(super) struct Crowd {
    drafting: watch::Sender<usize>,
    turn: Mutex<()>,
}

impl Default for Crowd {
    fn default() -> Self {
        Self { drafting: watch::Sender::new(0), turn: Mutex::new(()) }
    }
}

/// A worker that is drafting, until this is dropped.
#[derive(Debug)]
pub(super) struct Drafting<'a>(&'a Crowd);

impl Crowd {
    /// One more begins.
    pub(super) fn joins(&self) -> Drafting<'_> {
        self.drafting.send_modify(|count| *count = count.saturating_add(1));
        Drafting(self)
    }

    /// Waits until nobody is drafting, and keeps others who wait for the same back.
    pub(super) async fn alone(&self) -> MutexGuard<'_, ()> {
        let turn = self.turn.lock().await;
        let mut drafting = self.drafting.subscribe();
        // The sender is this one's own.
        let _ended = drafting.wait_for(|count| *count == 0).await;
        turn
    }
}

impl Drop for Drafting<'_> {
    fn drop(&mut self) {
        self.0.drafting.send_modify(|count| *count = count.saturating_sub(1));
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
