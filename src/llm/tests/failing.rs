//! Retries, repairs, limits, cuts, and what an error says.

use super::*;

#[tokio::test]
async fn passing_failures_are_retried() {
    let bad = |status| {
        let words = if status == 404 { "no such model" } else { "busy" };
        Reply::json(status, &json!({"error": {"message": words}}))
    };
    let upstream = Upstream::start(vec![Reply::hang_up(), bad(500), answer("hi")]).await;
    let got = outcome(openai(&upstream).call(call("q"))).await;
    assert_eq!(got.text, "hi");
    assert_eq!(got.attempts, ["connection_lost", "upstream_error", "ok"]);
    // Only of a connection that has answered before it is known that it may be the connection.
    let upstream = Upstream::start(vec![bad(500), Reply::hang_up(), answer("hi")]).await;
    let got = outcome(openai(&upstream).call(call("q"))).await;
    assert_eq!((got.text.as_str(), got.attempts), ("hi", vec!["upstream_error", "ok"]));
    assert_eq!(upstream.seen().len(), 3);
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
        schema: Arc::new(json!({"type": "object"}).into()),
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
        let mut call =
            call_of("q", Prompt { max_tokens: Some(9), format: schema(()), ..Prompt::default() });
        call.prompt.sampling.temperature = Some(1.4);
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
    asked.prompt.sampling.temperature = Some(1.0);
    let got = outcome(openai(&upstream).call(asked)).await;
    assert_eq!(got.kind(), LlmErrorKind::Rejected { status: 400 });
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test]
async fn what_was_not_to_blame_is_sent_again_next_time() {
    let asked = || {
        let mut asked = call("q");
        asked.prompt.sampling.temperature = Some(1.4);
        asked
    };
    let refusal = |message: &str| Reply::json(400, &json!({"error": message}));
    let range = refusal("temperature must be between 0 and 1");
    let other = || refusal("the temperature of this text is not supported");
    for replies in [vec![range, answer("a")], vec![other(), other()]] {
        let upstream = Upstream::start([replies, vec![answer("hi")]].concat()).await;
        let model = openai(&upstream);
        outcome(model.call(asked())).await;
        assert_eq!(outcome(model.call(asked())).await.text, "hi");
        let sent: Vec<bool> =
            upstream.seen().iter().map(|seen| seen.body.get("temperature").is_some()).collect();
        assert_eq!(sent, [true, false, true]);
    }
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
async fn a_refusal_learned_while_waiting_stops_the_call() {
    let refusal = Reply::json(400, &json!({"error": "m does not support tools"}));
    let upstream = Upstream::start(vec![refusal]).await;
    let model = llm_model(config::Model {
        max_concurrency: Some(1),
        ..model(Protocol::OpenAi, &upstream.base())
    });
    let calls = (0..3).map(|_| outcome(model.call(call_with_tools())));
    for got in futures::future::join_all(calls).await {
        assert_eq!(got.kind(), LlmErrorKind::UnsupportedInput);
    }
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn limits_end_a_call() {
    let short = Duration::from_secs(1);
    let keep_alives = Reply::sse(": ping\n\n".repeat(3)).then_hang();
    let many = Reply::sse(says("hi").repeat(200)).slowly(Duration::from_millis(20));
    let cases = [
        (Reply::hang(), Limit::Total(short), ""),
        (Reply::hang(), Limit::Gap(short), ""),
        (keep_alives, Limit::Gap(short), ""),
        (Reply::sse(says("hi")).then_hang(), Limit::Total(short), "hi"),
        (Reply::sse(says("hi")).then_hang(), Limit::Gap(short), "hi"),
        (many, Limit::Total(short), "hi"),
    ];
    let calls = cases.map(async |(reply, limit, text)| {
        let upstream = Upstream::start(vec![reply]).await;
        let got = outcome(openai(&upstream).call(Call { limit, ..call("q") })).await;
        assert_eq!(got.kind(), LlmErrorKind::Timeout, "{limit:?}");
        assert!(got.text.starts_with(text), "{}", got.text);
        assert_eq!(got.attempts, ["timeout"]);
        upstream.hung_up_on().await;
    });
    futures::future::join_all(calls).await;
}

#[tokio::test]
async fn a_long_answer_without_long_gaps_is_not_cut() {
    let long = says("hi").repeat(8) + &finish("stop") + DONE;
    let reply = Reply::sse(long).slowly(Duration::from_millis(150));
    let upstream = Upstream::start(vec![reply]).await;
    let limit = Limit::Gap(Duration::from_secs(1));
    let got = outcome(openai(&upstream).call(Call { limit, ..call("q") })).await;
    assert_eq!((got.text.len(), got.error), (16, None));
}

#[tokio::test]
async fn a_limit_that_ends_behind_the_finish_reason_spoils_nothing() {
    let reply = Reply::sse(says("hi") + &finish("stop")).then_hang();
    let upstream = Upstream::start(vec![reply]).await;
    let limit = Limit::Total(Duration::from_millis(700)); // less than the wait for a terminator
    let got = outcome(openai(&upstream).call(Call { limit, ..call("q") })).await;
    assert_eq!((got.text.as_str(), got.error), ("hi", None));
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
async fn no_connection_is_reported() {
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
    let mut messages = Vec::new();
    for _ in 0..3 {
        // A fresh one each time: a key that is refused puts the endpoint out of service.
        let got = outcome(openai(&upstream).call(call(prompt))).await;
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
    // What tools are for is the caller's too.
    let mut asked = call_with_tools();
    asked.prompt.tools = vec![ToolDefinition {
        name: "f".into(),
        description: Some("looks up the secret plans of the acme company".into()),
        parameters: None,
        strict: None,
        unknown: serde_json::Map::new(),
    }]
    .into();
    let words = "f: 'looks up the secret plans of the acme company' is too vague";
    let upstream = Upstream::start(vec![Reply::json(400, &json!({"error": words}))]).await;
    let got = outcome(openai(&upstream).call(asked)).await;
    assert_eq!(got.error.unwrap().message, "refused the request (400)");
}
