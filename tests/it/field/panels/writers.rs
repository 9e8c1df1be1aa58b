//! A writer that fails.

use serde_json::{Value, json};

use crate::support::{Client, Script, Upstream, body_of, four_stages, question, text_of};

/// A tool, as an endpoint takes it.
fn tools(path: &str) -> Value {
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let function = json!({"name": "weather", "description": "Tells the weather.",
        "parameters": parameters});
    if path.ends_with("/responses") {
        return json!([{"type": "function", "name": "weather", "parameters": parameters}]);
    }
    json!([{"type": "function", "function": function}])
}

/// Everything of an answer: its status and what it says, as text.
async fn asked(client: &Client, path: &str, body: &Value) -> (u16, String) {
    let response = client.post(path, body).await;
    let status = response.status().as_u16();
    (status, body_of(response).await.0)
}

fn body(path: &str, stream: bool) -> Value {
    let mut body = match path {
        "/v1/responses" => json!({"model": "chorus", "input": "go", "stream": stream}),
        _ => question(path, "chorus", "go", stream),
    };
    body["tools"] = tools(path);
    body["include_workflow"] = json!(true);
    body
}

const PATHS: [&str; 3] = ["/v1/chat/completions", "/api/chat", "/v1/responses"];

/// With tools on the table an agent takes prose for the end of its task.
#[tokio::test]
async fn a_failed_writer_is_followed_by_one_that_can_call_tools_too() {
    for path in PATHS {
        for stream in [true, false] {
            let upstream = Upstream::start([
                ("judge", Script::judges_for("the better")),
                ("writer", Script::fails(500)),
                ("other", Script::fails(500)),
                ("a", Script::says("a draft in prose")),
                (
                    "b",
                    Script::says("the better draft in prose")
                        .first(1, Script::calls_tool("weather", json!({"city": "Oslo"}))),
                ),
            ])
            .await;
            let mut setup = four_stages(&["a", "b"]).with_models(&["other"]).without_retries();
            setup.plan()["synthesizer"]["fallback"] = json!(["other"]);
            let chorus = setup.over(&upstream).await;
            let (status, reply) = asked(&chorus, path, &body(path, stream)).await;
            assert_eq!(status, 200, "{path} {stream}: {reply}");
            assert!(
                reply.contains("Oslo") && reply.contains("weather"),
                "{path} {stream}: {reply}"
            );
            assert!(reply.contains(r#""status":"degraded""#), "{path} {stream}: {reply}");
            let asked = upstream.seen_by("b");
            assert_eq!((asked.len(), asked[1].has("tools")), (2, true), "{path} {stream}");
            assert_eq!(upstream.seen_by("other").len(), 1, "its fallbacks come first");
            assert_eq!(upstream.seen_by("a").len(), 1, "only the best draft's model writes");
        }
    }
}

#[tokio::test]
async fn prose_of_a_worker_is_no_answer_where_tools_may_be_called() {
    for path in PATHS {
        for stream in [true, false] {
            for choice in [None, Some("auto"), Some("required")] {
                let upstream = Upstream::start([
                    ("judge", Script::judges_for("the better")),
                    ("writer", Script::fails(500)),
                    ("a", Script::says("a draft in prose")),
                    ("b", Script::says("the better draft in prose").first(1, Script::fails(500))),
                ])
                .await;
                let setup = four_stages(&["a", "b"]).without_retries();
                let chorus = setup.over(&upstream).await;
                let mut body = body(path, stream);
                body["include_workflow"] = json!(false);
                if let Some(choice) = choice.filter(|_| path.starts_with("/v1/")) {
                    body["tool_choice"] = json!(choice);
                }
                let (status, reply) = asked(&chorus, path, &body).await;
                // A stream was opened when the first draft was there: its error comes inside it.
                let failed = status == 502 || (stream && reply.contains("upstream_error"));
                assert!(failed, "{path} {stream} {choice:?}: {status} {reply}");
                assert!(!reply.contains("in prose"), "{path} {stream} {choice:?}: {reply}");
            }
        }
    }
}

/// Paid work is not lost where no tool may be called.
#[tokio::test]
async fn a_draft_stands_in_where_no_tool_may_be_called() {
    for stream in [true, false] {
        let upstream = Upstream::start([
            ("judge", Script::judges_for("the better")),
            ("writer", Script::fails(500)),
            ("a", Script::says("a draft in prose")),
            ("b", Script::says("the better draft in prose")),
        ])
        .await;
        let chorus = four_stages(&["a", "b"]).without_retries().over(&upstream).await;
        let path = "/v1/chat/completions";
        for with in [json!({"tool_choice": "none"}), json!({"tools": null})] {
            let mut body = body(path, stream);
            for (name, value) in with.as_object().unwrap() {
                body[name] = value.clone();
            }
            let objects = match stream {
                true => chorus.objects(path, &body).await,
                false => vec![chorus.ask(path, &body).await.1],
            };
            let text: String = objects.iter().map(text_of).collect();
            assert_eq!(text, "the better draft in prose", "{body}");
        }
    }
}

/// A client that waits for the whole answer has nothing of one that breaks off.
#[tokio::test]
async fn a_writer_that_dies_in_the_middle_of_a_whole_answer_is_followed_by_another() {
    for ending in [Ending::Cut, Ending::Error, Ending::Nothing] {
        for path in PATHS {
            let dies = || {
                let half = Script::says("half of an answer that nobody gets").in_deltas(8);
                match ending {
                    Ending::Cut => half.cut_after(4),
                    Ending::Error => half.errs_after(4, "out of memory"),
                    Ending::Nothing => half.ends_after(4),
                }
            };
            for (fallback, want) in
                [(json!([]), "the better draft"), (json!(["other"]), "all of it")]
            {
                let upstream = Upstream::start([
                    ("judge", Script::judges_for("the better")),
                    ("writer", dies()),
                    ("other", Script::says("all of it")),
                    ("a", Script::says("a draft")),
                    ("b", Script::says("the better draft")),
                ])
                .await;
                let mut setup = four_stages(&["a", "b"]).with_models(&["other"]).without_retries();
                setup.plan()["synthesizer"]["fallback"] = fallback;
                let chorus = setup.over(&upstream).await;
                let mut body = body(path, false);
                body.as_object_mut().unwrap().remove("tools");
                let (status, answer) = chorus.ask(path, &body).await;
                let text = match path {
                    "/v1/responses" => answer["output"][0]["content"][0]["text"].as_str().unwrap(),
                    _ => text_of(&answer),
                };
                assert_eq!((status, text), (200, want), "{ending:?} {path}: {answer}");
                assert_eq!(answer["workflow"]["status"], "degraded", "{ending:?} {path}");
                let first = answer["workflow"]["first_token_ms"].as_u64();
                assert!(first <= answer["workflow"]["total_ms"].as_u64(), "{path}: {answer}");
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    Cut,
    Error,
    Nothing,
}

/// A plan without a synthesizer: the workers' models get the tools alone, the next one where one fails.
#[tokio::test]
async fn without_a_writer_the_next_worker_gets_the_tools_when_the_first_one_fails() {
    for path in PATHS {
        for stream in [true, false] {
            let upstream = Upstream::start([
                ("judge", Script::judges_for("any")),
                ("a", Script::fails(500)),
                ("b", Script::calls_tool("weather", json!({"city": "Oslo"}))),
            ])
            .await;
            let mut setup = four_stages(&["a", "b"]).without_retries();
            setup.plan().as_object_mut().unwrap().remove("synthesizer");
            let chorus = setup.over(&upstream).await;
            let (status, reply) = asked(&chorus, path, &body(path, stream)).await;
            assert_eq!(status, 200, "{path} {stream}: {reply}");
            assert!(reply.contains("Oslo"), "{path} {stream}: {reply}");
            assert!(reply.contains(r#""status":"degraded""#), "{path} {stream}: {reply}");
            assert!(reply.contains(r#""attempts":2"#), "{path} {stream}: {reply}");
            assert_eq!(["a", "b"].map(|name| upstream.seen_by(name).len()), [1, 1], "{path}");
            assert!(upstream.seen_by("b")[0].has("tools"), "{path} {stream}");
        }
    }
}
