//! Workers run at once, however many there are, unless a limit says otherwise.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Gate, Script, Setup, Upstream, four_stages, ms, question, soon, text_of};

const CHAT: &str = "/v1/chat/completions";

/// Names and scripts of so many workers, a judge and a writer.
fn cast(workers: &[String], script: &Script) -> Vec<(String, Script)> {
    let mut cast: Vec<_> = workers.iter().map(|name| (name.clone(), script.clone())).collect();
    cast.push(("judge".to_owned(), Script::judges_for("draft")));
    cast.push(("writer".to_owned(), Script::fuses()));
    cast
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("worker-{number}")).collect()
}

async fn time_of(count: usize) -> Duration {
    let workers = names(count);
    let upstream =
        Upstream::start_with(cast(&workers, &Script::says("draft").after(ms(200)))).await;
    let workers: Vec<&str> = workers.iter().map(String::as_str).collect();
    let chorus = four_stages(&workers).over(&upstream).await;
    let start = Instant::now();
    let (status, answer) = chorus.ask(CHAT, &question(CHAT, "chorus", "hi", false)).await;
    assert_eq!(status, 200, "{answer}");
    start.elapsed()
}

#[tokio::test]
async fn many_workers_take_about_the_time_of_one() {
    let one = time_of(1).await;
    for count in [7, 8, 32] {
        let many = time_of(count).await;
        assert!(many < one * 4, "{count} workers took {many:?}, one takes {one:?}");
    }
}

#[tokio::test]
async fn all_workers_are_asked_before_any_has_answered() {
    let gate = Gate::shut();
    let workers = names(32);
    let script = Script::says("draft").waits_before_headers(&gate);
    let upstream = Upstream::start_with(cast(&workers, &script)).await;
    let workers: Vec<&str> = workers.iter().map(String::as_str).collect();
    let chorus = four_stages(&workers).over(&upstream).await;
    let story = async {
        gate.reached_by(32).await;
        gate.open();
    };
    let body = question(CHAT, "chorus", "hi", false);
    let ((status, _), ()) = tokio::join!(chorus.ask(CHAT, &body), story);
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_depth_of_three_makes_four_candidates_of_each_leaf() {
    let workers = names(2);
    let upstream = Upstream::start_with(cast(&workers, &Script::says("draft"))).await;
    let setup = four_stages(&["worker-0", "worker-1"]).integration_keys("nested_worker_depth = 3");
    let chorus = setup.over(&upstream).await;
    let mut body = question(CHAT, "chorus", "hi", false);
    body["include_workflow"] = json!(true);
    let (status, answer) = chorus.ask(CHAT, &body).await;
    assert_eq!(status, 200, "{answer}");
    for worker in workers {
        assert_eq!(upstream.seen_by(&worker).len(), 4, "{worker}");
    }
    let trace = answer["workflow"].to_string();
    for copy in ["worker-0#1", "worker-0#4", "worker-1#4"] {
        assert!(trace.contains(&format!("\"{copy}\"")), "{copy}: {trace}");
    }
}

#[tokio::test]
async fn limits_hold_over_a_request_and_over_a_model() {
    let workers = names(6);
    let script = Script::says("draft").after(ms(20));
    let all: Vec<&str> = workers.iter().map(String::as_str).collect();
    let plan = json!({"workers": all, "synthesizer": {"ref": "writer"}});
    let free = Setup::of(plan).with_models(&all).with_models(&["writer"]);
    for (setup, model, requests, limit) in [
        (free.clone().integration_keys("max_concurrency = 2"), "chorus", 1, 2),
        (free.model_keys("worker-0", "max_concurrency = 3"), "worker-0", 12, 3),
    ] {
        let upstream = Upstream::start_with(cast(&workers, &script)).await;
        let chorus = setup.over(&upstream).await;
        let body = question(CHAT, model, "hi", false);
        let asked = (0..requests).map(|_| chorus.ask(CHAT, &body));
        for (status, answer) in soon("all", futures::future::join_all(asked)).await {
            assert_eq!(status, 200, "{answer}");
            assert!(text_of(&answer).contains("draft"));
        }
        let most = upstream.most_active();
        assert!(most <= limit, "{model}: {most} at once");
    }
}

/// Permits are held around one exchange only: nested levels, every stage on one model and one
/// permit, and retries must not wait for each other.
#[tokio::test]
async fn one_permit_is_enough_for_everything() {
    let everything = Script::answers(|seen| {
        let judges = seen.text().contains("<candidate-");
        let verdict = r#"{"reason": "", "scores": {"1": 1, "2": 0}, "best": "1"}"#;
        let advice = r#"{"task_type": "chat", "temperature": 1, "language": "en"}"#;
        let text = if judges { verdict } else { advice };
        if judges || seen.asks_for_analysis() { text.to_owned() } else { format!("{:?}", seen.at) }
    });
    let upstream = Upstream::start([("one", Script::fails(503).first(3, everything))]).await;
    let stage = json!({"ref": "one"});
    let inner = json!({"workers": [stage, stage], "analyzer": stage, "selector": stage,
        "synthesizer": stage, "policy": {"schedule": "sequential"}});
    let plan = json!({"workers": [{"ref": "one", "auto_temperature": true}, inner],
        "analyzer": stage, "selector": stage, "synthesizer": stage});
    let setup = Setup::of(plan)
        .with_models(&["one"])
        .model_keys("one", "max_concurrency = 1")
        .integration_keys(
            "max_concurrency = 1\nnested_worker_depth = 2\nnested_worker_mode = \"workflow\"",
        )
        .with("[workflow.retry]\nbase_delay_ms = 1\nmax_retries = 3");
    let chorus = setup.over(&upstream).await;
    let body = question(CHAT, "chorus", "hi", false);
    let asked = (0..3).map(|_| chorus.ask(CHAT, &body));
    for (status, answer) in soon("all", futures::future::join_all(asked)).await {
        assert_eq!(status, 200, "{answer}");
    }
    assert_eq!(upstream.most_active(), 1);
}

#[tokio::test]
async fn waiting_for_a_permit_is_not_the_workers_time() {
    let workers = names(6);
    let script = Script::says("draft").after(ms(400));
    let upstream = Upstream::start_with(cast(&workers, &script)).await;
    let workers: Vec<&str> = workers.iter().map(String::as_str).collect();
    let setup = four_stages(&workers).integration_keys("max_concurrency = 1");
    let chorus = setup.with("[workflow.timeouts]\nworker_timeout_secs = 1.5").over(&upstream).await;
    let mut body = question(CHAT, "chorus", "hi", false);
    body["include_workflow"] = json!(true);
    let (status, answer) = chorus.ask(CHAT, &body).await;
    let trace = &answer["workflow"];
    assert_eq!((status, &trace["status"]), (200, &json!("ok")), "{answer}");
    let waits = trace["workers"].as_array().unwrap().iter().map(|one| one["queued_ms"].as_u64());
    assert!(waits.max().flatten().unwrap() >= 5 * 400, "{trace}");
}
