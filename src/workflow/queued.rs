//! Tells that a stage waits for its permits: nothing else is seen of it for as long as that takes.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};

use async_stream::stream;
use futures::StreamExt;
use tokio::time::sleep;

use super::{
    Event, StageKind,
    step::{Step, Steps},
    tracker::Tracker,
};

/// A shorter wait is not worth a line.
const PATIENCE: Duration = Duration::from_secs(1);

/// The steps of a stage, with an event once its call has waited for permits for a while.
pub(super) fn telling_of_queues(
    steps: Steps,
    tracker: Tracker,
    stage: StageKind,
    name: &str,
) -> Steps {
    let name = name.to_owned();
    Box::pin(stream! {
        let mut steps = steps;
        {
            let mut queued = pin!(is_queued(&tracker));
            loop {
                let step = tokio::select! {
                    biased;
                    step = steps.next() => step,
                    is_queued = &mut queued => {
                        if is_queued {
                            yield Step::Event(Event::StageQueued { stage, name });
                        }
                        break;
                    }
                };
                match step {
                    Some(step) => yield step,
                    None => return,
                }
            }
        }
        while let Some(step) = steps.next().await {
            yield step;
        }
    })
}

/// Waits until the stage's first call has waited for a while, or has been sent.
async fn is_queued(tracker: &Tracker) -> bool {
    loop {
        let waited = tracker.waits_for();
        if waited >= PATIENCE {
            return true;
        }
        let mut pause = pin!(sleep(PATIENCE.saturating_sub(waited)));
        // With every step of the stage it is asked again, and as a rule the call is sent by then.
        let is_sent = poll_fn(|context| match tracker.was_sent() {
            true => Poll::Ready(true),
            false => pause.as_mut().poll(context).map(|()| false),
        });
        if is_sent.await || tracker.was_sent() {
            return false;
        }
    }
}
