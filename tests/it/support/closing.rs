//! Connections that the fake closes though it promised to keep them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

/// When a script closes the connection it was asked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// After so long without another request.
    WhenIdle(Duration),
    /// After a streamed answer: with its last chunk, or so much later.
    AfterStreams(Duration),
    /// When it is asked again on it, without a byte of answer.
    WhenReused,
    /// When it is asked at all, without a byte of answer.
    Always,
}

/// What a connection's requests know of it.
#[derive(Clone, Debug, Default)]
pub struct Line {
    closes: Arc<Notify>,
    requests: Arc<AtomicUsize>,
}

impl Line {
    /// A request arrived; how many came before it.
    pub fn arrives(&self) -> usize {
        self.requests.fetch_add(1, Ordering::SeqCst)
    }

    /// Once what is being sent is out, the connection closes.
    pub fn close(&self) {
        self.closes.notify_one();
    }

    /// The same after a while, unless another request has come.
    #[expect(clippy::disallowed_methods, reason = "it ends with the story's runtime")]
    pub fn close_after(&self, pause: Duration) {
        let (line, requests) = (self.clone(), self.requests.load(Ordering::SeqCst));
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            if line.requests.load(Ordering::SeqCst) == requests {
                line.close();
            }
        });
    }

    /// Waits until it is to close.
    pub async fn closed(&self) {
        self.closes.notified().await;
    }
}
