//! Taking turns with the other tasks of a worker.

use std::{future::poll_fn, task::Poll};

/// Lets the tasks run that can run now, and then goes on. tokio's `yield_now` asks the system for news
/// of every socket before, which costs more than what is waited for here: that has come already.
pub(super) async fn let_others_run() {
    let mut has_waited = false;
    poll_fn(|context| {
        if has_waited {
            return Poll::Ready(());
        }
        has_waited = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use tokio::task::LocalSet;

    use super::*;

    #[tokio::test]
    async fn what_can_run_runs_before() {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let local = LocalSet::new();
        let (first, second) = (Rc::clone(&seen), Rc::clone(&seen));
        local.spawn_local(async move {
            let_others_run().await;
            first.borrow_mut().push("one that waits");
        });
        local.spawn_local(async move { second.borrow_mut().push("one that can run") });
        local.await;
        assert_eq!(*seen.borrow(), ["one that can run", "one that waits"]);
    }
}
