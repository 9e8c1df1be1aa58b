//! Requests over pooled connections, and over new ones where a pooled one has failed.
//!
//! A server may close a connection it promised to keep, and the request that takes it from the pool
//! in that moment gets no answer. HTTP clients repeat only what they know was never sent, so a model
//! call fails. Here it is repeated once, at once, on a connection of its own: it is known which
//! connections have answered before, and only their failures count as an old connection's.

use std::{
    collections::BTreeMap,
    error::Error,
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures::future::{BoxFuture, poll_fn};
use hyper::http::Extensions;
use hyper_util::client::legacy::{
    self,
    connect::{Connected, Connection, HttpInfo},
};
use reqwest::{Client, Request, Response};
use thread_local::ThreadLocal;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

/// Connections whose past is known, at the most; beyond, all of it is forgotten.
const MOST_KNOWN: usize = 4096;
/// A connection that is found closed so soon after an answer was closed because of that answer, not
/// because it was idle.
const AT_ONCE: Duration = Duration::from_secs(1);

/// The two ends of a connection.
type Ends = (SocketAddr, SocketAddr);

/// What is known of the connections that are open: each has answered before.
#[derive(Debug, Default)]
pub(super) struct History(Mutex<BTreeMap<Ends, Used>>);

/// The last answer of a connection.
#[derive(Clone, Copy, Debug)]
struct Used {
    streamed: bool,
    /// When its last byte had come.
    ended: Option<Instant>,
}

impl History {
    fn with<T>(&self, change: impl FnOnce(&mut BTreeMap<Ends, Used>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn answers(&self, ends: Ends, streamed: bool) {
        self.with(|known| {
            if known.len() >= MOST_KNOWN {
                known.clear();
            }
            known.insert(ends, Used { streamed, ended: None });
        });
    }

    fn forget(&self, ends: Ends) -> Option<Used> {
        self.with(|known| known.remove(&ends))
    }

    /// Sees every connection that is opened.
    pub(super) fn layer(self: &Arc<Self>) -> Opening {
        Opening(Arc::clone(self))
    }
}

/// An answer on a connection of the pool.
#[derive(Debug)]
pub(in crate::llm) struct Answering {
    history: Arc<History>,
    ends: Ends,
}

impl Answering {
    /// The last byte has come.
    pub(in crate::llm) fn ended(&self) {
        self.history.with(|known| {
            if let Some(used) = known.get_mut(&self.ends) {
                used.ended = Some(Instant::now());
            }
        });
    }
}

/// How an endpoint treats its connections.
#[derive(Debug, Default)]
pub(super) struct Habits {
    closes_after_streams: AtomicBool,
}

impl Habits {
    /// It closes connections after streamed answers, whatever its headers promise: none is to be
    /// used again.
    fn closes_after_streams(&self) -> bool {
        self.closes_after_streams.load(Ordering::Relaxed)
    }
}

/// Makes a client that keeps no connection, when one is needed.
type Fresh = Box<dyn Fn() -> Option<Client> + Send + Sync>;

/// A client with a pool of connections, and what is known of them.
#[derive(Clone, Debug)]
pub(super) struct Pooled {
    pub(super) client: Client,
    pub(super) history: Arc<History>,
}

/// Pools of connections, one for each thread that asks: a connection's own task stays on the thread
/// that opened it, and to wake it from another one costs more than most requests.
pub(in crate::llm) struct Connections {
    pools: ThreadLocal<Pooled>,
    /// Built at the start, so that its error is seen there; the first thread that asks gets it.
    first: Pooled,
    is_first_taken: AtomicBool,
    make_pooled: Box<dyn Fn() -> Option<Pooled> + Send + Sync>,
    fresh: OnceLock<Option<Client>>,
    make_fresh: Fresh,
}

impl Connections {
    /// A pool, and the ways to build one like it and a client that keeps no connection.
    pub(super) fn new(
        first: Pooled,
        make_pooled: impl Fn() -> Option<Pooled> + Send + Sync + 'static,
        make_fresh: Fresh,
    ) -> Self {
        Self {
            pools: ThreadLocal::new(),
            first,
            is_first_taken: AtomicBool::new(false),
            make_pooled: Box::new(make_pooled),
            fresh: OnceLock::new(),
            make_fresh,
        }
    }

    /// This thread's pool.
    fn pooled(&self) -> &Pooled {
        self.pools.get_or(|| {
            let is_first = !self.is_first_taken.swap(true, Ordering::Relaxed);
            let made = if is_first { None } else { (self.make_pooled)() };
            // One that cannot be built is the first's: slower, but it works from any thread.
            made.unwrap_or_else(|| self.first.clone())
        })
    }

    /// The client for requests whose failure does not matter.
    pub(super) fn client(&self) -> &Client {
        &self.pooled().client
    }

    #[cfg(test)]
    pub(super) fn history(&self) -> &Arc<History> {
        &self.pooled().history
    }

    #[cfg(test)]
    pub(super) fn first_history(&self) -> &Arc<History> {
        &self.first.history
    }

    /// Built at the first need: it reads all certificates, and most endpoints never need it.
    fn fresh(&self) -> Option<&Client> {
        self.fresh.get_or_init(|| (self.make_fresh)()).as_ref()
    }

    /// Sends what `request` makes, and once more on a new connection when one that had answered before
    /// ends without a byte of answer.
    pub(super) async fn send(
        &self,
        request: impl Fn() -> Request,
        streamed: bool,
        habits: &Habits,
    ) -> reqwest::Result<(Response, Option<Answering>)> {
        if streamed
            && habits.closes_after_streams()
            && let Some(fresh) = self.fresh()
        {
            return Ok((fresh.execute(request()).await?, None));
        }
        let pooled = self.pooled();
        let error = match pooled.client.execute(request()).await {
            Ok(response) => {
                let answering = pooled.answers(&response, streamed);
                return Ok((response, answering));
            }
            Err(error) => error,
        };
        let Some(used) = pooled.old_connection(&error) else { return Err(error) };
        if used.streamed && used.ended.is_some_and(|ended| ended.elapsed() < AT_ONCE) {
            habits.closes_after_streams.store(true, Ordering::Relaxed);
        }
        tracing::debug!("an idle connection was closed: the request is sent again on a new one");
        match self.fresh() {
            Some(fresh) => Ok((fresh.execute(request()).await?, None)),
            None => Err(error),
        }
    }
}

impl Pooled {
    fn answers(&self, response: &Response, streamed: bool) -> Option<Answering> {
        let ends = ends(response.extensions())?;
        self.history.answers(ends, streamed);
        Some(Answering { history: Arc::clone(&self.history), ends })
    }

    /// What the connection did before that this error ended without an answer; `None` when it was
    /// new, or when it did not just end.
    fn old_connection(&self, error: &reqwest::Error) -> Option<Used> {
        if error.is_connect() || error.is_timeout() || !has_ended(error) {
            return None;
        }
        let info = causes(error).find_map(|cause| {
            cause.downcast_ref::<legacy::Error>().and_then(legacy::Error::connect_info)
        })?;
        self.history.forget(of_connected(info)?)
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first.client.fmt(f)
    }
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

/// Whether the other side ended the connection, in whatever manner.
fn has_ended(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| {
        let by_http = cause.downcast_ref::<hyper::Error>().is_some_and(|error| {
            error.is_incomplete_message() || error.is_canceled() || error.is_closed()
        });
        let by_network = cause.downcast_ref::<io::Error>().is_some_and(|error| {
            matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::BrokenPipe
                    | io::ErrorKind::NotConnected
                    | io::ErrorKind::UnexpectedEof
            )
        });
        by_http || by_network
    })
}

fn ends(extensions: &Extensions) -> Option<Ends> {
    extensions.get::<HttpInfo>().map(|info| (info.local_addr(), info.remote_addr()))
}

fn of_connected(connected: &Connected) -> Option<Ends> {
    let mut extensions = Extensions::new();
    connected.get_extras(&mut extensions);
    ends(&extensions)
}

/// Around whatever opens connections: a new one has no past, though one with the same ends had.
#[derive(Clone, Debug)]
pub(super) struct Opening(Arc<History>);

impl<S> Layer<S> for Opening {
    type Service = Opener<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Opener { inner: Arc::new(inner), history: Arc::clone(&self.0) }
    }
}

/// Opens connections and forgets what was known of their ends. Clients copy it several times for each
/// request, and few requests open a connection, so the copies share what they open it with.
#[derive(Debug)]
pub(super) struct Opener<S> {
    inner: Arc<S>,
    history: Arc<History>,
}

impl<S> Clone for Opener<S> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), history: Arc::clone(&self.history) }
    }
}

impl<S, R> Service<R> for Opener<S>
where
    S: Service<R> + Clone + Send + 'static,
    S::Response: Connection,
    S::Future: Send + 'static,
    R: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: R) -> Self::Future {
        let (mut inner, history) = (S::clone(&self.inner), Arc::clone(&self.history));
        Box::pin(async move {
            poll_fn(|context| inner.poll_ready(context)).await?;
            let connection = inner.call(to).await?;
            if let Some(ends) = of_connected(&connection.connected()) {
                history.forget(ends);
            }
            Ok(connection)
        })
    }
}
