//! The runs as they begin, go on and end, for whoever watches: server-sent events.

use std::time::Duration;

use async_stream::stream;
use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::Response,
};
use bytes::Bytes;
use futures::Stream;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::server::{App, runs::Filter};

/// How often it is looked whether anything has changed.
const LOOK: Duration = Duration::from_millis(200);
/// How often runs in flight are sent that do not change: their time goes on.
const TICK: Duration = Duration::from_secs(1);

/// The response, which ends when the server does.
pub(super) fn response(app: App, filter: Filter) -> Response {
    let mut response = Response::new(Body::from_stream(events(app, filter)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

fn events(app: App, filter: Filter) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> {
    let heartbeat = app.config().server.heartbeat;
    stream! {
        let mut known = app.runs.ended_by_now();
        let mut sent = None;
        let mut sent_at = Instant::now();
        let mut had_any = true;
        loop {
            let (new, ended) = app.runs.since(known);
            known = ended;
            for run in new {
                let entry = &run.entry;
                if filter.concerns(entry.client.as_deref(), &entry.model, &entry.name) {
                    yield Ok(frame("run", entry));
                }
            }
            let changes = app.runs.steps();
            let is_new = sent != Some(changes);
            if is_new || (had_any && sent_at.elapsed() >= TICK) {
                let mut live = app.runs.in_flight_now();
                live.retain(|run| filter.concerns(run.client.as_deref(), &run.model, &run.name));
                if is_new || !live.is_empty() {
                    yield Ok(frame("in_flight", &live));
                    sent_at = Instant::now();
                }
                had_any = !live.is_empty();
                sent = Some(changes);
            }
            if sent_at.elapsed() >= heartbeat {
                yield Ok(Bytes::from_static(b": \n\n"));
                sent_at = Instant::now();
            }
            tokio::select! {
                () = app.lifecycle.draining() => break,
                () = sleep(LOOK) => {}
            }
        }
    }
}

fn frame(event: &str, data: &impl Serialize) -> Bytes {
    // JSON has no line ends of its own here.
    let data = serde_json::to_string(data).unwrap_or_default();
    Bytes::from(format!("event: {event}\ndata: {data}\n\n"))
}
