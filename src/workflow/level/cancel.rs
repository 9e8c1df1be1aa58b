//! Ending a stage from outside, at once: what it holds (calls, permits, connections) is dropped in
//! the very moment, not when its stream happens to be polled next.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    task::Poll,
};

use futures::{StreamExt, stream::poll_fn, task::AtomicWaker};

use crate::workflow::{critical_path::Stopwatch, step::Steps};

struct Shared {
    steps: Mutex<Option<Steps>>,
    waker: AtomicWaker,
}

impl Shared {
    fn take(&self) -> Option<Steps> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Ends the stream it was made with. Keeps nothing of it alive.
pub(super) struct Canceller(Weak<Shared>);

impl Canceller {
    /// Drops everything the stream holds; it ends without another step.
    pub(super) fn cancel(&self) {
        if let Some(shared) = self.0.upgrade() {
            drop(shared.take());
            shared.waker.wake();
        }
    }
}

/// The same stream, and what ends it. Must not be cancelled by itself. The stopwatch measures how
/// long it had nothing to do.
pub(super) fn cancellable(steps: Steps, stopwatch: Stopwatch) -> (Steps, Canceller) {
    let shared = Arc::new(Shared { steps: Mutex::new(Some(steps)), waker: AtomicWaker::new() });
    let canceller = Canceller(Arc::downgrade(&shared));
    let mut waits = false;
    let steps = poll_fn(move |context| {
        shared.waker.register(context.waker());
        let mut steps = shared.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let polled = stopwatch.around(&mut waits, || {
            steps.as_mut().map_or(Poll::Ready(None), |steps| steps.poll_next_unpin(context))
        });
        if matches!(polled, Poll::Ready(None)) {
            *steps = None;
        }
        polled
    });
    (Box::pin(steps), canceller)
}

/// The same stream, whose waiting the stopwatch measures.
pub(in crate::workflow) fn timed(mut steps: Steps, stopwatch: Stopwatch) -> Steps {
    let mut waits = false;
    let steps =
        poll_fn(move |context| stopwatch.around(&mut waits, || steps.poll_next_unpin(context)));
    Box::pin(steps)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use async_stream::stream;

    use super::*;
    use crate::workflow::step::Step;

    fn holding(held: Arc<()>) -> Steps {
        Box::pin(stream! {
            yield Step::GraceOver;
            tokio::time::sleep(Duration::from_secs(60)).await;
            yield Step::DeadlineOver;
            drop(held);
        })
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_stream_holds_is_dropped_when_it_is_cancelled_and_the_stream_ends() {
        let held = Arc::new(());
        let (mut steps, canceller) = cancellable(holding(Arc::clone(&held)), Stopwatch::default());
        assert!(matches!(steps.next().await, Some(Step::GraceOver)));
        let cancel = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            canceller.cancel();
            assert_eq!(Arc::strong_count(&held), 1, "before it is polled again");
        };
        let (ended, ()) = tokio::join!(steps.next(), cancel);
        assert!(ended.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_is_not_cancelled_is_as_it_was_and_a_canceller_holds_nothing() {
        let held = Arc::new(());
        let held_by = || cancellable(holding(Arc::clone(&held)), Stopwatch::default());
        let (steps, canceller) = held_by();
        assert_eq!(steps.count().await, 2);
        assert_eq!(Arc::strong_count(&held), 1);
        let (steps, late) = held_by();
        drop(steps);
        assert_eq!(Arc::strong_count(&held), 1);
        canceller.cancel();
        late.cancel();
    }
}
