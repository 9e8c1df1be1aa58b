//! Budgets: what is reserved, what is settled, and that both are exact.

use chorus::server::{ClientReport, PeriodReport};
use reqwest::Method;
use serde_json::{Value, json};

use super::{DIALECTS, OPEN_AI, asks, code, header, object, setup, upstream};
use crate::support::{Chorus, Script, Setup, Upstream, ms, question, soon};

/// A call of the fake upstream takes 11 tokens and writes 7.
const CALL: u64 = 18;

fn clients(budget: &str) -> String {
    format!("[[client]]\nname = \"a\"\nkey = \"key-a\"\nbudget = {budget}\n")
}

/// A model alone, with a price of 1 and 2 dollars a million.
fn alone(budget: &str) -> Setup {
    Setup::of(json!({"workers": ["one"], "selector": {"ref": "one"}}))
        .with_models(&["one"])
        .model_keys("one", "price = { input_per_mtok = 1.0, output_per_mtok = 2.0 }")
        .without_retries()
        .with(&clients(budget))
}

async fn report(chorus: &Chorus) -> ClientReport {
    let request = chorus.request(Method::GET, "/chorus/clients").bearer_auth("key-a");
    let (status, body) = object(request.send().await.expect("an answer")).await;
    assert_eq!(status, 200, "{body}");
    let mut all: Vec<ClientReport> = serde_json::from_value(body["clients"].clone()).unwrap();
    assert_eq!(all.len(), 1, "a client sees itself only");
    all.remove(0)
}

fn today(report: &ClientReport) -> &PeriodReport {
    report.used.first().expect("a day")
}

/// Waits until nothing is reserved, and says what was used.
async fn settled(chorus: &Chorus) -> (u64, u64, f64) {
    let until = async {
        loop {
            let report = report(chorus).await;
            if report.in_flight.used == 0 {
                assert_eq!((report.reserved.calls, report.reserved.tokens), (0, 0));
                let used = today(&report).used;
                return (used.calls, used.tokens, used.usd);
            }
            tokio::time::sleep(ms(5)).await;
        }
    };
    soon("the settlement", until).await
}

#[tokio::test]
async fn a_budget_is_exact_and_what_is_over_it_costs_no_call() {
    let upstream = upstream().await;
    for (budget, requests) in [
        (format!("{{ tokens = {}, per = \"day\" }}", 2 * CALL), 2),
        ("[{ calls = 3, per = \"week\" }, { calls = 100, per = \"day\" }]".to_owned(), 3),
        // 11 * 1 + 7 * 2 = 25 millionths each.
        ("{ usd = 0.01, tokens = 10, per = \"month\" }".to_owned(), 1),
    ] {
        let chorus = alone(&budget).over(&upstream).await;
        let before = upstream.seen().len();
        for _ in 0..requests {
            assert_eq!(asks(&chorus, OPEN_AI, "one", "key-a").await.status(), 200, "{budget}");
        }
        for path in DIALECTS {
            let answer = asks(&chorus, path, "one", "key-a").await;
            assert_eq!(header(&answer, "x-should-retry"), "false", "{budget} {path}");
            assert!(header(&answer, "retry-after").parse::<u64>().unwrap() > 0, "{budget} {path}");
            let (status, body) = object(answer).await;
            assert_eq!((status, code(&body)), (429, "insufficient_quota"), "{budget}: {body}");
        }
        assert_eq!(upstream.seen().len() - before, requests, "{budget}");
        let (calls, tokens, usd) = settled(&chorus).await;
        let count = requests as u64;
        assert_eq!((calls, tokens), (count, count * CALL), "{budget}");
        assert!((usd - 25e-6 * requests as f64).abs() < 1e-12, "{budget}: {usd}");
    }
}

#[tokio::test]
async fn each_attempt_of_embeddings_is_a_call() {
    let reply = br#"{"data":[],"model":"one","usage":{"prompt_tokens":5,"total_tokens":5}}"#;
    let good = Script::sends("application/json", reply);
    let upstream = Upstream::start([("one", Script::fails(503).first(2, good))]).await;
    let chorus = Setup::of(json!({"workers": ["one"], "selector": {"ref": "one"}}))
        .with_models(&["one"])
        .with("[workflow.retry]\nbase_delay_ms = 1")
        .with(&clients("{ calls = 100, tokens = 1000, per = \"day\" }"))
        .over(&upstream)
        .await;
    let body = json!({"model": "one", "input": "x"});
    let answer = chorus.post_with("/v1/embeddings", &body, &[("x-api-key", "key-a")]).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(upstream.seen().len(), 3);
    let (calls, tokens, _) = settled(&chorus).await;
    assert_eq!((calls, tokens), (3, 5));
}

#[tokio::test]
async fn all_calls_of_a_workflow_count() {
    let upstream = upstream().await;
    let chorus =
        setup(&clients("{ calls = 1000, tokens = 1000000, per = \"day\" }")).over(&upstream).await;
    let (status, body) = object(asks(&chorus, OPEN_AI, "chorus", "key-a").await).await;
    assert_eq!(status, 200, "{body}");
    let (calls, tokens, _) = settled(&chorus).await;
    assert_eq!(calls, upstream.seen().len() as u64);
    assert_eq!(body["chorus"]["calls"], calls);
    assert_eq!(body["chorus"]["total_usage"]["total_tokens"], tokens);
}

#[tokio::test]
async fn whoever_leaves_or_fails_pays_for_what_was_sent_and_nothing_stays_reserved() {
    let upstream =
        Upstream::start([("one", Script::says("one says a lot").in_deltas(4).hangs_after(2))])
            .await;
    let chorus = alone("{ tokens = 1000, per = \"day\" }").over(&upstream).await;
    let mut stream = {
        let body = question(OPEN_AI, "one", "why?", true);
        let request =
            chorus.request(Method::POST, OPEN_AI).bearer_auth("key-a").body(body.to_string());
        request.send().await.expect("an answer")
    };
    assert!(soon("a piece", stream.chunk()).await.unwrap().is_some());
    // It may take the whole context of the model, which is more than there is.
    let running = report(&chorus).await;
    assert_eq!((running.in_flight.used, running.reserved.calls), (1, 1));
    assert!(running.reserved.tokens > 1000, "{running:?}");
    let (status, body) = object(asks(&chorus, OPEN_AI, "one", "key-a").await).await;
    assert_eq!((status, code(&body)), (429, "rate_limit_exceeded"), "{body}");
    assert_eq!(upstream.seen().len(), 1);
    drop(stream);
    let (calls, tokens, _) = settled(&chorus).await;
    assert!(calls == 1 && (1..100).contains(&tokens), "{calls} {tokens}");

    let failing = Upstream::start([("one", Script::fails(500))]).await;
    let chorus = alone("{ tokens = 1000, per = \"day\" }").over(&failing).await;
    assert_eq!(asks(&chorus, OPEN_AI, "one", "key-a").await.status(), 502);
    assert_eq!(settled(&chorus).await, (1, 0, 0.0));
}

#[tokio::test]
async fn embeddings_count_as_the_upstream_counted_them() {
    let reply = json!({"object": "list", "data": [], "model": "one",
        "usage": {"prompt_tokens": 30, "total_tokens": 30}});
    let reply = reply.to_string();
    let upstream =
        Upstream::start([("one", Script::sends("application/json", reply.as_bytes()))]).await;
    let chorus = alone("{ tokens = 50, per = \"day\" }").over(&upstream).await;
    let body: Value = json!({"model": "one", "input": "a text"});
    for want in [200, 200, 429] {
        let answer = chorus.post_with("/v1/embeddings", &body, &[("api-key", "key-a")]).await;
        assert_eq!(answer.status(), want);
    }
    assert_eq!(upstream.seen().len(), 2);
    let (calls, tokens, usd) = settled(&chorus).await;
    assert_eq!((calls, tokens), (2, 60));
    assert!((usd - 60e-6).abs() < 1e-12, "{usd}");
}

#[tokio::test]
async fn a_reload_keeps_what_was_used() {
    let upstream = upstream().await;
    let budget = |tokens: u64| alone(&format!("{{ tokens = {tokens}, per = \"month\" }}")).toml();
    let chorus = Chorus::start(&upstream, &budget(CALL)).await;
    assert_eq!(asks(&chorus, OPEN_AI, "one", "key-a").await.status(), 200);
    assert_eq!(asks(&chorus, OPEN_AI, "one", "key-a").await.status(), 429);
    chorus.reloads(&upstream, &budget(CALL + 1));
    assert_eq!(asks(&chorus, OPEN_AI, "one", "key-a").await.status(), 200);
    assert_eq!(settled(&chorus).await.1, 2 * CALL);
}
