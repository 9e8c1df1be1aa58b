//! The load generator: so many connections, each asks again as soon as it was answered.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::future::try_join_all;
use tokio::time::Instant;

use crate::{
    Fault,
    client::{Connection, Reply},
    plan::TOKEN_BYTES,
    stats::percentile,
};

/// What is asked how often.
pub(crate) struct Run {
    /// The server.
    pub(crate) to: SocketAddr,
    /// What every connection sends.
    pub(crate) request: Bytes,
    /// How many ask at the same time.
    pub(crate) connections: usize,
    /// How often in all.
    pub(crate) requests: usize,
    /// Tokens that a streamed answer has; any other number is an error.
    pub(crate) tokens: Option<usize>,
    /// When they were due, if somebody asks how late they were.
    pub(crate) pace: Option<Pace>,
}

/// When tokens are due after the request: the first, and each further one.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    /// The time to the first.
    pub(crate) latency: Duration,
    /// The time to the next.
    pub(crate) gap: Duration,
}

/// What came of it. Times in milliseconds.
#[derive(Default)]
pub(crate) struct Outcome {
    /// The time from the request to the first byte of the answer.
    pub(crate) first_byte: Vec<f64>,
    /// The time from the request to its first text.
    pub(crate) first_token: Vec<f64>,
    /// The time from the request to the end of the answer.
    pub(crate) total: Vec<f64>,
    /// How much later than due each token came, where a pace was given.
    pub(crate) late: Vec<f64>,
    /// Between each token and the one before it in its stream.
    pub(crate) gaps: Vec<f64>,
    /// Tokens received.
    pub(crate) tokens: usize,
    /// Requests that were not answered well, and the first reason.
    pub(crate) errors: usize,
    /// Why the first of them was not.
    pub(crate) first_error: Option<String>,
    /// All of it, without connecting.
    pub(crate) wall: Duration,
}

impl Outcome {
    /// Adds one exchange.
    pub(crate) fn take(
        &mut self,
        reply: Result<Reply, Fault>,
        expected: Option<usize>,
        pace: Option<Pace>,
    ) {
        let reply = match reply.and_then(|reply| complete(reply, expected)) {
            Ok(reply) => reply,
            Err(error) => {
                self.errors += 1;
                self.first_error.get_or_insert_with(|| error.to_string());
                return;
            }
        };
        self.first_byte.push(milliseconds(reply.first_byte - reply.sent));
        self.first_token.push(milliseconds(reply.first_token - reply.sent));
        self.total.push(milliseconds(reply.ended - reply.sent));
        let times = reply.text.iter().map(|(_, at)| *at);
        let gaps = times.clone().zip(times.skip(1)).map(|(one, next)| milliseconds(next - one));
        self.gaps.extend(gaps);
        let mut tokens = 0_u32;
        for (bytes, at) in &reply.text {
            while (usize::try_from(tokens).unwrap_or(usize::MAX) + 1) * TOKEN_BYTES <= *bytes {
                if let Some(pace) = pace {
                    let due = reply.sent + pace.latency + pace.gap * tokens;
                    self.late.push(milliseconds(at.saturating_duration_since(due)));
                }
                tokens += 1;
            }
        }
        self.tokens += usize::try_from(tokens).unwrap_or(usize::MAX);
    }

    /// Adds what another connection received.
    pub(crate) fn join(&mut self, other: Self) {
        self.first_byte.extend(other.first_byte);
        self.first_token.extend(other.first_token);
        self.total.extend(other.total);
        self.late.extend(other.late);
        self.gaps.extend(other.gaps);
        self.tokens += other.tokens;
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
    }

    /// Answers a second.
    pub(crate) fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a count")]
        let answers = self.total.len() as f64;
        answers / self.wall.as_secs_f64()
    }

    /// Tokens a second.
    pub(crate) fn token_rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a count")]
        let tokens = self.tokens as f64;
        tokens / self.wall.as_secs_f64()
    }

    /// # Errors
    /// When a request was not answered well: what is measured then is something else.
    pub(crate) fn well(self) -> Result<Self, Fault> {
        match &self.first_error {
            None => Ok(self),
            Some(error) => Err(format!("{} requests failed, first: {error}", self.errors).into()),
        }
    }
}

/// A reply whose text is all there: a server that is fast because it drops tokens is not.
fn complete(reply: Reply, tokens: Option<usize>) -> Result<Reply, Fault> {
    let received = reply.text.last().map_or(0, |(bytes, _)| *bytes);
    match tokens.map(|tokens| tokens * TOKEN_BYTES) {
        Some(expected) if received != expected => {
            Err(format!("{received} bytes of text came instead of {expected}").into())
        }
        _ => Ok(reply),
    }
}

/// A time in milliseconds, as all are reported.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Connects, then asks until so many requests were made.
pub(crate) async fn closed_loop(run: &Run) -> Result<Outcome, Fault> {
    let opened = (0..run.connections).map(|_| Connection::open(run.to));
    let connections = try_join_all(opened).await?;
    let next = Arc::new(AtomicUsize::new(0));
    let started = Instant::now();
    let mut askers = Vec::with_capacity(connections.len());
    for connection in connections {
        let (request, next) = (run.request.clone(), next.clone());
        let (tokens, pace) = (run.tokens, run.pace);
        askers.push(tokio::spawn(ask(connection, request, next, run.requests, tokens, pace)));
    }
    let mut outcome = Outcome::default();
    for asker in askers {
        outcome.join(asker.await?);
    }
    outcome.wall = started.elapsed();
    Ok(outcome)
}

async fn ask(
    mut connection: Connection,
    request: Bytes,
    next: Arc<AtomicUsize>,
    requests: usize,
    tokens: Option<usize>,
    pace: Option<Pace>,
) -> Outcome {
    let mut outcome = Outcome::default();
    while next.fetch_add(1, Ordering::Relaxed) < requests {
        let reply = connection.exchange(&request).await;
        let broken = reply.is_err();
        outcome.take(reply, tokens, pace);
        if broken {
            break;
        }
    }
    outcome
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |values: &[f64]| {
            format!("{:.3} / {:.3}", percentile(values, 0.5), percentile(values, 0.99))
        };
        writeln!(f, "answers/s     {:.0}", self.rate())?;
        writeln!(f, "tokens/s      {:.0}", self.token_rate())?;
        writeln!(f, "first byte    {} ms (p50 / p99)", show(&self.first_byte))?;
        writeln!(f, "first token   {} ms", show(&self.first_token))?;
        writeln!(f, "total         {} ms", show(&self.total))?;
        write!(f, "errors        {}", self.errors)?;
        self.first_error.as_ref().map_or(Ok(()), |error| write!(f, ", first: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[test]
    fn an_answer_with_a_token_less_is_an_error() {
        let now = Instant::now();
        let text = vec![(TOKEN_BYTES, now), (3 * TOKEN_BYTES, now)];
        let reply = Reply {
            sent: now,
            first_byte: now,
            first_token: now,
            ended: now,
            text,
            body: Vec::new(),
        };
        for (expected, errors) in [(Some(3), 0), (Some(4), 1), (None, 0)] {
            let mut outcome = Outcome::default();
            outcome.take(Ok(reply.clone()), expected, None);
            assert_eq!((outcome.errors, outcome.tokens), (errors, 3 * (1 - errors)));
        }
    }
}
