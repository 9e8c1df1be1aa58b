//! The ends of runs whose answers are told already. An upstream's body is read to its end, for a
//! moment, so that its connection can be used again; but the response must not wait for that: clients
//! give a connection up whose body ends later than the answer in it. So the response hands the
//! rest of the run over, and it is polled beside the listener.

use std::{
    future::pending,
    sync::{Mutex, PoisonError},
};

use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::sync::mpsc;

/// More than these at a time are dropped, which costs a connection each.
const MOST: usize = 1024;

/// What is left of a run: it ends soon and gives nothing.
type Rest = BoxFuture<'static, ()>;

/// Takes rests over, and reads them to their ends while it is polled.
#[derive(Debug)]
pub(super) struct Drains {
    sender: mpsc::Sender<Rest>,
    receiver: Mutex<Option<mpsc::Receiver<Rest>>>,
}

impl Default for Drains {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(MOST);
        Self { sender, receiver: Mutex::new(Some(receiver)) }
    }
}

impl Drains {
    /// Takes a rest over.
    pub(super) fn take_over(&self, rest: Rest) {
        // Full, or nobody reads: then it is hung up on.
        drop(self.sender.try_send(rest));
    }

    /// Reads to the end what was taken over. Never ends.
    pub(super) async fn run(&self) {
        let receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut receiver) = receiver else { return pending().await };
        let mut rests = FuturesUnordered::new();
        loop {
            tokio::select! {
                Some(rest) = receiver.recv() => rests.push(rest),
                Some(()) = rests.next(), if !rests.is_empty() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use futures::FutureExt;
    use tokio::{sync::Notify, time::timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_taken_over_is_read_to_its_end() {
        let drains = Drains::default();
        let ended = Arc::new(Notify::new());
        let rest = |end: Arc<Notify>, ms| {
            async move {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                end.notify_one();
            }
            .boxed()
        };
        drains.take_over(rest(Arc::clone(&ended), 50));
        let both = async {
            ended.notified().await;
            drains.take_over(rest(Arc::clone(&ended), 20));
            ended.notified().await;
        };
        let done = timeout(Duration::from_secs(1), async {
            tokio::select! {
                () = drains.run() => {}
                () = both => {}
            }
        });
        done.await.unwrap();
        // Nobody reads any more: what comes is dropped at once.
        drains.take_over(rest(Arc::clone(&ended), 1));
        assert_eq!(Arc::strong_count(&ended), 1);
    }
}
