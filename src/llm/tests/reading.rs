//! Answers of every framing are read to their end.

use bytes::Bytes;

use super::*;
use crate::llm::{call::exchange::Exchange, decode::answer::Answer, protocol::all::wire};

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
async fn what_comes_together_is_one_delta_of_a_folded_call() {
    let body = [&*says("one"), &says(" two"), &says(" three"), &finish("stop"), DONE].concat();
    let upstream = Upstream::start(vec![Reply::sse(body.clone()), Reply::sse(body)]).await;
    let model = openai(&upstream);
    for (folded, want) in [(false, vec!["one", " two", " three"]), (true, vec!["one two three"])] {
        let events = model.call(Call { folded, ..call("hi") });
        let texts = events.filter_map(|event| async {
            match event.unwrap() {
                CallEvent::Delta(Delta::Text(text)) => Some(text),
                _ => None,
            }
        });
        assert_eq!(texts.collect::<Vec<_>>().await, want);
    }
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
        (Protocol::OpenAi, true, Reply::sse(finish("stop") + DONE), Ok("")),
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

/// How many deltas are handed on together when each chunk of a stream takes so long.
async fn delivered_together(pause: Duration) -> Vec<usize> {
    let chunks = (0..40).map(|_| says("x")).chain([finish("stop"), DONE.to_owned()]);
    let chunks = futures::stream::iter(chunks).then(move |chunk| async move {
        match pause.is_zero() {
            true => tokio::task::yield_now().await, // as from another task
            false => tokio::time::sleep(pause).await,
        }
        Ok::<_, std::io::Error>(Bytes::from(chunk))
    });
    let response = hyper::http::Response::new(reqwest::Body::wrap_stream(chunks)).into();
    let answer = Answer::new(true, false);
    let mut exchange = Exchange::new(wire(Protocol::OpenAi), response, answer, Default::default());
    let mut counts = Vec::new();
    while exchange.read_on().await.ok().expect("a complete answer") {
        counts.push(std::iter::from_fn(|| exchange.next_delta()).count());
    }
    counts
}

#[tokio::test(start_paused = true)]
async fn what_comes_in_a_rush_is_delivered_together_and_nothing_else_waits() {
    let counts = delivered_together(Duration::ZERO).await;
    assert_eq!(
        (counts.first(), counts.iter().sum()),
        (Some(&1), 40),
        "the first one waits for nothing"
    );
    assert!(counts.len() <= 8, "{counts:?}");
    let began = tokio::time::Instant::now();
    let pause = Duration::from_millis(5);
    assert_eq!(delivered_together(pause).await, [1; 40]);
    assert_eq!(began.elapsed(), pause * 42);
}
