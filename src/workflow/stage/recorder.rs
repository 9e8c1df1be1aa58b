//! The record of a stage while it works. The stage fills it; its level can end it when it has to.

mod entry;

pub(super) use entry::{Racer, size};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::StreamExt;
use tokio::{sync::Notify, time::Instant};

use super::{
    temperature::Chosen,
    waits::{Wait, Waits},
};
use crate::{
    llm::{Call, CallEvent, CallStream, Completion, Delta, LlmError, LlmErrorKind, Model},
    types::Usage,
    workflow::{
        StageKind,
        context::{Cost, RunContext, failure_status},
        critical_path::{Chain, Link, Stopwatch},
        level::deadline::Deadline,
        trace::{AttemptRecord, CallRecord, ErrorRecord, StageStatus, UsageRecord, millis},
    },
};
use entry::{Entry, Flight, Underway};

/// Fills a [`CallRecord`] while calls are made for a stage. Clones share it.
#[derive(Clone)]
pub(in crate::workflow) struct Tracker {
    until: Option<Deadline>,
    pub(super) stage: Arc<Stage>,
    stopwatch: Stopwatch,
    /// Notified when its first piece of output has come.
    spoke: Arc<Notify>,
    /// Notified when a call has to wait.
    waits: Option<Arc<Waits>>,
}

/// A stage of a run. What it still had under way when it is dropped, because the client left, was paid
/// for as well.
pub(super) struct Stage {
    pub(super) run: Arc<RunContext>,
    entry: Mutex<Entry>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        let entry = self.entry.get_mut().unwrap_or_else(PoisonError::into_inner);
        for flight in [entry.flight.take(), entry.second.take()].into_iter().flatten() {
            entry.end(&flight, &self.run);
        }
    }
}

impl Tracker {
    /// The tracker of a stage that may have to wait before it begins, with the model that is asked
    /// first (none for a nested level). No call goes on beyond `until`.
    pub(in crate::workflow) fn new(
        run: &Arc<RunContext>,
        until: Option<Deadline>,
        model: &str,
    ) -> Self {
        let record = CallRecord { model: model.to_owned(), ..CallRecord::default() };
        let entry = Entry { record, ..Entry::default() };
        let stage = Arc::new(Stage { run: Arc::clone(run), entry: Mutex::new(entry) });
        let stopwatch = Stopwatch::default();
        Self { until, stage, stopwatch, spoke: Arc::default(), waits: None }
    }

    /// The same; what its calls wait for is sent there.
    pub(super) fn reporting_waits(self, to: Arc<Waits>) -> Self {
        Self { waits: Some(to), ..self }
    }

    /// The stage begins, after what it had to wait for.
    pub(in crate::workflow) fn begin(&self, before: Chain) {
        let mut entry = self.entry();
        entry.record.started_ms = self.stage.run.elapsed_ms();
        entry.began = Some(Instant::now());
        entry.before = before;
        self.stopwatch.take();
    }

    /// Runs while the stage has nothing to do.
    pub(in crate::workflow) fn stopwatch(&self) -> Stopwatch {
        self.stopwatch.clone()
    }

    /// Waits for the first piece of output, whatever it is.
    pub(in crate::workflow) async fn spoken(&self) {
        self.spoke.notified().await;
    }

    /// The chain that the stage is the last of; none when it did not begin.
    pub(in crate::workflow) fn chain(
        &self,
        stage: StageKind,
        name: &str,
        level: Option<&Arc<str>>,
    ) -> Chain {
        let entry = self.entry();
        Some(Arc::new(Link {
            stage,
            name: name.to_owned(),
            level: level.map(Arc::clone),
            began: entry.began?,
            ended: entry.ended.unwrap_or_else(Instant::now),
            waited: entry.waited,
            before: entry.before.clone(),
        }))
    }

    pub(in crate::workflow) fn has_begun(&self) -> bool {
        self.entry().began.is_some()
    }

    /// Whether the deadline came.
    pub(super) fn is_over(&self) -> bool {
        self.until.is_some_and(|until| until.is_over())
    }

    /// A (further) model is asked.
    pub(super) fn asks(&self, model: &Model, chosen: Option<Chosen>) {
        let mut entry = self.entry();
        if entry.record.model != model.config().name {
            entry.record.model.clone_from(&model.config().name);
            entry.record.first_token_ms = None;
        }
        entry.record.temperature = chosen.map(|chosen| chosen.value);
        entry.record.temperature_source = chosen.map(|chosen| chosen.source);
    }

    /// Makes a call, unless the deadline came: then there is only its failure, from [`Self::next`].
    pub(super) fn call(&self, model: &Arc<Model>, call: Call) -> CallStream {
        if self.is_over() {
            return Box::pin(futures::stream::empty());
        }
        let flight = Flight::new(model, &call);
        let mut entry = self.entry();
        entry.called = false;
        if let Some(left) = entry.flight.replace(flight) {
            entry.hang_up(&left);
            entry.settle(&left, &self.stage.run);
        }
        drop(entry);
        model.call(call)
    }

    /// Makes a second call, because the first one is late.
    pub(super) fn second_call(&self, model: &Arc<Model>, call: Call) -> CallStream {
        let mut entry = self.entry();
        entry.record.hedged = true;
        entry.second = Some(Flight::new(model, &call));
        drop(entry);
        model.call(call)
    }

    /// What the call says next, noted; the deadline is one of its failures.
    pub(super) async fn next(
        &self,
        stream: &mut CallStream,
    ) -> Option<Result<CallEvent, LlmError>> {
        let item = self.bounded(stream).await;
        match &item {
            Some(Ok(event)) => self.note(event),
            Some(Err(error)) => self.note_failure(error, Racer::First),
            None => {}
        }
        item
    }

    /// Like [`Self::next`], for one of two calls that have not spoken. Its first word is not noted:
    /// the stage that hears it will.
    pub(super) async fn overhear(
        &self,
        racer: Racer,
        stream: &mut CallStream,
    ) -> Option<Result<CallEvent, LlmError>> {
        let item = self.bounded(stream).await;
        match (&item, racer) {
            (Some(Ok(CallEvent::Delta(_) | CallEvent::Finished(_))) | None, _) => {}
            (Some(Ok(event)), Racer::First) => self.note(event),
            (Some(Ok(event)), Racer::Second) => self.note_second(event),
            (Some(Err(error)), racer) => self.note_failure(error, racer),
        }
        item
    }

    async fn bounded(&self, stream: &mut CallStream) -> Option<Result<CallEvent, LlmError>> {
        match self.until {
            None => stream.next().await,
            // A call that always has something to say would never see the timer.
            Some(until) if until.is_over() => Some(Err(self.deadline_error(until))),
            Some(until) => match until.within(stream.next()).await {
                Some(item) => item,
                None => Some(Err(self.deadline_error(until))),
            },
        }
    }

    fn note_failure(&self, error: &LlmError, racer: Racer) {
        let mut entry = self.entry();
        entry.silent(&self.stopwatch);
        let cut = error.kind == LlmErrorKind::Timeout;
        // What was refused cost nothing; what was being written did.
        if let Some(flight) = entry.flight(racer).take()
            && (cut || flight.output_bytes > 0)
        {
            entry.hang_up(&flight);
            entry.settle(&flight, &self.stage.run);
        }
    }

    /// The record is still about the first call.
    fn note_second(&self, event: &CallEvent) {
        let mut guard = self.entry();
        let entry = &mut *guard;
        let Some(second) = &mut entry.second else { return };
        match event {
            CallEvent::Started { endpoint, temperature, .. } => {
                second.waiting = None;
                second.attempt = Some(Underway::new(*endpoint, *temperature));
                self.stage.run.watch.attempt_began();
            }
            CallEvent::Attempt(attempt) => {
                second.attempt = None;
                entry.record.attempts += 1;
                entry.record.calls.push(AttemptRecord::from(attempt));
            }
            CallEvent::Waiting { .. } | CallEvent::Delta(_) | CallEvent::Finished(_) => {}
        }
    }

    /// One of two calls speaks, which the record is about already. The other one, if it has not failed, is hung up on: what it was
    /// sent is paid for.
    pub(super) fn speaks(&self, racer: Racer) {
        let mut guard = self.entry();
        let entry = &mut *guard;
        if racer == Racer::Second {
            std::mem::swap(&mut entry.flight, &mut entry.second);
            let attempt = entry.flight.as_ref().and_then(|flight| flight.attempt.as_ref());
            if let Some(temperature) = attempt.map(|attempt| attempt.temperature) {
                entry.record.sent(temperature);
            }
        }
        let Some(lost) = entry.second.take() else { return };
        if lost.attempt.is_none() {
            return;
        }
        entry.hang_up(&lost);
        let usage = entry.settled(&lost, &self.stage.run);
        entry.lost += usage;
    }

    fn deadline_error(&self, until: Deadline) -> LlmError {
        until.error(&self.entry().record.model)
    }

    fn note(&self, event: &CallEvent) {
        let mut guard = self.entry();
        let entry = &mut *guard;
        match event {
            CallEvent::Started { queued, endpoint, temperature } => {
                entry.record.queued_ms += millis(*queued);
                entry.record.sent(*temperature);
                if let Some(flight) = &mut entry.flight {
                    flight.waiting = None;
                    flight.attempt = Some(Underway::new(*endpoint, *temperature));
                }
                self.stage.run.watch.attempt_began();
            }
            CallEvent::Attempt(attempt) => {
                if let Some(flight) = &mut entry.flight {
                    flight.attempt = None;
                }
                entry.record.attempts += 1;
                entry.record.sent(attempt.temperature);
                entry.record.calls.push(AttemptRecord::from(attempt));
            }
            CallEvent::Delta(delta) => {
                entry.called |= matches!(delta, Delta::ToolCall(_));
                if let Some(flight) = &mut entry.flight {
                    flight.output_bytes += size(delta);
                }
                if entry.speaks.is_none() {
                    entry.waited += self.stopwatch.take();
                    entry.speaks = Some(Instant::now());
                    self.spoke.notify_one();
                }
                let speaks = !matches!(delta, Delta::Reasoning(_) | Delta::State(_));
                if speaks && entry.record.first_token_ms.is_none() {
                    let began = entry.began.map(|began| millis(began.elapsed()));
                    entry.record.first_token_ms = began;
                }
            }
            CallEvent::Waiting { pause, code } => {
                if let Some(waits) = &self.waits {
                    // Nobody listens any more once the call has spoken.
                    waits.push(Wait { pause: *pause, code });
                }
            }
            CallEvent::Finished(Completion { reason, usage }) => {
                entry.silent(&self.stopwatch);
                let flight = entry.flight.take();
                let price = flight.and_then(|flight| flight.model.config().price);
                entry.usage += *usage;
                entry.answering = *usage;
                entry.cost.add(Cost::of(usage, price));
                self.stage.run.spend(usage, price);
                entry.record.finish_reason = Some(reason.as_str());
            }
        }
    }

    /// Whether the last call wanted a tool called.
    pub(super) fn called_tool(&self) -> bool {
        self.entry().called
    }

    /// Whether a call has got its permits, or the stage is over.
    pub(super) fn was_sent(&self) -> bool {
        let entry = self.entry();
        let in_flight = entry.flight.as_ref().is_some_and(|flight| flight.attempt.is_some());
        in_flight || entry.record.attempts > 0 || entry.ended.is_some()
    }

    /// Since when the call that is being made waits for its permits.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        self.entry().flight.as_ref().and_then(|flight| flight.waiting)
    }

    /// How long the calls waited for permits so far.
    pub(super) fn queued(&self) -> Duration {
        Duration::from_millis(self.entry().record.queued_ms)
    }

    /// What the call cost that gave the stage its output; those before it, which came to nothing,
    /// are only in the record.
    pub(super) fn answering(&self) -> Usage {
        self.entry().answering
    }

    /// The record of a stage that did its work.
    pub(super) fn ok(&self) -> CallRecord {
        self.end(StageStatus::Ok, None)
    }

    /// The record of one that did not.
    pub(super) fn failed(&self, error: &LlmError) -> CallRecord {
        let status = match error.kind {
            LlmErrorKind::UnsupportedInput => StageStatus::Skipped,
            kind => failure_status(kind == LlmErrorKind::Timeout),
        };
        self.end(status, Some(ErrorRecord::from(error)))
    }

    /// The record of a stage that ends here, whatever it was doing: a call that was sent and has not
    /// ended is estimated, for it was paid for.
    pub(in crate::workflow) fn end(
        &self,
        status: StageStatus,
        error: Option<ErrorRecord>,
    ) -> CallRecord {
        let mut entry = self.entry();
        entry.silent(&self.stopwatch);
        entry.ended = Some(Instant::now());
        if let Some(flight) = entry.flight.take() {
            if let Some(since) = flight.waiting {
                entry.record.queued_ms += millis(since.elapsed());
            }
            entry.end(&flight, &self.stage.run);
        }
        if let Some(second) = entry.second.take() {
            entry.end(&second, &self.stage.run);
        }
        let mut usage = entry.usage;
        usage += entry.lost;
        let mut record = entry.record.clone();
        match entry.began {
            Some(began) => record.duration_ms = millis(began.elapsed()),
            None => record.started_ms = self.stage.run.elapsed_ms(),
        }
        CallRecord {
            status,
            success: status == StageStatus::Ok,
            error,
            usage: UsageRecord::new(&usage, entry.cost.known()),
            ..record
        }
    }

    fn entry(&self) -> MutexGuard<'_, Entry> {
        self.stage.entry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
