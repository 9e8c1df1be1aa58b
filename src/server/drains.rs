//! The ends of runs whose answers are sent already. An upstream's body is read to its end, for a
//! moment, so that its connection can be used again; but the response must not wait for that: clients
//! give a connection up whose body ends later than the answer in it. So the response hands the
//! rest of the run over. It goes on beside the connections, on the thread that it came from as a rule,
//! which wakes no other one, and ends with the server at the latest.

use std::{
    future::Future,
    sync::{Mutex, PoisonError},
};

use tokio::task::JoinSet;

/// More than these at a time are dropped, which costs a connection each.
const MOST: usize = 1024;

/// Takes rests over, which end soon and give nothing, and reads them to their ends.
#[derive(Debug, Default)]
pub(super) struct Drains(Mutex<JoinSet<()>>);

impl Drains {
    /// Takes a rest over.
    pub(super) fn take_over(&self, rest: impl Future<Output = ()> + Send + 'static) {
        let mut rests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while rests.try_join_next().is_some() {}
        if rests.len() < MOST {
            rests.spawn(rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use tokio::{sync::Notify, time::timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_taken_over_is_read_to_its_end_and_no_longer_than_there_is_a_server() {
        let drains = Drains::default();
        let ended = Arc::new(Notify::new());
        let rest = |ms| {
            let ended = Arc::clone(&ended);
            async move {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                ended.notify_one();
            }
        };
        for ms in [50, 20] {
            drains.take_over(rest(ms));
            timeout(Duration::from_secs(1), ended.notified()).await.unwrap();
        }
        (0..2 * MOST).for_each(|_| drains.take_over(rest(1_000)));
        assert_eq!(drains.0.lock().unwrap().len(), MOST);
        drop(drains);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(Arc::strong_count(&ended), 1);
    }
}
