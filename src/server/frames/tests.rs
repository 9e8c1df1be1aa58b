//! When headers go out, what a silent stream sends, and how it ends: on a paused clock, without
//! sockets.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use async_stream::stream;
use axum::{body::HttpBody, http::StatusCode};
use futures::stream::BoxStream;
use tokio::time::{Instant, timeout};

use super::{
    super::{dialect::Dialect, test_support::*},
    *,
};
use crate::{
    llm::{LlmErrorKind, ToolCallDelta},
    server::{caller::RequestLog, frames::encoder::RunEvent, listener::shutdown::Lifecycle},
    types::FinishReason,
    workflow::{Answer, Event, Finished, StageKind, StageReport, StageStatus},
};

/// Everything a stream writes for these events.
pub(in super::super) fn written<E: Encoder>(
    encoder: E,
    dialect: Dialect,
    channel: Channel,
    events: Vec<Event>,
) -> String {
    written_of(encoder, dialect, channel, events.into_iter().map(|event| (0, event)).collect())
}

/// The same for several runs.
pub(in super::super) fn written_of<E: Encoder>(
    encoder: E,
    dialect: Dialect,
    channel: Channel,
    events: Vec<RunEvent>,
) -> String {
    let mut encoder = EventEncoder::new(encoder, dialect, channel, false);
    for event in events {
        if let Step::Failed(error) = encoder.take(Some(event)) {
            encoder.fail(&error);
        }
    }
    let mut text = String::new();
    while let Some(bytes) = encoder.frames.next_write() {
        text.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    text
}

/// The smallest dialect: what is pushed can be read at a glance.
struct Plain;

impl Encoder for Plain {
    fn opening(&mut self, frames: &mut Frames) {
        frames.push(&"open");
    }

    fn text(&mut self, text: &str, frames: &mut Frames) {
        frames.push(&text);
    }

    fn reasoning(&mut self, text: &str, frames: &mut Frames) {
        frames.push(&format!("({})", text.trim_end()));
    }

    fn tool_call(&mut self, _: &ToolCallDelta, _: &mut Frames) {}

    fn finished(&mut self, _: &Finished, frames: &mut Frames) -> Result<(), AppError> {
        frames.push(&"end");
        Ok(())
    }

    fn heartbeat(&self, frames: &mut Frames) {
        frames.push(&"beat");
    }

    fn whole(&mut self, _: Answer, _: &Finished) -> Result<Bytes, AppError> {
        Ok(Bytes::new())
    }
}

/// One whose streams begin with nothing of their own.
struct Bare;

impl Encoder for Bare {
    fn text(&mut self, text: &str, frames: &mut Frames) {
        Plain.text(text, frames);
    }

    fn reasoning(&mut self, text: &str, frames: &mut Frames) {
        Plain.reasoning(text, frames);
    }

    fn tool_call(&mut self, _: &ToolCallDelta, _: &mut Frames) {}

    fn finished(&mut self, finished: &Finished, frames: &mut Frames) -> Result<(), AppError> {
        Plain.finished(finished, frames)
    }

    fn heartbeat(&self, frames: &mut Frames) {
        Plain.heartbeat(frames);
    }

    fn whole(&mut self, answer: Answer, finished: &Finished) -> Result<Bytes, AppError> {
        Plain.whole(answer, finished)
    }
}

const SHOWN: Channel = Channel::SHOWN;

fn live() -> Live {
    Live {
        cancel: tokio_util::sync::CancellationToken::new(),
        ids: vec![WorkflowId::fresh()],
        lifecycle: Lifecycle::new(),
        drains: Arc::default(),
        log: RequestLog::default(),
        header_hold: Duration::from_secs(5),
        heartbeat: Duration::from_secs(10),
    }
}

fn encoder(channel: Channel) -> EventEncoder<Plain> {
    EventEncoder::new(Plain, Dialect::Ollama, channel, false)
}

fn analyzer() -> Event {
    Event::StageFinished(StageReport {
        stage: StageKind::Analyzer,
        name: "small".to_owned(),
        status: StageStatus::Ok,
        duration_ms: 400,
        detail: None,
        degrades: false,
        language: None,
    })
}

fn started(name: &str) -> Event {
    Event::StageStarted { stage: StageKind::Worker, name: name.to_owned() }
}

/// The events of a single run.
async fn streamed(
    events: BoxStream<'static, Event>,
    encoder: EventEncoder<impl Encoder>,
    live: Live,
) -> Result<Response, AppError> {
    super::streamed(Events::One(events), encoder, live).await
}

async fn respond(events: Vec<(u64, Event)>) -> Result<Response, AppError> {
    streamed(paced(events), encoder(SHOWN), live()).await
}

/// Seconds since `start`, which on a paused clock are exact.
fn at(start: Instant) -> u64 {
    start.elapsed().as_secs()
}

/// The writes of a body and when they came.
async fn writes(response: Response, start: Instant) -> Vec<(u64, String)> {
    let mut chunks = response.into_body().into_data_stream();
    let mut seen = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let text = match chunk {
            Ok(chunk) => String::from_utf8(chunk.to_vec()).unwrap(),
            Err(_) => "broken off".to_owned(),
        };
        seen.push((at(start), text.trim_end().replace('"', "")));
    }
    seen
}

fn seen(list: &[(u64, &str)]) -> Vec<(u64, String)> {
    list.iter().map(|(at, text)| (*at, (*text).to_owned())).collect()
}

#[tokio::test(start_paused = true)]
async fn headers_go_out_with_the_first_delta_and_progress_waits_for_it() {
    let start = Instant::now();
    let response =
        respond(vec![(3, analyzer()), (0, token("Hi")), (1, end(finished(FinishReason::Stop)))])
            .await
            .unwrap();
    assert_eq!(at(start), 3);
    let headers = response.headers();
    assert_eq!(headers["content-type"], "application/x-ndjson");
    assert_eq!(headers["cache-control"], "no-cache");
    assert_eq!(headers["x-accel-buffering"], "no");
    assert_eq!(headers["x-chorus-workflow-id"].len(), 36);
    assert_eq!(headers.get("x-chorus-status"), None);
    assert_eq!(
        writes(response, start).await,
        seen(&[(3, "open"), (3, "(analyzer small: ok, 0.4 s\u{2063})"), (3, "Hi"), (4, "end")])
    );
}

#[tokio::test(start_paused = true)]
async fn however_many_events_are_ready_none_is_lost() {
    for tokens in [0, 1, 30, 31, 32, 33, 34, 63, 64, 65, 66, 1000] {
        let words: Vec<String> = (0..tokens).map(|number| number.to_string()).collect();
        let mut list: Vec<Event> = words.iter().map(|word| token(word)).collect();
        list.push(end(finished(FinishReason::Stop)));
        let response = streamed(events(list), encoder(SHOWN), live()).await.unwrap();
        let written: Vec<String> = (writes(response, Instant::now()).await.into_iter())
            .flat_map(|(_, text)| text.lines().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        let wanted = [vec!["open".to_owned()], words, vec!["end".to_owned()]].concat();
        assert_eq!(written, wanted);
    }
}

/// Nobody looks at nothing until the first token.
#[tokio::test(start_paused = true)]
async fn headers_go_out_with_a_draft_and_a_second_after_any_other_sign_of_life() {
    for (channel, lines) in [(SHOWN, true), (Channel::QUIET, false)] {
        for (events, want) in [
            (vec![(2, worker("a", StageStatus::Ok))], 2),
            (vec![(2, Event::DraftBegun)], 3),
            (vec![(2, Event::DraftBegun), (0, worker("a", StageStatus::Ok))], 2),
            (vec![(2, Event::DraftBegun), (5, Event::DraftBegun)], 3),
            (vec![(2, analyzer())], 3),
            (vec![(2, analyzer()), (2, analyzer())], 3),
            (vec![(2, analyzer()), (0, worker("a", StageStatus::Ok))], 2),
            (vec![(2, worker("a", StageStatus::Timeout))], 3),
            (vec![(2, worker("a", StageStatus::Failed)), (0, worker("b", StageStatus::Cut))], 3),
            (vec![(2, worker("a", StageStatus::Skipped))], 5),
            (vec![(5, analyzer())], 5),
            (vec![], 5),
            (vec![(5, Event::DraftBegun)], 5),
        ] {
            let start = Instant::now();
            let said = format!("{events:?}");
            let events = [(0, started("a")), (0, started("b"))].into_iter().chain(events);
            let events = paced(events.chain([(30, end(finished(FinishReason::Stop)))]).collect());
            let response = streamed(events, encoder(channel), live()).await.unwrap();
            assert_eq!(at(start), want, "{said}");
            let first: Vec<_> = writes(response, start).await.into_iter().take(2).collect();
            assert_eq!(first[0], (want, "open".to_owned()), "{said}");
            assert_eq!(
                first[1] == (want, "(asking a, b\u{2063})".to_owned()),
                lines,
                "{said} {first:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_opens_with_nothing_to_send_begins_with_a_heartbeat() {
    for (channel, first) in
        [(Channel::QUIET, "beat"), (SHOWN, "(analyzer small: ok, 0.4 s\u{2063})")]
    {
        let start = Instant::now();
        let events =
            paced(vec![(1, analyzer()), (5, token("Hi")), (0, end(finished(FinishReason::Stop)))]);
        let encoder = EventEncoder::new(Bare, Dialect::Ollama, channel, false);
        let response = streamed(events, encoder, live()).await.unwrap();
        assert_eq!(
            writes(response, start).await,
            seen(&[(2, first), (6, "Hi"), (6, "end")]),
            "and no second one"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_happens_together_is_reported_in_one_line() {
    let start = Instant::now();
    let response = respond(vec![
        (1, worker("a", StageStatus::Ok)),
        (1, started("b")),
        (0, started("c")),
        (1, worker("b", StageStatus::Timeout)),
        (0, worker("c", StageStatus::Timeout)),
        (0, token("Hi")),
        (0, end(finished(FinishReason::Stop))),
    ])
    .await
    .unwrap();
    assert_eq!(
        writes(response, start).await,
        seen(&[
            (1, "open"),
            (1, "(worker a: ok, 2.0 s\u{2063})"),
            (2, "(asking b, c\u{2063})"),
            (3, "(worker b, c: timeout (timeout), 2.0 s\u{2063})"),
            (3, "Hi"),
            (3, "end"),
        ])
    );
}

#[tokio::test(start_paused = true)]
async fn what_happens_within_a_moment_is_sent_in_one_write() {
    let moment = Duration::from_millis(20);
    let events = stream! {
        yield worker("a", StageStatus::Ok);
        sleep(Duration::from_secs(1)).await;
        yield started("b");
        sleep(moment).await;
        yield worker("b", StageStatus::Ok);
        sleep(moment).await;
        yield started("c");
        sleep(Duration::from_secs(1)).await;
        yield worker("c", StageStatus::Ok);
        yield end(finished(FinishReason::Stop));
    };
    let start = Instant::now();
    let encoder = EventEncoder::new(Plain, Dialect::OpenAi, SHOWN, false);
    let response = streamed(events.boxed(), encoder, live()).await.unwrap();
    let chunks = response.into_body().into_data_stream().map(|chunk| {
        let text = String::from_utf8(chunk.unwrap().to_vec()).unwrap();
        (start.elapsed().as_millis(), text.matches("data: ").count())
    });
    // Behind the opening, which nothing holds back, and before the answer, which nothing does either.
    assert_eq!(chunks.collect::<Vec<_>>().await, [(0, 1), (50, 1), (1050, 3), (2040, 3)]);
}

#[tokio::test(start_paused = true)]
async fn headers_go_out_after_the_hold_with_the_progress_there_is() {
    let start = Instant::now();
    let response = respond(vec![
        (0, started("b")),
        (7, worker("b", StageStatus::Ok)),
        (20, token("Hi")),
        (0, end(finished(FinishReason::Stop))),
    ])
    .await
    .unwrap();
    assert_eq!(at(start), 5);
    assert_eq!(
        writes(response, start).await,
        seen(&[
            (5, "open"),
            (5, "(asking b\u{2063})"),
            (7, "(worker b: ok, 2.0 s\u{2063})"),
            (17, "beat"),
            (27, "Hi"),
            (27, "end"),
        ])
    );
}

#[tokio::test(start_paused = true)]
async fn a_failure_before_the_headers_has_a_real_status() {
    for kind in [LlmErrorKind::Connect, LlmErrorKind::Timeout] {
        let failure = Event::Failed(failed(upstream(kind)));
        let error = respond(vec![(4, worker("a", StageStatus::Timeout)), (0, failure)]).await;
        let want = match kind {
            LlmErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        };
        assert_eq!(error.unwrap_err().status(), want);
    }
    let error = respond(Vec::new()).await.unwrap_err();
    assert_eq!(error.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test(start_paused = true)]
async fn a_failure_after_the_headers_is_an_event_and_is_logged() {
    for (pause, first) in [(0, "Hi"), (6, "Hi")] {
        let start = Instant::now();
        let failure = Event::Failed(failed(upstream(LlmErrorKind::Truncated)));
        let live = live();
        let log = live.log.clone();
        let events = paced(vec![(pause, token(first)), (1, failure)]);
        let response = streamed(events, encoder(SHOWN), live).await.unwrap();
        let all = writes(response, start).await;
        let [.., (_, last), (_, end)] = &all[..] else { panic!("{all:?}") };
        assert_eq!(end, "broken off");
        assert_eq!(last, "{error:model 'writer': it broke,code:upstream_error,done:true}");
        assert!(format!("{log:?}").contains("Run"), "{log:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn silence_is_broken_by_heartbeats_and_suppressed_events_do_not_count() {
    let start = Instant::now();
    let quiet = Channel::QUIET;
    let events = paced(vec![
        (1, token("Hi")),
        (8, reasoning("hm")),
        (8, worker("a", StageStatus::Ok)),
        (8, token("!")),
        (9, end(finished(FinishReason::Stop))),
    ]);
    let response = streamed(events, encoder(quiet), live()).await.unwrap();
    assert_eq!(
        writes(response, start).await,
        seen(&[(1, "open"), (1, "Hi"), (11, "beat"), (21, "beat"), (25, "!"), (34, "end")])
    );
}

#[tokio::test(start_paused = true)]
async fn suppressed_reasoning_does_not_open_the_stream() {
    let start = Instant::now();
    let quiet = Channel::QUIET;
    let events = paced(vec![(1, reasoning("hm")), (2, token("Hi"))]);
    let response = streamed(events, encoder(quiet), live()).await.unwrap();
    assert_eq!((at(start), response.status()), (3, StatusCode::OK));
}

#[tokio::test(start_paused = true)]
async fn a_degraded_run_says_so_in_the_headers_while_it_can() {
    let end = || end(degraded());
    for (events, want) in [
        (vec![(1, worker("b", StageStatus::Timeout)), (1, token("x")), (1, end())], true),
        (vec![(1, token("x")), (1, worker("b", StageStatus::Timeout)), (1, end())], false),
        (vec![(1, end())], true),
    ] {
        let response = respond(events).await.unwrap();
        let status = response.headers().get("x-chorus-status");
        assert_eq!(status.is_some_and(|status| status == "degraded"), want);
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_frame_does_not_wait_for_the_upstreams_to_be_drained() {
    let start = Instant::now();
    let drained = Arc::new(AtomicBool::new(false));
    let mark = Arc::clone(&drained);
    let events = stream! {
        yield token("Hi");
        yield end(finished(FinishReason::Stop));
        sleep(Duration::from_secs(3)).await;
        mark.store(true, Ordering::Relaxed);
    };
    let live = live();
    // Of the server, which goes on.
    let _drains = Arc::clone(&live.drains);
    let mut body = streamed(events.boxed(), encoder(SHOWN), live).await.unwrap().into_body();
    let mut last = Bytes::new();
    while !body.is_end_stream() {
        let frame = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
        last = frame.unwrap().unwrap().into_data().unwrap();
    }
    assert_eq!(
        (at(start), &last[..]),
        (0, &b"\"end\"\n"[..]),
        "and the body's end right behind it"
    );
    drop(body);
    assert!(!drained.load(Ordering::Relaxed));
    sleep(Duration::from_secs(4)).await;
    assert!(drained.load(Ordering::Relaxed), "the upstreams were not drained");
}

/// Tells when the stream that owns it is dropped.
struct Flag(Arc<AtomicBool>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_the_body_drops_the_run() {
    let gone = Arc::new(AtomicBool::new(false));
    let flag = Flag(Arc::clone(&gone));
    let events = stream! {
        let _flag = flag;
        yield token("Hi");
        std::future::pending::<()>().await;
    };
    let response = streamed(events.boxed(), encoder(SHOWN), live()).await.unwrap();
    let mut chunks = response.into_body().into_data_stream();
    assert!(chunks.next().await.is_some());
    assert!(!gone.load(Ordering::Relaxed));
    drop(chunks);
    assert!(gone.load(Ordering::Relaxed));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_server_is_reported_before_and_after_the_headers() {
    let hanging = |first: Vec<Event>| events(first).chain(futures::stream::pending()).boxed();
    let live_one = live();
    live_one.lifecycle.end();
    let error = streamed(hanging(Vec::new()), encoder(SHOWN), live_one).await.unwrap_err();
    assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE);

    let live_one = live();
    let lifecycle = live_one.lifecycle.clone();
    let response = streamed(hanging(vec![token("Hi")]), encoder(SHOWN), live_one).await.unwrap();
    lifecycle.drain();
    let mut chunks = response.into_body().into_data_stream();
    for want in ["\"open\"\n", "\"Hi\"\n"] {
        assert_eq!(chunks.next().await.unwrap().unwrap(), want);
    }
    let next = timeout(Duration::from_secs(9), chunks.next()).await;
    assert!(next.is_err(), "draining alone ends nothing");
    lifecycle.end();
    let last = chunks.next().await.unwrap().unwrap();
    let want = "{\"error\":\"the server is shutting down; try again in a moment\",\
                \"code\":\"overloaded\",\"done\":true}\n";
    assert_eq!(last, want);
    assert!(chunks.next().await.unwrap().is_err(), "no end, but a break");
    assert!(chunks.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn events_that_are_ready_together_share_a_write_in_sse() {
    let start = Instant::now();
    let encoder = EventEncoder::new(Plain, Dialect::Script, SHOWN, false);
    let list = vec![token("a"), token("b"), token("c"), end(finished(FinishReason::Stop))];
    let response = streamed(events(list), encoder, live()).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(
        writes(response, start).await,
        seen(&[
            (0, "data: open\n\ndata: a"),
            (0, "data: b\n\ndata: c\n\ndata: end\n\ndata: [DONE]"),
        ])
    );
}

/// Each of them after so many turns of the scheduler, as the task that reads a connection hands
/// them over.
fn handed_over(list: Vec<Event>, turns: usize) -> BoxStream<'static, Event> {
    let mut list = list.into_iter();
    let mut left = 0;
    let next = move |context: &mut Context<'_>| {
        if left == 0 {
            left = turns;
            return Poll::Ready(list.next());
        }
        left -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    };
    futures::stream::poll_fn(next).boxed()
}

#[tokio::test(start_paused = true)]
async fn events_that_are_ready_together_share_a_write_and_nobody_waits_for_more() {
    let list =
        || vec![token("a"), token("b"), token("c"), token("d"), end(finished(FinishReason::Stop))];
    for (turns, later) in [
        (0, vec!["data: b\n\ndata: c\n\ndata: d\n\ndata: end\n\ndata: [DONE]"]),
        (1, vec!["data: b", "data: c", "data: d", "data: end\n\ndata: [DONE]"]),
    ] {
        let start = Instant::now();
        let encoder = EventEncoder::new(Plain, Dialect::Script, SHOWN, false);
        let response = streamed(handed_over(list(), turns), encoder, live()).await.unwrap();
        // The first goes out at once, whatever follows.
        let mut want = vec![(0, "data: open\n\ndata: a")];
        want.extend(later.into_iter().map(|write| (0, write)));
        assert_eq!(writes(response, start).await, seen(&want), "{turns} turns");
    }
}

/// Ollama's Go client reads lines of less than 8 MB.
#[test]
fn no_line_is_longer_than_clients_can_read() {
    let text = "\u{1}世".repeat(700_000);
    let events = vec![reasoning(&text), token(&text), end(finished(FinishReason::Stop))];
    let lines = written(Plain, Dialect::Ollama, SHOWN, events);
    assert!(lines.lines().all(|line| line.len() < 8_000_000));
    let received: String = lines
        .lines()
        .map(|line| serde_json::from_str::<String>(line).unwrap())
        .filter(|piece| !matches!(piece.as_str(), "open" | "end") && !piece.starts_with('('))
        .collect();
    assert_eq!(received.len(), text.len());
    assert!(received == text, "nothing is lost, also where a character is cut");
}
