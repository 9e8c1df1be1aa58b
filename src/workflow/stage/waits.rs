//! Pauses of a call that are to be reported. Two are rare, and none is the rule: a channel would
//! cost each stream a thousand bytes.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

/// Pauses that are still to be reported; more are left out.
const MOST: usize = 4;

/// A pause before the next attempt of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wait {
    pub(super) pause: Duration,
    /// The code of the failure before it.
    pub(super) code: &'static str,
}

/// Pauses, in their order, until they are reported.
#[derive(Debug, Default)]
pub(super) struct Waits {
    untold: Mutex<VecDeque<Wait>>,
    came: Notify,
}

impl Waits {
    pub(super) fn push(&self, wait: Wait) {
        let mut untold = self.untold();
        if untold.len() < MOST {
            untold.push_back(wait);
            self.came.notify_one();
        }
    }

    /// Waits for the next one. Nothing is lost when it is dropped before.
    pub(super) async fn next(&self) -> Wait {
        loop {
            let first = self.untold().pop_front();
            match first {
                Some(wait) => return wait,
                None => self.came.notified().await,
            }
        }
    }

    fn untold(&self) -> MutexGuard<'_, VecDeque<Wait>> {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn pauses_come_in_their_order_and_not_without_end() {
        let waits = Waits::default();
        assert!(waits.next().now_or_never().is_none());
        let wait = |secs| Wait { pause: Duration::from_secs(secs), code: "rate_limited" };
        (0..9).for_each(|secs| waits.push(wait(secs)));
        for secs in 0..4 {
            assert_eq!(waits.next().await, wait(secs));
        }
        assert!(waits.next().now_or_never().is_none());
        let (waited, ()) = tokio::join!(waits.next(), async { waits.push(wait(9)) });
        assert_eq!(waited, wait(9));
    }
}
