//! `chorus`, `init`, `check` and `migrate` as a user runs them: the real binary, a home folder of its
//! own, and an environment that holds nothing else.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use axum::{Json, Router, routing::get};
use chorus::config::Config;
use serde_json::json;
use tokio::{net::TcpListener, task::JoinSet};

struct Home {
    folder: tempfile::TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Home {
    fn new() -> Self {
        // Nobody listens on port 1, so no real Ollama of this machine is found.
        let variables = vec![("OLLAMA_HOST", "127.0.0.1:1".to_owned())];
        Self { folder: tempfile::tempdir().unwrap(), variables }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.retain(|(known, _)| *known != name);
        self.variables.push((name, value.to_owned()));
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn config(&self) -> PathBuf {
        self.path(".config/chorus/config.toml")
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let output = Command::new(env!("CARGO_BIN_EXE_chorus"))
            .args(arguments)
            .env_clear()
            .env("HOME", self.folder.path())
            .envs(self.variables.iter().map(|(name, value)| (*name, value)))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .output();
        Ran::of(output.unwrap(), self.folder.path())
    }
}

#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    fn of(output: Output, home: &Path) -> Self {
        let text = |bytes: Vec<u8>| {
            String::from_utf8(bytes).unwrap().replace(&home.display().to_string(), "~")
        };
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// An Ollama with two models and one for embeddings. It serves while the set is held.
async fn ollama() -> (String, JoinSet<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let tags = json!({"models": [
        {"name": "qwen3:8b", "size": 5_200_000_000_u64,
         "details": {"family": "qwen3", "parameter_size": "8.2B"}},
        {"name": "llama3.2:3b", "size": 2_000_000_000_u64,
         "details": {"family": "llama", "parameter_size": "3.2B"}},
        {"name": "nomic-embed-text:latest", "details": {"family": "nomic-bert"}},
    ]});
    let app = Router::new().route("/api/tags", get(async move || Json(tags)));
    let mut serving = JoinSet::new();
    serving.spawn(async { axum::serve(listener, app).await.unwrap() });
    (address, serving)
}

#[test]
fn a_first_start_names_the_demo_and_init() {
    let ran = Home::new().run(&[]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""));
    insta::assert_snapshot!(ran.err, @r#"
    Chorus has no config yet.

    See it work first, with no key and no download:
        chorus demo

    Then let it write a config of the model servers and keys that it finds here:
        chorus init
        chorus check --probe    asks every endpoint that the config names
        chorus                  serves it

    The config is looked for in ~/.config/chorus/config.toml;
    one elsewhere is named by --config FILE or by CHORUS_CONFIG.
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn from_an_empty_home_to_a_config_that_check_accepts() {
    let (address, _serving) = ollama().await;
    let key = "sk-0123456789abcdef0123";
    let home = Home::new().with("OLLAMA_HOST", &address).with("DEEPSEEK_API_KEY", key);
    let unasked = home.run(&["init"]);
    assert_eq!((unasked.code, unasked.out.as_str()), (Some(2), ""));
    assert!(unasked.err.contains("--yes") && !home.config().exists(), "{}", unasked.err);

    let written = home.run(&["init", "--yes"]);
    assert_eq!((written.code, written.err.as_str()), (Some(0), ""), "{}", written.out);
    for words in [
        format!("Ollama at http://{address}: qwen3:8b, llama3.2:3b\n"),
        "DEEPSEEK_API_KEY: a key for DeepSeek\n".to_owned(),
        "analyzer     deepseek-chat\n".to_owned(),
        "Wrote ~/.config/chorus/config.toml; only you can read it.\n".to_owned(),
        "  chorus check ".to_owned(),
    ] {
        assert!(written.out.contains(&words), "{words} is not in:\n{}", written.out);
    }
    let text = fs::read_to_string(home.config()).unwrap();
    for screen in [&text, &written.out] {
        assert!(!screen.contains(key) && !screen.contains("nomic"), "{screen}");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(home.config()).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let checked = home.run(&["check"]);
    assert_eq!((checked.code, checked.err.as_str()), (Some(0), ""));
    assert!(checked.out.contains("├─ analyzer: deepseek-chat\n"), "{}", checked.out);
    assert!(!checked.out.contains("Warnings") && !checked.out.contains("Notices"));

    let again = home.run(&["init", "--yes"]);
    assert_eq!((again.code, again.out.as_str()), (Some(2), ""));
    assert!(again.err.starts_with("~/.config/chorus/config.toml is there already; "));
    assert_eq!(fs::read_to_string(home.config()).unwrap(), text);
    let forced = home.run(&["init", "--yes", "--force"]);
    assert_eq!(forced.code, Some(0), "{}", forced.err);
    assert!(forced.out.contains("config.toml.bak"), "{}", forced.out);
}

#[test]
fn with_nothing_found_there_is_a_file_to_fill_in() {
    let home = Home::new();
    let file = home.path("here/mine.toml").display().to_string();
    let written = home.run(&["init", "--yes", "--config", &file]);
    assert_eq!((written.code, written.err.as_str()), (Some(0), ""));
    assert!(written.out.contains("chorus check --config ~/here/mine.toml"), "{}", written.out);
    let checked = home.run(&["check", "--config", &file]);
    assert_eq!((checked.code, checked.err.as_str()), (Some(0), ""));
    assert!(!home.config().exists());
}

/// The variable is where the config will be looked for, so that is where it is written.
#[test]
fn the_place_that_a_variable_names_is_used() {
    let home = Home::new();
    let file = home.path("named.toml");
    let home = home.with("CHORUS_CONFIG", &file.display().to_string());
    assert_eq!(home.run(&["init", "--yes"]).code, Some(0));
    assert_eq!(home.run(&["check"]).code, Some(0));
    assert!(file.exists() && !home.config().exists());
}

#[test]
fn an_address_to_serve_on_is_refused_by_what_serves_nothing() {
    let home = Home::new();
    for (command, why) in [
        (["init", "--yes", "--port", "1"], "unexpected argument '--port'"),
        (["migrate", "--dry-run", "--host", "::1"], "unexpected argument '--host'"),
        (["--port", "1", "init", "--yes"], "leave --host and --port out"),
    ] {
        let ran = home.run(&command);
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""));
        assert!(ran.err.contains(why), "{}", ran.err);
    }
    assert!(!home.config().exists());
}

#[test]
fn an_old_file_is_migrated_in_place() {
    let home = Home::new();
    let file = home.path("old.toml");
    let old = fs::read_to_string("test-old-config.toml").unwrap();
    fs::write(&file, &old).unwrap();
    let file = file.display().to_string();
    let shown = home.run(&["migrate", "--dry-run", "--config", &file]);
    assert_eq!(shown.code, Some(0), "{}", shown.err);
    assert_eq!(fs::read_to_string(&file).unwrap(), old);
    let done = home.run(&["migrate", "--config", &file]);
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
    assert_eq!(fs::read_to_string(&file).unwrap(), shown.out, "what was shown is what is written");
    assert_eq!(fs::read_to_string(home.path("old.toml.bak")).unwrap(), old);
    let checked = home.run(&["check", "--config", &file]);
    assert!(!checked.out.contains("Notices"), "{}", checked.out);
    let load = |text: &str| Config::parse(text, None, &|_| None).unwrap();
    assert!(load(&old).means_the_same(&load(&shown.out)));
}
