//! A model with several endpoints: how they share its calls, how they fail without costing a
//! request its answer, and how they come back.

mod reported;
mod sessions;

use std::collections::HashMap;

use futures::{StreamExt, future::join_all, stream};
use serde_json::{Value, json};

use crate::support::{Chorus, Client, Gate, Host, ms, soon};

const CHAT: &str = "/v1/chat/completions";
/// One failure is enough, nobody asks for lists, and a call may try at once.
const QUICK: &str = "[workflow.health]\nfailure_threshold = 1\nopen_secs = 0.05\n\
                     probe_interval_secs = 0\n";
/// The same, but only the model list brings an endpoint back.
const LISTED: &str = "[workflow.health]\nfailure_threshold = 1\nopen_secs = 3600\n\
                      probe_interval_secs = 0.05\n";
/// One failure is enough, and nothing brings an endpoint back.
const FOR_GOOD: &str = "[workflow.health]\nfailure_threshold = 1\nopen_secs = 3600\n\
                        probe_interval_secs = 0\n";

/// Chorus over one model `m` with these endpoints: their bases and further keys.
async fn over(endpoints: &[(&Host, &str)], model: &str, tables: &str) -> Chorus {
    let mut text = format!("[[model]]\nname = \"m\"\n{model}\n");
    for (host, keys) in endpoints {
        let base = host.base();
        text.push_str(&format!(
            "[[model.endpoint]]\napi_base = \"{base}\"\napi_key = \"sk-key\"\n{keys}\n"
        ));
    }
    text.push_str("[workflow-integration]\njson = '{\"workers\":[\"m\"],\"selector\":\"m\"}'\n");
    text.push_str(tables);
    Chorus::of(&text, |_| None).await
}

fn asking(text: &str) -> Value {
    json!({"model": "m", "include_workflow": true,
        "messages": [{"role": "user", "content": text}]})
}

/// The answer's text, which is the name of the host that gave it.
async fn answered_by(client: &Client, text: &str) -> String {
    let (status, body) = client.ask(CHAT, &asking(text)).await;
    assert_eq!(status, 200, "{body}");
    body["choices"][0]["message"]["content"].as_str().expect("a text").to_owned()
}

/// So many requests, some at a time, and how many each host answered.
async fn shares(client: &Client, requests: usize) -> HashMap<String, usize> {
    let answered_by = stream::iter(0..requests)
        .map(|number| async move { answered_by(client, &format!("question {number}")).await });
    let answered_by: Vec<String> = answered_by.buffer_unordered(16).collect().await;
    answered_by.into_iter().fold(HashMap::new(), |mut shares, name| {
        *shares.entry(name).or_default() += 1;
        shares
    })
}

/// Asks until that host answers again.
async fn answers_again(client: &Client, name: &str) {
    let again = async { while answered_by(client, "back?").await != name {} };
    soon(&format!("{name} to be back"), again).await;
}

/// The first endpoint of `/health?verbose`.
async fn health(client: &Client) -> Vec<Value> {
    let body = client.get("/health?verbose").await.text().await.unwrap();
    let body: Value = serde_json::from_str(&body).unwrap();
    body["models"][0]["endpoints"].as_array().expect("endpoints").clone()
}

async fn in_state(client: &Client, endpoint: usize, state: &str) {
    let reached = async {
        while health(client).await[endpoint]["state"] != state {
            tokio::time::sleep(ms(5)).await;
        }
    };
    soon(&format!("endpoint {endpoint} to be {state}"), reached).await;
}

/// `(endpoint, outcome)` of each call of a direct answer.
fn calls(body: &Value) -> Vec<(&str, &str)> {
    let calls = body["workflow"]["synthesizer"]["calls"].as_array().expect("its calls");
    calls
        .iter()
        .map(|call| {
            assert!(call["ms"].is_u64(), "{call}");
            (call["endpoint"].as_str().unwrap(), call["outcome"].as_str().unwrap())
        })
        .collect()
}

#[tokio::test]
async fn weights_share_the_calls() {
    let (a, b) = (Host::start("a").await, Host::start("b").await);
    let chorus = over(&[(&a, "weight = 3"), (&b, "")], "", "").await;
    let shares = shares(&chorus, 4000).await;
    assert!(shares["a"].abs_diff(3000) <= 150 && shares["b"].abs_diff(1000) <= 50, "{shares:?}");
    assert_eq!((a.calls(), b.calls()), (shares["a"], shares["b"]), "nothing was asked twice");
}

#[tokio::test]
async fn the_second_priority_is_used_only_when_all_of_the_first_are_down() {
    let hosts = join_all(["a", "b", "c"].map(Host::start)).await;
    let [a, b, c] = &hosts[..] else { panic!("three hosts") };
    let endpoints = [(a, ""), (b, ""), (c, "priority = 2")];
    let chorus = over(&endpoints, "", QUICK).await;
    let shared = shares(&chorus, 40).await;
    assert!(shared["a"].abs_diff(20) <= 2 && shared["a"] + shared["b"] == 40, "{shared:?}");
    a.answers(500);
    assert_eq!(shares(&chorus, 40).await, HashMap::from([("b".to_owned(), 40)]));
    b.answers(500);
    assert_eq!(shares(&chorus, 40).await, HashMap::from([("c".to_owned(), 40)]));
    a.answers(200);
    answers_again(&chorus, "a").await;
    let asked = c.calls();
    assert_eq!(shares(&chorus, 40).await, HashMap::from([("a".to_owned(), 40)]));
    assert_eq!(c.calls(), asked, "the second is left alone again");
}

#[tokio::test]
async fn a_dead_endpoint_costs_no_request_its_answer_and_comes_back() {
    let (mut dead, b) = (Host::start("a").await, Host::start("b").await);
    let chorus = over(&[(&dead, ""), (&b, "")], "", LISTED).await;
    assert_eq!(shares(&chorus, 20).await.len(), 2);
    dead.dies().await;
    assert_eq!(shares(&chorus, 200).await, HashMap::from([("b".to_owned(), 200)]));
    in_state(&chorus, 0, "open").await;
    assert_eq!(health(&chorus).await[0]["why"], "connect_error");
    dead.comes_back().await;
    answers_again(&chorus, "a").await;
    let asked = dead.list_calls();
    assert!(asked > 0, "its list brought it back");
    assert_eq!(dead.list_key().as_deref(), Some("Bearer sk-key"));
    assert_eq!(shares(&chorus, 20).await.len(), 2);
    tokio::time::sleep(ms(200)).await;
    assert_eq!(dead.list_calls(), asked, "in service, nobody asks");
}

#[tokio::test]
async fn an_endpoint_that_answers_500_is_left_alone_until_its_list_comes() {
    let (sick, b) = (Host::start("a").await, Host::start("b").await);
    let chorus = over(&[(&sick, ""), (&b, "")], "", LISTED).await;
    for status in [500, 503] {
        sick.answers(status);
        sick.lists(status);
        assert_eq!(shares(&chorus, 100).await, HashMap::from([("b".to_owned(), 100)]));
        let (asked, lists) = (sick.calls(), sick.list_calls());
        assert!(asked <= 40, "calls that were on their way at the most: {asked}");
        let again = async {
            while sick.list_calls() < lists + 3 {
                tokio::time::sleep(ms(5)).await;
            }
        };
        soon("more lists", again).await;
        assert_eq!(sick.calls(), asked, "never a paid call");
        sick.answers(200);
        sick.lists(404);
        answers_again(&chorus, "a").await;
    }
}

#[tokio::test]
async fn a_conversation_stays_with_its_endpoint_moves_and_comes_back() {
    let hosts = join_all(["a", "b", "c"].map(Host::start)).await;
    let endpoints: Vec<(&Host, &str)> = hosts.iter().map(|host| (host, "")).collect();
    let chorus = over(&endpoints, "sticky = true", QUICK).await;
    let conversation = |turns: usize| {
        let more = (0..turns).flat_map(|turn| {
            [
                json!({"role": "assistant", "content": format!("answer {turn}")}),
                json!({"role": "user", "content": format!("and {turn}?")}),
            ]
        });
        let first = [json!({"role": "user", "content": "tell me of the sky"})];
        json!({"model": "m", "messages": first.into_iter().chain(more).collect::<Vec<_>>()})
    };
    let ask = async |turns| {
        let (status, body) = chorus.ask(CHAT, &conversation(turns)).await;
        assert_eq!(status, 200, "{body}");
        body["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
    };
    let home = ask(0).await;
    for turns in 1..9 {
        assert_eq!(ask(turns).await, home);
    }
    let at_home = hosts.iter().find(|host| host.name() == home).unwrap();
    at_home.answers(500);
    let refuge = ask(9).await;
    assert_ne!(refuge, home);
    for turns in 10..14 {
        assert_eq!(ask(turns).await, refuge, "all of it moves to one place");
    }
    at_home.answers(200);
    let back = async { while ask(14).await != home {} };
    soon("the conversation to come home", back).await;
    let spread = shares(&chorus, 60).await;
    assert_eq!(spread.len(), 3, "other conversations have other homes: {spread:?}");
}

#[tokio::test]
async fn callers_are_kept_apart_where_they_have_keys() {
    let hosts = join_all(["a", "b", "c", "d"].map(Host::start)).await;
    let endpoints: Vec<(&Host, &str)> = hosts.iter().map(|host| (host, "")).collect();
    let mut clients = String::new();
    for number in 0..12 {
        clients.push_str(&format!("[[client]]\nname = \"c{number}\"\nkey = \"sk-c{number}\"\n"));
    }
    let chorus = over(&endpoints, "sticky = true", &clients).await;
    let mut homes = HashMap::new();
    for number in 0..12 {
        for _ in 0..2 {
            let key = format!("Bearer sk-c{number}");
            let headers = [("authorization", key.as_str())];
            let response = chorus.post_with(CHAT, &asking("the same"), &headers).await;
            let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
            let host = body["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
            assert_eq!(*homes.entry(number).or_insert_with(|| host.clone()), host, "it stays");
        }
    }
    let different: std::collections::HashSet<&String> = homes.values().collect();
    assert!(different.len() > 1, "{homes:?}");
}

#[tokio::test]
async fn an_endpoint_that_refuses_our_key_is_down_and_the_other_answers() {
    for (status, outcome) in [
        (401, "upstream_unauthorized"),
        (403, "upstream_unauthorized"),
        (404, "upstream_not_found"),
    ] {
        let (a, b) = (Host::start("a").await, Host::start("b").await);
        a.answers(status);
        a.lists(401);
        let endpoints = [(&a, ""), (&b, "priority = 2")];
        let chorus = over(&endpoints, "", LISTED).await;
        let (_, body) = chorus.ask(CHAT, &asking("hi")).await;
        let (one, two) = (a.authority(), b.authority());
        assert_eq!(calls(&body), [(one.as_str(), outcome), (two.as_str(), "ok")], "{status}");
        assert_eq!(body["workflow"]["status"], "ok", "a failover degrades nothing");
        let (_, body) = chorus.ask(CHAT, &asking("hi")).await;
        assert_eq!(calls(&body), [(two.as_str(), "ok")], "{status}: it is known");
        let endpoint = &health(&chorus).await[0];
        assert_eq!((&endpoint["state"], &endpoint["why"]), (&json!("down"), &json!(outcome)));
        a.answers(200);
        a.lists(200);
        answers_again(&chorus, "a").await;
    }
}

#[tokio::test]
async fn an_endpoint_that_asks_for_a_rest_gets_it() {
    let (a, b) = (Host::start("a").await, Host::start("b").await);
    for status in [429, 503] {
        a.answers(status);
        a.says_retry_after("3600");
        let chorus = over(&[(&a, ""), (&b, "priority = 2")], "", "").await;
        let (_, body) = chorus.ask(CHAT, &asking("hi")).await;
        let code = if status == 429 { "rate_limited" } else { "upstream_error" };
        assert_eq!(calls(&body), [(&*a.authority(), code), (&*b.authority(), "ok")]);
        let asked = a.calls();
        assert_eq!(shares(&chorus, 20).await, HashMap::from([("b".to_owned(), 20)]));
        assert_eq!(a.calls(), asked, "{status}: left alone");
        let endpoint = &health(&chorus).await[0];
        assert_eq!(endpoint["state"], "closed", "resting is not out");
        assert!(endpoint["resting_until"].is_string(), "{endpoint}");
        b.answers(400);
        assert_eq!(chorus.ask(CHAT, &asking("hi")).await.0, 400, "the caller's own fault");
        assert_eq!(a.calls(), asked, "goes nowhere else");
        b.answers(200);
    }
}

#[tokio::test]
async fn every_endpoint_limited_reports_the_smallest_wait() {
    let (a, b) = (Host::start("a").await, Host::start("b").await);
    for (host, wait) in [(&a, "900"), (&b, "700")] {
        host.answers(429);
        host.says_retry_after(wait);
    }
    let chorus = over(&[(&a, ""), (&b, "")], "", "").await;
    let response = chorus.post(CHAT, &asking("hi")).await;
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "700");
}

#[tokio::test]
async fn half_open_lets_one_through_and_the_others_go_elsewhere() {
    let (a, b) = (Host::start("a").await, Host::start("b").await);
    let chorus = over(&[(&a, ""), (&b, "")], "", QUICK).await;
    a.answers(500);
    shares(&chorus, 20).await;
    in_state(&chorus, 0, "open").await;
    tokio::time::sleep(ms(60)).await;
    let gate = Gate::shut();
    a.waits_at(&gate);
    a.answers(200);
    let asked = a.calls();
    let all = shares(&chorus, 20);
    let story = async {
        gate.reached_by(1).await;
        in_state(&chorus, 0, "half_open").await;
        let others = async {
            while b.calls() < 19 {
                tokio::time::sleep(ms(5)).await;
            }
        };
        soon("the others", others).await;
        assert_eq!(a.calls(), asked + 1, "one alone");
        gate.open();
    };
    let (shared, ()) = tokio::join!(all, story);
    assert_eq!(shared["a"], 1, "{shared:?}");
    assert_eq!(health(&chorus).await[0]["state"], "closed");
}

#[tokio::test]
async fn a_client_that_leaves_gives_the_slot_of_the_probe_back() {
    let a = Host::start("a").await;
    let chorus = over(&[(&a, "")], "", QUICK).await;
    a.answers(500);
    let _ = chorus.ask(CHAT, &asking("hi")).await;
    in_state(&chorus, 0, "open").await;
    tokio::time::sleep(ms(60)).await;
    let gate = Gate::shut();
    a.waits_at(&gate);
    a.answers(200);
    let asking = asking("hi");
    let left = chorus.try_post(CHAT, &asking, &[]);
    tokio::select! {
        _ = left => panic!("nobody answers"),
        () = gate.reached_by(1) => {}
    }
    in_state(&chorus, 0, "open").await;
    assert_eq!(health(&chorus).await[0]["in_flight"], 0);
    gate.open();
    assert_eq!(answered_by(&chorus, "hi").await, "a");
}

#[tokio::test]
async fn a_probe_that_hangs_does_not_take_the_request_with_it() {
    let (a, b) = (Host::start("a").await, Host::start("b").await);
    let tables = format!("{QUICK}[workflow.timeouts]\nsynthesizer_timeout_secs = 1\n");
    let chorus = over(&[(&a, ""), (&b, "")], "", &tables).await;
    a.answers(500);
    shares(&chorus, 4).await;
    in_state(&chorus, 0, "open").await;
    tokio::time::sleep(ms(60)).await;
    a.waits_at(&Gate::shut());
    let (status, body) = chorus.ask(CHAT, &asking("hi")).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(calls(&body), [(&*a.authority(), "timeout"), (&*b.authority(), "ok")]);
}

#[tokio::test]
async fn embeddings_go_over_the_same_endpoints() {
    let (a, b) = (Host::start("a").await, Host::start("b").await);
    let chorus = over(&[(&a, ""), (&b, "priority = 2")], "", FOR_GOOD).await;
    let ask = async || chorus.ask("/v1/embeddings", &json!({"model": "m", "input": "x"})).await;
    a.answers(404);
    assert_eq!(ask().await.0, 200, "the other may have that path");
    assert_eq!(health(&chorus).await[0]["state"], "closed", "it need not have it for answers");
    a.answers(500);
    assert_eq!(ask().await.0, 200);
    let asked = a.calls();
    assert_eq!(ask().await.0, 200);
    assert_eq!((a.calls(), answered_by(&chorus, "hi").await.as_str()), (asked, "b"));
    b.answers(500);
    let _ = ask().await;
    let (status, body) = ask().await;
    assert_eq!(status, 502);
    let words = body["error"]["message"].as_str().unwrap();
    // The last one is asked all the same, and has the better words.
    assert!(words.starts_with("model 'm': failed (500)"), "{words}");
}
