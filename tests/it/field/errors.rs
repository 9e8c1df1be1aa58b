//! Errors in whatever words and places upstreams report them.

use serde_json::{Value, json};

use crate::support::{Chorus, Script, Setup, Upstream, four_stages, question, text_of};

/// The dialects of errors, by the path and headers that ask for them.
const DOORS: [&str; 5] =
    ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/api/chat", "/api/generate"];

const PROTOCOLS: [&str; 4] = ["openai", "ollama", "anthropic", "gemini"];

/// A question for any door.
fn ask(door: &str, model: &str, stream: bool) -> Value {
    match door {
        "/v1/responses" => json!({"model": model, "input": "Why?", "stream": stream}),
        _ => question(door, model, "Why?", stream),
    }
}

/// A direct model and a workflow of one worker, both spoken to in this protocol.
pub(super) fn one_model(protocol: &str) -> Setup {
    let plan = json!({"workers": [{"ref": "m"}], "selector": {"ref": "m"}});
    Setup::of(plan).with_models(&["m"]).model_keys("m", &format!("protocol = \"{protocol}\""))
}

/// The words of an error in any dialect.
pub(super) fn words(body: &Value) -> String {
    let error = &body["error"];
    error["message"].as_str().or(error.as_str()).unwrap_or_default().to_owned()
}

/// Its code in any dialect.
pub(super) fn code(body: &Value) -> &str {
    body["error"]["code"].as_str().or(body["code"].as_str()).unwrap_or_default()
}

/// The JSON of an answer.
async fn body_of(response: reqwest::Response) -> Value {
    serde_json::from_slice(&response.bytes().await.expect("a whole body")).expect("JSON")
}

/// Every way to ask: the door, who is asked, and whether a stream is wanted.
fn ways() -> impl Iterator<Item = (&'static str, &'static str, bool)> {
    let models = ["m", "chorus"].into_iter();
    models.flat_map(|model| {
        DOORS.into_iter().flat_map(move |door| [(door, model, false), (door, model, true)])
    })
}

#[tokio::test]
async fn error_words_in_other_places_are_shown() {
    for (body, want) in [
        (json!({"errors": [{"message": "the moon is full"}]}), "the moon is full"),
        (json!({"msg": "the moon is full"}), "the moon is full"),
        (json!({"base_resp": {"status_code": 1013, "status_msg": "the moon is full"}}), "moon"),
        (json!({"detail": {"error": {"message": "the moon is full"}}}), "the moon is full"),
        (
            json!({"detail": [{"loc": ["body", "x"], "msg": "the moon is full"}]}),
            "body.x: the moon is full",
        ),
        (
            json!({"error": {"message": "Provider returned error", "metadata":
                {"raw": r#"{"error":{"message":"the moon is full"}}"#}}}),
            "the moon is full",
        ),
        (json!({"error": {"error_msg": "the moon is full"}}), "the moon is full"),
        (json!({"choices": null, "error_message": "the moon is full"}), "the moon is full"),
    ] {
        for protocol in PROTOCOLS {
            let script = Script::fails_saying(400, &body.to_string());
            let upstream = Upstream::start([("m", script)]).await;
            let chorus = one_model(protocol).over(&upstream).await;
            for (door, model, stream) in
                [("/v1/chat/completions", "m", true), ("/api/chat", "chorus", false)]
            {
                let (_, reply) = chorus.ask(door, &ask(door, model, stream)).await;
                assert!(words(&reply).contains(want), "{protocol} {door} {model}: {reply}");
            }
        }
    }
    // Under a 200, whole.
    let body = json!({"choices": null, "error_message": "the moon is full"}).to_string();
    let upstream =
        Upstream::start([("m", Script::sends("application/json", body.as_bytes()))]).await;
    for (door, model, stream) in ways() {
        let chorus = one_model("openai").without_retries().over(&upstream).await;
        let (status, reply) = chorus.ask(door, &ask(door, model, stream)).await;
        assert_eq!(status, 502, "{door} {model}: {reply}");
        assert!(words(&reply).contains("the moon is full"), "{door} {model}: {reply}");
    }
}

#[tokio::test]
async fn a_redirect_is_reported_and_not_the_callers_fault() {
    for protocol in PROTOCOLS {
        let script = Script::fails_saying(308, "")
            .with_header("location", "https://user:pw@new.example/moved/here?key=secret");
        let upstream = Upstream::start([("m", script)]).await;
        for (door, model, stream) in ways() {
            // Each its own: nobody is out of service yet.
            let chorus = one_model(protocol).over(&upstream).await;
            let (status, reply) = chorus.ask(door, &ask(door, model, stream)).await;
            let words = words(&reply);
            assert_eq!(status, 502, "{protocol} {door} {model}: {reply}");
            assert!(words.contains("https://new.example/moved/here"), "{words}");
            assert!(words.contains("`api_base`"), "{words}");
            assert!(!words.contains("secret") && !words.contains("pw"), "{words}");
        }
        let once = upstream.seen().len();
        assert_eq!(once, ways().count(), "it is not tried again");
    }
}

#[tokio::test]
async fn a_redirect_of_embeddings_is_reported_too() {
    for (protocol, path) in [("openai", "/v1/embeddings"), ("ollama", "/api/embed")] {
        let script = Script::fails_saying(307, "").with_header("location", "/other/place");
        let upstream = Upstream::start([("m", script)]).await;
        let chorus = one_model(protocol).over(&upstream).await;
        let (status, reply) = chorus.ask(path, &json!({"model": "m", "input": "a"})).await;
        assert_eq!(status, 502, "{reply}");
        let target = format!("{}/other/place", upstream.base());
        assert!(words(&reply).contains(&target), "{reply}");
    }
}

#[tokio::test]
async fn a_class_hidden_under_another_status_is_named_and_not_tried_again() {
    for (status, message, want, named) in [
        (502, "Error 401 Unauthorized from https://p.example", 502, "configured key (401"),
        (500, "litellm.AuthenticationError: no", 502, "configured key (401"),
        (503, "Error code: 404 - {'error': 'no'}", 502, "no such model or path (404"),
        (502, "Invalid status code: 429", 429, ""),
        (500, "litellm.RateLimitError: slow", 429, ""),
        (500, "insufficient_quota", 502, "quota or credit"),
        (502, "litellm.BadRequestError: bad tool", 400, "refused the request (400"),
        (503, "maximum context length is 8192 tokens, you requested 9000", 400, "too long"),
    ] {
        for protocol in PROTOCOLS {
            let body = json!({"error": {"message": message, "code": status}}).to_string();
            let upstream = Upstream::start([("m", Script::fails_saying(status, &body))]).await;
            let chorus = one_model(protocol).over(&upstream).await;
            for (door, stream) in [("/v1/chat/completions", true), ("/api/chat", false)] {
                let before = upstream.seen().len();
                let (got, reply) = chorus.ask(door, &ask(door, "m", stream)).await;
                assert_eq!(got, want, "{protocol} {message}: {reply}");
                assert!(upstream.seen().len() - before <= 1, "{protocol} {message}");
                let out = words(&reply).contains("no endpoint is in service");
                assert!(out || words(&reply).contains(named), "{protocol} {message}: {reply}");
            }
            let before = upstream.seen().len();
            let (got, reply) = chorus.ask("/api/chat", &ask("/api/chat", "chorus", false)).await;
            let in_workflow = if want == 400 && !message.contains("context") { 502 } else { want };
            assert_eq!(got, in_workflow, "{protocol} {message}: {reply}");
            assert!(upstream.seen().len() - before <= 1, "{protocol} {message}");
        }
    }
}

#[tokio::test]
async fn a_hidden_fault_of_the_request_does_not_open_the_circuit() {
    let message = "This model's maximum context length is 8192 tokens, you requested 9000";
    let body = json!({"error": {"message": message}}).to_string();
    let script = Script::fails_saying(502, &body).first(8, Script::says("well"));
    let upstream = Upstream::start([("m", script)]).await;
    let chorus = one_model("openai").over(&upstream).await;
    for _ in 0..8 {
        let (status, reply) = chorus.ask("/api/chat", &ask("/api/chat", "m", false)).await;
        assert_eq!((status, code(&reply)), (400, "context_length_exceeded"), "{reply}");
    }
    let (status, reply) = chorus.ask("/api/chat", &ask("/api/chat", "m", false)).await;
    assert_eq!((status, &reply["message"]["content"]), (200, &json!("well")), "{reply}");
}

/// Refuses for length, in the words of each protocol.
fn too_long(protocol: &str) -> Script {
    let (status, body) = match protocol {
        "anthropic" => (
            400,
            json!({"type": "error", "error": {"type": "invalid_request_error",
                "message": "prompt is too long: 210000 tokens > 200000 maximum"}}),
        ),
        "gemini" => (
            400,
            json!({"error": {"code": 400, "status": "INVALID_ARGUMENT", "message":
                "The input token count (1048577) exceeds the maximum number of tokens allowed \
                 (1048576)."}}),
        ),
        "ollama" => (400, json!({"error": "the input length exceeds the context length"})),
        _ => (
            400,
            json!({"error": {"code": "context_length_exceeded", "type": "invalid_request_error",
                "message": "This model's maximum context length is 8192 tokens."}}),
        ),
    };
    Script::fails_saying(status, &body.to_string())
}

#[tokio::test]
async fn too_long_is_reported_as_too_long() {
    for protocol in PROTOCOLS {
        let upstream = Upstream::start([("m", too_long(protocol))]).await;
        let chorus = one_model(protocol).over(&upstream).await;
        for (door, model, stream) in ways() {
            let response = chorus.post(door, &ask(door, model, stream)).await;
            let retry = response.headers().get("x-should-retry").cloned();
            assert_eq!(response.status(), 400, "{protocol} {door} {model}");
            assert_eq!(retry.unwrap(), "false");
            let reply = body_of(response).await;
            assert_eq!(code(&reply), "context_length_exceeded", "{protocol} {door}: {reply}");
            if door.starts_with("/v1") {
                assert_eq!(reply["error"]["type"], "invalid_request_error");
                assert_eq!(reply["error"]["param"], "messages");
            }
        }
    }
}

#[tokio::test]
async fn too_long_for_the_writer_is_reported_too() {
    let upstream = Upstream::start([
        ("judge", Script::judges_for("b")),
        ("writer", too_long("openai")),
        ("a", Script::says("a draft of a")),
        ("b", Script::says("another of b, which is long")),
    ])
    .await;
    let chorus = four_stages(&["a", "b"]).over(&upstream).await;
    // No draft can stand in for a form that was asked for.
    let mut body = ask("/v1/chat/completions", "chorus", false);
    body["response_format"] = json!({"type": "json_object"});
    let (status, reply) = chorus.ask("/v1/chat/completions", &body).await;
    assert_eq!((status, code(&reply)), (400, "context_length_exceeded"), "{reply}");
    // A stream was opened when the first draft was there.
    body["stream"] = json!(true);
    let reply = chorus.objects("/v1/chat/completions", &body).await.pop().unwrap();
    assert_eq!(code(&reply), "context_length_exceeded", "{reply}");
}

#[tokio::test]
async fn some_too_long_and_others_down_is_a_failure_that_names_both() {
    let upstream = Upstream::start([
        ("judge", Script::judges_for("b")),
        ("writer", Script::fuses()),
        ("a", too_long("openai")),
        ("b", Script::fails(500)),
    ])
    .await;
    let chorus = four_stages(&["a", "b"]).without_retries().over(&upstream).await;
    let (status, reply) = chorus.ask("/api/chat", &ask("/api/chat", "chorus", false)).await;
    assert_eq!((status, code(&reply)), (502, "all_workers_failed"), "{reply}");
    let words = words(&reply);
    assert!(words.contains("too long") && words.contains("failed (500)"), "{words}");
}

#[tokio::test]
async fn a_stream_of_responses_that_has_begun_fails_with_the_code_of_length() {
    // The progress of a fast worker opens the stream before the writer is refused.
    let upstream = Upstream::start([
        ("judge", Script::judges_for("b")),
        ("writer", too_long("openai").after(std::time::Duration::from_millis(400))),
        ("a", Script::says("a draft of a")),
        ("b", Script::says("another of b, which is long")),
    ])
    .await;
    let setup = four_stages(&["a", "b"]).with("[server]\nheader_hold_secs = 0");
    let chorus = setup.over(&upstream).await;
    let body = json!({"model": "chorus", "input": "Why?", "stream": true,
        "text": {"format": {"type": "json_object"}}});
    let response = chorus.post("/v1/responses", &body).await;
    assert_eq!(response.status(), 200, "the stream has begun");
    let bytes = response.bytes().await.expect("a whole body");
    let text = String::from_utf8_lossy(&bytes);
    let failed = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let failed = failed.filter_map(|data| serde_json::from_str::<Value>(data).ok());
    let failed: Vec<Value> = failed.filter(|event| event["type"] == "response.failed").collect();
    assert_eq!(failed[0]["response"]["error"]["code"], "context_length_exceeded", "{failed:?}");
}

#[tokio::test]
async fn a_learned_context_spares_later_runs_a_refused_judge_and_writer() {
    let long = "word ".repeat(3000);
    // Whoever is shown more than its context refuses; what it says of it is remembered.
    let narrow = |text: &'static str| {
        Script::answers(move |seen| match seen.text().len() {
            0..=9000 => text.to_owned(),
            _ => String::new(),
        })
    };
    let refusal =
        json!({"error": {"message": "request (9000 tokens) exceeds the available context \
        size (2500 tokens), try increasing it", "type": "exceed_context_size_error",
        "n_prompt_tokens": 9000, "n_ctx": 2500}})
        .to_string();
    let refusing = Script::fails_saying(400, &refusal);
    let upstream = Upstream::start([
        ("judge", narrow("{\"best\": 1}")),
        ("writer", refusing.clone().first(1, narrow("written"))),
        ("a", Script::says(&format!("a {long}"))),
        ("b", Script::says(&format!("b {long} other"))),
    ])
    .await;
    let chorus = four_stages(&["a", "b"]).over(&upstream).await;
    for run in 0..3 {
        let (status, reply) = chorus.ask("/api/chat", &ask("/api/chat", "chorus", false)).await;
        assert_eq!(status, 200, "{reply}");
        assert_eq!(reply["message"]["content"], "written", "run {run}: {reply}");
    }
    assert_eq!(upstream.seen_by("writer").len(), 4, "one refusal in three runs");
}

#[tokio::test]
async fn a_long_wait_is_reported_and_not_sat_out_in_silence() {
    for (after, in_words, should_retry) in [
        ("300", "300 seconds", Some("false")),
        ("1800", "30 minutes", Some("false")),
        ("30", "", None),
    ] {
        let script = Script::fails(429).with_header("retry-after", after);
        let upstream = Upstream::start([("m", script)]).await;
        let setup = one_model("openai").with("[workflow.retry]\nmax_retries = 0");
        let chorus: Chorus = setup.over(&upstream).await;
        for (door, model, stream) in ways() {
            let response = chorus.post(door, &ask(door, model, stream)).await;
            assert_eq!(response.status(), 429, "{door} {model}");
            let header = |name| {
                let value = response.headers().get(name)?;
                Some(value.to_str().unwrap().to_owned())
            };
            assert_eq!(header("retry-after").as_deref(), Some(after));
            assert_eq!(header("x-should-retry").as_deref(), should_retry, "{door} {model} {after}");
            let reply = body_of(response).await;
            assert!(words(&reply).contains(in_words), "{reply}");
        }
    }
}

/// What llama-server says when its slots have used up the context they share.
const USED_UP: &str = "Context size has been exceeded.";

#[tokio::test]
async fn a_context_that_is_used_up_in_mid_answer_is_the_servers_capacity() {
    for protocol in PROTOCOLS {
        let script = Script::says("half of it").in_deltas(4).errs_after(2, USED_UP);
        let upstream = Upstream::start([("m", script)]).await;
        let chorus = one_model(protocol).over(&upstream).await;
        for stream in [true, false] {
            let objects = chorus.objects("/api/chat", &ask("/api/chat", "m", stream)).await;
            let reply = objects.last().expect("an error at the end");
            let words = words(reply);
            assert!(words.contains("`-np`") && words.contains("`max_concurrency`"), "{reply}");
            assert!(!words.contains("too long"), "{reply}");
        }
        // A draft is kept as far as it came.
        let mut body = ask("/api/chat", "chorus", false);
        body["include_workflow"] = json!(true);
        let (status, reply) = chorus.ask("/api/chat", &body).await;
        assert_eq!(status, 200, "{protocol}: {reply}");
        assert_eq!(reply["message"]["content"], "half o", "{protocol}: {reply}");
        assert_eq!(reply["done_reason"], "length", "{protocol}: {reply}");
        let warning = &reply["warnings"][0];
        assert_eq!(warning["code"], "capacity_exhausted", "{protocol}: {reply}");
    }
}

/// Nothing of a whole answer has gone out, so it can be asked for again.
#[tokio::test]
async fn a_whole_answer_that_broke_off_is_asked_for_again_and_a_stream_is_not() {
    for protocol in PROTOCOLS {
        let full = || {
            Script::says("one two three")
                .in_deltas(3)
                .errs_after(2, "Context size has been exceeded.")
        };
        let cut = || Script::says("one two three").in_deltas(3).cut_after(2);
        for breaks in [full(), cut()] {
            let upstream =
                Upstream::start([("m", breaks.first(2, Script::says("all of it")))]).await;
            let retry = "[workflow.retry]\nmax_retries = 2\nbase_delay_ms = 1\nmax_delay_ms = 2\n";
            let chorus = one_model(protocol).with(retry).over(&upstream).await;
            let (streamed, whole) = (
                chorus
                    .objects("/v1/chat/completions", &ask("/v1/chat/completions", "m", true))
                    .await,
                chorus.ask("/v1/chat/completions", &ask("/v1/chat/completions", "m", false)).await,
            );
            assert!(streamed.iter().any(|object| object.get("error").is_some()), "{streamed:?}");
            assert_eq!((whole.0, text_of(&whole.1)), (200, "all of it"), "{protocol}: {}", whole.1);
            assert_eq!(upstream.seen().len(), 3, "{protocol}: each broke off once");
        }
    }
}

#[tokio::test]
async fn a_worker_without_room_is_asked_again_when_the_others_have_ended() {
    let full = json!({"error": {"code": 500, "message": USED_UP, "type": "server_error"}});
    let crowded = Script::fails_saying(500, &full.to_string());
    let slow = Script::says("a draft of a").after(std::time::Duration::from_millis(700));
    let upstream = Upstream::start([
        ("judge", Script::judges_for("b")),
        ("writer", Script::fuses()),
        ("a", slow),
        ("b", crowded.first(1, Script::says("another of b"))),
    ])
    .await;
    let chorus = four_stages(&["a", "b"]).without_retries().over(&upstream).await;
    let (status, reply) = chorus.ask("/api/chat", &ask("/api/chat", "chorus", false)).await;
    assert_eq!(status, 200, "{reply}");
    let answer = reply["message"]["content"].as_str().unwrap();
    assert!(answer.contains("a draft of a") && answer.contains("another of b"), "{reply}");
    let asked = |model| upstream.seen_by(model).into_iter().map(|seen| seen.at).collect::<Vec<_>>();
    let (a, b) = (asked("a"), asked("b"));
    assert_eq!(b.len(), 2);
    assert!(b[1] - a[0] >= std::time::Duration::from_millis(600), "it waited for the other");
}

#[tokio::test]
async fn a_long_prompt_is_too_long_whatever_words_say_so() {
    // The same words about a prompt that may well be longer than the context.
    let full = json!({"error": {"code": 400, "message": USED_UP}}).to_string();
    let upstream = Upstream::start([("m", Script::fails_saying(400, &full))]).await;
    let setup = one_model("openai").model_keys("m", "context_tokens = 1024");
    let chorus = setup.over(&upstream).await;
    let long = question("/api/chat", "m", &"word ".repeat(1000), false);
    let (status, reply) = chorus.ask("/api/chat", &long).await;
    assert_eq!((status, code(&reply)), (400, "context_length_exceeded"), "{reply}");
}

#[tokio::test]
async fn parameters_refused_in_other_spellings_are_left_out() {
    for (protocol, field, message) in [
        ("openai", "presence_penalty", "m does not support parameter presencePenalty"),
        ("openai", "stop", "Argument not supported on this model: stop"),
        ("openai", "stop", "Unsupported parameter(s): stop"),
        ("openai", "seed", "json: unknown field \"seed\""),
        ("openai", "presence_penalty", "body.presence_penalty: Extra inputs are not permitted"),
        ("openai", "tool_choice", "toolChoice is not supported by this model"),
        ("ollama", "options.stop", "unsupported option: stop"),
        ("ollama", "options.presence_penalty", "presencePenalty is not supported"),
        ("anthropic", "stop_sequences", "stopSequences: Extra inputs are not permitted"),
        ("gemini", "generationConfig.stopSequences", "stop_sequences is not supported"),
        ("gemini", "generationConfig.presencePenalty", "presence penalty is not supported"),
    ] {
        let script = Script::says("well").refuses_saying(field, message);
        let upstream = Upstream::start([("m", script)]).await;
        let chorus = one_model(protocol).over(&upstream).await;
        for (number, stream) in [true, false].into_iter().enumerate() {
            let mut body = ask("/v1/chat/completions", "m", stream);
            body["stop"] = json!(["END"]);
            body["seed"] = json!(7);
            body["presence_penalty"] = json!(0.5);
            let parameters = json!({"type": "object", "properties": {}});
            let function = json!({"name": "f", "description": "f", "parameters": parameters});
            body["tools"] = json!([{"type": "function", "function": function}]);
            body["tool_choice"] = json!("auto");
            let response = chorus.post("/v1/chat/completions", &body).await;
            assert_eq!(response.status(), 200, "{protocol} {message}");
            drop(response.bytes().await);
            // Refused once, then remembered.
            assert_eq!(upstream.seen().len(), number + 2, "{protocol} {message}");
        }
    }
}
