//! The engine on a paused clock over scripted models: exact times, no sockets.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_stream::stream;
use futures::StreamExt;
use serde_json::{Value, json};

use super::*;
use crate::{
    llm::{
        Attempt, Call, CallEvent, CallStream, Completion, Delta, LlmError, LlmErrorKind,
        testing::Script,
    },
    types::{Message, OutputFormat, Request, RequestId, Role},
};

/// Scripted models by name, and what they were asked.
#[derive(Clone, Default)]
struct Cast {
    scripts: HashMap<String, Script>,
    asked: Arc<Mutex<Vec<(String, Call)>>>,
    open: Arc<AtomicUsize>,
}

struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Cast {
    fn model(
        mut self,
        name: &str,
        script: impl Fn(&Call) -> Vec<Cue> + Send + Sync + 'static,
    ) -> Self {
        let (own, asked, open) = (name.to_owned(), self.asked.clone(), self.open.clone());
        self.scripts.insert(
            name.to_owned(),
            Arc::new(move |call: Call| {
                let cues = script(&call);
                asked.lock().unwrap().push((own.clone(), call));
                open.fetch_add(1, Ordering::SeqCst);
                play(own.clone(), cues, Open(open.clone()))
            }),
        );
        self
    }

    /// An engine over these models and a plan.
    fn engine(&self, plan: &Value, more: &str) -> Arc<Engine> {
        let mut text = format!("[workflow-integration]\njson = '''{plan}'''\n{more}\n");
        for name in self.scripts.keys() {
            text.push_str(&format!(
                "[[model]]\nname = \"{name}\"\napi_base = \"http://127.0.0.1:9/v1\"\n"
            ));
        }
        let config = Arc::new(Config::parse(&text, None, &|_| None).unwrap());
        let llm = Llm::scripted(&config, &self.scripts).unwrap();
        Arc::new(Engine { config, llm })
    }

    fn asked(&self, name: &str) -> Vec<Call> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(own, _)| own == name).map(|(_, call)| call.clone()).collect()
    }
}

/// One line of a script.
enum Cue {
    Wait(u64),
    Say(&'static str),
    Fail(LlmErrorKind),
    End,
}

fn says(ms: u64, text: &'static str) -> impl Fn(&Call) -> Vec<Cue> + Send + Sync + 'static {
    move |_| vec![Cue::Wait(ms), Cue::Say(text), Cue::End]
}

fn fails(ms: u64, kind: LlmErrorKind) -> impl Fn(&Call) -> Vec<Cue> + Send + Sync + 'static {
    move |_| vec![Cue::Wait(ms), Cue::Fail(kind)]
}

fn play(model: String, cues: Vec<Cue>, open: Open) -> CallStream {
    Box::pin(stream! {
        let _open = open;
        yield Ok(CallEvent::Started { queued: Duration::ZERO });
        for cue in cues {
            match cue {
                Cue::Wait(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
                Cue::Say(text) => yield Ok(CallEvent::Delta(Delta::Text(text.to_owned()))),
                Cue::Fail(kind) => {
                    yield Ok(CallEvent::Attempt(attempt(kind.code())));
                    let message = "scripted failure".to_owned();
                    yield Err(LlmError { kind, model: model.clone(), endpoint: None, message });
                    return;
                }
                Cue::End => {
                    yield Ok(CallEvent::Attempt(attempt("ok")));
                    let usage = Usage { prompt_tokens: 10, completion_tokens: 5, ..Usage::default() };
                    let reason = FinishReason::Stop;
                    yield Ok(CallEvent::Finished(Completion { reason, usage }));
                }
            }
        }
    })
}

fn attempt(outcome: &'static str) -> Attempt {
    Attempt {
        endpoint: "fake".to_owned(),
        outcome,
        duration: Duration::ZERO,
        temperature: Some(0.5),
    }
}

const VERDICT: &str = r#"{"reason":"clear","scores":{"1":9,"2":3},"best":"1"}"#;
const ADVICE: &str = r#"{"task_type":"code","temperature":0.25,"language":"en"}"#;

fn ask() -> Request {
    Request::new("chorus", vec![Message::text(Role::User, "What is the answer?")])
}

struct Told {
    text: String,
    first_token: Option<Duration>,
    total: Duration,
    ending: Result<Box<Finished>, Box<Failed>>,
}

impl Told {
    fn trace(&self) -> Value {
        let trace = match &self.ending {
            Ok(finished) => &finished.trace,
            Err(failed) => &failed.trace,
        };
        serde_json::to_value(trace).unwrap()
    }
}

async fn run(engine: &Arc<Engine>, request: Request) -> Told {
    let started = tokio::time::Instant::now();
    let route = engine.route(&request.model).unwrap();
    let mut run = engine.run(route, request, RequestId::fresh());
    let (mut text, mut first_token, mut ending) = (String::new(), None, None);
    while let Some(event) = run.events.next().await {
        match event {
            Event::Token(piece) => {
                first_token.get_or_insert(started.elapsed());
                text.push_str(&piece);
            }
            Event::Finished(finished) => ending = Some((Ok(finished), started.elapsed())),
            Event::Failed(failed) => ending = Some((Err(failed), started.elapsed())),
            _ => {}
        }
    }
    let (ending, total) = ending.unwrap();
    Told { text, first_token, total, ending }
}

fn ms(value: u64) -> Duration {
    Duration::from_millis(value)
}

/// The paused clock steps in whole milliseconds and timers round up.
fn assert_about(got: Duration, want: Duration) {
    assert!(got >= want && got <= want + ms(10), "{got:?}, wanted {want:?}");
}

#[tokio::test(start_paused = true)]
async fn many_workers_take_the_time_of_one() {
    for count in [1, 7, 8, 32] {
        let mut cast =
            Cast::default().model("judge", says(30, VERDICT)).model("w", says(50, "fused"));
        let mut workers = Vec::new();
        for n in 0..count {
            let name = format!("m{n}");
            let draft: &'static str =
                if n % 2 == 0 { "It is forty-two." } else { "Perhaps seven?" };
            cast = cast.model(&name, says(200, draft));
            workers.push(json!({ "ref": name }));
        }
        let plan = json!({ "workers": workers, "selector": { "ref": "judge" }, "synthesizer": { "ref": "w" } });
        let told = run(&cast.engine(&plan, ""), ask()).await;
        assert_eq!(told.text, "fused");
        let judged = if count == 1 { 0 } else { 30 };
        assert_about(told.first_token.unwrap(), ms(200 + judged + 50));
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_token_comes_at_the_length_of_the_longest_chain() {
    // `slow` does not depend on the analysis, `advised` does: 100 + 50 < 180.
    let cast = Cast::default()
        .model("reader", says(100, ADVICE))
        .model("slow", says(180, "a slow draft"))
        .model("advised", says(50, "an advised draft, quite different"))
        .model("judge", says(20, VERDICT))
        .model("w", says(10, "fused"));
    let plan = json!({
        "analyzer": { "ref": "reader" },
        "workers": [{ "ref": "slow", "temperature": 1.0 }, { "ref": "advised", "auto_temperature": true }],
        "selector": { "ref": "judge" }, "synthesizer": { "ref": "w" }
    });
    let told = run(&cast.engine(&plan, ""), ask()).await;
    assert_about(told.first_token.unwrap(), ms(180 + 20 + 10));
    assert_eq!(cast.asked("advised")[0].sampling.temperature, Some(0.25));
    assert_eq!(cast.asked("slow")[0].sampling.temperature, Some(1.0));
    let mut sequential = plan;
    sequential["policy"] = json!({ "schedule": "sequential" });
    let told = run(&cast.engine(&sequential, ""), ask()).await;
    assert_about(told.first_token.unwrap(), ms(100 + 180 + 20 + 10));
    let trace = told.trace();
    assert_eq!(trace["analyzer"]["task_type"], "code");
    assert_eq!(trace["workers"][1]["temperature_source"], "auto");
}

#[tokio::test(start_paused = true)]
async fn an_analyzer_nobody_waits_for_is_cut() {
    let cast = Cast::default()
        .model("reader", says(60_000, ADVICE))
        .model("a", says(10, "draft"))
        .model("w", says(10, "fused"));
    let plan = json!({ "analyzer": { "ref": "reader", "timeout_secs": 100 }, "workers": ["a"], "synthesizer": { "ref": "w" } });
    let told = run(&cast.engine(&plan, ""), ask()).await;
    assert_about(told.total, ms(20));
    let trace = told.trace();
    assert_eq!((&trace["analyzer"]["status"], &trace["status"]), (&json!("cut"), &json!("ok")));
    assert_eq!(cast.open.load(Ordering::SeqCst), 0, "its call was hung up on");
}

#[tokio::test(start_paused = true)]
async fn depth_three_makes_four_candidates_of_each_leaf() {
    let cast = Cast::default()
        .model("a", says(10, "one draft"))
        .model("b", says(10, "another thing entirely"))
        .model("judge", says(10, VERDICT))
        .model("w", says(10, "fused"));
    let plan = json!({ "workers": ["a", "b"], "selector": { "ref": "judge" }, "synthesizer": { "ref": "w" } });
    let told = run(&cast.engine(&plan, "nested_worker_depth = 3"), ask()).await;
    assert_eq!((cast.asked("a").len(), cast.asked("b").len()), (4, 4));
    assert_about(told.first_token.unwrap(), ms(30));
    let trace = told.trace();
    assert_eq!(trace["selector"]["order"].as_array().unwrap().len(), 8);
    let text = trace["workers"][0].to_string();
    for name in ["a#1", "a#2", "a#3", "a#4"] {
        assert!(text.contains(&format!("\"{name}\"")), "{name} in {text}");
    }
    let prompt = cast.asked("w")[0].messages[0].joined_text();
    assert_eq!(prompt.matches("<draft-").count(), 8);
}

#[tokio::test(start_paused = true)]
async fn a_failed_worker_is_left_out_and_the_run_is_degraded() {
    let cast = Cast::default()
        .model("good", says(10, "a good draft"))
        .model("bad", fails(5, LlmErrorKind::Upstream { status: 500 }))
        .model("late", fails(50, LlmErrorKind::Timeout))
        .model("w", says(10, "fused"));
    let plan = json!({ "workers": ["good", "bad", "late"], "synthesizer": { "ref": "w" } });
    let told = run(&cast.engine(&plan, ""), ask()).await;
    assert_eq!(told.text, "fused");
    let trace = told.trace();
    assert_eq!(trace["status"], "degraded");
    let statuses: Vec<&Value> =
        trace["workers"].as_array().unwrap().iter().map(|worker| &worker["status"]).collect();
    assert_eq!(statuses, ["ok", "failed", "timeout"]);
    assert_eq!(
        trace["warnings"],
        json!([
            { "stage": "worker", "name": "bad", "code": "upstream_error" },
            { "stage": "worker", "name": "late", "code": "timeout" }
        ])
    );
}

#[tokio::test(start_paused = true)]
async fn too_few_successes_fail_the_run_and_name_every_worker() {
    use LlmErrorKind as Kind;
    let limited = |secs| Kind::RateLimited { retry_after: Some(Duration::from_secs(secs)) };
    for (kinds, want) in [
        ([Kind::Upstream { status: 500 }, Kind::Timeout], "all"),
        ([Kind::Timeout, Kind::Timeout], "timeout"),
        ([limited(9), limited(4)], "limited"),
        ([Kind::UnsupportedInput, Kind::UnsupportedInput], "unsupported"),
    ] {
        let cast = Cast::default().model("a", fails(5, kinds[0])).model("b", fails(5, kinds[1]));
        let plan = json!({ "workers": ["a", "b"], "selector": { "ref": "a" } });
        let told = run(&cast.engine(&plan, ""), ask()).await;
        assert_eq!(told.trace()["status"], "failed");
        let error = told.ending.unwrap_err().error;
        match (want, &error) {
            ("all", WorkflowError::AllWorkersFailed { .. }) => {
                let text = error.to_string();
                assert!(text.contains("a: ") && text.contains("b: "), "{text}");
            }
            ("timeout", WorkflowError::Timeout { .. })
            | ("unsupported", WorkflowError::UnsupportedInput { .. }) => {}
            ("limited", WorkflowError::RateLimited { retry_after }) => {
                assert_eq!(*retry_after, Some(Duration::from_secs(4)));
            }
            _ => panic!("{want}: {error:?}"),
        }
    }
    let cast = Cast::default().model("a", says(5, "fine")).model("b", fails(5, Kind::Garbled));
    let plan = json!({ "workers": ["a", "b"], "selector": { "ref": "a" }, "policy": { "min_success": 2 } });
    let told = run(&cast.engine(&plan, ""), ask()).await;
    let error = told.ending.unwrap_err().error;
    assert!(matches!(error, WorkflowError::AllWorkersFailed { needed: 2, .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_judge_talking_nonsense_is_asked_once_more_and_then_the_consensus_stands_in() {
    let cast = Cast::default()
        .model("a", says(5, "The answer is forty-two."))
        .model("b", says(5, "The answer is: forty-two!"))
        .model("c", says(5, "Bananas are yellow, mostly."))
        .model("judge", says(5, "I like them all"))
        .model("w", says(5, "fused"));
    let plan = json!({ "workers": ["c", "a", "b"], "selector": { "ref": "judge" }, "synthesizer": { "ref": "w" } });
    let told = run(&cast.engine(&plan, ""), ask()).await;
    assert_eq!(cast.asked("judge").len(), 2);
    assert!(matches!(cast.asked("judge")[0].format, OutputFormat::Schema { .. }));
    let trace = told.trace();
    assert_eq!(
        (&trace["selector"]["fallback"], &trace["status"]),
        (&json!(true), &json!("degraded"))
    );
    assert_eq!(trace["selector"]["selected_worker"], "a");
    assert_eq!(trace["warnings"][0]["code"], "unusable_answer");
    let prompt = cast.asked("w")[0].messages[0].joined_text();
    assert!(prompt.find("forty-two").unwrap() < prompt.find("Bananas").unwrap(), "best first");
}

#[tokio::test(start_paused = true)]
async fn a_writer_dead_before_its_first_token_is_replaced_and_paid_work_is_not_lost() {
    let dead = || fails(5, LlmErrorKind::Connect);
    let cast = Cast::default()
        .model("a", says(5, "The draft of a, which is long enough for two pieces."))
        .model("w", dead())
        .model("w2", dead())
        .model("w3", says(5, "from w3"));
    let plan = json!({ "workers": ["a"], "synthesizer": { "ref": "w", "fallback": ["w2", "w3"] } });
    let told = run(&cast.engine(&plan, ""), ask()).await;
    assert_eq!(told.text, "from w3");
    assert_eq!(told.trace()["synthesizer"]["fallback"], true);
    let plan = json!({ "workers": ["a"], "synthesizer": { "ref": "w", "fallback": ["w2"] } });
    let engine = cast.engine(&plan, "");
    let told = run(&engine, ask()).await;
    assert_eq!(told.text, "The draft of a, which is long enough for two pieces.");
    let trace = told.trace();
    assert_eq!(
        (&trace["status"], &trace["synthesizer"]["fallback"]),
        (&json!("degraded"), &json!(true))
    );
    // A draft that is not JSON cannot stand in when JSON was asked for.
    let told = run(&engine, Request { format: OutputFormat::Json, ..ask() }).await;
    assert!(matches!(told.ending.unwrap_err().error, WorkflowError::Upstream(_)));
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_breaks_after_its_first_token_fails_the_run() {
    let cut = |_: &Call| vec![Cue::Say("half an ans"), Cue::Fail(LlmErrorKind::Truncated)];
    let cast =
        Cast::default().model("a", says(5, "draft")).model("w", cut).model("w2", says(5, "x"));
    let plan = json!({ "workers": ["a"], "synthesizer": { "ref": "w", "fallback": ["w2"] } });
    let told = run(&cast.engine(&plan, ""), ask()).await;
    assert_eq!(told.text, "half an ans");
    assert!(matches!(told.ending.unwrap_err().error, WorkflowError::Upstream(_)));
    assert!(cast.asked("w2").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_context_that_is_too_small_gets_half_the_drafts_once() {
    let small = |call: &Call| {
        let prompt: usize = call.messages.iter().map(|m| m.joined_text().len()).sum();
        if prompt > 60_000 {
            return vec![Cue::Fail(LlmErrorKind::ContextLength)];
        }
        vec![Cue::Say("fused"), Cue::End]
    };
    let long: &'static str = Box::leak("long draft ".repeat(20_000).into_boxed_str());
    let cast = Cast::default().model("a", says(5, long)).model("w", small);
    let plan = json!({ "workers": ["a"], "synthesizer": { "ref": "w" } });
    let told = run(&cast.engine(&plan, ""), ask()).await;
    assert_eq!((told.text.as_str(), cast.asked("w").len()), ("fused", 2));
}

#[tokio::test(start_paused = true)]
async fn nested_workflows_give_their_best_or_all_and_the_trace_nests() {
    let cast = Cast::default()
        .model("a", says(10, "draft of a"))
        .model("b", says(10, "something else by b"))
        .model("judge", says(10, VERDICT))
        .model("inner", says(10, "fused inside"))
        .model("w", says(10, "fused"));
    let workers = json!(["a", "b"]);
    for (panel, drafts) in [
        (
            json!({ "name": "panel", "workers": workers, "selector": { "ref": "judge" }, "synthesizer": { "ref": "inner" } }),
            vec!["fused inside"],
        ),
        (json!({ "name": "panel", "workers": workers }), vec!["draft of a", "something else by b"]),
    ] {
        let plan = json!({ "workers": [panel], "synthesizer": { "ref": "w" } });
        let told = run(&cast.engine(&plan, ""), ask()).await;
        assert_eq!(told.text, "fused");
        let asked = cast.asked("w");
        let prompt = asked.last().unwrap().messages[0].joined_text();
        for draft in &drafts {
            assert!(prompt.contains(draft), "{draft}");
        }
        assert_eq!(prompt.matches("<draft-").count(), drafts.len());
        let trace = told.trace();
        assert_eq!(trace["workers"][0]["nested"]["workers"][1]["name"], "b");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_synthesizer_the_best_draft_is_the_answer_and_has_the_requests_form() {
    let cast = Cast::default()
        .model("a", says(10, "{\"n\": 1}"))
        .model("b", says(10, "{\"other\": \"thing\"}"))
        .model("judge", says(10, VERDICT));
    let plan = json!({ "workers": ["a", "b"], "selector": { "ref": "judge" } });
    let request = Request { format: OutputFormat::Json, stop: vec!["END".to_owned()], ..ask() };
    let told = run(&cast.engine(&plan, ""), request).await;
    assert!(told.text.starts_with('{'));
    let call = &cast.asked("a")[0];
    assert_eq!((&call.format, call.stop.len()), (&OutputFormat::Json, 1));
}

#[tokio::test(start_paused = true)]
async fn workers_do_not_get_what_is_the_answering_stages() {
    let cast = Cast::default().model("a", says(10, "draft")).model("w", says(10, "fused"));
    let plan = json!({ "workers": [{ "ref": "a", "samples": 2, "system": "Be terse." }], "synthesizer": { "ref": "w" } });
    let mut request = Request { max_tokens: Some(7), stop: vec!["END".to_owned()], ..ask() };
    request.sampling.seed = Some(40);
    run(&cast.engine(&plan, ""), request).await;
    let asked = cast.asked("a");
    let seeds: Vec<_> = asked.iter().map(|call| call.sampling.seed).collect();
    assert_eq!(seeds, [Some(40), Some(41)]);
    assert!(asked.iter().all(|call| call.max_tokens.is_none() && call.stop.is_empty()));
    assert_eq!(asked[0].messages[0].joined_text(), "Be terse.");
    let writer = &cast.asked("w")[0];
    assert_eq!((writer.max_tokens, writer.stop.len()), (Some(7), 1));
    assert_eq!(writer.messages.last().unwrap().joined_text(), "What is the answer?");
}

#[tokio::test(start_paused = true)]
async fn dropping_the_events_drops_every_call() {
    let cast = Cast::default()
        .model("a", says(10_000, "x"))
        .model("b", says(10_000, "y"))
        .model("reader", says(10_000, ADVICE));
    let plan = json!({ "analyzer": { "ref": "reader" }, "workers": ["a", "b", { "workers": ["a"] }], "selector": { "ref": "a" } });
    let engine = cast.engine(&plan, "");
    let mut run = engine.run(engine.route("").unwrap(), ask(), RequestId::fresh());
    let _ =
        tokio::time::timeout(ms(50), async { while run.events.next().await.is_some() {} }).await;
    assert_eq!(cast.open.load(Ordering::SeqCst), 4);
    drop(run.events);
    assert_eq!(cast.open.load(Ordering::SeqCst), 0);
    assert_eq!(run.watch.summary().status, RunStatus::Cancelled);
    assert_eq!(run.watch.summary().calls, 4);
}

#[tokio::test(start_paused = true)]
async fn usage_is_the_sum_of_all_calls_or_the_answers_alone() {
    let cast = Cast::default()
        .model("a", says(10, "draft"))
        .model("b", says(10, "entirely different words"))
        .model("judge", says(10, VERDICT))
        .model("w", says(10, "fused"));
    let plan = json!({ "workers": ["a", "b"], "selector": { "ref": "judge" }, "synthesizer": { "ref": "w" } });
    for (more, want) in [("", 60), ("[server]\nusage = \"answer\"", 15)] {
        let told = run(&cast.engine(&plan, more), ask()).await;
        assert_eq!(told.trace()["usage"]["total_tokens"], 60);
        assert_eq!(told.ending.unwrap().usage.total_tokens(), want);
    }
}

#[tokio::test(start_paused = true)]
async fn model_names_route_as_the_design_says() {
    let cast = Cast::default().model("a", says(10, "from a alone"));
    let plan = json!({ "workers": ["a"], "selector": { "ref": "a" } });
    let engine = cast.engine(&plan, "");
    for (name, direct) in [
        ("", false),
        ("chorus", false),
        ("chorus:latest", false),
        ("gpt-9", false),
        ("a", true),
        ("a:latest", true),
    ] {
        let route = engine.route(name).unwrap();
        assert_eq!(matches!(route, Route::Direct(_)), direct, "{name}");
    }
    let told = run(&engine, Request { model: "a".to_owned(), ..ask() }).await;
    assert_eq!((told.text.as_str(), &told.trace()["mode"]), ("from a alone", &json!("direct")));
    let strict = cast.engine(&plan, "[server]\nunknown_model = \"reject\"");
    assert!(strict.route("gpt-9").is_none() && strict.route("").is_some());
}
