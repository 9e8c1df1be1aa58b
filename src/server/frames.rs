//! The one place that turns a run's events into an HTTP response: when headers go out, what a
//! silent stream sends, and how it ends. What each event looks like is the dialect's [`Encoder`].

mod body;
mod encode;
mod encoder;
mod one_line;
mod template;
#[cfg(test)]
mod tests;
mod write;

use std::{pin::pin, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, Either, ready, try_join_all},
};
use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::{
    App,
    caller::Caller,
    error::{AppError, name_runs},
    parsed::Job,
    progress::Language,
    runs::Began,
};
use crate::{
    config::Progress,
    types::{Amount, Request, WorkflowId},
    workflow::{Route, Run, RunStatus},
};
use body::{Events, StreamBody};
use encode::Step;
pub(super) use encoder::Encoder;
use encoder::Live;
use write::Framing;

pub(super) use encode::{Channel, EventEncoder};
pub(super) use template::{FrameTemplate, Gap, NUMBER, TEXT};
#[cfg(test)]
pub(super) use tests::{written, written_of};
pub(super) use write::{Frames, object_bytes};

/// How long a stream's headers wait, at most, once a stage has ended or a worker has begun its draft.
const SIGN_HOLD: Duration = Duration::from_secs(1);

const STATUS: HeaderName = HeaderName::from_static("x-chorus-status");

/// Runs a question and answers it, with the run's failure as long as no headers were sent.
pub(super) fn answer<E: Encoder>(
    app: &App,
    caller: Caller,
    job: Job<E>,
) -> BoxFuture<'static, Response> {
    answer_all(app, caller, job, Vec::new())
}

/// The same for several requests to the same model that are answered as one: a run each, all at
/// the same time. The first that fails ends the others.
pub(super) fn answer_all<E: Encoder>(
    app: &App,
    caller: Caller,
    job: Job<E>,
    further: Vec<Request>,
) -> BoxFuture<'static, Response> {
    let Job { route, request, stream, reasoning, include_workflow, encoder } = job;
    let server = &app.config().server;
    let request = Request { stream, ..request };
    // Several prompts at once are nobody's background task.
    let route = if further.is_empty() { app.engine.for_task(route, &request) } else { route };
    // Only what is streamed reports its progress.
    let progress = match route {
        Route::Workflow(_) if reasoning => server.progress,
        Route::Workflow(_) | Route::Direct(_) | Route::Task(..) => Progress::Off,
    };
    let language = if stream { Language::of(&request.messages) } else { Language::English };
    let channel = Channel { reasoning, progress, language };
    let requests: Vec<Request> = std::iter::once(request).chain(further).collect();
    if let Err(error) = app.reserve(&caller, || worst_case(app, &route, &requests)) {
        return ready(error.into_response()).boxed();
    }
    let began = Arc::new(began(app, &caller, &requests));
    let runs: Vec<Run> = requests
        .into_iter()
        .map(|request| {
            let name = caller.client.as_ref().map(|client| Arc::clone(&client.name));
            Request { caller: name, hops: caller.hops, stream, ..request }
        })
        .map(|request| app.engine.run(route.clone(), request, caller.request_id))
        .inspect(|run| caller.log.run(run.watch.clone()))
        .collect();
    runs.iter().for_each(|run| app.runs.began(&began, &run.watch, &caller.cancel));
    let ids: Vec<WorkflowId> = runs.iter().map(|run| run.id).collect();
    let live = Live {
        ids: ids.clone(),
        lifecycle: app.lifecycle.clone(),
        cancel: caller.cancel,
        drains: Arc::clone(&app.drains),
        log: caller.log,
        header_hold: server.header_hold,
        heartbeat: server.heartbeat,
    };
    // Not an `async fn`, which would keep room for all of this beside the future it waits for.
    let answered = if stream {
        let encoder = EventEncoder::new(encoder, caller.dialect, channel, include_workflow);
        Either::Left(streamed(Events::of(runs), encoder, live))
    } else {
        Either::Right(whole(runs, encoder, live, channel, include_workflow))
    };
    let respond = move |answered: Result<_, _>| {
        answered.unwrap_or_else(|error: AppError| error.into_response_of(&ids))
    };
    answered.map(respond).boxed()
}

/// What is known of the request's runs as they begin.
pub(super) fn began(app: &App, caller: &Caller, requests: &[Request]) -> Began {
    let keeps_text = app.config().runs.keep_text;
    let question = || requests.first().and_then(Request::last_words);
    Began {
        request_id: caller.request_id,
        started_at: Timestamp::now(),
        client: caller.client.as_ref().map(|client| Arc::clone(&client.name)),
        model: caller.log.fields().model.clone().unwrap_or_default(),
        path: Arc::clone(&caller.path),
        question: keeps_text.then(question).flatten(),
    }
}

fn worst_case(app: &App, route: &Route, requests: &[Request]) -> Amount {
    let mut sum = Amount::default();
    requests.iter().for_each(|request| sum += app.engine.worst_case(route, request));
    sum
}

async fn whole<E: Encoder>(
    runs: Vec<Run>,
    mut encoder: E,
    live: Live,
    channel: Channel,
    include_workflow: bool,
) -> Result<Response, AppError> {
    let fold = |run: Run| async {
        let folded = run.fold().await.ok_or(encode::NO_ENDING)?;
        folded.map_err(|failed| AppError::Run { failed, include_workflow })
    };
    let folded = tokio::select! {
        biased;
        error = live.stopped() => return Err(error),
        folded = try_join_all(runs.into_iter().map(fold)) => folded?,
    };
    let mut object = Bytes::new();
    let mut degraded = false;
    for (run, (mut answer, finished)) in folded.into_iter().enumerate() {
        if !channel.reasoning {
            answer.reasoning.clear();
            answer.state.details.clear();
            answer.state.fields.clear();
        }
        encoder.turn_to(run);
        object = encoder.whole(answer, &finished)?;
        degraded |= finished.trace.level.status == RunStatus::Degraded;
    }
    let mut response = json(object);
    describe_runs(response.headers_mut(), &live.ids, degraded);
    Ok(response)
}

/// Waits for the first answer delta or the first finished draft, at most for the header hold, or for
/// [`SIGN_HOLD`] once anything has happened, and then sends headers. Until then a failure has a real
/// status. Progress waits too, so that what fails at once has one.
async fn streamed<E: Encoder>(
    events: Events,
    mut encoder: EventEncoder<E>,
    live: Live,
) -> Result<Response, AppError> {
    let mut events = events.fuse();
    let mut hold = pin!(sleep(live.header_hold));
    let mut stopped = pin!(live.stopped());
    let ended = loop {
        let event = tokio::select! {
            biased;
            error = &mut stopped => return Err(error),
            event = events.next() => event,
            () = &mut hold => {
                encoder.open();
                encoder.settle();
                // Some show nothing before the first bytes, and some proxies hold headers back.
                if encoder.frames.len() == 0 {
                    encoder.heartbeat();
                }
                break false;
            }
        };
        match encoder.take(event) {
            Step::Nothing => {}
            Step::SignOfLife => {
                let due = Instant::now() + SIGN_HOLD;
                if due < hold.deadline() {
                    hold.as_mut().reset(due);
                }
            }
            Step::DraftFinished => {
                encoder.open();
                break false;
            }
            Step::Delta => break false,
            Step::Finished => break true,
            Step::Failed(error) => return Err(error),
        }
    };
    let framing = encoder.frames.framing();
    let degraded = encoder.degraded();
    let ids = live.ids.clone();
    let mut response = Response::new(Body::new(StreamBody::new(events, encoder, live, ended)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(framing.content_type()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    describe_runs(headers, &ids, degraded);
    Ok(response)
}

/// A plain answer: a JSON object, written already.
pub(super) fn json(object: Bytes) -> Response {
    let mut response = Body::from(object).into_response();
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn describe_runs(headers: &mut HeaderMap, ids: &[WorkflowId], degraded: bool) {
    name_runs(headers, ids);
    if degraded {
        headers.insert(STATUS, HeaderValue::from_static(RunStatus::Degraded.as_str()));
    }
}
