//! A model that is sticky, and agents that say which session they are in.

use std::collections::{HashMap, HashSet};

use futures::future::join_all;
use serde_json::{Value, json};

use super::{CHAT, asking, over};
use crate::support::{Host, Script, Upstream, four_stages};

#[tokio::test]
async fn a_session_stays_with_its_endpoint_whatever_is_asked_in_it() {
    let hosts = join_all(["a", "b", "c"].map(Host::start)).await;
    let endpoints: Vec<(&Host, &str)> = hosts.iter().map(|host| (host, "")).collect();
    let chorus = over(&endpoints, "sticky = true", "").await;
    let mut homes = HashMap::new();
    for number in 0..12 {
        let session = format!("session-{number}");
        for turn in 0..3 {
            // As after a compaction: nothing of the turn before is in it.
            let mut body = asking(&format!("question {turn}"));
            let mut headers = vec![("session_id", session.as_str())];
            if turn == 1 {
                body["prompt_cache_key"] = json!(session);
                headers.clear();
            }
            let response = chorus.post_with(CHAT, &body, &headers).await;
            let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
            assert_eq!(body["workflow"]["session"].as_str().map(str::len), Some(16), "{body}");
            let host = body["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
            assert_eq!(*homes.entry(number).or_insert_with(|| host.clone()), host, "it stays");
        }
    }
    let different: HashSet<&String> = homes.values().collect();
    assert!(different.len() > 1, "{homes:?}");
}

/// The cache key of the only call of each of these models, and then none is known any more.
fn keys(upstream: &Upstream, models: &[&str], before: &mut HashMap<String, usize>) -> Vec<Value> {
    let key = |model: &&str| {
        let known = before.entry((*model).to_owned()).or_default();
        let seen = upstream.seen_by(model);
        let [call] = &seen[*known..] else { panic!("{model}: {} calls", seen.len() - *known) };
        *known = seen.len();
        call.body["prompt_cache_key"].clone()
    };
    models.iter().map(key).collect()
}

#[tokio::test]
async fn each_stage_of_a_session_has_a_cache_key_of_its_own() {
    let upstream = Upstream::start([
        ("judge", Script::judges_for("")),
        ("first", Script::says("one")),
        ("second", Script::says("two")),
        ("writer", Script::fuses()),
    ])
    .await;
    let setup = four_stages(&["first", "second"]).model_keys("second", "protocol = \"ollama\"");
    let chorus = setup.over(&upstream).await;
    let mut before = HashMap::new();
    let mut ask = async |body: Value, headers: &[(&str, &str)]| {
        assert_eq!(chorus.post_with(CHAT, &body, headers).await.status(), 200);
        keys(&upstream, &["first", "second", "writer"], &mut before)
    };
    let body =
        |model: &str| json!({"model": model, "messages": [{"role": "user", "content": "hi"}]});
    assert_eq!(ask(body("chorus"), &[]).await, [Value::Null, Value::Null, Value::Null]);
    let mine = ask(body("chorus"), &[("session_id", "mine")]).await;
    let [Value::String(worker), Value::Null, Value::String(writer)] = &mine[..] else {
        panic!("{mine:?}")
    };
    assert!(worker.ends_with("-worker") && writer.ends_with("-synthesizer"), "{mine:?}");
    assert!(worker.len() <= 64 && !worker.contains("mine"), "{worker}");
    let mut keyed = body("chorus");
    keyed["prompt_cache_key"] = json!("mine");
    assert_eq!(ask(keyed, &[]).await, mine, "the same session");
    let other = ask(body("chorus"), &[("session_id", "yours")]).await;
    assert!(other[0] != mine[0] && other[2] != mine[2], "{other:?}");
}

#[tokio::test]
async fn a_clients_own_cache_key_goes_on_and_one_that_is_refused_is_left_out() {
    for (message, model_keys) in [
        ("prompt_cache_key: Extra inputs are not permitted", ""),
        ("Unknown field in the request", ""),
        ("property 'prompt_cache_key' is unsupported", "tools = false"),
    ] {
        let upstream = Upstream::start([
            ("kind", Script::says("hello")),
            ("strict", Script::says("hello").refuses_saying("prompt_cache_key", message)),
        ])
        .await;
        let chorus = four_stages(&["kind", "strict"]).model_keys("strict", model_keys);
        let chorus = chorus.over(&upstream).await;
        for calls in [2, 3] {
            for model in ["kind", "strict"] {
                let body = json!({"model": model, "prompt_cache_key": "own",
                    "messages": [{"role": "user", "content": "hi"}]});
                assert_eq!(chorus.post(CHAT, &body).await.status(), 200, "{message}");
            }
            let seen = upstream.seen_by("kind");
            assert_eq!(seen.last().unwrap().body["prompt_cache_key"], "own", "{message}");
            let seen = upstream.seen_by("strict");
            assert_eq!(seen.len(), calls, "{message}: it is remembered");
            assert!(!seen.last().unwrap().has("prompt_cache_key"), "{message}");
        }
    }
}
