//! `chorus launch` as a user runs it: the real binary, with programs on the PATH that say what they were
//! given and ask Chorus for a word.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Instant,
};

use crate::support::{Chorus, Script, Upstream, four_stages, ms};

/// A user's machine: a home, programs, variables.
struct Machine {
    folder: tempfile::TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        fs::create_dir(folder.path().join("tmp")).unwrap();
        Self { folder, variables: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a script on the PATH.
    fn has(self, program: &str, script: &str) -> Self {
        let path = self.path("bin").join(program);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.to_owned()));
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chorus"));
        command
            .arg("launch")
            .args(arguments)
            .env_clear()
            .env("HOME", self.folder.path())
            .env("TMPDIR", self.path("tmp"))
            .env("PATH", format!("{}:/usr/bin:/bin", self.path("bin").display()))
            .envs(self.variables.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs it to its end: exit code, and what was said.
    async fn launch(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let child = self.command(arguments).spawn().unwrap();
        let Output { status, stdout, stderr } = ended(child).await;
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        assert!(is_empty(&self.path("tmp")), "temporary files stay");
        (status.code(), text(stdout), text(stderr))
    }
}

async fn ended(child: Child) -> Output {
    tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap()
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

/// Says whom it asks, with which key and arguments.
const SAYS: &str = r#"echo "$ANTHROPIC_BASE_URL $ANTHROPIC_MODEL key=$ANTHROPIC_AUTH_TOKEN"
echo "own=${ANTHROPIC_API_KEY-none} context=$CLAUDE_CODE_MAX_CONTEXT_TOKENS"
for word; do echo "<$word>"; done
exit 7"#;

async fn chorus(more: &str) -> (Upstream, Chorus) {
    let upstream = Upstream::start([("judge", Script::says("x")), ("a", Script::says("x"))]).await;
    let config = four_stages(&["a"]).with(more).toml();
    let chorus = Chorus::start_with(&upstream, &config, |_| Some("k".repeat(20))).await;
    (upstream, chorus)
}

#[tokio::test]
async fn an_agent_gets_a_running_chorus_its_arguments_and_its_exit_code() {
    let (_upstream, chorus) = chorus("").await;
    let machine = Machine::new().has("claude", SAYS).with("ANTHROPIC_API_KEY", "sk-own");
    let url = chorus.base();
    let arguments = ["--url", url, "claude", "--", "-p", "two words", "--model", ""];
    let (code, out, err) = machine.launch(&arguments).await;
    assert_eq!((code, err.as_str()), (Some(7), ""));
    let want = format!("{url} chorus key=chorus\nown=none context=");
    assert!(out.starts_with(&want), "{out}");
    assert!(out.ends_with("\n<-p>\n<two words>\n<--model>\n<>\n"), "{out}");
    let context = out.split("context=").nth(1).unwrap().lines().next().unwrap();
    assert!(context.parse::<u32>().unwrap() > 1000, "{out}");
    let (_, out, _) = machine.launch(&["--url", url, "--model", "a", "claude"]).await;
    assert!(out.starts_with(&format!("{url} a key=chorus")), "{out}");
    let (code, out, err) = machine.launch(&["--url", url, "--model", "b", "claude"]).await;
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("'b' not found"), "{err}");
}

#[tokio::test]
async fn a_key_is_passed_on_and_never_shown() {
    let client = "[[client]]\nname = \"me\"\nkey = \"env:K\"\n";
    let (_upstream, chorus) = chorus(client).await;
    let url = chorus.base();
    let key = "k".repeat(20);
    let (code, _, err) = Machine::new().has("claude", SAYS).launch(&["--url", url, "claude"]).await;
    assert_eq!(code, Some(1));
    assert!(err.contains("asks for a key; set CHORUS_API_KEY"), "{err}");
    let machine = Machine::new().has("claude", SAYS).with("CHORUS_API_KEY", &key);
    let (code, out, err) = machine.launch(&["--url", url, "claude"]).await;
    assert_eq!((code, err.as_str()), (Some(7), ""));
    assert!(out.contains(&format!("key={key}")), "{out}");
    for agent in ["claude", "codex", "opencode", "gemini", "qwen", "copilot", "aider", "pi"] {
        let (code, out, err) = machine.launch(&["--url", url, "--print", agent]).await;
        assert_eq!((code, err.as_str()), (Some(0), ""));
        assert!(out.contains(url) && !out.contains(&key), "{out}");
    }
    let with_key = url.replace("://", "://me:secret@");
    let (code, _, err) = machine.launch(&["--url", &with_key, "claude"]).await;
    assert_eq!(code, Some(2));
    assert!(err.contains("CHORUS_API_KEY"), "{err}");
}

#[tokio::test]
async fn temporary_files_are_there_for_as_long_as_the_agent_runs() {
    let (_upstream, chorus) = chorus("").await;
    let machine = Machine::new().has("pi", "cat \"$2\"; ls -ld \"$(dirname \"$2\")\"");
    let (code, out, err) = machine.launch(&["--url", chorus.base(), "pi"]).await;
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("registerProvider") && out.contains(chorus.base()), "{out}");
    assert!(out.contains("\ndrwx------"), "others may read them: {out}");
}

#[tokio::test]
async fn without_a_chorus_the_config_is_served_while_the_agent_runs() {
    let upstream = Upstream::start([("judge", Script::says("x")), ("a", Script::says("x"))]).await;
    let asks = r#"curl -s "$OPENAI_BASE_URL/models" -H "authorization: Bearer $OPENAI_API_KEY"
curl -s "$OPENAI_BASE_URL/chat/completions" -d '{"model": "a", "messages": [{"role": "user", "content": "hi"}]}'"#;
    let machine = Machine::new().has("qwen", asks);
    let config = machine.path("config.toml");
    fs::write(&config, four_stages(&["a"]).toml().replace("{base}", &upstream.base())).unwrap();
    let config = config.to_str().unwrap();
    let (code, out, err) = machine.launch(&["--config", config, "--port", "0", "qwen"]).await;
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("\"owned_by\":\"chorus\"") && out.contains("\"content\":\"x\""), "{out}");
}

#[tokio::test]
async fn why_it_cannot_start_is_said() {
    let (upstream, _chorus) = chorus("").await;
    let nobody = Machine::new().has("codex", "echo started");
    let other = upstream.base();
    for (arguments, code, words) in [
        (vec!["cody"], 2, "no agent is called 'cody'; there are: claude, codex, "),
        (vec!["--url", &other, "claude"], 1, "npm install -g @anthropic-ai/claude-code"),
        (vec!["--port", "1", "codex"], 1, "run `chorus demo`"),
        (vec!["--url", "http://127.0.0.1:1", "codex"], 1, "nobody answers at http://127.0.0.1:1/"),
        (vec!["--url", &other, "codex"], 1, "is no Chorus"),
        (vec!["--config", "/nowhere.toml", "codex"], 2, "there is no such file"),
    ] {
        let (status, out, err) = nobody.launch(&arguments).await;
        assert_eq!((status, out.as_str()), (Some(code), ""), "{arguments:?}: {err}");
        assert!(err.contains(words), "{arguments:?}: {err}");
    }
    let (code, out, _) = nobody.launch(&[]).await;
    assert_eq!(code, Some(0));
    let codex = nobody.path("bin/codex");
    assert!(out.contains(codex.to_str().unwrap()), "{out}");
    assert!(out.contains("not installed: npm install -g opencode-ai"), "{out}");
}

#[tokio::test]
async fn who_ends_it_ends_the_agent() {
    let (_upstream, chorus) = chorus("").await;
    let waits = "trap 'echo told; exit 3' TERM; echo started >\"$HOME/started\"\n\
                 for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 1; done";
    let machine = Machine::new().has("codex", waits);
    let child = machine.command(&["--url", chorus.base(), "codex"]).spawn().unwrap();
    let start = Instant::now();
    while !machine.path("started").exists() {
        assert!(start.elapsed() < ms(20_000), "it does not start");
        tokio::time::sleep(ms(20)).await;
    }
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(killed.unwrap().success());
    let Output { status, stdout, .. } = ended(child).await;
    assert_eq!((status.code(), stdout.as_slice()), (Some(3), &b"told\n"[..]));
    let machine = Machine::new().has("codex", "kill -KILL $$");
    let (code, ..) = machine.launch(&["--url", chorus.base(), "codex"]).await;
    assert_eq!(code, Some(128 + 9));
}
