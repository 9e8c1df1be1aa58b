//! A gate in a script: the fake model stops there until the story lets it go on.

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};

use super::soon;

/// Shut at first. Clones are the same gate.
#[derive(Clone, Debug)]
pub struct Gate {
    passes: Arc<Semaphore>,
    reached: watch::Sender<usize>,
}

impl Gate {
    /// A shut gate.
    pub fn shut() -> Self {
        Self { passes: Arc::new(Semaphore::new(0)), reached: watch::Sender::new(0) }
    }

    /// Lets everyone pass, now and later.
    pub fn open(&self) {
        self.passes.close();
    }

    /// Lets one call pass.
    pub fn let_one_pass(&self) {
        self.passes.add_permits(1);
    }

    /// Waits until so many calls have come to the gate.
    pub async fn reached_by(&self, calls: usize) {
        let mut reached = self.reached.subscribe();
        let enough = reached.wait_for(|count| *count >= calls);
        soon("calls at the gate", enough).await.expect("the gate holds the sender");
    }

    pub(super) async fn pass(&self) {
        self.reached.send_modify(|count| *count += 1);
        if let Ok(pass) = self.passes.acquire().await {
            pass.forget();
        }
    }
}
