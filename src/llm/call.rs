//! One logical call: permits, attempts, repairs, retries, the limit, and the events of it all.

mod attempt;
mod deadline;
pub(super) mod exchange;
mod failover;
pub(super) mod failure;
pub(super) mod passthrough;
pub(super) mod purpose;
pub(super) mod retry;
mod turns;

use std::sync::Arc;

use async_stream::stream;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::{Call, CallEvent, CallStream, Model, endpoint::Endpoint, protocol::state::resolve};
use attempt::{Step, Try};
use deadline::Clock;
use failover::Failover;
use purpose::SHORT_PAUSE;

impl Model {
    /// Makes one logical call. Nothing happens before the stream is polled.
    #[must_use]
    pub fn call(self: &Arc<Self>, call: Call) -> CallStream {
        #[cfg(test)]
        if let Some(script) = &self.script {
            return script(call);
        }
        run(Arc::clone(self), call)
    }
}

/// The call as a stream of its events. It owns everything it does: dropped at any point, it hangs
/// up and gives its permits back.
fn run(model: Arc<Model>, call: Call) -> CallStream {
    // Not inside, where there would be room for it as it came and as it goes. Boxed for the same
    // reason: what a stream takes along has its place in it twice.
    let call = Box::new(resolve(call, &model.states, model.writer));
    Box::pin(stream! {
        let mut refusal = model.unsupported(&call);
        let takes = |endpoint: &Endpoint| endpoint.unsupported(&call).is_none();
        let mut failover = Failover::new(&model, &takes, call.affinity, call.avoid);
        let mut repaired = Vec::new();
        let mut clock: Option<Clock> = None;
        loop {
            if let Some(error) = refusal.take() {
                yield Err(error);
                return;
            }
            let waiting = Instant::now();
            let permits = Permits::acquire(&model, &call).await;
            // Another call may have learned it while this one waited.
            refusal = model.unsupported(&call);
            if refusal.is_some() {
                continue;
            }
            let queued = waiting.elapsed();
            if let Some(clock) = &mut clock {
                clock.extend(queued);
            }
            let mut attempt = match Try::new(&model, &call, &mut failover, &repaired) {
                Ok(attempt) => attempt,
                Err(error) => {
                    drop(permits); // another call may wait for them before this stream is dropped
                    yield Err(error);
                    return;
                }
            };
            let number = attempt.lease.number();
            let temperature = attempt.prepared.temperature;
            yield Ok(CallEvent::Started { queued, endpoint: number, temperature });
            let clock = clock.get_or_insert_with(|| Clock::start(call.limit));
            clock.attempt_begins(attempt.lease.is_probe() && failover.has_other(number));
            attempt.hand_over(clock.remaining());
            // Boxed, as it is over long before the answer is.
            let opened = clock.bound(Box::pin(attempt.open())).await;
            let mut failure = match opened {
                Err(failure) => failure,
                Ok(mut exchange) => loop {
                    let more = match exchange.is_complete() {
                        true => exchange.read_on().await,
                        false => clock.bound(exchange.read_on()).await,
                    };
                    match more {
                        Err(failure) => break failure,
                        Ok(true) => {
                            attempt.note_delta(&repaired);
                            // What came together is handed on together: nothing is awaited between.
                            while let Some(delta) = exchange.next_delta() {
                                yield Ok(CallEvent::Delta(delta));
                            }
                            // Only now: a slow consumer is not the upstream's silence.
                            clock.next_gap();
                        }
                        Ok(false) => {
                            // What has come is read even if nobody polls after `Finished`.
                            exchange.drain_ready();
                            match attempt.completion(&exchange, &repaired) {
                                Err(failure) => break failure,
                                Ok((done, completion)) => {
                                    drop(permits);
                                    yield Ok(CallEvent::Attempt(done));
                                    yield Ok(CallEvent::Finished(completion));
                                    exchange.drain().await;
                                    return;
                                }
                            }
                        }
                    }
                },
            };
            drop(permits);
            attempt.diagnose(&mut failure);
            attempt.weigh_context(&mut failure);
            attempt.confirm(&mut failure, clock).await;
            attempt.report(&failure, clock);
            let code = failure.kind.code();
            yield Ok(CallEvent::Attempt(attempt.failed(&failure)));
            match attempt.next_step(failure, &mut failover, &mut repaired, clock.remaining()) {
                Step::Again => {}
                Step::Wait(pause) => {
                    drop(attempt);
                    if pause > SHORT_PAUSE {
                        yield Ok(CallEvent::Waiting { pause, code });
                    }
                    if !Box::pin(call.purpose.pause(pause)).await {
                        yield Err(failover.error());
                        return;
                    }
                }
                Step::GiveUp => {
                    drop(attempt);
                    yield Err(failover.error());
                    return;
                }
            }
        }
    })
}

/// The model's permit and the request's, in this order everywhere, so that no two calls wait for
/// each other.
struct Permits {
    _model: Option<OwnedSemaphorePermit>,
    _request: Option<OwnedSemaphorePermit>,
}

impl Permits {
    async fn acquire(model: &Model, call: &Call) -> Self {
        let model = permit(model.permits.as_ref()).await;
        Self { _model: model, _request: permit(call.permits.as_ref()).await }
    }
}

/// `None` where there is no limit, or no more (a closed semaphore limits nothing).
pub(super) async fn permit(semaphore: Option<&Arc<Semaphore>>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(semaphore?).acquire_owned().await.ok()
}
