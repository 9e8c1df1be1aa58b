//! A model that is sticky, and agents that say which session they are in.

use std::collections::{HashMap, HashSet};

use futures::future::join_all;
use serde_json::{Value, json};

use super::{CHAT, asking, over};
use crate::support::Host;

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
