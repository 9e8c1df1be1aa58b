//! What a request still has to send when it is answered early (404, 401, 501, ...).
//!
//! hyper closes a connection whose request body was not read, without saying so: a client that
//! keeps connections sends its next request into the closing one and fails. So a small rest is read
//! and thrown away before the answer goes out, and before a large one the client is warned.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, HttpBody},
    extract::Request,
};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::time::timeout;

/// A rest of at most this many bytes is read.
const SMALL: u64 = 256 * 1024;
/// How long it may take to come.
const PATIENCE: Duration = Duration::from_secs(1);

/// A request's body, shared between whoever reads it and the one who looks after what is left.
#[derive(Clone)]
pub(in crate::server) struct DrainableBody(Arc<Mutex<State>>);

struct State {
    body: Body,
    ended: bool,
}

impl DrainableBody {
    /// Takes hold of a request's body; the request reads on through it.
    pub(in crate::server) fn hold(request: Request) -> (Request, Self) {
        let (parts, body) = request.into_parts();
        let ended = body.is_end_stream();
        let rest = Self(Arc::new(Mutex::new(State { body, ended })));
        (Request::from_parts(parts, Body::new(rest.clone())), rest)
    }

    /// Reads what is left; `false` when it is too much or too slow, so that the connection cannot
    /// be used again.
    pub(in crate::server) async fn read_to_end(self) -> bool {
        let (ended, hint) = self.with(|state| (state.ended, state.body.size_hint()));
        if ended {
            return true;
        }
        if hint.lower() > SMALL {
            return false;
        }
        let mut left = SMALL;
        let mut reading = pin!(async {
            let mut this = self;
            while let Some(frame) = poll_fn(|context| Pin::new(&mut this).poll_frame(context)).await
            {
                let Ok(frame) = frame else { return false };
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                match left.checked_sub(u64::try_from(bytes).unwrap_or(u64::MAX)) {
                    Some(rest) => left = rest,
                    None => return false,
                }
            }
            true
        });
        timeout(PATIENCE, &mut reading).await.unwrap_or(false)
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl HttpBody for DrainableBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.with(|state| {
            if state.ended {
                return Poll::Ready(None);
            }
            let frame = Pin::new(&mut state.body).poll_frame(context);
            state.ended = matches!(frame, Poll::Ready(None | Some(Err(_))));
            state.ended |= state.body.is_end_stream();
            frame
        })
    }

    fn is_end_stream(&self) -> bool {
        self.with(|state| state.ended)
    }

    fn size_hint(&self) -> SizeHint {
        self.with(|state| state.body.size_hint())
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    fn body_of(chunks: Vec<usize>) -> Body {
        let chunks =
            chunks.into_iter().map(|len| Ok::<_, axum::Error>(Bytes::from(vec![b'x'; len])));
        Body::from_stream(stream::iter(chunks))
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_rest_is_read_and_a_large_or_slow_one_is_not() {
        let never = Body::from_stream(stream::pending::<Result<Bytes, axum::Error>>());
        for (body, want) in [
            (Body::empty(), true),
            (Body::from("{}"), true),
            (body_of(vec![1000; 200]), true),
            (body_of(vec![1000; 300]), false),
            (Body::from(vec![b'x'; 300_000]), false),
            (never, false),
        ] {
            let (_request, rest) = DrainableBody::hold(Request::new(body));
            assert_eq!(rest.read_to_end().await, want);
        }
    }

    #[tokio::test]
    async fn a_body_that_was_read_has_no_rest() {
        let (request, rest) = DrainableBody::hold(Request::new(body_of(vec![3, 4])));
        let bytes = axum::body::to_bytes(request.into_body(), 100).await.unwrap();
        assert_eq!(bytes.len(), 7);
        assert!(rest.read_to_end().await);
    }
}
