//! Reports that a stage waits for its permits: nothing else is seen of it for as long as that
//! takes.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{FutureExt, StreamExt, stream::poll_fn};
use tokio::time::{Sleep, sleep_until};

use super::recorder::Tracker;
use crate::workflow::{
    Event, StageKind,
    step::{Step, Steps},
};

/// A shorter wait is not worth a line.
const PATIENCE: Duration = Duration::from_secs(1);

/// The steps of a stage, with an event once its call has waited for permits for a while.
pub(in crate::workflow) fn reporting_queues(
    mut steps: Steps,
    tracker: Tracker,
    stage: StageKind,
    name: &str,
) -> Steps {
    let name = name.to_owned();
    let mut queue = Some(Queue { tracker, alarm: None });
    Box::pin(poll_fn(move |context| {
        if let Poll::Ready(step) = steps.poll_next_unpin(context) {
            return Poll::Ready(step);
        }
        let Some(waiting) = &mut queue else { return Poll::Pending };
        let is_long = ready!(waiting.poll_long(context));
        queue = None;
        match is_long {
            true => {
                Poll::Ready(Some(Step::Event(Event::StageQueued { stage, name: name.clone() })))
            }
            false => Poll::Pending,
        }
    }))
}

/// A stage's first call before it is sent.
struct Queue {
    tracker: Tracker,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Queue {
    /// Whether it has waited for a while; it has not once it is sent. It is asked again with every
    /// step of the stage, so that before its call waits there is nothing to be woken for.
    fn poll_long(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        if self.tracker.was_sent() {
            return Poll::Ready(false);
        }
        let Some(since) = self.tracker.waits_since() else { return Poll::Pending };
        let until = since + PATIENCE;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if alarm.deadline() != until {
            alarm.as_mut().reset(until);
        }
        alarm.poll_unpin(context).map(|()| true)
    }
}
