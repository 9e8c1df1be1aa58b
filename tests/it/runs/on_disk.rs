//! Runs in a file: after the process, and after a reload.

use serde_json::Value;

use super::{CHAT, PROMPT, config, id_of, listed, shown, upstream};
use crate::support::{Chorus, Process, ms, question, soon};

/// Kept runs are there after a `kill -9`, too.
#[cfg(unix)]
#[tokio::test]
async fn runs_on_disk_survive_the_process() {
    let upstream = upstream().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.redb");
    let text =
        config(&format!("[runs]\npath = {:?}\nkeep = 3\nrecent = 1", path.display().to_string()));
    let process = Process::serves(&upstream, &text, "info", &[]).await;
    for _ in 0..5 {
        process.client().ask(CHAT, &question(CHAT, "good", PROMPT, false)).await;
    }
    let list = listed(process.client(), "/chorus/runs", 3).await;
    let first = list["runs"].as_array().unwrap().clone();
    // The one in memory may not be on disk yet: another one follows it there.
    process.client().ask(CHAT, &question(CHAT, "good", PROMPT, false)).await;
    soon("the latest to be written", async {
        loop {
            let list = listed(process.client(), "/chorus/runs", 3).await;
            let runs = list["runs"].as_array().unwrap();
            if runs.len() == 3 && runs[1] == first[0] {
                break;
            }
            tokio::time::sleep(ms(10)).await;
        }
    })
    .await;
    let killed =
        std::process::Command::new("kill").args(["-9", &process.id().to_string()]).status();
    assert!(killed.unwrap().success());
    drop(process.ended().await);
    let process = Process::serves(&upstream, &text, "info", &[]).await;
    let list = listed(process.client(), "/chorus/runs", 1).await;
    let runs = list["runs"].as_array().unwrap();
    assert!(runs.iter().any(|run| run == &first[0]), "{runs:?} {first:?}");
    let whole: Value = {
        let path = format!("/chorus/runs/{}", id_of(&first[0]));
        shown(process.client(), &path).await
    };
    assert_eq!(whole["trace"]["status"], "ok");
    let request = first[0]["request_id"].as_str().unwrap();
    let same: Value = shown(process.client(), &format!("/chorus/runs/{request}")).await;
    assert_eq!(same, whole);
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}

/// The file is open: it cannot be opened a second time for other bounds.
#[tokio::test]
async fn a_reload_may_change_how_many_runs_a_file_keeps() {
    let upstream = upstream().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.redb").display().to_string();
    let keeping =
        |keep: u32| config(&format!("[runs]\npath = {path:?}\nkeep = {keep}\nrecent = 0"));
    let chorus = Chorus::start(&upstream, &keeping(100)).await;
    let ask = async || chorus.ask(CHAT, &question(CHAT, "good", PROMPT, false)).await;
    for _ in 0..3 {
        ask().await;
    }
    listed(&chorus, "/chorus/runs", 3).await;
    chorus.reloads(&upstream, &keeping(2));
    let latest = ask().await.1["chorus"]["workflow_id"].clone();
    soon("the file to keep two, the latest among them", async {
        loop {
            let list = listed(&chorus, "/chorus/runs", 0).await;
            let runs = list["runs"].as_array().unwrap();
            if runs.len() == 2 && runs[0]["workflow_id"] == latest {
                break;
            }
            tokio::time::sleep(ms(10)).await;
        }
    })
    .await;
}
