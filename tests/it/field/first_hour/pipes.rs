//! What is left of a command's output when nobody reads it, and of a request's in the log.

use std::{
    fs,
    io::Read,
    process::{Command, Stdio},
};

use crate::support::{Process, Script, Upstream, four_stages, question};

#[test]
fn a_reader_that_leaves_ends_the_printing_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join(".config/chorus/config.toml");
    for (arguments, written) in [
        (&["init", "--yes"][..], true),
        (&["init", "--yes", "--force"], true),
        (&["check"], true),
        (&["check", "--format", "json"], true),
        (&["migrate", "--dry-run"], true),
        (&["migrate"], true),
        (&["config", "schema"], true),
        (&["--help"], true),
    ] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_chorus"))
            .args(arguments)
            .env_clear()
            .env("HOME", home.path())
            .env("OLLAMA_HOST", "127.0.0.1:1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Closed before a line is read.
        drop(child.stdout.take());
        let status = child.wait().unwrap();
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(status.success(), "{arguments:?}: {status} {said}");
        assert!(!said.to_lowercase().contains("pipe") && !said.contains("panicked"), "{said}");
        assert_eq!(config.exists(), written, "{arguments:?}");
    }
    assert!(fs::read_to_string(config).unwrap().contains("[workflow-integration]"));
}

#[tokio::test]
async fn a_failed_question_is_one_line_and_probes_are_none() {
    let upstream = Upstream::start([
        ("judge", Script::judges_for("x")),
        ("writer", Script::says("fused")),
        ("a", Script::fails_saying(500, &"a long story ".repeat(40))),
        ("b", Script::fails(503)),
        ("good", Script::says("a draft")),
    ])
    .await;
    let broken = four_stages(&["a", "b"]).without_retries().toml();
    let process = Process::serves(&upstream, &broken, "info", &[]).await;
    let client = process.client();
    for path in ["/health", "/ready", "/", "/api/version", "/metrics", "/health"] {
        client.get(path).await;
    }
    let path = "/v1/chat/completions";
    for stream in [false, true] {
        client.post(path, &question(path, "chorus", "hi", stream)).await.bytes().await.unwrap();
    }
    process.request_stop();
    let (_, log) = process.ended().await;
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("request.id")).collect();
    assert_eq!(lines.len(), 2, "{log}");
    for line in lines {
        assert!(line.contains("ERROR") && line.chars().count() < 900, "{line}");
        // Whichever of them fails first.
        assert!(line.contains("worker a upstream_error"), "{line}");
        assert!(line.contains("worker b upstream_error"), "{line}");
        assert!(line.contains("code=\"all_workers_failed\""), "{line}");
    }
    let degraded = four_stages(&["a", "good"]).without_retries().toml();
    let process = Process::serves(&upstream, &degraded, "info", &[]).await;
    let asked = question(path, "chorus", "hi", false);
    process.client().post(path, &asked).await.bytes().await.unwrap();
    process.request_stop();
    let (_, log) = process.ended().await;
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("request.id")).collect();
    let [line] = lines[..] else { panic!("{log}") };
    assert!(line.contains("INFO") && line.contains("failed=worker a "), "{line}");
}
