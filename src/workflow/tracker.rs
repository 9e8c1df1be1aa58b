//! The record of a stage while it works. The stage fills it; its level can end it when it has to.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::StreamExt;
use tokio::time::{Instant, timeout_at};

use super::{
    context::{Cost, RunContext, failure_status},
    excerpt,
    temperature::Chosen,
    trace::{AttemptRecord, CallRecord, ErrorRecord, StageStatus, UsageRecord, millis},
    window::Deadline,
};
use crate::{
    llm::{Call, CallEvent, CallStream, Completion, Delta, LlmError, LlmErrorKind, Model},
    types::Usage,
};

/// Fills a [`CallRecord`] while calls are made for a stage. Clones share it.
#[derive(Clone)]
pub(super) struct Tracker {
    run: Arc<RunContext>,
    until: Option<Deadline>,
    entry: Arc<Mutex<Entry>>,
}

/// What is known of a stage.
#[derive(Default)]
struct Entry {
    began: Option<Instant>,
    record: CallRecord,
    usage: Usage,
    cost: Cost,
    flight: Option<Flight>,
}

/// A call that has not ended.
struct Flight {
    model: Arc<Model>,
    prompt_bytes: usize,
    output_bytes: usize,
    /// Waiting for permits since then: nothing was sent yet.
    waiting: Option<Instant>,
}

impl Tracker {
    /// Of a stage that may have to wait before it begins. No call goes on beyond `until`.
    pub(super) fn new(run: &Arc<RunContext>, until: Option<Deadline>) -> Self {
        Self { run: Arc::clone(run), until, entry: Arc::default() }
    }

    /// The stage begins.
    pub(super) fn begin(&self) {
        let mut entry = self.entry();
        entry.record.started_ms = self.run.elapsed_ms();
        entry.began = Some(Instant::now());
    }

    pub(super) fn has_begun(&self) -> bool {
        self.entry().began.is_some()
    }

    /// Whether the deadline came.
    pub(super) fn is_over(&self) -> bool {
        self.until.is_some_and(|until| until.is_over())
    }

    /// A (further) model is asked.
    pub(super) fn asks(&self, model: &Model, chosen: Option<Chosen>) {
        let mut entry = self.entry();
        entry.record.model.clone_from(&model.config().name);
        entry.record.temperature = chosen.map(|chosen| chosen.value);
        entry.record.temperature_source = chosen.map(|chosen| chosen.source);
        entry.record.first_token_ms = None;
    }

    /// Makes a call, unless the deadline came: then there is only its failure, from [`Self::next`].
    pub(super) fn call(&self, model: &Arc<Model>, call: Call) -> CallStream {
        if self.is_over() {
            return Box::pin(futures::stream::empty());
        }
        let flight = Flight {
            model: Arc::clone(model),
            prompt_bytes: excerpt::weight(&call.messages),
            output_bytes: 0,
            waiting: Some(Instant::now()),
        };
        let mut entry = self.entry();
        if let Some(left) = entry.flight.replace(flight) {
            entry.settle(&left, &self.run);
        }
        drop(entry);
        model.call(call)
    }

    /// What the call says next, noted; the deadline is one of its failures.
    pub(super) async fn next(
        &self,
        stream: &mut CallStream,
    ) -> Option<Result<CallEvent, LlmError>> {
        let item = match self.until {
            None => stream.next().await,
            // A call that always has something to say would never see the timer.
            Some(until) if until.is_over() => Some(Err(self.deadline_error(until))),
            Some(until) => match timeout_at(until.at, stream.next()).await {
                Ok(item) => item,
                Err(_) => Some(Err(self.deadline_error(until))),
            },
        };
        match &item {
            Some(Ok(event)) => self.note(event),
            Some(Err(error)) => {
                let mut entry = self.entry();
                let cut = error.kind == LlmErrorKind::Timeout;
                // What was refused cost nothing; what was being written did.
                if let Some(flight) = entry.flight.take()
                    && (cut || flight.output_bytes > 0)
                {
                    entry.settle(&flight, &self.run);
                }
            }
            None => {}
        }
        item
    }

    fn deadline_error(&self, until: Deadline) -> LlmError {
        until.error(&self.entry().record.model)
    }

    fn note(&self, event: &CallEvent) {
        let mut guard = self.entry();
        let entry = &mut *guard;
        match event {
            CallEvent::Started { queued, .. } => {
                entry.record.queued_ms += millis(*queued);
                if let Some(flight) = &mut entry.flight {
                    flight.waiting = None;
                }
                self.run.watch.attempt_began();
            }
            CallEvent::Attempt(attempt) => {
                entry.record.attempts += 1;
                entry.record.temperature = attempt.temperature;
                if attempt.temperature.is_none() {
                    entry.record.temperature_source = None;
                }
                entry.record.calls.push(AttemptRecord::from(attempt));
            }
            CallEvent::Delta(delta) => {
                if let Some(flight) = &mut entry.flight {
                    flight.output_bytes += size(delta);
                }
                let speaks = !matches!(delta, Delta::Reasoning(_));
                if speaks && entry.record.first_token_ms.is_none() {
                    let began = entry.began.map(|began| millis(began.elapsed()));
                    entry.record.first_token_ms = began;
                }
            }
            CallEvent::Finished(Completion { reason, usage }) => {
                let flight = entry.flight.take();
                let price = flight.and_then(|flight| flight.model.config().price);
                entry.usage += *usage;
                entry.cost.add(Cost::of(usage, price));
                self.run.spend(usage, price);
                entry.record.finish_reason = Some(reason.as_str());
            }
        }
    }

    /// How long the calls waited for permits so far.
    pub(super) fn queued(&self) -> Duration {
        Duration::from_millis(self.entry().record.queued_ms)
    }

    /// What the calls cost so far.
    pub(super) fn usage(&self) -> Usage {
        self.entry().usage
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
    pub(super) fn end(&self, status: StageStatus, error: Option<ErrorRecord>) -> CallRecord {
        let mut entry = self.entry();
        if let Some(flight) = entry.flight.take() {
            match flight.waiting {
                Some(since) => entry.record.queued_ms += millis(since.elapsed()),
                None => entry.settle(&flight, &self.run),
            }
        }
        let mut record = entry.record.clone();
        match entry.began {
            Some(began) => record.duration_ms = millis(began.elapsed()),
            None => record.started_ms = self.run.elapsed_ms(),
        }
        CallRecord {
            status,
            success: status == StageStatus::Ok,
            error,
            usage: UsageRecord::new(&entry.usage, entry.cost.known()),
            ..record
        }
    }

    fn entry(&self) -> MutexGuard<'_, Entry> {
        self.entry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// Counts what a call that was hung up on will have cost: nobody tells.
    fn settle(&mut self, flight: &Flight, run: &RunContext) {
        if flight.waiting.is_some() {
            return;
        }
        let tokens = |bytes: usize| u64::try_from(bytes / 4).unwrap_or(u64::MAX);
        let usage = Usage {
            prompt_tokens: tokens(flight.prompt_bytes),
            completion_tokens: tokens(flight.output_bytes),
            estimated: true,
            ..Usage::default()
        };
        let price = flight.model.config().price;
        self.usage += usage;
        self.cost.add(Cost::of(&usage, price));
        run.spend(&usage, price);
    }
}

/// Bytes of a piece of output.
pub(super) fn size(delta: &Delta) -> usize {
    match delta {
        Delta::Text(text) | Delta::Reasoning(text) => text.len(),
        Delta::ToolCall(call) => call.arguments.len(),
    }
}
