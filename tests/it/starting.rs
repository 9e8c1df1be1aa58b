//! What the real binary says when it starts: a screen for people, an event for machines, or nothing.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{Launch, Process, Script, Upstream, four_stages};

/// All it printed from its start to its end, with its address.
async fn printed(level: &str, config_more: &str, arguments: &[&str]) -> (String, String) {
    let upstream = Upstream::start([("judge", Script::says("x"))]).await;
    let warned = "[workflow.domains.\"elsewhere.example\"]\nworker_timeout_secs = 9";
    let config = four_stages(&["a", "b"]).with(warned).with(config_more).toml();
    let process = Process::serves_with(&upstream, &config, level, &[], arguments).await;
    let base = process.client().base().to_owned();
    process.request_stop();
    let (status, printed) = process.ended().await;
    assert!(status.success(), "{printed}");
    assert!(!printed.contains("sk-key-of-"), "{printed}");
    (printed, base)
}

const WARNING: &str = "\"elsewhere.example\"] is the host of no model";

#[tokio::test]
async fn people_get_one_screen() {
    let (printed, base) = printed("info", "", &[]).await;
    for words in [
        format!("  OpenAI clients    {base}/v1\n  Ollama clients    {base}\n"),
        "config.toml (--config)\n".to_owned(),
        "\nWorkflows\n  chorus            2 workers, at most 8 model calls per request\n"
            .to_owned(),
        "\nModels\n  judge             openai at 127.0.0.1:".to_owned(),
        format!("is listening on {base}\n"),
    ] {
        assert!(printed.contains(&words), "{words} is not in:\n{printed}");
    }
    let (screen, log) = printed.split_once("INFO").expect("the log goes on below");
    assert_eq!(screen.matches("the host of no").count(), 1, "{screen}");
    assert!(!log.contains("WARN"), "it is not told twice: {log}");
}

#[tokio::test]
async fn machines_get_the_same_as_one_event() {
    for (config, arguments) in
        [("[log]\nformat = \"json\"", &[][..]), ("", &["--log-format", "json"])]
    {
        let (printed, base) = printed("info", config, arguments).await;
        let events: Vec<Value> = printed
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
            .collect();
        let said = |event: &&Value| {
            event["message"].as_str().is_some_and(|words| words.contains("is listening on"))
        };
        let event = events.iter().find(said).expect("the event of the start");
        assert_eq!(event["openai_base_url"], format!("{base}/v1"), "{event}");
        assert_eq!(event["ollama_host"], base.as_str());
        assert_eq!(event["config_named_by"], "--config");
        assert_eq!((&event["models"], &event["endpoints"]), (&4.into(), &4.into()));
        assert_eq!((&event["warnings"], &event["notices"]), (&1.into(), &0.into()));
        assert_eq!(event["worst_case_calls"], r#"{"chorus":8}"#);
        let warned = |event: &&Value| event["level"] == "WARN";
        let warning = events.iter().find(warned).expect("the warning");
        assert!(warning["message"].as_str().unwrap().contains(WARNING), "{warning}");
    }
}

#[tokio::test]
async fn quiet_leaves_warnings_only() {
    let (printed, _) = printed("debug", "", &["--quiet"]).await;
    assert_eq!(printed.lines().count(), 1, "{printed}");
    assert!(printed.contains("WARN") && printed.contains(WARNING), "{printed}");
    let (printed, _) =
        self::printed("info", "[log]\nformat = \"json\"", &["-q", "--log-format", "pretty"]).await;
    assert!(printed.contains(" WARN ") && !printed.starts_with('{'), "{printed}");
}

#[test]
fn what_serves_nothing_takes_neither() {
    for (command, why) in [
        (&["check", "--quiet"][..], "unexpected argument '--quiet'"),
        (&["init", "--yes", "--log-format", "json"], "unexpected argument '--log-format'"),
        (&["--quiet", "check"], "leave them out"),
        (&["--log-format", "json", "config", "schema"], "leave them out"),
    ] {
        let mut chorus = Command::new(env!("CARGO_BIN_EXE_chorus"));
        let output = chorus.args(command).env_clear().stdin(Stdio::null()).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{err}");
        assert!(err.contains(why), "{err}");
    }
}

/// It holds every key there is.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_server_that_is_aborted_leaves_no_core_dump() {
    use std::os::unix::process::ExitStatusExt;

    let upstream = Upstream::start([("judge", Script::says("x"))]).await;
    let config = four_stages(&["a"]).toml();
    let limit = |process: &Process| {
        let text = std::fs::read_to_string(format!("/proc/{}/limits", process.id())).unwrap();
        let line = text.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        line.split_whitespace().nth(4).unwrap().to_owned()
    };
    let launch = Launch { limits: "ulimit -S -c $(ulimit -H -c)", ..Launch::default() };
    let allowed = [("CHORUS_CORE_DUMPS", "1")];
    let process = Process::launched(&upstream, &config, "info", &allowed, launch).await;
    let hard = limit(&process);
    let process = Process::launched(&upstream, &config, "info", &[], launch).await;
    assert_eq!(limit(&process), "0", "{hard}");
    let killed = Command::new("kill").args(["-ABRT", &process.id().to_string()]).status();
    assert!(killed.unwrap().success());
    let (status, _) = process.ended().await;
    assert!(status.signal() == Some(6) && !status.core_dumped(), "{status}");
}
