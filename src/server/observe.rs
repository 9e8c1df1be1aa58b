//! The frame around every request: its id and span, whether it is let in, the rendering of its
//! error, and one log line when it is really over.

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header},
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use hyper::body::{Frame, SizeHint};
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Level, Span, field};

use super::{
    App,
    audit::{Audit, Decision, Line, Spending},
    caller::{Caller, RequestFields, RequestLog, shown, shown_of},
    client_addr::ClientAddr,
    dialect::{self, Dialect},
    error::AppError,
    listener::{drain_body::DrainableBody, timer_keepalive::KeepaliveGuard},
    metrics::Metrics,
    paths,
    runs::{Ended, RunError, Runs},
};
use crate::{
    types::{self, RequestId, Session},
    workflow::{RunStatus, RunSummary, RunWatch, Task, UsageRecord},
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The name by which Anthropic's SDKs look for it.
const ANTHROPICS_REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const SERVER: HeaderValue = HeaderValue::from_static(concat!("chorus/", env!("CARGO_PKG_VERSION")));
/// What the dialect of the negotiated routes depends on.
const NEGOTIATED_BY: HeaderValue = HeaderValue::from_static("Accept, User-Agent");
/// See [`types::HOPS`].
const HOPS: HeaderName = HeaderName::from_static(types::HOPS);
/// A panic below; where it was, the panic itself says on standard error.
const FAULT: AppError = AppError::Internal("Chorus failed at this request; please report it");
/// And of an error's words; the client has all of them.
const ERROR_CHARS: usize = 160;

/// Has a request answered by what is `inside`, and reports it to
/// the log when the answer's body is over or given up.
pub(super) async fn observe<F>(
    app: App,
    keepalive: KeepaliveGuard,
    mut request: Request,
    inside: impl FnOnce(Request) -> F,
) -> Response<Observed>
where
    F: Future<Output = Response>,
{
    let given = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let request_id = given.and_then(RequestId::given).unwrap_or_else(RequestId::fresh);
    let plain = app.config().server.plain_client_format;
    let dialect = Dialect::of(request.uri(), request.headers(), plain);
    let caller = Caller {
        request_id,
        dialect,
        client: None,
        include_workflow: dialect::query(request.uri(), "include_workflow")
            .is_some_and(|value| matches!(value.as_str(), "" | "1" | "true")),
        hops: hops(request.headers()),
        session: None,
        path: shown(request.uri().path()).into(),
        cancel: CancellationToken::new(),
        log: RequestLog::default(),
    };
    // Lines about a request at info and above name its ids themselves.
    let span = tracing::debug_span!("request", request.id = %request_id);
    let version = request.version();
    let negotiated = dialect::is_negotiated(request.uri().path());
    let mut record = Record::new(&caller, &request, &app, keepalive);
    request.extensions_mut().insert(caller);
    request.extensions_mut().insert(app);

    let (request, rest) = DrainableBody::hold(request);
    // Boxed: the connection keeps the room for its requests, and this is over with the headers.
    let inside = Box::pin(inside(request).instrument(span.clone()));
    let answered = AssertUnwindSafe(inside).catch_unwind();
    let mut response = answered.await.unwrap_or_else(|_| FAULT.into_response());
    // With HTTP/2 it concerns this request alone, and no connection.
    if !rest.read_to_end().await && version < Version::HTTP_2 {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let error = AppError::render(&mut response, dialect, request_id);
    record.answered(&response, error);
    if let Ok(id) = HeaderValue::try_from(request_id.to_string()) {
        if dialect == Dialect::Anthropic {
            response.headers_mut().insert(ANTHROPICS_REQUEST_ID, id.clone());
        }
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response.headers_mut().insert(header::SERVER, SERVER);
    if negotiated {
        // On refusals too, whichever layer they come from: they have a shape as well.
        response.headers_mut().append(header::VARY, NEGOTIATED_BY);
    }
    response.map(|body| Observed { body, span, _record: record })
}

/// What the header says; nothing, and what is no number, is none.
fn hops(headers: &HeaderMap) -> u32 {
    let value = headers.get(HOPS).and_then(|value| value.to_str().ok());
    value.and_then(|text| text.trim().parse().ok()).unwrap_or_default()
}

/// What is known of a request. Dropped when it is over, whichever way, and then logged.
#[derive(Debug)]
struct Record {
    request_id: RequestId,
    method: Method,
    path: Arc<str>,
    from: Option<ClientAddr>,
    started: Instant,
    status: Option<u16>,
    code: Option<&'static str>,
    is_refused: bool,
    log: RequestLog,
    audit: Option<Arc<Audit>>,
    runs: Arc<Runs>,
    metrics: Option<Arc<Metrics>>,
    _keepalive: KeepaliveGuard,
}

impl Record {
    fn new(caller: &Caller, request: &Request, app: &App, keepalive: KeepaliveGuard) -> Self {
        Self {
            request_id: caller.request_id,
            method: request.method().clone(),
            path: Arc::clone(&caller.path),
            from: request.extensions().get().copied(),
            started: Instant::now(),
            status: None,
            code: None,
            is_refused: false,
            log: caller.log.clone(),
            audit: app.audit.clone(),
            runs: Arc::clone(&app.runs),
            metrics: app.config().server.metrics.then(|| Arc::clone(&app.metrics)),
            _keepalive: keepalive,
        }
    }

    fn answered(&mut self, response: &Response, error: Option<Arc<AppError>>) {
        self.status = Some(response.status().as_u16());
        self.code = error.as_ref().map(|error| error.code());
        self.is_refused = error.as_ref().is_some_and(|error| error.is_refusal());
        if let Some(error) = error.filter(|error| error.is_failure()) {
            self.log.failed(error);
        }
    }

    fn log(&self, fields: &RequestFields, ending: &Ending<'_>) {
        let Ending { run, calls, usage, code, total_ms } = *ending;
        let workflow_id = run.map(|run| field::display(run.workflow_id));
        let error = fields.failure.as_ref();
        let text = error.map(|error| shown_of(&error.to_string(), ERROR_CHARS).to_owned());
        let failed = run.map(|run| &run.failures).filter(|failures| !failures.is_empty());
        let elsewhere = self.from.filter(|from| !from.is_loopback());
        // No status: the client left before there was one.
        macro_rules! line {
            ($level:expr) => {
                tracing::event!(
                    parent: None,
                    $level,
                    request.id = %self.request_id,
                    workflow.id = workflow_id,
                    method = shown(self.method.as_str()),
                    path = &*self.path,
                    client = fields.client.as_deref(),
                    client.address = elsewhere.map(field::display),
                    session = fields.session.as_ref().map(Session::id),
                    agent = fields.session.as_ref().and_then(Session::agent),
                    model = fields.model,
                    workflow = run.map(|run| run.name.as_str()),
                    task = run.and_then(|run| run.task).map(Task::as_str),
                    status = self.status,
                    code,
                    run.status = run.map(|run| run.status.as_str()),
                    failed = failed.map(field::display),
                    error = text,
                    first_token_ms = run.and_then(|run| run.first_token_ms),
                    total_ms,
                    calls,
                    prompt_tokens = usage.map(|usage| usage.prompt_tokens),
                    completion_tokens = usage.map(|usage| usage.completion_tokens),
                    total_tokens = usage.map(|usage| usage.total_tokens),
                    cost_usd = usage.and_then(|usage| usage.cost_usd),
                    slowest = run.and_then(|run| run.slowest.as_ref()).map(field::display),
                    "request"
                )
            };
        }
        if is_probe(&self.method, &self.path) {
            line!(Level::DEBUG);
        } else if error.is_some() {
            line!(Level::ERROR);
        } else {
            line!(Level::INFO);
        }
    }

    /// The runs are over, and kept.
    fn keep(&self, fields: &RequestFields) {
        let error = fields.failure.as_ref().map(|error| RunError {
            code: error.code(),
            message: shown_of(&error.to_string(), ERROR_CHARS).to_owned(),
        });
        let ended = Ended { http_status: self.status, error };
        fields.runs.iter().for_each(|run| self.runs.ended(run, &ended));
    }

    /// Into the audit log: all but those who were let in to look whether the server is there.
    fn audit(&self, audit: &Audit, fields: &RequestFields, ending: &Ending<'_>) {
        if !self.is_refused && is_probe(&self.method, &self.path) {
            return;
        }
        let Ending { run, calls, usage, code, total_ms } = *ending;
        let took = SignedDuration::from_millis(i64::try_from(total_ms).unwrap_or(i64::MAX));
        let now = Timestamp::now();
        audit.write(&Line {
            time: now.checked_sub(took).unwrap_or(now),
            request_id: self.request_id,
            workflow_id: run.map(|run| run.workflow_id),
            client: fields.client.as_deref(),
            from: self.from,
            method: shown(self.method.as_str()),
            path: &self.path,
            model: fields.model.as_deref(),
            answered_by: run.map(|run| run.name.as_str()),
            decision: if self.is_refused { Decision::Refused } else { Decision::Allowed },
            code,
            status: self.status,
            run_status: run.map(|run| run.status.as_str()),
            spent: calls.zip(usage.as_ref()).map(|(calls, usage)| Spending::new(calls, usage)),
            first_token_ms: run.and_then(|run| run.first_token_ms),
            duration_ms: total_ms,
        });
    }
}

/// What came of a request, as both logs have it.
#[derive(Clone, Copy)]
struct Ending<'a> {
    /// The run; of several prompts' the first that did not go well, which says most.
    run: Option<&'a RunSummary>,
    /// The calls of all runs; absent without any.
    calls: Option<u64>,
    usage: Option<UsageRecord>,
    code: Option<&'static str>,
    total_ms: u64,
}

impl Drop for Record {
    fn drop(&mut self) {
        // With them goes the request's place among those in flight.
        let mut fields = std::mem::take(&mut *self.log.fields());
        if let Some(reservation) = &mut fields.reservation {
            fields.runs.iter().for_each(|run| reservation.add(run.amount()));
        }
        let runs: Vec<_> = fields.runs.iter().map(RunWatch::summary).collect();
        let bad = runs.iter().find(|run| run.status != RunStatus::Ok);
        let run = bad.or_else(|| runs.first());
        let ending = Ending {
            run,
            calls: run.map(|_| runs.iter().map(|run| run.calls).sum::<u64>()),
            usage: run.map(|_| {
                let none = UsageRecord::default();
                runs.iter().fold(none, |sum, run| sum.plus(&run.usage))
            }),
            code: fields.failure.as_ref().map(|error| error.code()).or(self.code),
            total_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        if let Some(metrics) = &self.metrics {
            metrics.request(paths::endpoint(&self.path), self.status, ending.code);
            for (summary, watch) in runs.iter().zip(&fields.runs) {
                watch.trace().iter().for_each(|trace| metrics.run(summary, trace));
            }
        }
        self.keep(&fields);
        self.log(&fields, &ending);
        if let Some(audit) = &self.audit {
            self.audit(audit, &fields, &ending);
        }
    }
}

/// Whether somebody only looks whether the server is there, again and again: supervisors, load
/// balancers, collectors of metrics, and Ollama's clients before each command.
fn is_probe(method: &Method, path: &str) -> bool {
    let path = path.trim_end_matches('/');
    *method == Method::HEAD
        || paths::is_probe(path)
        || path.is_empty()
        || path.ends_with("/api/version")
        || matches!(path, "/metrics" | "/healthz" | "/livez" | "/readyz" | "/ping" | "/favicon.ico")
}

/// A response body inside its request's span, which takes the request's record with it.
pub(super) struct Observed {
    body: Body,
    span: Span,
    _record: Record,
}

impl HttpBody for Observed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let _entered = this.span.enter();
        Pin::new(&mut this.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        // What a cancelled run logs belongs to the span.
        let _entered = self.span.enter();
        self.body = Body::empty();
    }
}
