//! The body of a streamed answer, once headers are out: when it writes, when it breaks a silence,
//! and how it ends.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use axum::body::HttpBody;
use bytes::Bytes;
use futures::{
    FutureExt, Stream, StreamExt,
    future::BoxFuture,
    stream::{BoxStream, Fuse, SelectAll},
};
use hyper::body::Frame;
use tokio::{
    task::unconstrained,
    time::{Instant, Sleep, sleep_until},
};

use super::{
    Encoder,
    encode::{EventEncoder, Step},
    encoder::{Live, RunEvent},
    write::Framing,
};
use crate::{
    server::error::AppError,
    workflow::{Event, Run},
};

/// Most bytes that are ready together and share a write; more would delay the first of them.
const WRITE_BYTES: usize = 8 * 1024;
/// How long a body that breaks off waits after its last line, which has to leave before.
const BEFORE_THE_BREAK: Duration = Duration::from_millis(100);
/// How long a line of progress waits, at most, for the next one. A write of its own costs more
/// than the line, and stages often begin and end at the same time.
const PROGRESS_HOLD: Duration = Duration::from_millis(50);

/// The events of a response's runs.
pub(super) enum Events {
    /// There is one: nearly always.
    One(BoxStream<'static, Event>),
    /// Several, each with its place.
    All(SelectAll<BoxStream<'static, RunEvent>>),
}

impl Events {
    /// The events of these runs, in their order.
    pub(super) fn of(mut runs: Vec<Run>) -> Self {
        match runs.pop() {
            Some(run) if runs.is_empty() => Self::One(run.events),
            last => {
                let runs = runs.into_iter().chain(last).enumerate();
                let streams = runs.map(|(place, run)| run.events.map(move |event| (place, event)));
                Self::All(streams.map(StreamExt::boxed).collect())
            }
        }
    }
}

impl Stream for Events {
    type Item = RunEvent;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<RunEvent>> {
        match &mut *self {
            Self::One(events) => {
                events.poll_next_unpin(context).map(|event| event.map(|event| (0, event)))
            }
            Self::All(events) => events.poll_next_unpin(context),
        }
    }
}

/// The body. It owns the runs: dropping it cancels every upstream call.
pub(super) struct StreamBody<E> {
    events: Fuse<Events>,
    encoder: EventEncoder<E>,
    live: Live,
    stage: Stage,
    /// It ended with an error line of NDJSON, which has no end marker: some clients read on to the
    /// end of the body and take it for a whole answer.
    broken: bool,
    /// Resolves when the server ends, or somebody ends the run.
    stopped: BoxFuture<'static, AppError>,
    /// Some time between the last write and when a silence has to be broken.
    beat: Pin<Box<Sleep>>,
    /// When lines of progress that wait are written.
    report_at: Option<Instant>,
    /// The task that reads this body: a stream of several runs and the timer both wake it.
    waiter: Option<Waker>,
    written_at: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// There is more to come.
    Sending,
    /// The last event is encoded; what is left of the runs is not let go of yet.
    Sent,
    /// The last line says what went wrong; what follows is no end, but a break.
    Breaking,
    Over,
}

impl<E: Encoder> StreamBody<E> {
    /// A body of events of which some may have been encoded; `ended` when the last one was.
    pub(super) fn new(
        events: Fuse<Events>,
        encoder: EventEncoder<E>,
        live: Live,
        ended: bool,
    ) -> Self {
        let written_at = Instant::now();
        Self {
            events,
            encoder,
            stage: if ended { Stage::Sent } else { Stage::Sending },
            broken: false,
            stopped: live.stopped().boxed(),
            beat: Box::pin(sleep_until(written_at + live.heartbeat)),
            report_at: None,
            waiter: None,
            written_at,
            live,
        }
    }

    /// Waits for something to write, or for the end.
    fn gather(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(error) = self.live.is_stopped() {
            self.stop(error);
            return Poll::Ready(());
        }
        loop {
            match self.events.poll_next_unpin(context) {
                Poll::Ready(event) => {
                    if self.take(event) || self.encoder.frames.len() >= WRITE_BYTES {
                        return Poll::Ready(());
                    }
                }
                Poll::Pending => {
                    if self.waits_for_more() {
                        return self.idle(context);
                    }
                    self.encoder.settle();
                    match self.encoder.frames.len() {
                        0 => return self.idle(context),
                        _ => return Poll::Ready(()),
                    }
                }
            }
        }
    }

    /// Whether there is nothing but progress to write, of so late that more may come within a moment.
    fn waits_for_more(&mut self) -> bool {
        if !self.encoder.only_reports() {
            self.report_at = None;
            return false;
        }
        let now = Instant::now();
        let until = *self.report_at.get_or_insert(now + PROGRESS_HOLD);
        if now >= until {
            self.report_at = None;
            return false;
        }
        if self.beat.deadline() > until {
            self.beat.as_mut().reset(until);
            self.waiter = None;
        }
        true
    }

    /// Encodes an event; gives whether it was the last one.
    fn take(&mut self, event: Option<RunEvent>) -> bool {
        match self.encoder.take(event) {
            Step::Nothing | Step::SignOfLife | Step::DraftFinished | Step::Delta => return false,
            Step::Finished => {}
            Step::Failed(error) => self.fail(error),
        }
        self.stage = Stage::Sent;
        true
    }

    fn fail(&mut self, error: AppError) {
        self.encoder.fail(&error);
        self.broken = self.encoder.frames.framing() == Framing::Ndjson;
        self.live.log.failed(Arc::new(error));
    }

    /// Waits for a silence that has to be broken, and for the end of the server.
    fn idle(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // Between two tokens neither has anything to say. A drain comes before the end, and wakes too.
        let is_set = self.waiter.as_ref().is_some_and(|waker| waker.will_wake(context.waker()));
        if is_set
            && !self.beat.is_elapsed()
            && !self.live.lifecycle.is_draining()
            && !self.live.cancel.is_cancelled()
        {
            return Poll::Pending;
        }
        self.waiter = Some(context.waker().clone());
        // Unconstrained: a task that has used up its turn would get `Pending` and not be woken.
        if let Poll::Ready(error) = unconstrained(&mut self.stopped).poll_unpin(context) {
            self.stop(error);
            return Poll::Ready(());
        }
        // Set anew when it has gone off, not at every write.
        while unconstrained(&mut self.beat).poll_unpin(context).is_ready() {
            let now = Instant::now();
            let due = self.written_at + self.live.heartbeat;
            if now < due {
                let next = self.report_at.map_or(due, |until| until.min(due));
                self.beat.as_mut().reset(next);
                continue;
            }
            self.encoder.heartbeat();
            self.beat.as_mut().reset(now + self.live.heartbeat);
            // Set anew, it wakes nobody before it is asked again.
            self.waiter = None;
            return Poll::Ready(());
        }
        Poll::Pending
    }

    fn stop(&mut self, error: AppError) {
        self.fail(error);
        drop(self.taken());
        self.end();
    }

    /// The engine reads upstream bodies to their end now, so that connections can be used again. The
    /// client has its last event already, and its body ends in the same write, so that this goes on
    /// elsewhere. Beside a failed run others may be running, for nobody.
    fn let_go(&mut self, context: &mut Context<'_>) {
        let to_the_end = self.live.ids.len() == 1 || self.encoder.is_complete();
        let is_over = !to_the_end
            || loop {
                match self.events.poll_next_unpin(context) {
                    Poll::Ready(Some(_)) => {}
                    Poll::Ready(None) => break true,
                    Poll::Pending => break false,
                }
            };
        let rest = self.taken();
        if !is_over {
            self.live.drains.take_over(rest.for_each(|_| std::future::ready(())));
        }
        self.end();
    }

    /// The events; none are left.
    fn taken(&mut self) -> Fuse<Events> {
        let none = Events::One(futures::stream::empty().boxed()).fuse();
        std::mem::replace(&mut self.events, none)
    }

    fn end(&mut self) {
        self.stage = if self.broken { Stage::Breaking } else { Stage::Over };
        if self.broken {
            self.beat.as_mut().reset(Instant::now() + BEFORE_THE_BREAK);
        }
    }
}

impl<E: Encoder> HttpBody for StreamBody<E> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        loop {
            if this.stage == Stage::Sent {
                this.let_go(context);
            }
            if let Some(bytes) = this.encoder.frames.next_write() {
                this.written_at = Instant::now();
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            match this.stage {
                Stage::Sending => ready!(this.gather(context)),
                Stage::Sent => {}
                Stage::Breaking => {
                    // Not at once: the connection writes what it has only when there is no more.
                    ready!(unconstrained(&mut this.beat).poll_unpin(context));
                    this.stage = Stage::Over;
                    let error = io::Error::other("the answer broke off; its last line says why");
                    return Poll::Ready(Some(Err(error)));
                }
                Stage::Over => return Poll::Ready(None),
            }
        }
    }

    /// True right behind the last write, so that the body's end leaves with it.
    fn is_end_stream(&self) -> bool {
        self.stage == Stage::Over && self.encoder.frames.len() == 0
    }
}
