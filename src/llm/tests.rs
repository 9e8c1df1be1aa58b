//! Calls over real sockets, against an upstream that says exactly what a test wants.

mod upstream;

use std::{cell::Cell, sync::Arc, time::Duration};

use futures::StreamExt;
use indexmap::IndexMap;
use reqwest::ClientBuilder;
use serde_json::{Value, json};

use super::{testing::*, *};
use crate::{
    config::{self, Config, LogFormat, Retry, TimeLimits},
    types::Protocol,
};
use upstream::{Reply, Upstream};

/// What a call gave, folded.
#[derive(Debug, Default)]
struct Outcome {
    text: String,
    reasoning: String,
    tool_calls: Vec<ToolCallDelta>,
    attempts: Vec<&'static str>,
    finished: Option<Completion>,
    error: Option<LlmError>,
}

impl Outcome {
    fn kind(&self) -> LlmErrorKind {
        self.error.as_ref().expect("the call should have failed").kind
    }
}

async fn outcome(mut stream: CallStream) -> Outcome {
    let mut outcome = Outcome::default();
    while let Some(event) = stream.next().await {
        assert!(outcome.error.is_none(), "an error is the last item");
        match event {
            Ok(CallEvent::Started { .. }) => assert!(outcome.attempts.is_empty()),
            Ok(CallEvent::Attempt(attempt)) => outcome.attempts.push(attempt.outcome),
            Ok(CallEvent::Delta(Delta::Text(text))) => outcome.text.push_str(&text),
            Ok(CallEvent::Delta(Delta::Reasoning(text))) => outcome.reasoning.push_str(&text),
            Ok(CallEvent::Delta(Delta::ToolCall(call))) => outcome.tool_calls.push(call),
            Ok(CallEvent::Finished(completion)) => outcome.finished = Some(completion),
            Err(error) => outcome.error = Some(error),
        }
    }
    outcome
}

/// A config of this one model, with quick retries.
fn config_of(model: config::Model) -> Config {
    let plan = config::Plan {
        name: "chorus".into(),
        analyzer: None,
        members: Vec::new(),
        selector: None,
        synthesizer: None,
        policy: config::Policy::default(),
    };
    Config {
        server: config::Server {
            host: "127.0.0.1".into(),
            port: 0,
            request_body_limit: 1,
            max_in_flight: 1,
            shutdown_grace: Duration::ZERO,
            header_hold: Duration::ZERO,
            heartbeat: Duration::ZERO,
            unknown_model: config::UnknownModel::Workflow,
            plain_client_format: config::PlainClientFormat::Auto,
            progress: true,
            usage: config::UsageScope::Total,
            reasoning_field: config::ReasoningField::ReasoningContent,
            ollama_version: String::new(),
            allowed_hosts: Vec::new(),
            cors_origins: Vec::new(),
            allow_unauthenticated: false,
        },
        clients: Vec::new(),
        models: IndexMap::from([(model.name.clone(), Arc::new(model))]),
        workflow: Arc::new(plan),
        max_worker_concurrency: None,
        timeouts: TimeLimits::default(),
        retry: Retry { base_delay: Duration::from_millis(5), ..Retry::default() },
        log_format: LogFormat::Pretty,
        path: None,
        notices: Vec::new(),
        warnings: Vec::new(),
    }
}

fn llm_model(model: config::Model) -> Arc<Model> {
    let name = model.name.clone();
    let llm = Llm::new(&config_of(model)).expect("a client can be built");
    Arc::clone(llm.model(&name).expect("the model is configured"))
}

fn openai(upstream: &Upstream) -> Arc<Model> {
    llm_model(model(Protocol::OpenAi, &format!("{}/v1", upstream.base())))
}

fn ollama(upstream: &Upstream) -> Arc<Model> {
    llm_model(model(Protocol::Ollama, &upstream.base()))
}

fn chunk(delta: &Value) -> String {
    format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": delta}]}))
}

fn says(text: &str) -> String {
    chunk(&json!({ "content": text }))
}

fn finish(reason: &str) -> String {
    let choice = json!({"index": 0, "delta": {}, "finish_reason": reason});
    format!("data: {}\n\n", json!({"choices": [choice]}))
}

const DONE: &str = "data: [DONE]\n\n";

/// A complete streamed answer.
fn answer(text: &str) -> Reply {
    Reply::sse([says(text), finish("stop"), DONE.into()].concat())
}

#[tokio::test]
async fn a_stream_is_read_to_its_end() {
    let usage =
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\n";
    let body = [
        ": hello\n\n",
        &chunk(&json!({"role": "assistant", "content": ""})),
        &chunk(&json!({"reasoning_content": "hm"})),
        &says("你好"),
        &says("，世界"),
        &finish("stop"),
        usage,
        DONE,
    ]
    .concat();
    let upstream = Upstream::start(vec![Reply::sse(body)]).await;
    let got = outcome(openai(&upstream).call(call("hi"))).await;
    assert_eq!((got.text.as_str(), got.reasoning.as_str()), ("你好，世界", "hm"));
    assert_eq!(got.attempts, ["ok"]);
    let done = got.finished.unwrap();
    assert_eq!(done.reason, FinishReason::Stop);
    assert_eq!((done.usage.prompt_tokens, done.usage.completion_tokens), (5, 2));
    assert!(!done.usage.estimated);
    let seen = upstream.seen();
    assert!(seen[0].head.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{}", seen[0].head);
    let head = seen[0].head.to_lowercase();
    assert!(head.contains("authorization: bearer sk-test-key-000\r\n"));
    assert!(head.contains("accept: text/event-stream\r\n"));
    assert!(head.contains("content-type: application/json\r\n"));
    assert!(head.contains("user-agent: chorus/"));
}

#[tokio::test]
async fn every_cut_of_the_bytes_gives_the_same_answer() {
    let body =
        [": 好\r\n\r\n", &says("你好").replace('\n', "\r\n"), &finish("stop"), DONE].concat();
    let splits: Vec<Reply> =
        (1..body.len()).step_by(7).map(|at| Reply::sse(body.clone()).split_at(at)).collect();
    let count = splits.len();
    let upstream = Upstream::start(splits).await;
    let model = openai(&upstream);
    for _ in 0..count {
        let got = outcome(model.call(call("hi"))).await;
        assert_eq!(got.text, "你好", "{:?}", got.error);
    }
}

#[tokio::test]
async fn whole_replies_and_mislabelled_ones_are_read() {
    let reply = json!({"choices": [{"message": {"content": "hi"}, "finish_reason": null}]});
    for (protocol, stream, reply, want) in [
        (Protocol::OpenAi, false, Reply::json(200, &reply), Ok("hi")),
        (Protocol::OpenAi, true, Reply::json(200, &reply), Ok("hi")),
        (Protocol::OpenAi, false, Reply::body("text/plain", &format!("\n\n \n{reply}")), Ok("hi")),
        (Protocol::OpenAi, true, Reply::body("text/event-stream", &reply.to_string()), Ok("hi")),
        (Protocol::OpenAi, false, answer("hi"), Ok("hi")),
        (Protocol::OpenAi, true, Reply::body("", &format!("{}{DONE}", says("hi"))), Ok("hi")),
        // no [DONE], and a last event without its blank line
        (Protocol::OpenAi, true, Reply::sse(says("hi") + finish("stop").trim_end()), Ok("hi")),
        (Protocol::OpenAi, true, Reply::sse(says("hi") + DONE.trim_end()), Ok("hi")),
        (
            Protocol::OpenAi,
            true,
            Reply::sse(says("hi") + &finish("stop") + "data: {nonsense\n\n"),
            Ok("hi"),
        ),
        (Protocol::OpenAi, true, Reply::sse(says("<think>x</think>hi") + DONE), Ok("hi")),
        (Protocol::OpenAi, true, Reply::sse(says("hi")), Err(LlmErrorKind::Truncated)),
        (
            Protocol::OpenAi,
            true,
            Reply::sse(says("hi") + "data: {\"choi"),
            Err(LlmErrorKind::Truncated),
        ),
        (
            Protocol::OpenAi,
            true,
            Reply::sse("data: {nonsense\n\n".into()),
            Err(LlmErrorKind::Garbled),
        ),
        (Protocol::OpenAi, true, Reply::body("text/html", "<html>"), Err(LlmErrorKind::Garbled)),
        (Protocol::OpenAi, true, Reply::body("", " <html>"), Err(LlmErrorKind::Garbled)),
        (Protocol::OpenAi, true, Reply::json(200, &json!({"id": 1})), Err(LlmErrorKind::Garbled)),
        (Protocol::OpenAi, true, Reply::sse(finish("stop") + DONE), Err(LlmErrorKind::Empty)),
        (Protocol::OpenAi, true, Reply::sse(DONE.into()), Err(LlmErrorKind::Empty)),
        (
            Protocol::OpenAi,
            true,
            Reply::sse(finish("content_filter") + DONE),
            Err(LlmErrorKind::ContentFilter),
        ),
        (
            Protocol::Ollama,
            false,
            Reply::json(200, &json!({"message": {"content": "hi"}, "done": true})),
            Ok("hi"),
        ),
        (
            Protocol::Ollama,
            true,
            Reply::body(
                "application/json",
                "{\"message\":{\"content\":\"h\"}}\n{\"message\":{\"content\":\"i\"},\"done\":true}\n",
            ),
            Ok("hi"),
        ),
        (
            Protocol::Ollama,
            true,
            Reply::body(
                "application/x-ndjson",
                "\n{\"message\":{\"content\":\"hi\"}}\r\n\n{\"done\":true}",
            ),
            Ok("hi"),
        ),
        (
            Protocol::Ollama,
            true,
            Reply::body(
                "application/x-ndjson",
                "{\"message\":{\"content\":\"hi\"}}\n{\"error\":\"boom\"}\n",
            ),
            Err(LlmErrorKind::InBand),
        ),
        (
            Protocol::Ollama,
            true,
            Reply::body("application/x-ndjson", "{\"message\":{\"content\":\"hi\"}}\n"),
            Err(LlmErrorKind::Truncated),
        ),
    ] {
        let shown = format!("{protocol:?} {stream} {reply:?}");
        let upstream = Upstream::start(vec![reply; 3]).await;
        let model =
            if protocol == Protocol::OpenAi { openai(&upstream) } else { ollama(&upstream) };
        let got = outcome(model.call(Call { stream, ..call("q") })).await;
        match want {
            Ok(text) => assert_eq!((got.text.as_str(), got.error), (text, None), "{shown}"),
            Err(kind) => assert_eq!(got.kind(), kind, "{shown}"),
        }
    }
}

#[tokio::test]
async fn errors_inside_a_stream_are_failures() {
    for event in [
        "data: {\"error\":{\"message\":\"boom\"}}\n\n",
        "data: {\"object\":\"error\",\"message\":\"boom\"}\n\n",
        "data: {\"choices\":[{\"error\":{\"message\":\"boom\"},\"finish_reason\":\"error\"}]}\n\n",
        "event: error\ndata: {\"message\":\"boom\"}\n\n",
        "event: error\ndata: boom\n\n",
        "error: {\"message\":\"boom\"}\n\n",
    ] {
        let upstream = Upstream::start(vec![Reply::sse(says("hi") + event)]).await;
        let got = outcome(openai(&upstream).call(call("q"))).await;
        assert_eq!((got.text.as_str(), got.kind()), ("hi", LlmErrorKind::InBand), "{event}");
        assert!(got.error.unwrap().message.ends_with(": boom"), "{event}");
        assert_eq!(got.attempts, ["upstream_stream_error"], "nothing is retried behind a delta");
        // Before the first delta it is tried once more.
        let upstream = Upstream::start(vec![Reply::sse(event.into()), answer("hi")]).await;
        let got = outcome(openai(&upstream).call(call("q"))).await;
        assert_eq!((got.text.as_str(), got.attempts.len()), ("hi", 2), "{event}");
    }
}

#[tokio::test]
async fn passing_failures_are_retried() {
    let bad = |status| Reply::json(status, &json!({"error": {"message": "busy"}}));
    let upstream = Upstream::start(vec![bad(500), Reply::hang_up(), answer("hi")]).await;
    let got = outcome(openai(&upstream).call(call("q"))).await;
    assert_eq!(got.text, "hi");
    assert_eq!(got.attempts, ["upstream_error", "connection_lost", "ok"]);
    let upstream = Upstream::start(vec![bad(503); 4]).await;
    let got = outcome(openai(&upstream).call(call("q"))).await;
    assert_eq!(got.kind(), LlmErrorKind::Upstream { status: 503 });
    assert_eq!(got.error.unwrap().message, "failed (503): busy");
    assert_eq!(upstream.seen().len(), 3, "two retries");
    for status in [400, 401, 404, 422] {
        let upstream = Upstream::start(vec![bad(status); 2]).await;
        assert!(outcome(openai(&upstream).call(call("q"))).await.error.is_some());
        assert_eq!(upstream.seen().len(), 1, "{status} is final");
    }
}

#[tokio::test]
async fn retry_after_is_honoured_when_it_fits() {
    let limited =
        |after: &str| Reply::json(429, &json!({"error": "slow"})).header("retry-after", after);
    let upstream = Upstream::start(vec![limited("0.01"), answer("hi")]).await;
    let got = outcome(openai(&upstream).call(call("q"))).await;
    assert_eq!((got.text.as_str(), got.attempts), ("hi", vec!["rate_limited", "ok"]));
    let upstream = Upstream::start(vec![limited("3600"), answer("hi")]).await;
    let got = outcome(openai(&upstream).call(call("q"))).await;
    let retry_after = Some(Duration::from_secs(3600));
    assert_eq!(got.kind(), LlmErrorKind::RateLimited { retry_after });
    assert_eq!(upstream.seen().len(), 1, "an hour does not fit");
}

#[tokio::test]
async fn refused_parameters_are_repaired_and_remembered() {
    let refuse = |field: &str| {
        let message = format!("Unsupported parameter: '{field}' is not supported with this model.");
        Reply::json(400, &json!({"error": {"message": message, "param": field}}))
    };
    let schema = |_: ()| OutputFormat::Schema {
        name: "o".into(),
        schema: Arc::new(json!({"type": "object"})),
        strict: None,
        description: None,
    };
    let upstream = Upstream::start(vec![
        refuse("temperature"),
        refuse("max_tokens"),
        refuse("response_format"),
        refuse("response_format"),
        refuse("stream_options"),
        answer("{}"),
        answer("{}"),
    ])
    .await;
    let model = openai(&upstream);
    let asked = || {
        let mut call = Call { max_tokens: Some(9), format: schema(()), ..call("q") };
        call.sampling.temperature = Some(1.4);
        call
    };
    let mut stream = model.call(asked());
    let mut temperatures = Vec::new();
    while let Some(event) = stream.next().await {
        if let CallEvent::Attempt(attempt) = event.expect("it is repaired in the end") {
            temperatures.push(attempt.temperature);
        }
    }
    assert_eq!(temperatures, [Some(1.4), None, None, None, None, None]);
    let bodies: Vec<Value> = upstream.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies[2]["max_completion_tokens"], 9);
    assert_eq!(bodies[3]["response_format"]["type"], "json_object");
    let last = &bodies[5];
    for gone in ["temperature", "max_tokens", "response_format", "stream_options"] {
        assert_eq!(last.get(gone), None, "{gone}");
    }
    assert!(last["messages"][0]["content"].as_str().unwrap().contains("JSON"));
    let got = outcome(model.call(asked())).await;
    assert_eq!(got.attempts, ["ok"], "remembered");
}

#[tokio::test]
async fn a_parameter_is_repaired_once_only() {
    let refusal = Reply::json(400, &json!({"error": "temperature is not supported"}));
    let upstream = Upstream::start(vec![refusal; 5]).await;
    let mut asked = call("q");
    asked.sampling.temperature = Some(1.0);
    let got = outcome(openai(&upstream).call(asked)).await;
    assert_eq!(got.kind(), LlmErrorKind::Rejected { status: 400 });
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test]
async fn what_a_model_cannot_take_is_remembered() {
    let blind = Reply::json(500, &json!({"error": {"message": "image input is not supported"}}));
    let toolless = Reply::json(400, &json!({"error": "m does not support tools"}));
    for (reply, asked) in [(blind, call_with_image()), (toolless, call_with_tools())] {
        let upstream = Upstream::start(vec![reply, answer("hi")]).await;
        let model = openai(&upstream);
        for _ in 0..2 {
            let got = outcome(model.call(asked.clone())).await;
            assert_eq!(got.kind(), LlmErrorKind::UnsupportedInput);
        }
        assert_eq!(upstream.seen().len(), 1, "the second time without a call");
        assert_eq!(outcome(model.call(call("q"))).await.text, "hi", "other calls still work");
    }
}

#[tokio::test]
async fn limits_end_a_call() {
    let short = Duration::from_millis(150);
    let keep_alives = Reply::sse(": ping\n\n".repeat(3)).then_hang();
    for (reply, limit, text) in [
        (Reply::hang(), Limit::Total(short), ""),
        (Reply::hang(), Limit::Gap(short), ""),
        (keep_alives, Limit::Gap(short), ""),
        (Reply::sse(says("hi")).then_hang(), Limit::Total(short), "hi"),
        (Reply::sse(says("hi")).then_hang(), Limit::Gap(short), "hi"),
        (
            Reply::sse(says("hi").repeat(100)).slowly(Duration::from_millis(20)),
            Limit::Total(short),
            "hi",
        ),
    ] {
        let upstream = Upstream::start(vec![reply]).await;
        let got = outcome(openai(&upstream).call(Call { limit, ..call("q") })).await;
        assert_eq!(got.kind(), LlmErrorKind::Timeout, "{limit:?}");
        assert!(got.text.starts_with(text), "{}", got.text);
        assert_eq!(got.attempts, ["timeout"]);
        upstream.hung_up_on().await;
    }
    // An answer whose whole is longer than the gap, but none of its gaps.
    let long = says("hi").repeat(8) + &finish("stop") + DONE;
    let upstream = Upstream::start(vec![Reply::sse(long).slowly(Duration::from_millis(60))]).await;
    let limit = Limit::Gap(Duration::from_millis(400));
    let got = outcome(openai(&upstream).call(Call { limit, ..call("q") })).await;
    assert_eq!((got.text.len(), got.error), (16, None));
}

#[tokio::test]
async fn a_broken_connection_is_no_end() {
    for stream in [true, false] {
        let body = if stream { says("hi") } else { "{\"choices\":[{\"message\":{\"conte".into() };
        let upstream = Upstream::start(vec![Reply::sse(body).cut(); 3]).await;
        let got = outcome(openai(&upstream).call(Call { stream, ..call("q") })).await;
        assert_eq!(got.kind(), LlmErrorKind::Truncated);
        let tries = if stream { 1 } else { 3 };
        assert_eq!(upstream.seen().len(), tries, "retried only while nothing was given out");
    }
    // A finish reason makes the cut harmless, and silence behind it is not waited for in full.
    for reply in [
        Reply::sse(says("hi") + &finish("stop")).cut(),
        Reply::sse(says("hi") + &finish("stop")).then_hang(),
    ] {
        let upstream = Upstream::start(vec![reply]).await;
        let got = outcome(openai(&upstream).call(call("q"))).await;
        assert_eq!((got.text.as_str(), got.error), ("hi", None));
    }
}

#[tokio::test]
async fn connections_are_reused() {
    for late in [false, true] {
        let reply =
            if late { answer("hi").late_end(Duration::from_millis(15)) } else { answer("hi") };
        let upstream = Upstream::start(vec![reply; 50]).await;
        let model = openai(&upstream);
        for _ in 0..50 {
            assert_eq!(outcome(model.call(call("q"))).await.text, "hi");
        }
        assert!(upstream.connections() <= 2, "{} connections", upstream.connections());
    }
    // Refusals and whole replies too; and a consumer that leaves at `Finished`, when the end is there.
    let mut replies = vec![Reply::json(400, &json!({"error": "no"})); 10];
    replies.extend(vec![answer("hi"); 10]);
    let upstream = Upstream::start(replies).await;
    let model = openai(&upstream);
    for _ in 0..10 {
        outcome(model.call(call("q"))).await;
    }
    for _ in 0..10 {
        let mut stream = model.call(call("q"));
        while !matches!(stream.next().await, Some(Ok(CallEvent::Finished(_)))) {}
    }
    assert!(upstream.connections() <= 3, "{} connections", upstream.connections());
}

#[tokio::test]
async fn finished_does_not_wait_for_the_end_of_the_body() {
    let upstream = Upstream::start(vec![answer("hi").late_end(Duration::from_secs(3600))]).await;
    let model = llm_model(config::Model {
        max_concurrency: Some(1),
        ..model(Protocol::OpenAi, &upstream.base())
    });
    let permits = Arc::new(Semaphore::new(1));
    let mut stream = model.call(Call { permits: Some(permits.clone()), ..call("q") });
    loop {
        let next = tokio::time::timeout(Duration::from_secs(10), stream.next()).await;
        match next.expect("it comes at once").expect("it comes").expect("it is good") {
            CallEvent::Delta(_) => assert_eq!(permits.available_permits(), 0),
            CallEvent::Finished(_) => break,
            CallEvent::Started { .. } | CallEvent::Attempt(_) => {}
        }
    }
    assert_eq!(permits.available_permits(), 1, "given back before the end");
    let end = tokio::time::timeout(Duration::from_secs(10), stream.next()).await;
    assert!(end.expect("the end is not waited for for ever").is_none());
}

#[tokio::test]
async fn dropping_the_stream_hangs_up() {
    for (reply, deltas) in [(Reply::hang(), 0), (Reply::sse(says("hi")).then_hang(), 1)] {
        let upstream = Upstream::start(vec![reply]).await;
        let mut stream = openai(&upstream).call(call("q"));
        assert!(matches!(stream.next().await, Some(Ok(CallEvent::Started { .. }))));
        if deltas > 0 {
            assert!(matches!(stream.next().await, Some(Ok(CallEvent::Delta(_)))));
        } else {
            let poll = tokio::time::timeout(Duration::from_millis(50), stream.next()).await;
            assert!(poll.is_err(), "nothing comes");
        }
        drop(stream);
        upstream.hung_up_on().await;
    }
}

#[tokio::test]
async fn calls_wait_for_their_permits() {
    let slow = answer("hi").slowly(Duration::from_millis(20));
    let upstream = Upstream::start(vec![slow; 6]).await;
    let model = llm_model(config::Model {
        max_concurrency: Some(2),
        ..model(Protocol::OpenAi, &upstream.base())
    });
    let (now, most) = (&Cell::new(0), &Cell::new(0));
    let calls = (0..6).map(|_| {
        let mut stream = model.call(call("q"));
        async move {
            while let Some(event) = stream.next().await {
                match event.expect("it goes well") {
                    CallEvent::Started { .. } => now.set(now.get() + 1),
                    CallEvent::Attempt(_) => now.set(now.get() - 1),
                    CallEvent::Delta(_) | CallEvent::Finished(_) => {}
                }
                most.set(most.get().max(now.get()));
            }
        }
    });
    futures::future::join_all(calls).await;
    assert_eq!(most.get(), 2);
}

#[tokio::test]
async fn loopback_upstreams_use_no_proxy() {
    let upstream = Upstream::start(vec![answer("hi")]).await;
    let dead = || ClientBuilder::new().proxy(reqwest::Proxy::all("http://127.0.0.1:1").unwrap());
    let config = config_of(model(Protocol::OpenAi, &upstream.base()));
    let llm = Llm::build(&config, false, &dead).unwrap();
    let got = outcome(llm.model("m").unwrap().call(call("q"))).await;
    assert_eq!((got.text.as_str(), got.error), ("hi", None));
}

#[tokio::test]
async fn no_connection_is_told() {
    let model = llm_model(model(Protocol::OpenAi, "http://127.0.0.1:1/v1"));
    let got = outcome(model.call(call("q"))).await;
    assert_eq!((got.kind(), got.attempts.len()), (LlmErrorKind::Connect, 3));
    let error = got.error.unwrap();
    assert!(error.message.starts_with("no connection to 127.0.0.1:1: "), "{}", error.message);
}

#[tokio::test]
async fn errors_hold_no_prompt_and_no_key() {
    let prompt = "tell me of the seven lazy dogs and the fox";
    let message = format!("cannot answer '{prompt}' with sk-test-key-000");
    let upstream = Upstream::start(vec![
        Reply::json(400, &json!({"error": {"message": message, "type": "invalid_request_error"}})),
        Reply::json(401, &json!({"error": {"message": "bad key sk-test-key-000"}})),
        Reply::json(400, &json!({"error": {"code": "context_length_exceeded"}})),
    ])
    .await;
    let model = openai(&upstream);
    let mut messages = Vec::new();
    for _ in 0..3 {
        let got = outcome(model.call(call(prompt))).await;
        messages.push((got.kind(), got.error.unwrap().message));
    }
    assert_eq!(
        messages,
        [
            (
                LlmErrorKind::Rejected { status: 400 },
                "refused the request (400 invalid_request_error)".to_owned()
            ),
            (
                LlmErrorKind::Unauthorized,
                "does not accept the configured key (401): bad key ***".to_owned()
            ),
            (LlmErrorKind::ContextLength, "the conversation is too long for it".to_owned()),
        ]
    );
}

#[tokio::test]
async fn ollama_streams_tool_calls_and_usage() {
    let lines = [
        json!({"message": {"role": "assistant", "content": "", "thinking": "hm"}, "done": false}),
        json!({"message": {"tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]}}),
        json!({"message": {"tool_calls": [{"function": {"name": "f", "arguments": {"a": 2}}}]}}),
        json!({"message": {"content": ""}, "done": true, "done_reason": "stop",
            "prompt_eval_count": 4, "eval_count": 6, "prompt_eval_duration": 2_000_000}),
    ];
    let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let upstream = Upstream::start(vec![Reply::body("application/x-ndjson", &body)]).await;
    let got = outcome(ollama(&upstream).call(call_with_tools())).await;
    assert_eq!(got.reasoning, "hm");
    let calls: Vec<(u32, &str)> =
        got.tool_calls.iter().map(|call| (call.index, call.arguments.as_str())).collect();
    assert_eq!(calls, [(0, "{\"a\":1}"), (1, "{\"a\":2}")]);
    let done = got.finished.unwrap();
    assert_eq!(done.reason, FinishReason::ToolCalls);
    assert_eq!((done.usage.prompt_tokens, done.usage.completion_tokens), (4, 6));
    assert_eq!(done.usage.prompt_time, Duration::from_millis(2));
    let seen = upstream.seen();
    assert!(seen[0].head.starts_with("POST /api/chat HTTP/1.1"));
    assert_eq!(seen[0].body["options"]["num_ctx"], 8192);
}
