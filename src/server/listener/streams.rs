//! The requests that one connection of HTTP/2 carries at the same time: they end with it, and one whose
//! client does not read its answer ends alone. The connection as a whole may be read all the while, so
//! that no write of it waits.

use std::{
    cell::Cell,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::HttpBody;
use hyper::body::{Bytes, Frame, SizeHint};
use tokio::{
    task::JoinSet,
    time::{Sleep, sleep},
};

/// Of a larger piece of an answer a client gets so much at a time, copied: what is sent stays until it is
/// read, and an answer of many megabytes must not stay with its last kilobyte.
const PIECE: usize = 64 * 1024;

thread_local! {
    /// What the task that is being polled did with its answer.
    static ANSWER: Cell<Answer> = const { Cell::new(Answer::None) };
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// There is none yet, or it was not asked for more: its client has no room.
    None,
    /// It has begun.
    Begun,
    /// It was asked for more.
    Polled,
}

/// The tasks of a connection's requests.
#[derive(Clone)]
pub(super) struct Streams {
    tasks: Arc<Mutex<Tasks>>,
    /// How long a client may have no room for an answer.
    write: Duration,
}

#[derive(Default)]
struct Tasks {
    running: JoinSet<()>,
    /// How many there were in all.
    begun: u64,
}

impl Streams {
    pub(super) fn new(write: Duration) -> Self {
        Self { tasks: Arc::default(), write }
    }

    /// Waits until there was no request for as long.
    pub(super) async fn idle_for(&self, limit: Duration) {
        loop {
            let before = self.tasks().begun;
            sleep(limit).await;
            let mut tasks = self.tasks();
            tasks.reap();
            if tasks.running.is_empty() && tasks.begun == before {
                return;
            }
        }
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tasks {
    fn reap(&mut self) {
        while let Some(ended) = self.running.try_join_next() {
            if ended.is_err_and(|error| error.is_panic()) {
                tracing::error!("the task of a request panicked");
            }
        }
    }
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, task: F) {
        let mut tasks = self.tasks();
        tasks.reap();
        tasks.begun = tasks.begun.wrapping_add(1);
        let task =
            Stream { task: Box::pin(task), has_answer: false, limit: self.write, waiting: None };
        tasks.running.spawn(task);
    }
}

/// A request and its answer.
struct Stream<F> {
    task: Pin<Box<F>>,
    has_answer: bool,
    limit: Duration,
    /// Runs while its client has no room for the answer.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<F: Future<Output = ()>> Future for Stream<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        ANSWER.set(Answer::None);
        if self.task.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        let answer = ANSWER.get();
        self.has_answer |= answer != Answer::None;
        if answer == Answer::Polled || !self.has_answer {
            self.waiting = None;
            return Poll::Pending;
        }
        let limit = self.limit;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(limit)));
        // What is dropped here is reset, and its run ends.
        waiting.as_mut().poll(context)
    }
}

/// An answer's body that notes when it is asked for more, and comes in small pieces.
pub(super) struct Windowed<B> {
    body: B,
    /// Of a large piece what was not given yet.
    rest: Bytes,
}

impl<B> Windowed<B> {
    pub(super) fn new(body: B) -> Self {
        ANSWER.set(Answer::Begun);
        Self { body, rest: Bytes::new() }
    }

    fn piece(&mut self) -> Frame<Bytes> {
        let piece = self.rest.split_to(self.rest.len().min(PIECE));
        Frame::data(Bytes::copy_from_slice(&piece))
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Windowed<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        ANSWER.set(Answer::Polled);
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(self.piece())));
        }
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(match frame.into_data() {
                Ok(data) if data.len() > PIECE => {
                    self.rest = data;
                    self.piece()
                }
                Ok(data) => Frame::data(data),
                Err(frame) => frame,
            }))),
            other => other,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.rest.is_empty() { self.body.size_hint() } else { SizeHint::default() }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use tokio::time::timeout;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    /// A task that answers at once, and asks for more only while it `may`.
    fn task(may: impl Fn() -> bool + Unpin) -> Stream<impl Future<Output = ()>> {
        let mut body: Option<Windowed<Body>> = None;
        let polled = std::future::poll_fn(move |context| {
            let body = body.get_or_insert_with(|| {
                Windowed::new(Body::from_stream(futures::stream::pending::<
                    Result<Bytes, axum::Error>,
                >()))
            });
            if may() {
                assert!(Pin::new(body).poll_frame(context).is_pending());
            }
            Poll::<()>::Pending
        });
        Stream { task: Box::pin(polled), has_answer: false, limit: LIMIT, waiting: None }
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_stream_whose_client_has_no_room_ends() {
        assert!(timeout(LIMIT * 10, task(|| true)).await.is_err(), "it waits for its models");
        assert!(timeout(LIMIT + Duration::from_secs(1), task(|| false)).await.is_ok());
        assert!(timeout(LIMIT - Duration::from_secs(1), task(|| false)).await.is_err());
        let unanswered = std::future::pending::<()>();
        let unanswered =
            Stream { task: Box::pin(unanswered), has_answer: false, limit: LIMIT, waiting: None };
        assert!(timeout(LIMIT * 10, unanswered).await.is_err(), "it has no answer yet");
    }

    #[tokio::test]
    async fn a_large_piece_comes_in_small_ones() {
        let large: Vec<u8> = (0..PIECE * 2 + 5).map(|at| at.to_le_bytes()[0]).collect();
        let mut body = Windowed::new(Body::from(large.clone()));
        assert_eq!(body.size_hint().exact(), Some(large.len() as u64));
        let mut seen = Vec::new();
        while !body.is_end_stream() {
            let next = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context));
            let data = next.await.unwrap().unwrap().into_data().unwrap();
            assert!(data.len() <= PIECE);
            seen.extend_from_slice(&data);
        }
        assert_eq!(seen, large);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_requests_is_idle() {
        let streams = Streams::new(LIMIT);
        assert!(timeout(LIMIT + Duration::from_secs(1), streams.idle_for(LIMIT)).await.is_ok());
        hyper::rt::Executor::execute(&streams, sleep(LIMIT * 5));
        assert!(timeout(LIMIT * 5, streams.idle_for(LIMIT)).await.is_err());
        assert!(timeout(LIMIT * 3, streams.idle_for(LIMIT)).await.is_ok());
    }
}
