//! What a stream says before its answer, and when it begins to.

use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    Chorus, Event, Gate, Script, Setup, Upstream, four_stages, ms, question, soon,
};

const PATHS: [&str; 3] = ["/v1/chat/completions", "/api/chat", "/v1/responses"];

fn body(path: &str, question: &str) -> Value {
    if path == "/v1/responses" {
        return json!({"model": "chorus", "input": question, "stream": true});
    }
    let messages = json!([{"role": "user", "content": question}]);
    json!({"model": "chorus", "messages": messages, "stream": true})
}

/// What stands in the reasoning channel of a stream, and its answer.
async fn streamed(chorus: &Chorus, path: &str, question: &str) -> (String, String) {
    let (mut progress, mut answer) = (String::new(), String::new());
    let response = chorus.post(path, &body(path, question)).await;
    assert_eq!(response.status(), 200);
    for line in response.text().await.unwrap().lines() {
        let line = line.strip_prefix("data: ").unwrap_or(line);
        let Ok(object) = serde_json::from_str::<Value>(line) else { continue };
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or("");
        progress.push_str(text("/choices/0/delta/reasoning_content"));
        progress.push_str(text("/message/thinking"));
        answer.push_str(text("/choices/0/delta/content"));
        answer.push_str(text("/message/content"));
        match text("/type") {
            "response.reasoning_summary_text.delta" => progress.push_str(text("/delta")),
            "response.output_text.delta" => answer.push_str(text("/delta")),
            _ => {}
        }
    }
    // What marks the lines as Chorus' own shows nothing.
    (progress.replace('\u{2063}', ""), answer)
}

fn cast(writer: Script, language: &'static str) -> [(&'static str, Script); 4] {
    let judge = Script::answers(move |seen| {
        if seen.asks_for_analysis() {
            return json!({"task_type": "question", "temperature": 0.3, "language": language})
                .to_string();
        }
        json!({"reason": "it is", "scores": {}, "best": "1"}).to_string()
    });
    [
        ("judge", judge),
        ("writer", writer),
        ("a", Script::says("The first draft.")),
        ("b", Script::says("Another one entirely.")),
    ]
}

fn panel() -> Setup {
    four_stages(&["a", "b"]).without_retries()
}

#[tokio::test]
async fn a_failed_writer_is_reported_with_what_follows() {
    for path in PATHS {
        let upstream = Upstream::start(cast(Script::fails(500), "en")).await;
        let chorus = panel().over(&upstream).await;
        let (progress, answer) = streamed(&chorus, path, "why?").await;
        let draft = if answer == "The first draft." { "a" } else { "b" };
        let want = format!("writer writer failed (upstream_error); the draft of {draft} follows");
        assert!(progress.lines().any(|line| line == want), "{path}: {progress}");

        let mut setup = panel().with_models(&["spare"]);
        setup.plan()["synthesizer"]["fallback"] = json!(["spare"]);
        let cast = cast(Script::hangs(), "en").into_iter();
        let cast = cast.chain([("spare", Script::says("from the spare"))]);
        let cast = cast.map(|(name, script)| (name.to_owned(), script));
        let upstream = Upstream::start_with(cast).await;
        let short = "[workflow.timeouts]\nsynthesizer_timeout_secs = 0.5";
        let chorus = setup.with(short).over(&upstream).await;
        let (progress, answer) = streamed(&chorus, path, "why?").await;
        assert_eq!(answer, "from the spare", "{path}");
        let want = "writer writer failed (timeout); spare writes";
        assert!(progress.lines().any(|line| line == want), "{path}: {progress}");
    }
}

#[tokio::test]
async fn progress_says_what_begins_in_the_language_of_the_question() {
    for (question, language, lines) in [
        ("why?", "en", vec!["analyzing with judge", "asking a, b", "writing with writer"]),
        (
            "为什么？",
            "zh",
            vec!["正在用 judge 分析问题", "正在询问 a、b", "正在用 writer 撰写回答"],
        ),
        // The analysis knows better than the characters.
        ("你好 means?", "en", vec!["writing with writer"]),
    ] {
        for path in PATHS {
            let writer = Script::says("the answer");
            let upstream = Upstream::start(cast(writer, language)).await;
            let chorus = panel().over(&upstream).await;
            let (progress, answer) = streamed(&chorus, path, question).await;
            assert_eq!(answer, "the answer");
            for line in &lines {
                let found = progress.lines().any(|shown| shown == *line);
                assert!(found, "{path} {question}: {line} in {progress}");
            }
        }
    }
}

#[tokio::test]
async fn finished_drafts_are_shown_where_they_are_wanted() {
    for (keys, shown) in [("progress = \"drafts\"", true), ("progress = \"auto\"", false)] {
        for path in PATHS {
            let upstream = Upstream::start(cast(Script::says("the answer"), "en")).await;
            let chorus = panel().with(&format!("[server]\n{keys}")).over(&upstream).await;
            let (progress, answer) = streamed(&chorus, path, "why?").await;
            assert_eq!(answer, "the answer", "{path}");
            for draft in ["draft of a:\nThe first draft.\n", "draft of b:\nAnother one entirely.\n"]
            {
                assert_eq!(progress.contains(draft), shown, "{path}: {progress}");
            }
        }
    }
}

#[tokio::test]
async fn drafts_that_were_cut_are_reported() {
    let long = "This is a long draft. ".repeat(400);
    let upstream = Upstream::start([
        ("judge", Script::judges_for("")),
        ("writer", Script::says("the answer")),
        ("a", Script::says(&long)),
        ("b", Script::says(&format!("{long} In other words, no."))),
    ])
    .await;
    let setup = panel().model_keys("writer", "context_tokens = 4096");
    let chorus = setup.over(&upstream).await;
    for path in PATHS {
        let (progress, _) = streamed(&chorus, path, "why?").await;
        let want = "the drafts do not fit the context of writer (4096 tokens)";
        assert!(progress.contains(want), "{path}: {progress}");
    }
}

/// Every form of stream.
const FORMS: [&str; 5] =
    ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/api/chat", "/api/generate"];

/// What each of them is asked by.
fn asked(path: &str) -> Value {
    match path {
        "/v1/responses" => body(path, "why?"),
        _ => question(path, "chorus", "why?", true),
    }
}

/// Nobody looks at nothing until the writer speaks, or a worker begins to.
#[tokio::test]
async fn a_stream_opens_soon_after_the_first_stage_whatever_it_is() {
    let hold = "[server]\nheader_hold_secs = 3600";
    let cases = [hold.to_owned(), format!("{hold}\nprogress = \"off\"")].map(|keys| {
        [
            (keys.clone(), Script::judges_for(""), Script::hangs()),
            (keys.clone(), Script::fails(500), Script::hangs()),
            (keys, Script::hangs(), Script::fails(500)),
        ]
    });
    join_all(cases.into_iter().flatten().map(async |(keys, judge, a)| {
        let cast =
            [("judge", judge), ("writer", Script::hangs()), ("a", a), ("b", Script::hangs())];
        let upstream = Upstream::start(cast).await;
        let chorus = panel().with(&keys).over(&upstream).await;
        // They would wait for ever.
        join_all(FORMS.map(async |path| {
            let mut response = chorus.post(path, &asked(path)).await;
            assert_eq!(response.status(), 200, "{path}");
            let first = soon("a sign of life", response.chunk()).await.unwrap();
            assert!(first.is_some_and(|bytes| !bytes.is_empty()), "{path}");
        }))
        .await;
    }))
    .await;
}

/// What fails before a second has passed since then has a real status.
#[tokio::test]
async fn a_failure_right_behind_the_first_stage_has_its_status() {
    for path in FORMS {
        for status in [500, 400] {
            let upstream = Upstream::start([
                ("judge", Script::judges_for("")),
                ("writer", Script::hangs()),
                ("a", Script::fails(status)),
                ("b", Script::fails(status).after(ms(50))),
            ])
            .await;
            let chorus = panel().over(&upstream).await;
            let (status, error) = chorus.ask(path, &asked(path)).await;
            assert!(status >= 400, "{path}: {status} {error}");
        }
    }
}

/// Nobody looks at nothing until the writer speaks.
#[tokio::test]
async fn a_stream_opens_when_a_worker_has_answered_or_has_begun() {
    let hold = "[server]\nheader_hold_secs = 3600";
    for path in ["/v1/chat/completions", "/api/chat", "/api/generate", "/v1/responses"] {
        for first in [Script::says("a draft"), Script::says("a draft, slowly").hangs_after(1)] {
            let gate = Gate::shut();
            let upstream = Upstream::start([
                ("judge", Script::judges_for("")),
                ("writer", Script::says("the answer").waits_before_headers(&gate)),
                ("a", first),
                ("b", Script::says("another").waits_before_headers(&gate)),
            ])
            .await;
            let chorus = panel().with(hold).over(&upstream).await;
            let mut body = body(path, "why?");
            if path == "/api/generate" {
                body = json!({"model": "chorus", "prompt": "why?", "think": true});
            }
            // It would wait for ever.
            let mut events = chorus.stream(path, &body).await;
            assert_eq!(events.status, 200, "{path}");
            let event = events.next().await;
            assert!(matches!(event, Some(Event::Object(_) | Event::Broken(_))), "{path}");
        }
        let hanging = ["judge", "writer", "a", "b"].map(|name| (name, Script::hangs()));
        let upstream = Upstream::start(hanging).await;
        let chorus = panel().with(hold).over(&upstream).await;
        let body = asked(path);
        let waiting = chorus.try_post(path, &body, &[]);
        let opened = tokio::time::timeout(Duration::from_millis(1500), waiting).await;
        assert!(opened.is_err(), "{path}: nothing has ended, and a failure has a real status");
    }
}

#[tokio::test]
async fn workers_that_failed_for_the_same_reason_are_named_together() {
    for stream in [true, false] {
        let upstream = Upstream::start([
            ("judge", Script::judges_for("")),
            ("writer", Script::says("the answer")),
            ("a", Script::fails(500)),
            ("b", Script::fails(500).after(ms(50))),
        ])
        .await;
        let chorus = panel().over(&upstream).await;
        let messages = json!([{"role": "user", "content": "why?"}]);
        let body = json!({"model": "chorus", "messages": messages, "stream": stream});
        let (status, error) = chorus.ask("/v1/chat/completions", &body).await;
        let message = error["error"]["message"].as_str().unwrap();
        assert_eq!(status, 502, "{message}");
        assert!(message.contains("a, b: "), "{message}");
        assert_eq!(message.matches("failing with").count(), 1, "{message}");
    }
}

#[tokio::test]
async fn a_stage_that_waits_for_its_permits_is_reported() {
    for path in PATHS {
        // Two workers of one model that takes one call at a time.
        let slow = Script::says("The first draft.").after(ms(2000));
        let upstream = Upstream::start([
            ("judge", Script::judges_for("first")),
            ("writer", Script::says("the answer")),
            ("a", slow),
        ])
        .await;
        let mut setup = four_stages(&["a"]).without_retries();
        setup.plan()["workers"] = json!([{"ref": "a", "samples": 2}]);
        let chorus = setup.model_keys("a", "max_concurrency = 1").over(&upstream).await;
        let (progress, answer) = streamed(&chorus, path, "why?").await;
        assert!(!answer.is_empty(), "{path}");
        let queued = progress.lines().filter(|line| line.contains("queued, waiting"));
        let queued: Vec<&str> = queued.collect();
        assert_eq!(queued.len(), 1, "{path}: {progress}");
        assert!(queued.iter().all(|line| line.starts_with("worker a#")), "{path}: {progress}");
    }
}
