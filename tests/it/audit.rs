//! The audit log: who asked for what, and what came of it.

use std::{collections::BTreeSet, fs, path::Path};

use chorus::config::Config;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    Chorus, ENDPOINTS, Launch, Process, Script, Upstream, four_stages, ms, question, soon,
};

const PROMPT: &str = "prompt-marker-7391";
const ANSWER: &str = "answer-marker-5823";
const KEY: &str = "key-marker-6402";

async fn upstream() -> Upstream {
    Upstream::start([
        ("judge", Script::judges_for(ANSWER)),
        ("writer", Script::says(ANSWER)),
        ("good", Script::says(ANSWER)),
        ("broken", Script::fails(500)),
    ])
    .await
}

fn config(path: &Path, tables: &str) -> String {
    let audit = format!("[audit]\npath = {:?}\n{tables}", path.display().to_string());
    four_stages(&["good"]).with_models(&["broken"]).without_retries().with(&audit).toml()
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| json!(line))).collect()
}

/// The lines, once there are so many.
async fn written(path: &Path, count: usize) -> Vec<Value> {
    let all = async {
        loop {
            let found = lines(path);
            if found.len() >= count {
                break found;
            }
            tokio::time::sleep(ms(10)).await;
        }
    };
    soon("the lines of the audit log", all).await
}

#[tokio::test]
async fn every_request_has_a_line_with_the_decision_and_what_it_took() {
    let upstream = upstream().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let client = format!("[[client]]\nname = \"laptop\"\nkey = \"{KEY}\"\n");
    let chorus = Chorus::start(&upstream, &config(&path, &client)).await;
    let send = async |method: Method, path: &str, key: Option<&str>, body: Option<Value>| {
        let mut request = chorus.request(method, path);
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        let status = response.status().as_u16();
        drop(response.bytes().await);
        (id, status)
    };
    let ask = |model: &str, stream| Some(question(ENDPOINTS[0], model, PROMPT, stream));
    let chat = &format!("{}?key={KEY}", ENDPOINTS[0]);
    let mut want = Vec::new();
    for (key, body, decision, code) in [
        (Some(KEY), ask("chorus", true), "allowed", None),
        (Some(KEY), ask("good", false), "allowed", None),
        (Some(KEY), ask("broken", false), "allowed", Some("upstream_error")),
        (Some(KEY), ask("nobody", false), "refused", Some("model_not_found")),
        (Some("wrong"), ask("chorus", false), "refused", Some("invalid_api_key")),
        (None, ask("chorus", false), "refused", Some("invalid_api_key")),
        (Some(KEY), Some(json!({"messages": PROMPT})), "refused", Some("invalid_request")),
    ] {
        let (id, status) = send(Method::POST, chat, key, body).await;
        want.push((id, status, decision, code));
    }
    // Those who only look are none of anybody's business.
    send(Method::GET, "/health", None, None).await;
    let mut found = written(&path, want.len()).await;
    assert_eq!(found.len(), want.len(), "{found:?}");
    for (id, status, decision, code) in want {
        let at = found.iter().position(|line| line["request_id"] == *id).expect("a line");
        let line = found.remove(at);
        assert_eq!(line["status"], status, "{line}");
        assert_eq!((&line["decision"], line["code"].as_str()), (&json!(decision), code), "{line}");
        assert_eq!((&line["path"], &line["method"]), (&json!(ENDPOINTS[0]), &json!("POST")));
        assert_eq!(line["from"], "127.0.0.1", "{line}");
        assert_eq!(line["client"], if status == 401 { Value::Null } else { json!("laptop") });
        let ran = decision == "allowed";
        for key in ["calls", "answered_by", "workflow_id", "prompt_tokens", "completion_tokens"] {
            assert_eq!(!line[key].is_null(), ran, "{key}: {line}");
        }
        assert!(line["duration_ms"].is_u64() && line["time"].is_string(), "{line}");
        if line["answered_by"] == "chorus" {
            assert_eq!(line["calls"], 3, "{line}");
            assert!(line["first_token_ms"].is_u64(), "{line}");
        }
    }
    let text = fs::read_to_string(&path).unwrap();
    for secret in [PROMPT, ANSWER, KEY, "wrong"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

#[tokio::test]
async fn a_reload_begins_another_file_and_ends_it() {
    let upstream = upstream().await;
    let folder = tempfile::tempdir().unwrap();
    let paths = ["one.jsonl", "two.jsonl"].map(|name| folder.path().join(name));
    let chorus = Chorus::start(&upstream, &config(&paths[0], "")).await;
    for path in &paths {
        chorus.reloads(&upstream, &config(path, ""));
        assert_eq!(chorus.get("/v1/models").await.status(), 200);
        written(path, 1).await;
    }
    chorus.reloads(&upstream, &four_stages(&["good"]).toml());
    assert_eq!(chorus.get("/v1/models").await.status(), 200);
    assert_eq!(paths.map(|path| lines(&path).len()), [1, 1]);
}

/// As logrotate does, with and without `copytruncate`; and the last lines of a process.
#[cfg(unix)]
#[tokio::test]
async fn a_file_that_is_moved_away_loses_no_line_and_the_last_ones_are_written() {
    let upstream = upstream().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let process =
        Process::serves(&upstream, &config(&path, "rotate = \"never\""), "info", &[]).await;
    let mut ids = BTreeSet::new();
    for part in 0..3 {
        for _ in 0..20 {
            let response = process.client().get("/v1/models").await;
            ids.insert(response.headers()["x-request-id"].to_str().unwrap().to_owned());
        }
        if part < 2 {
            fs::rename(&path, folder.path().join(format!("moved-{part}"))).unwrap();
        }
    }
    process.request_stop();
    let (status, log) = process.ended().await;
    assert!(status.success(), "{status} {log}");
    let files = [folder.path().join("moved-0"), folder.path().join("moved-1"), path];
    let all = files.iter().flat_map(|file| lines(file));
    let found: BTreeSet<String> =
        all.map(|line| line["request_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(found, ids);
    assert!(lines(&files[2]).len() >= 19, "the last file is the one in use");
}

/// The limit of the process for its files stands in for the disk's.
#[cfg(unix)]
#[tokio::test]
async fn a_full_disk_stops_nothing_and_is_reported_once() {
    let upstream = upstream().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let launch = Launch { limits: "ulimit -f 4", ..Launch::default() };
    let process = Process::launched(&upstream, &config(&path, ""), "info", &[], launch).await;
    let client = process.client();
    let mut health = Value::Null;
    for number in 0..60 {
        let body = question(ENDPOINTS[0], "good", "hi", false);
        assert_eq!(client.ask(ENDPOINTS[0], &body).await.0, 200, "{number}");
        let response = client.get("/health?verbose").await;
        health = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    }
    let audit = &health["audit"];
    assert!(audit["lost_lines"].as_u64().unwrap() > 20, "{audit}");
    assert!(audit["last_error"]["error"].is_string(), "{audit}");
    // Room again: the torn line ends, and the gap is marked.
    let old = folder.path().join("old");
    fs::rename(&path, &old).unwrap();
    assert_eq!(client.get("/v1/models").await.status(), 200);
    let found = written(&path, 2).await;
    assert!(found[0]["missing_lines"].as_u64().unwrap() > 20, "{found:?}");
    assert_eq!(found[1]["path"], "/v1/models");
    process.request_stop();
    let (status, log) = process.ended().await;
    assert!(status.success(), "{status} {log}");
    let said = log.lines().filter(|line| line.contains("audit log cannot be written")).count();
    assert_eq!(said, 1, "{log}");
    assert!(log.contains("audit log is written again"), "{log}");
    assert!(fs::metadata(&old).unwrap().len() <= 4 * 1024);
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_said_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    let text = config(Path::new("no/such/folder/audit.jsonl"), "");
    fs::write(&file, text.replace("{base}", "http://127.0.0.1:9")).unwrap();
    assert_eq!(
        Config::load(&file, &|_| None).unwrap().audit.unwrap().path,
        folder.path().join("no/such/folder/audit.jsonl")
    );
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_chorus"))
        .args(["serve", "--port", "0", "--config"])
        .arg(&file)
        .env_clear()
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("[audit] path") && words.contains("no/such/folder"), "{words}");
}
