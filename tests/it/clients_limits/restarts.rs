//! Budgets outlive the process, also one that is killed.

use reqwest::Method;
use serde_json::Value;
use tokio::task::JoinSet;

use super::OPEN_AI;
use crate::support::{Process, Script, Setup, Upstream, ms, question, soon};

const CALL: u64 = 18;

async fn asks(process: &Process) -> u16 {
    let body = question(OPEN_AI, "one", "why?", false);
    let headers = [("x-api-key", "key-a")];
    process.client().post_with(OPEN_AI, &body, &headers).await.status().as_u16()
}

/// The tokens that were used this month, and those that are reserved.
async fn used(process: &Process) -> (u64, u64) {
    let request = process.client().request(Method::GET, "/chorus/clients").bearer_auth("key-a");
    let answer = soon("the clients", request.send()).await.expect("an answer");
    let bytes = soon("the body", answer.bytes()).await.expect("a whole body");
    let body: Value = serde_json::from_slice(&bytes).expect("JSON");
    let client = &body["clients"][0];
    let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("{body}"));
    (number(&client["used"][2]["used"]["tokens"]), number(&client["reserved"]["tokens"]))
}

fn config(folder: &tempfile::TempDir, tokens: u64) -> String {
    let clients = format!(
        "[[client]]\nname = \"a\"\nkey = \"key-a\"\nbudget = {{ tokens = {tokens}, per = \"month\" }}\n\
         [server]\ndata_dir = {:?}\n",
        folder.path().join("state").display().to_string()
    );
    Setup::of(serde_json::json!({"workers": ["one"], "selector": {"ref": "one"}}))
        .with_models(&["one"])
        .with(&clients)
        .toml()
}

#[tokio::test]
async fn what_was_used_is_there_after_a_stop_and_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start([("one", Script::says("one says"))]).await;
    let config = config(&folder, 3 * CALL);
    let process = Process::serves(&upstream, &config, "warn", &[]).await;
    assert_eq!(asks(&process).await, 200);
    process.request_stop();
    let (status, output) = process.ended().await;
    assert!(status.success(), "{output}");

    // A stop keeps everything at once.
    let process = Process::serves(&upstream, &config, "warn", &[]).await;
    assert_eq!(used(&process).await, (CALL, 0));
    assert_eq!(asks(&process).await, 200);
    // What was used longer ago than the pause between two writes is there after a kill.
    tokio::time::sleep(chorus::store::PAUSE + ms(1000)).await;
    drop(process);

    let process = Process::serves(&upstream, &config, "warn", &[]).await;
    assert_eq!(used(&process).await, (2 * CALL, 0));
    assert_eq!(asks(&process).await, 200);
    assert_eq!(asks(&process).await, 429);
}

#[tokio::test]
async fn what_was_reserved_when_the_process_was_killed_is_free_again() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start([("one", Script::hangs())]).await;
    let config = config(&folder, 1000);
    let process = Process::serves(&upstream, &config, "warn", &[]).await;
    let body = question(OPEN_AI, "one", "why?", true).to_string();
    let request = process.client().request(Method::POST, OPEN_AI).bearer_auth("key-a").body(body);
    let mut waiting = JoinSet::new();
    waiting.spawn(request.send());
    upstream.asked(1).await;
    assert!(used(&process).await.1 > 1000);
    drop(process);
    waiting.join_next().await;

    let process = Process::serves(&upstream, &config, "warn", &[]).await;
    assert_eq!(used(&process).await, (0, 0));
}
