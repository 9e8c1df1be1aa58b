//! What fails does not take the answer with it, and is never kept quiet.

use futures::{StreamExt, future::join_all};
use serde_json::{Value, json};

use crate::support::{
    Chorus, ENDPOINTS, Event, Events, Script, Upstream, four_stages, ms, question, text_of,
};

const CHAT: &str = "/v1/chat/completions";

/// Time limits that a story can wait for.
const SHORT: &str = "[workflow.timeouts]\nworker_timeout_secs = 1\nsynthesizer_timeout_secs = 1\n\
                     selector_timeout_secs = 1\nanalyzer_timeout_secs = 1\n";

/// A fresh one, which has put no endpoint out of service yet.
async fn over(upstream: &Upstream, workers: &[&str]) -> Chorus {
    four_stages(workers).without_retries().with(SHORT).over(upstream).await
}

fn asking(path: &str, stream: bool) -> Value {
    let mut body = question(path, "chorus", "hi", stream);
    body["include_workflow"] = json!(true);
    body
}

/// The story on every endpoint, streamed and not, all at once: several wait for a time limit.
async fn each_way<F: Future<Output = ()>>(story: impl Fn(&'static str, bool) -> F) {
    let ways = ENDPOINTS.into_iter().flat_map(|path| [(path, false), (path, true)]);
    futures::future::join_all(ways.map(|(path, stream)| story(path, stream))).await;
}

fn all_text(objects: &[Value]) -> String {
    objects.iter().map(text_of).collect()
}

fn final_field<'a>(objects: &'a [Value], field: &str) -> &'a Value {
    objects.iter().find_map(|object| object.get(field)).unwrap_or(&Value::Null)
}

/// One bad worker of three, and the code its record must have (empty: any).
fn bad_workers() -> Vec<(Script, &'static str)> {
    vec![
        (Script::fails(500), "upstream_error"),
        (Script::fails(401), "upstream_unauthorized"),
        (Script::fails_saying(502, "<html>bad gateway</html>"), "upstream_error"),
        (Script::hangs(), "timeout"),
        (Script::says("abc").hangs_after(1), "timeout"),
        (Script::says("abc").only_pings_after(1, ms(20)), "timeout"),
        (Script::trickles(ms(20)), "timeout"),
        (Script::says_garbage(), "garbled_response"),
        (Script::floods_one_line(), ""),
        (Script::floods(), ""),
        (Script::says("abc").cut_after(0), ""),
        (Script::says("abc").cut_after(2), "truncated"),
        (Script::says("abc").cut_in_chunk_after(2), "truncated"),
        (Script::says("abc").ends_after(2), "truncated"),
        (Script::says("abc").errs_after(1, "out of memory"), "upstream_stream_error"),
        (Script::says(""), "empty_answer"),
        (Script::says("abc").finishing_with("content_filter"), "content_filter"),
    ]
}

#[tokio::test]
async fn one_bad_worker_of_three_is_named_and_left_out() {
    let stories = bad_workers().into_iter().map(|(script, code)| async move {
        let name = format!("{:?} {:?}", script.content(), script.ending());
        let upstream = Upstream::start([
            ("judge", Script::judges_for("good")),
            ("writer", Script::fuses()),
            ("first", Script::says("good one")),
            ("bad", script),
            ("second", Script::says("another good one")),
        ])
        .await;
        let mut chorus = over(&upstream, &["first", "bad", "second"]).await;
        for stream in [false, true] {
            if stream && code == "upstream_unauthorized" {
                // By now the endpoint is out of service.
                chorus = over(&upstream, &["first", "bad", "second"]).await;
            }
            let events = chorus.stream(CHAT, &asking(CHAT, stream)).await;
            assert_eq!(events.status, 200, "{name}");
            if !stream {
                assert_eq!(events.headers["x-chorus-status"], "degraded", "{name}");
            }
            let objects = events.rest().await;
            assert!(all_text(&objects).contains("good one"), "{name}: {objects:?}");
            assert!(!all_text(&objects).contains("abc"), "{name}: {objects:?}");
            let trace = final_field(&objects, "workflow");
            assert_eq!(trace["status"], "degraded", "{name}: {trace}");
            let worker = &trace["workers"][1];
            assert_eq!((&worker["name"], &worker["success"]), (&json!("bad"), &json!(false)));
            let got = worker["error"]["code"].as_str().expect("a code");
            assert!(code.is_empty() || got == code, "{name}: {got} instead of {code}");
            assert!(worker["error"]["message"].is_string(), "{name}");
            if code == "timeout" {
                assert_eq!(worker["status"], "timeout", "{name}");
            }
            let warning = &final_field(&objects, "warnings")[0];
            assert_eq!((&warning["stage"], &warning["name"]), (&json!("worker"), &json!("bad")));
        }
        upstream.idle().await;
    });
    // A few at a time: good workers have only a second as well.
    futures::stream::iter(stories).buffer_unordered(5).collect::<Vec<()>>().await;
}

#[tokio::test]
async fn a_warning_comes_without_being_asked_for() {
    let upstream = Upstream::start([
        ("judge", Script::judges_for("good")),
        ("writer", Script::fuses()),
        ("good", Script::says("good one")),
        ("bad", Script::fails(500)),
    ])
    .await;
    for path in ENDPOINTS {
        let chorus = over(&upstream, &["good", "bad"]).await;
        for stream in [false, true] {
            let objects = chorus.objects(path, &question(path, "chorus", "hi", stream)).await;
            let warnings = final_field(&objects, "warnings");
            assert_eq!(warnings[0]["name"], "bad", "{path} {stream}: {objects:?}");
            assert_eq!(warnings[0]["code"], "upstream_error", "{path} {stream}");
            assert!(final_field(&objects, "workflow").is_null(), "{path} {stream}");
        }
    }
}

#[tokio::test]
async fn when_every_worker_fails_each_is_named() {
    let rate_limited = |after| Script::fails(429).with_header("retry-after", after);
    for (bad, status, code) in [
        ([Script::fails(500), Script::says_garbage()], 502, "all_workers_failed"),
        ([Script::fails(500), rate_limited("9")], 502, "all_workers_failed"),
        ([rate_limited("9"), rate_limited("4")], 429, "rate_limit_exceeded"),
        ([Script::hangs(), Script::trickles(ms(20))], 504, "timeout"),
    ] {
        let [first, second] = bad;
        let upstream = Upstream::start([
            ("judge", Script::judges_for("")),
            ("writer", Script::fuses()),
            ("first", first),
            ("second", second),
        ])
        .await;
        for path in ENDPOINTS {
            let chorus = over(&upstream, &["first", "second"]).await;
            for stream in [false, true] {
                let response = chorus.post(path, &asking(path, stream)).await;
                assert_eq!(response.status(), status, "{path} {stream}");
                if status == 429 {
                    assert_eq!(response.headers()["retry-after"], "4", "the smallest");
                }
                let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
                let error = &body["error"];
                let (message, got) = match error.as_str() {
                    Some(message) => (message, &body["code"]),
                    None => (error["message"].as_str().unwrap_or_default(), &error["code"]),
                };
                assert_eq!(got, code, "{path}: {body}");
                if code == "all_workers_failed" {
                    assert!(message.contains("first: ") && message.contains("second: "), "{body}");
                }
                assert_eq!(body["workflow"]["status"], "failed", "{path}: {body}");
            }
        }
    }
}

/// Analyses well; as a selector it does this.
fn judge_that(selects: &'static str) -> Script {
    Script::answers(move |seen| {
        if seen.asks_for_analysis() {
            r#"{"task_type": "question", "temperature": 0.3, "language": "en"}"#.to_owned()
        } else {
            selects.to_owned()
        }
    })
}

#[tokio::test]
async fn a_nonsense_verdict_falls_back_to_the_consensus() {
    for nonsense in
        ["I like them all!", r#"{"reason": "", "scores": {}, "best": 99}"#, "{\"best\":"]
    {
        let upstream = Upstream::start([
            ("judge", judge_that(nonsense)),
            ("writer", Script::fuses()),
            ("odd", Script::says("quite another matter")),
            ("alike-1", Script::says("the sky is blue because of scattering")),
            ("alike-2", Script::says("the sky is blue because of Rayleigh scattering")),
        ])
        .await;
        let chorus = over(&upstream, &["odd", "alike-1", "alike-2"]).await;
        let (status, answer) = chorus.ask(CHAT, &asking(CHAT, false)).await;
        assert_eq!(status, 200, "{answer}");
        assert!(text_of(&answer).starts_with("the sky is blue"), "{answer}");
        let trace = &answer["workflow"];
        assert_eq!(trace["selector"]["fallback"], true, "{nonsense}: {trace}");
        assert_ne!(trace["selector"]["selected_worker"], "odd", "{nonsense}");
        assert_eq!(trace["status"], "degraded", "{nonsense}");
        let verdicts = upstream.seen_by("judge");
        let verdicts = verdicts.iter().filter(|seen| !seen.asks_for_analysis());
        assert_eq!(verdicts.count(), 2, "{nonsense}: one repair try");
    }
}

#[tokio::test]
async fn an_analyzer_that_fails_only_gives_no_advice() {
    for judge in [Script::fails(500), Script::hangs(), Script::says("no JSON at all")] {
        let upstream = Upstream::start([
            ("judge", judge),
            ("writer", Script::fuses()),
            ("only", Script::says("the draft")),
        ])
        .await;
        let chorus = over(&upstream, &["only"]).await;
        let (status, answer) = chorus.ask(CHAT, &asking(CHAT, false)).await;
        assert_eq!((status, text_of(&answer)), (200, "the draft"), "{answer}");
        assert_eq!(answer["workflow"]["analyzer"]["success"], false);
    }
}

#[tokio::test]
async fn a_synthesizer_dead_before_its_first_token_has_a_fallback() {
    for writer in [
        Script::fails(500),
        Script::hangs(),
        Script::says("abc").cut_after(0),
        Script::says("abc").ends_after(0),
        Script::says_garbage(),
    ] {
        let name = format!("{:?} {:?}", writer.content(), writer.ending());
        let upstream = Upstream::start([
            ("judge", Script::judges_for("good")),
            ("writer", writer),
            ("spare", Script::says("the spare writer's answer")),
            ("good", Script::says("the good draft, which is long enough for several pieces")),
            ("other", Script::says("something else")),
        ])
        .await;
        for (fallback, want) in [
            (json!([]), "the good draft, which is long enough for several pieces"),
            (json!(["spare"]), "the spare writer's answer"),
        ] {
            let mut setup = four_stages(&["good", "other"]).with_models(&["spare"]);
            setup.plan()["synthesizer"]["fallback"] = fallback;
            let chorus = &setup.without_retries().with(SHORT).over(&upstream).await;
            let name = &name;
            each_way(|path, stream| async move {
                let objects = chorus.objects(path, &asking(path, stream)).await;
                assert_eq!(all_text(&objects), want, "{name} {path}");
                let trace = final_field(&objects, "workflow");
                assert_eq!(trace["synthesizer"]["fallback"], true, "{name}: {trace}");
                assert_eq!(trace["status"], "degraded", "{name}");
            })
            .await;
        }
    }
}

/// The stream ended as a failure: an error, and nothing that looks like a good end.
async fn ends_as_an_error(events: Events, path: &str) {
    let events = events.all().await;
    let objects: Vec<&Value> = (events.iter())
        .filter_map(|event| match event {
            Event::Object(object) => Some(object),
            _ => None,
        })
        .collect();
    let last = objects.last().expect("something came");
    assert!(last.get("error").is_some_and(|error| !error.is_null()), "{path}: {events:?}");
    for object in objects {
        assert!(object["choices"][0]["finish_reason"].is_null(), "{path}: {object}");
        assert!(object.get("done_reason").is_none(), "{path}: {object}");
    }
}

#[tokio::test]
async fn a_synthesizer_cut_after_some_tokens_is_an_error_and_no_end() {
    for writer in [
        Script::says("abc").cut_after(2),
        Script::says("abc").cut_in_chunk_after(2),
        Script::says("abc").ends_after(2),
        Script::says("abc").errs_after(2, "out of memory"),
        Script::says("abc").hangs_after(2),
    ] {
        let upstream = Upstream::start([
            ("judge", Script::judges_for("good")),
            ("writer", writer),
            ("good", Script::says("the good draft")),
            ("other", Script::says("something else")),
        ])
        .await;
        let chorus = &over(&upstream, &["good", "other"]).await;
        each_way(|path, stream| async move {
            if !stream {
                // Nobody has seen anything of it yet.
                let (status, answer) = chorus.ask(path, &asking(path, false)).await;
                let answer = answer.to_string();
                assert!(status == 200 && answer.contains("the good draft"), "{path}: {answer}");
                return;
            }
            let mut events = chorus.stream(path, &asking(path, true)).await;
            assert_eq!(events.status, 200, "{path}");
            let mut text = String::new();
            while text.len() < 2 {
                text.push_str(&events.text().await.expect("the tokens before the cut"));
            }
            assert_eq!(text, "ab", "{path}");
            ends_as_an_error(events, path).await;
        })
        .await;
    }
}

#[tokio::test]
async fn what_can_be_tried_again_is() {
    let upstream = Upstream::start([
        ("moody", Script::fails(503).first(2, Script::says("at last"))),
        ("picky", Script::says("fine").refuses("temperature")),
    ])
    .await;
    let setup = four_stages(&["moody", "picky"]);
    let chorus = setup.with("[workflow.retry]\nbase_delay_ms = 1").over(&upstream).await;
    let mut body = question(CHAT, "moody", "hi", false);
    body["include_workflow"] = json!(true);
    let (status, answer) = chorus.ask(CHAT, &body).await;
    assert_eq!((status, text_of(&answer)), (200, "at last"), "{answer}");
    assert_eq!(upstream.seen_by("moody").len(), 3);
    let calls = answer["workflow"]["synthesizer"]["calls"].as_array().expect("each exchange");
    let outcomes: Vec<_> = calls.iter().map(|call| call["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["upstream_error", "upstream_error", "ok"]);
    assert!(calls.iter().all(|call| call["endpoint"] == upstream.authority().as_str()));

    let mut body = question(CHAT, "picky", "hi", false);
    body["temperature"] = json!(0.5);
    for calls in [2, 3] {
        let (status, answer) = chorus.ask(CHAT, &body).await;
        assert_eq!((status, text_of(&answer)), (200, "fine"), "{answer}");
        assert_eq!(upstream.seen_by("picky").len(), calls, "the refusal is remembered");
    }
}

/// Ollama's form wants an object. An SDK that took the 502 for a hiccup would pay twice more.
#[tokio::test]
async fn a_tool_call_that_cannot_be_passed_on_is_a_failed_run() {
    let upstream = Upstream::start([("m", Script::calls_tool("f", json!([1])))]).await;
    let chorus = four_stages(&["m"]).over(&upstream).await;
    for stream in [false, true] {
        let mut body = question("/api/chat", "m", "hi", stream);
        body["tools"] = json!([{"type": "function", "function": {"name": "f"}}]);
        let response = chorus.post("/api/chat", &body).await;
        assert_eq!(response.status(), 502, "{stream}");
        assert_eq!(response.headers()["x-should-retry"], "false");
        assert!(response.headers().contains_key("x-chorus-workflow-id"));
    }
}

/// Once the headers are out, silence is filled and a failure can no longer be a status.
#[tokio::test]
async fn a_stream_that_opened_early_beats_and_still_ends_as_an_error() {
    let late = || Script::fails(500).after(ms(400));
    let upstream = Upstream::start([("m", late()), ("judge", late()), ("writer", late())]).await;
    let quick = "[server]\nheader_hold_secs = 0\nheartbeat_secs = 0.1";
    let chorus = &four_stages(&["m"]).without_retries().with(quick).over(&upstream).await;
    let forms = [
        ("/v1/chat/completions", "*/*"),
        ("/v1/completions", "*/*"),
        ("/v1/responses", "*/*"),
        ("/api/chat", "application/json"),
        ("/api/chat", "text/event-stream"),
        ("/api/generate", "application/json"),
        ("/api/generate", "text/event-stream"),
    ];
    let asked = ["m", "chorus"].into_iter().flat_map(|model| forms.map(|form| (model, form)));
    // All at once: each of them waits.
    join_all(asked.map(|(model, (path, accept))| async move {
        let mut body = question(path, model, "hi", true);
        // No progress, so that there is silence.
        body["think"] = json!(false);
        body["reasoning"] = json!({"effort": "none"});
        let response = chorus.post_with(path, &body, &[("accept", accept)]).await;
        assert_eq!(response.status(), 200, "{path} {accept}");
        let (mut text, mut chunks) = (String::new(), response.bytes_stream());
        let broken = loop {
            match chunks.next().await {
                Some(Ok(bytes)) => text.push_str(std::str::from_utf8(&bytes).expect("UTF-8")),
                Some(Err(_)) => break true,
                None => break false,
            }
        };
        assert_eq!(broken, accept == "application/json", "{path} {accept}: a break, or an end");
        let (beat, end) = match accept {
            "application/json" => ("\"done\":false}\n", "\"done\":true}\n"),
            _ => (": keep-alive\n\n", "data: [DONE]\n\n"),
        };
        assert!(text.contains(beat) && text.ends_with(end), "{path} {accept}: {text}");
        assert!(text.contains("\"error\":{\"") || text.contains("\"error\":\""), "{text}");
        for good in ["\"done_reason\"", "_reason\":\"stop", "response.completed", "\n\n\n"] {
            assert!(!text.contains(good), "{path} {accept}: {text}");
        }
    }))
    .await;
}
