//! Hedging: a call that is late to speak is made a second time, on another endpoint of its model or
//! with the stage's next `fallback`, and whoever speaks first is heard. The other is dropped at
//! once, which hangs up on its upstream.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use tokio::time::{Instant, timeout_at};

use super::{
    model_call::ended_early,
    recorder::{Racer, Tracker},
    temperature::Chosen,
};
use crate::llm::{Call, CallEvent, CallStream, Limit, LlmError, Model};

/// A model about to be asked, and how.
pub(super) struct Turn {
    pub(super) model: Arc<Model>,
    pub(super) chosen: Option<Chosen>,
    pub(super) call: Call,
    /// When a second call is started; `None` = never.
    pub(super) hedge_after: Option<Duration>,
}

impl Turn {
    /// Hedged as the model's configuration says.
    pub(super) fn new(model: &Arc<Model>, chosen: Option<Chosen>, call: Call) -> Self {
        let hedge_after = model.config().hedge_after;
        Self { model: Arc::clone(model), chosen, call, hedge_after }
    }
}

/// What came of asking one model, or two.
pub(super) struct Race<T> {
    /// The call that speaks. What the other one did does not matter then, unless it is in `failed`.
    pub(super) heard: Option<Heard<T>>,
    /// The calls that failed in a way that counts: if none is heard, each one of another model, the
    /// one that was asked first last, since its error is the one to report; else a model that
    /// failed by itself before its fallback spoke.
    pub(super) failed: Vec<(T, LlmError)>,
    /// A second call was made.
    pub(super) hedged: bool,
}

/// A call that speaks.
pub(super) struct Heard<T> {
    pub(super) who: T,
    pub(super) model: Arc<Model>,
    /// Its events, from its first word on.
    pub(super) stream: CallStream,
    /// When it was asked.
    pub(super) since: Instant,
    /// How long it waited for permits.
    pub(super) queued: Duration,
}

/// Asks `who`, and when that is late a second time: itself elsewhere, or the next of `spare`, which
/// is then taken out.
pub(super) async fn race<T: Clone>(
    who: T,
    spare: &mut VecDeque<T>,
    turn: impl Fn(&T) -> Turn,
    tracker: &Tracker,
) -> Race<T> {
    let (mut patience, mut first) = {
        let asked = turn(&who);
        tracker.asks(&asked.model, asked.chosen);
        let make = |model: &_, call| tracker.call(model, call);
        (asked.hedge_after, Lane::new(who, asked, make))
    };
    loop {
        let late = patience.and_then(|wait| first.started?.checked_add(wait));
        let item = match late {
            None => first.next(tracker, Racer::First).await,
            Some(late) => match timeout_at(late, first.next(tracker, Racer::First)).await {
                Ok(item) => item,
                Err(_) => match first.second(spare, &turn, tracker) {
                    Some(second) => return Box::pin(both(first, second, tracker)).await,
                    None => {
                        patience = None;
                        continue;
                    }
                },
            },
        };
        match first.take(item) {
            Word::None => {}
            Word::Spoken(event) => {
                let heard = Some(first.heard(event));
                return Race { heard, failed: Vec::new(), hedged: false };
            }
            Word::Failed(error) => {
                return Race { heard: None, failed: vec![(first.who, error)], hedged: false };
            }
        }
    }
}

/// Waits for the first of two to speak.
async fn both<T>(mut first: Lane<T>, mut second: Lane<T>, tracker: &Tracker) -> Race<T> {
    let elsewhere = Arc::ptr_eq(&first.model, &second.model);
    let (mut first_error, mut second_error) = (None, None);
    while first_error.is_none() || second_error.is_none() {
        tokio::select! {
            biased;
            item = first.next(tracker, Racer::First), if first_error.is_none() => {
                match first.take(item) {
                    Word::None => {}
                    Word::Spoken(event) => {
                        tracker.speaks(Racer::First);
                        let heard = Some(first.heard(event));
                        return Race { heard, failed: Vec::new(), hedged: true };
                    }
                    Word::Failed(error) => first_error = Some(error),
                }
            }
            item = second.next(tracker, Racer::Second), if second_error.is_none() => {
                match second.take(item) {
                    Word::None => {}
                    Word::Spoken(event) => {
                        tracker.asks(&second.model, second.chosen);
                        tracker.speaks(Racer::Second);
                        // A model that answers elsewhere has not failed, as after a retry.
                        let failed = first_error.filter(|_| !elsewhere);
                        let failed = failed.map(|error| (first.who, error)).into_iter().collect();
                        return Race { heard: Some(second.heard(event)), failed, hedged: true };
                    }
                    Word::Failed(error) => second_error = Some(error),
                }
            }
        }
    }
    let second = second_error.filter(|_| !elsewhere).map(|error| (second.who, error));
    let first = first_error.map(|error| (first.who, error));
    Race { heard: None, failed: second.into_iter().chain(first).collect(), hedged: true }
}

/// What an item of a call's stream means to the race.
enum Word {
    None,
    Spoken(CallEvent),
    Failed(LlmError),
}

/// One of two calls that race.
struct Lane<T> {
    who: T,
    model: Arc<Model>,
    chosen: Option<Chosen>,
    stream: CallStream,
    since: Instant,
    queued: Duration,
    /// When its first attempt went out: waiting for a permit is not the upstream's silence.
    started: Option<Instant>,
    /// The number of the endpoint of its latest attempt.
    endpoint: Option<usize>,
}

impl<T: Clone> Lane<T> {
    /// The second call: the model itself where it has another endpoint, else the next spare one.
    fn second(
        &self,
        spare: &mut VecDeque<T>,
        turn: impl Fn(&T) -> Turn,
        tracker: &Tracker,
    ) -> Option<Self> {
        let make = |model: &_, call| tracker.second_call(model, call);
        if self.model.endpoint_count() < 2 {
            let who = spare.pop_front()?;
            let turn = turn(&who);
            return Some(Self::new(who, turn, make));
        }
        let mut again = turn(&self.who);
        again.call.avoid = self.endpoint;
        if let Limit::Total(whole) = again.call.limit {
            // One limit per model: the second call ends when the first one would.
            let used = self.since.elapsed().saturating_sub(self.queued);
            again.call.limit = Limit::Total(whole.saturating_sub(used));
        }
        Some(Self::new(self.who.clone(), again, make))
    }
}

impl<T> Lane<T> {
    fn new(who: T, turn: Turn, make: impl FnOnce(&Arc<Model>, Call) -> CallStream) -> Self {
        let Turn { model, chosen, call, .. } = turn;
        Self {
            who,
            chosen,
            stream: make(&model, call),
            model,
            since: Instant::now(),
            queued: Duration::ZERO,
            started: None,
            endpoint: None,
        }
    }

    async fn next(
        &mut self,
        tracker: &Tracker,
        racer: Racer,
    ) -> Option<Result<CallEvent, LlmError>> {
        tracker.overhear(racer, &mut self.stream).await
    }

    fn take(&mut self, item: Option<Result<CallEvent, LlmError>>) -> Word {
        let event = match item {
            Some(Ok(event)) => event,
            Some(Err(error)) => return Word::Failed(error),
            None => return Word::Failed(ended_early(&self.model)),
        };
        match event {
            CallEvent::Started { queued, endpoint, .. } => {
                self.queued += queued;
                self.started.get_or_insert_with(Instant::now);
                self.endpoint = Some(endpoint);
                Word::None
            }
            CallEvent::Attempt(_) | CallEvent::Waiting { .. } => Word::None,
            CallEvent::Delta(_) | CallEvent::Finished(_) => Word::Spoken(event),
        }
    }

    fn heard(self, event: CallEvent) -> Heard<T> {
        let stream = stream::iter([Ok(event)]).chain(self.stream).boxed();
        let Self { who, model, since, queued, .. } = self;
        Heard { who, model, stream, since, queued }
    }
}
