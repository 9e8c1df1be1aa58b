//! Worker threads. Each has a runtime of its own, and a connection stays on the worker it was dealt
//! to: what a request wakes, its upstream connections included, is on the same thread, so that no
//! other thread has to be woken up, which costs more than all of a small answer's own work.

use std::{
    io,
    num::NonZeroUsize,
    sync::Arc,
    thread::{self, JoinHandle},
};

use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
    task::JoinSet,
};

use super::listener::timer_keepalive::TimerKeepalive;

/// What answers connections: threads with a runtime each, or one runtime that is there.
#[derive(Debug)]
pub struct Workers {
    workers: Vec<Worker>,
    /// The timers of all of them; they end with the workers.
    timer_keepalives: JoinSet<()>,
    threads: Vec<Thread>,
}

/// One runtime that connections are dealt to.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) runtime: Handle,
    pub(super) timer_keepalive: Arc<TimerKeepalive>,
    /// Every connection that it has holds a clone.
    connections: Arc<()>,
}

/// A worker's thread; it ends when this is dropped.
#[derive(Debug)]
struct Thread {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A connection's place on its worker.
#[derive(Debug)]
pub(super) struct Dealt(#[expect(dead_code, reason = "its being there counts")] Arc<()>);

impl Workers {
    /// Starts as many threads. They end when the workers are dropped.
    ///
    /// # Errors
    /// When the system gives no more threads or file descriptors.
    pub fn start(count: NonZeroUsize) -> io::Result<Self> {
        let mut started =
            Self { workers: vec![], timer_keepalives: JoinSet::new(), threads: vec![] };
        for number in 1..=count.get() {
            let (thread, runtime) = Thread::start(format!("worker-{number}"))?;
            started.threads.push(thread);
            started.add(runtime);
        }
        Ok(started)
    }

    /// One worker that is no thread of its own, but a runtime that is there.
    #[must_use]
    pub fn on(runtime: Handle) -> Self {
        let mut one = Self { workers: vec![], timer_keepalives: JoinSet::new(), threads: vec![] };
        one.add(runtime);
        one
    }

    fn add(&mut self, runtime: Handle) {
        let timer_keepalive = Arc::<TimerKeepalive>::default();
        let keepalive = Arc::clone(&timer_keepalive);
        self.timer_keepalives.spawn_on(async move { keepalive.beat().await }, &runtime);
        self.workers.push(Worker { runtime, timer_keepalive, connections: Arc::default() });
    }

    /// All of them; there is at least one.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Worker> {
        self.workers.iter()
    }
}

impl Worker {
    /// Counts a connection as this worker's, for as long as the guard is held.
    pub(super) fn deal(&self) -> Dealt {
        Dealt(Arc::clone(&self.connections))
    }

    /// How many connections it has.
    pub(super) fn connections(&self) -> usize {
        Arc::strong_count(&self.connections)
    }
}

impl Thread {
    fn start(name: String) -> io::Result<(Self, Handle)> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::Builder::new().name(name).spawn(move || {
            // A sender that is gone means the same.
            let _ = runtime.block_on(stopped);
            // A name that is still being resolved is not waited for.
            runtime.shutdown_background();
        })?;
        Ok((Self { stop: Some(stop), thread: Some(thread) }, handle))
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a worker thread panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    fn two() -> Workers {
        Workers::start(NonZeroUsize::new(2).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn each_is_a_thread_of_its_own_and_one_here_is_none() {
        let workers = two();
        let (names, mut seen) = mpsc::channel(2);
        for worker in workers.iter() {
            let names = names.clone();
            worker.runtime.spawn(async move {
                names.send(thread::current().name().map(str::to_owned)).await.unwrap();
            });
        }
        let mut both = [seen.recv().await.unwrap(), seen.recv().await.unwrap()];
        both.sort();
        assert_eq!(both, [Some("worker-1".to_owned()), Some("worker-2".to_owned())]);
        let here = Workers::on(Handle::current());
        assert!(here.iter().all(|worker| worker.runtime.id() == Handle::current().id()));
        assert_eq!(here.iter().count(), 1);
    }

    #[tokio::test]
    async fn what_runs_on_them_ends_with_them() {
        let workers = two();
        let held = Arc::new(());
        for worker in workers.iter() {
            let held = Arc::clone(&held);
            worker.runtime.spawn(async move {
                let _held = held;
                std::future::pending::<()>().await;
            });
        }
        drop(workers);
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[test]
    fn a_connection_counts_until_it_ends() {
        let workers = two();
        let [one, other] = workers.iter().collect::<Vec<_>>()[..] else { panic!("two workers") };
        let before = other.connections();
        let dealt = one.deal();
        assert!(one.connections() > before);
        drop(dealt);
        assert_eq!(one.connections(), before);
    }
}
