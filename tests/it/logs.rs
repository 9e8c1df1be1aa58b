//! The real binary: what its logs hold and do not hold, and what its environment cannot do to it.

use serde_json::{Value, json};

use crate::support::{
    ENDPOINTS, Launch, Process, Script, Upstream, four_stages, question, text_of,
};

const PROMPT: &str = "prompt-marker-7391";
const ANSWER: &str = "answer-marker-5823";
/// Part of every key in the harness's configs.
const KEY: &str = "sk-key-of-";

async fn upstream() -> Upstream {
    let draft = || Script::says(ANSWER);
    Upstream::start([
        ("judge", Script::judges_for(ANSWER)),
        ("writer", Script::says(ANSWER)),
        ("good", draft()),
        ("broken", Script::fails_saying(500, &format!("cannot do {PROMPT} with {KEY}broken"))),
        ("garbled", Script::sends("text/event-stream", format!("data: {ANSWER}\n\n").as_bytes())),
        ("erring", draft().errs_after(1, &format!("no {ANSWER} for {PROMPT}"))),
        ("cut", draft().cut_after(1)),
        ("early", draft().ends_after(1)),
        ("refusing", Script::fails_saying(400, &format!("{{\"error\":\"{PROMPT}\"}}"))),
        ("limited", Script::fails(429).with_header("retry-after", "60")),
    ])
    .await
}

const WORKERS: [&str; 8] =
    ["good", "broken", "garbled", "erring", "cut", "early", "refusing", "limited"];

#[tokio::test]
async fn at_trace_no_key_no_prompt_and_no_answer_is_logged() {
    let upstream = upstream().await;
    let health = "[workflow.health]\nfailure_threshold = 100\nfailure_ratio = 1.0";
    let config = four_stages(&WORKERS).without_retries().with(health).toml();
    let process = Process::serves(&upstream, &config, "trace", &[]).await;
    let client = process.client();
    for path in ENDPOINTS {
        for stream in [false, true] {
            for model in ["chorus", "good", "broken", "erring", "garbled", "refusing"] {
                let mut body = question(path, model, PROMPT, stream);
                body["include_workflow"] = json!(true);
                let objects = client.objects(path, &body).await;
                let text: String = objects.iter().map(text_of).collect();
                let works = matches!(model, "chorus" | "good");
                assert_eq!(text.contains(ANSWER), works, "{path} {model}: {objects:?}");
            }
        }
        // Nonsense of the client's own.
        client.post(path, &json!({"messages": PROMPT, "prompt": [PROMPT]})).await;
    }
    process.request_stop();
    let (status, log) = process.ended().await;
    assert!(status.success(), "{status}");
    assert!(log.lines().count() > 50, "hardly a trace log: {log}");
    for secret in [KEY, PROMPT, ANSWER] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
}

#[tokio::test]
async fn at_info_each_request_has_one_line_with_both_ids() {
    let upstream = upstream().await;
    let config = four_stages(&["good", "cut"]).without_retries().toml();
    let process = Process::serves(&upstream, &config, "info", &[]).await;
    let mut ids = Vec::new();
    for path in ENDPOINTS {
        let response = process.client().post(path, &question(path, "chorus", "hi", true)).await;
        let id = |name| response.headers()[name].to_str().unwrap().to_owned();
        ids.push((id("x-request-id"), id("x-chorus-workflow-id")));
        response.bytes().await.unwrap();
    }
    process.request_stop();
    let (_, log) = process.ended().await;
    for (request, workflow) in ids {
        let info: Vec<&str> =
            (log.lines()).filter(|line| line.contains(&request) && line.contains("INFO")).collect();
        assert_eq!(info.len(), 1, "{log}");
        assert!(info[0].contains(&workflow), "{}", info[0]);
    }
}

#[tokio::test]
async fn a_dead_proxy_in_the_environment_does_not_reach_loopback() {
    let upstream = upstream().await;
    let config = four_stages(&["good"]).without_retries().toml();
    let dead = "http://127.0.0.1:9";
    let proxies = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"];
    let proxies = proxies.map(|name| (name, dead));
    let process = Process::serves(&upstream, &config, "info", &proxies).await;
    let path = ENDPOINTS[0];
    let (status, answer) = process.client().ask(path, &question(path, "chorus", "hi", false)).await;
    assert_eq!((status, text_of(&answer)), (200, ANSWER), "{answer}");
}

/// How many lines `/health?verbose` says were dropped.
async fn dropped_lines(process: &Process) -> u64 {
    let response = process.client().get("/health?verbose").await;
    let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    body["process"]["dropped_log_lines"].as_u64().unwrap()
}

/// The pipe holds 64 KiB, which was 206 requests.
#[tokio::test]
async fn a_log_that_nobody_reads_keeps_nobody_waiting() {
    let upstream = upstream().await;
    let config = four_stages(&["good"]).without_retries().toml();
    let launch = Launch { is_ignored: true, ..Launch::default() };
    let mut process = Process::launched(&upstream, &config, "info", &[], launch).await;
    let client = process.client();
    for _ in 0..11 {
        for _ in 0..100 {
            assert_eq!(client.get("/v1/models").await.status(), 200);
        }
        for path in ENDPOINTS {
            let (status, answer) = client.ask(path, &question(path, "chorus", "hi", false)).await;
            assert_eq!((status, text_of(&answer)), (200, ANSWER), "{answer}");
        }
    }
    let mut dropped = dropped_lines(&process).await;
    assert!(dropped > 500, "{dropped}");
    // Once somebody reads, the log says what is missing.
    process.read();
    while process.client().get("/v1/models").await.status() == 200 {
        let before = std::mem::replace(&mut dropped, dropped_lines(&process).await);
        if before == dropped {
            break;
        }
    }
    let notice = format!("standard error was not read dropped={dropped}");
    process.request_stop();
    let (status, log) = process.ended().await;
    assert!(status.success(), "{status}");
    assert!(log.contains(&notice) && log.contains("shutting down"), "{log}");
    let times = log.lines().filter(|line| line.contains(" INFO chorus")).count();
    let torn = log.lines().filter(|line| line.matches(" INFO chorus").count() > 1).count();
    assert!(times > 100 && torn == 0, "{log}");
}

#[tokio::test]
async fn a_log_that_nobody_reads_does_not_hold_an_end_up() {
    let upstream = upstream().await;
    let config = four_stages(&["good"]).without_retries().toml();
    let launch = Launch { is_ignored: true, ..Launch::default() };
    let process = Process::launched(&upstream, &config, "debug", &[], launch).await;
    while dropped_lines(&process).await == 0 {}
    process.request_stop();
    let (status, _) = process.ended().await;
    assert!(status.success(), "{status}");
}
