//! Whether the server is serving, draining or ending, for everybody who must know.

use std::{
    future::poll_fn,
    pin::pin,
    sync::Arc,
    task::{Poll, Waker},
};

use tokio::{sync::watch, task::unconstrained};

/// A handle on the server's phase; clones share it.
#[derive(Clone, Debug)]
pub(in crate::server) struct Lifecycle(Arc<watch::Sender<Phase>>);

/// The phases, in the order they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// Business as usual.
    Serving,
    /// As before, but the server is no longer ready.
    Leaving,
    /// New requests are refused, running ones may finish.
    Draining,
    /// Running ones must end now, with an error their clients can see.
    Ending,
}

impl Lifecycle {
    /// Serving.
    pub(in crate::server) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Phase::Serving)))
    }

    /// Has the server say that it is not ready.
    pub(in crate::server) fn leave(&self) {
        self.0.send_replace(Phase::Leaving);
    }

    /// Has new requests refused from now on.
    pub(in crate::server) fn drain(&self) {
        self.0.send_replace(Phase::Draining);
    }

    /// Has running requests end with an error.
    pub(in crate::server) fn end(&self) {
        self.0.send_replace(Phase::Ending);
    }

    /// Whether the server is about to end.
    pub(in crate::server) fn is_leaving(&self) -> bool {
        *self.0.borrow() >= Phase::Leaving
    }

    /// Whether new requests are refused.
    pub(in crate::server) fn is_draining(&self) -> bool {
        *self.0.borrow() >= Phase::Draining
    }

    /// Whether running requests must end.
    pub(in crate::server) fn is_ending(&self) -> bool {
        *self.0.borrow() == Phase::Ending
    }

    /// Resolves when new requests are refused.
    pub(in crate::server) async fn draining(&self) {
        // The sender is held here, so that waiting can only end by the phase.
        let _ = self.0.subscribe().wait_for(|phase| *phase >= Phase::Draining).await;
    }

    /// Resolves when running requests must end.
    pub(in crate::server) fn ending(&self) -> impl Future<Output = ()> + Send + use<> {
        let phases = Arc::clone(&self.0);
        async move {
            let mut phase = phases.subscribe();
            // The sender is held here, so that waiting can only end by the phase. Unconstrained: a task
            // that has used up its turn would get `Pending`, and nobody would know whom to wake.
            let ending = phase.wait_for(|phase| *phase == Phase::Ending);
            let mut ending = pin!(unconstrained(ending));
            let mut waiter: Option<Waker> = None;
            // It is asked with every step of an answer, and knows then whom to wake.
            let asked = poll_fn(|context| {
                let is_set = waiter.as_ref().is_some_and(|one| one.will_wake(context.waker()));
                if is_set && *phases.borrow() < Phase::Draining {
                    return Poll::Pending;
                }
                waiter = Some(context.waker().clone());
                ending.as_mut().poll(context).map(drop)
            });
            asked.await;
        }
    }
}
