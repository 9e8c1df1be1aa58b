//! What is known of a stage, and of the calls that it has under way.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    config::Endpoint,
    llm::{Call, Delta, Model},
    types::Usage,
    workflow::{
        context::{Cost, RunContext},
        critical_path::{Chain, Stopwatch},
        stage::excerpt,
        trace::{AttemptRecord, CallRecord, millis},
    },
};

/// What is known of a stage.
#[derive(Default)]
pub(super) struct Entry {
    pub(super) began: Option<Instant>,
    pub(super) ended: Option<Instant>,
    /// The chain of stages that it began after.
    pub(super) before: Chain,
    /// What the upstreams took so far.
    pub(super) waited: Duration,
    /// Since when the call under way speaks: from then on all of its time is its upstream's.
    pub(super) speaks: Option<Instant>,
    pub(super) record: CallRecord,
    pub(super) usage: Usage,
    /// The usage of the latest call that ended by itself: the one whose output is the stage's.
    pub(super) answering: Usage,
    /// What calls cost that another one outran, estimated.
    pub(super) lost: Usage,
    pub(super) cost: Cost,
    pub(super) flight: Option<Flight>,
    /// The call under way wants a tool called.
    pub(super) called: bool,
    /// The second of two calls, before either has spoken.
    pub(super) second: Option<Flight>,
}

/// Which of two calls: the record is about the first one, until the second one speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::workflow) enum Racer {
    First,
    Second,
}

/// A call that has not ended.
pub(super) struct Flight {
    pub(super) model: Arc<Model>,
    prompt_bytes: usize,
    pub(super) output_bytes: usize,
    /// Waiting for permits since then: nothing was sent yet.
    pub(super) waiting: Option<Instant>,
    pub(super) attempt: Option<Underway>,
}

/// An attempt that has not ended.
pub(super) struct Underway {
    pub(super) endpoint: usize,
    pub(super) since: Instant,
    /// The temperature that was sent.
    pub(super) temperature: Option<f32>,
}

impl Underway {
    pub(super) fn new(endpoint: usize, temperature: Option<f32>) -> Self {
        Self { endpoint, since: Instant::now(), temperature }
    }
}

impl Flight {
    pub(super) fn new(model: &Arc<Model>, call: &Call) -> Self {
        Self {
            model: Arc::clone(model),
            prompt_bytes: excerpt::weight(&call.messages)
                + call.appendix.as_ref().map_or(0, |text| text.len()),
            output_bytes: 0,
            waiting: Some(Instant::now()),
            attempt: None,
        }
    }
}

impl Entry {
    pub(super) fn flight(&mut self, racer: Racer) -> &mut Option<Flight> {
        match racer {
            Racer::First => &mut self.flight,
            Racer::Second => &mut self.second,
        }
    }

    /// No call speaks any more: what the upstream took is known.
    pub(super) fn silent(&mut self, stopwatch: &Stopwatch) {
        let waited = stopwatch.take();
        self.waited += self.speaks.take().map_or(waited, |since| since.elapsed());
    }

    /// Ends a call that nobody waits for any more. Between two attempts there is nothing to count:
    /// the one before was refused, or it would not be made again.
    pub(super) fn end(&mut self, flight: &Flight, run: &RunContext) {
        if flight.attempt.is_some() || flight.output_bytes > 0 {
            self.hang_up(flight);
            self.settle(flight, run);
        }
    }

    /// Files the attempt under way, if there is one.
    pub(super) fn hang_up(&mut self, flight: &Flight) {
        let Some(Underway { endpoint, since, .. }) = &flight.attempt else { return };
        let name = flight.model.config().endpoints.get(*endpoint).map(Endpoint::authority);
        self.record.attempts += 1;
        self.record.calls.push(AttemptRecord {
            endpoint: name.unwrap_or_default(),
            outcome: "cancelled",
            ms: millis(since.elapsed()),
        });
    }

    /// Estimates what a call that was hung up on will have cost: nobody reports it.
    pub(super) fn settle(&mut self, flight: &Flight, run: &RunContext) {
        if flight.waiting.is_none() {
            let usage = self.settled(flight, run);
            self.usage += usage;
        }
    }

    /// What a call that was sent will have cost; its price is added.
    pub(super) fn settled(&mut self, flight: &Flight, run: &RunContext) -> Usage {
        let tokens = |bytes: usize| u64::try_from(bytes / 4).unwrap_or(u64::MAX);
        let usage = Usage {
            prompt_tokens: tokens(flight.prompt_bytes),
            completion_tokens: tokens(flight.output_bytes),
            estimated: true,
            ..Usage::default()
        };
        let price = flight.model.config().price;
        self.cost.add(Cost::of(&usage, price));
        run.spend(&usage, price);
        usage
    }
}

/// Bytes of a piece of output.
pub(in crate::workflow) fn size(delta: &Delta) -> usize {
    match delta {
        Delta::Text(text) | Delta::Reasoning(text) => text.len(),
        Delta::ToolCall(call) => call.arguments.len(),
        Delta::State(_) => 0,
    }
}
