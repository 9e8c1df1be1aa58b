//! Real files, as editors, Kubernetes and accidents change them.

mod files;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use tracing_subscriber::layer::SubscriberExt;

use super::*;
use crate::{
    config::{Config, Overrides, SecretStores},
    workflow::Engine,
};

/// A config that can be told from others by its heartbeat.
fn text(heartbeat: u32) -> String {
    with(heartbeat, "")
}

/// The same with more tables.
fn with(heartbeat: u32, more: &str) -> String {
    format!(
        "[server]\nheartbeat_secs = {heartbeat}\n[[model]]\nname = \"a\"\n\
         api_base = \"http://127.0.0.1:9/v1\"\napi_key = \"SECRET\"\n\
         [workflow-integration]\njson = '{{ \"workers\": [\"a\"], \"selector\": \"a\" }}'\n{more}"
    )
}

fn source(path: &Path) -> Source {
    Source {
        path: path.to_owned(),
        env: Box::new(|_| None),
        overrides: Overrides::default(),
        stores: SecretStores::default(),
        seen: None,
    }
}

/// A server of the file as it is.
fn app(path: &Path) -> AppState {
    let config = Config::load(path, &|_| None).unwrap();
    AppState::new(Arc::new(Engine::new(Arc::new(config)).unwrap()))
}

fn heartbeat(app: &AppState) -> u64 {
    app.engine().config().server.heartbeat.as_secs()
}

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is logged while something is done, one line each.
fn logged(action: impl FnOnce()) -> Vec<String> {
    let captured = Captured::default();
    let writer = captured.clone();
    let layer = tracing_subscriber::fmt::layer()
        .without_time()
        .with_ansi(false)
        .with_target(false)
        .with_writer(move || writer.clone());
    // A single dispatcher would let callsites be cached as unwanted.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let levels = tracing_subscriber::EnvFilter::new("chorus=info");
    let subscriber = tracing_subscriber::registry().with(layer).with(levels);
    tracing::subscriber::with_default(subscriber, action);
    let text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    text.lines().map(|line| line.trim().to_owned()).collect()
}

/// A file, the server made of it, and who loads it.
struct Story {
    folder: tempfile::TempDir,
    path: PathBuf,
    app: AppState,
    loader: Loader,
}

impl Story {
    fn of(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        fs::write(&path, text).unwrap();
        let app = app(&path);
        let loader = Loader::new(source(&path), app.clone());
        Self { folder, path, app, loader }
    }

    /// The file gets this text and is loaded; what is logged of it.
    fn becomes(&mut self, text: impl AsRef<[u8]>) -> Vec<String> {
        fs::write(&self.path, text).unwrap();
        logged(|| self.loader.reload(false))
    }
}

#[test]
fn a_good_file_is_taken_and_reported_in_one_line() {
    let mut story = Story::of(&text(1));
    let lines = story.becomes(with(2, "[workflow.retry]\nmax_retries = 0\n"));
    let [line] = &lines[..] else { panic!("{lines:?}") };
    let logged = "changed=\"[server] heartbeat_secs; [workflow.retry]\"";
    assert!(line.starts_with("INFO config reloaded") && line.contains(logged), "{line}");
    assert_eq!(heartbeat(&story.app), 2);
    assert_eq!(story.becomes(format!("# a comment\n{}", story_text(&story))), [""; 0]);
}

fn story_text(story: &Story) -> String {
    fs::read_to_string(&story.path).unwrap()
}

#[test]
fn nothing_happens_when_nothing_changed_unless_somebody_asks() {
    let mut story = Story::of(&text(1));
    let before = story.app.engine();
    assert_eq!(story.becomes(text(1)), [""; 0]);
    assert!(Arc::ptr_eq(&before, &story.app.engine()));
    let lines = logged(|| story.loader.reload(true));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("changed=\"nothing\""), "{lines:?}");
    assert!(!Arc::ptr_eq(&before, &story.app.engine()));
}

#[test]
fn a_bad_file_changes_nothing_and_is_reported_once() {
    let mut story = Story::of(&text(1));
    let before = story.app.engine();
    let invalid_utf8 = [text(2).as_bytes(), b"# \xff\n"].concat();
    for bad in [
        with(2, "[unknown]\n").into_bytes(),
        text(2).replace("\"selector\": \"a\"", "\"selector\": \"b\"").into_bytes(),
        b"[server".to_vec(),
        Vec::new(),
        invalid_utf8,
    ] {
        let lines = story.becomes(&bad);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with("ERROR the config was not reloaded"), "{lines:?}");
        assert!(!lines[0].contains("SECRET"), "{lines:?}");
        assert_eq!(story.becomes(&bad), [""; 0], "it was told");
        assert!(Arc::ptr_eq(&before, &story.app.engine()));
        let lines = story.becomes(text(1));
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with("INFO the config is good again"), "{lines:?}");
    }
    fs::remove_file(&story.path).unwrap();
    for _ in 0..2 {
        let lines = logged(|| story.loader.reload(true));
        assert!(lines.len() == 1 && lines[0].contains("cannot be read"), "asked for: {lines:?}");
    }
    assert!(Arc::ptr_eq(&before, &story.app.engine()));
    story.becomes(text(3));
    assert_eq!(heartbeat(&story.app), 3);
}

#[test]
fn a_certificate_that_is_none_is_refused_when_clients_are_built() {
    let mut story = Story::of(&text(1));
    let ca = story.folder.path().join("ca.pem");
    fs::write(&ca, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    let bad = text(2).replace("name = \"a\"", "name = \"a\"\nca_cert = \"ca.pem\"");
    let lines = story.becomes(bad);
    assert!(lines.len() == 1 && lines[0].contains("ca.pem"), "{lines:?}");
    assert_eq!(heartbeat(&story.app), 1);
}

#[test]
fn what_needs_a_restart_is_named_and_the_rest_takes_effect() {
    let mut story = Story::of(&text(1));
    let moved = text(2).replace("[server]", "[server]\nport = 4");
    let moved = format!("{moved}[log]\nformat = \"json\"\n");
    let lines = story.becomes(&moved);
    let [reloaded, restart] = &lines[..] else { panic!("{lines:?}") };
    assert!(reloaded.contains("changed=\"[server] heartbeat_secs\""), "{lines:?}");
    assert!(restart.starts_with("WARN") && restart.contains("after a restart"), "{lines:?}");
    assert!(restart.contains("keys=\"[server] port, [log] format\""), "{lines:?}");
    assert_eq!((heartbeat(&story.app), story.app.engine().config().server.port), (2, 11435));
    assert_eq!(story.becomes(format!("{moved}# more\n")), [""; 0], "it was told");
    let lines = story.becomes(moved.replace("heartbeat_secs = 2", "heartbeat_secs = 3"));
    assert_eq!(lines.len(), 1, "{lines:?}");
}

#[test]
fn the_command_line_still_wins() {
    let mut story = Story::of(&text(1));
    story.loader.source.overrides = Overrides { host: None, port: Some(11435), log_format: None };
    let lines = story.becomes(text(2).replace("[server]", "[server]\nport = 4"));
    assert_eq!(lines.len(), 1, "no restart would help: {lines:?}");
}

#[test]
fn a_server_that_others_reach_never_loses_its_last_client() {
    let client = "[[client]]\nname = \"c\"\nkey = \"SECRET-of-16-and-more\"\n";
    let open = with(1, client).replace("[server]", "[server]\nhost = \"0.0.0.0\"");
    let mut story = Story::of(&open);
    // Alone this file is fine, but the listener does not move.
    let lines = story.becomes(text(2));
    assert!(lines.len() == 1 && lines[0].contains("no [[client]] any more"), "{lines:?}");
    assert_eq!(story.app.engine().config().clients.len(), 1);
    let lines = story.becomes(with(2, client));
    assert!(lines.last().unwrap().contains("keys=\"[server] host\""), "{lines:?}");
    assert_eq!(story.app.engine().config().server.host, "0.0.0.0");
}

#[test]
fn a_model_at_the_own_address_is_refused_wherever_the_file_says_it_listens() {
    let mut story = Story::of(&text(1));
    let own = text(2).replace("127.0.0.1:9", "localhost:11435");
    // The listener does not move before a restart.
    for bad in [own.clone(), own.replace("[server]", "[server]\nport = 4")] {
        let lines = story.becomes(&bad);
        assert!(lines.len() == 1 && lines[0].contains("own address"), "{lines:?}");
        assert_eq!(heartbeat(&story.app), 1);
    }
}

#[test]
fn only_new_warnings_are_repeated() {
    let domain = |name: &str| format!("[workflow.domains.\"{name}\"]\nworker_timeout_secs = 9\n");
    let mut story = Story::of(&with(1, &domain("one.example")));
    let lines = story.becomes(with(2, &domain("one.example")));
    assert_eq!(lines.len(), 1, "{lines:?}");
    let lines = story.becomes(with(2, &domain("two.example")));
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[1].starts_with("WARN") && lines[1].contains("two.example"), "{lines:?}");
    let lines =
        story.becomes(format!("# one line further down\n{}", with(3, &domain("two.example"))));
    assert_eq!(lines.len(), 1, "{lines:?}");
}

#[cfg(unix)]
#[test]
fn a_file_that_everybody_may_read_by_now_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;
    let mut story = Story::of(&text(1).replace("http://127.0.0.1:9", "https://api.example.com"));
    let mut given = |mode| {
        fs::set_permissions(&story.path, fs::Permissions::from_mode(mode)).unwrap();
        logged(|| story.loader.reload(false))
    };
    given(0o600);
    let lines = given(0o644);
    assert!(lines.len() == 1 && lines[0].contains("in plain text"), "{lines:?}");
    assert_eq!(given(0o644), [""; 0]);
}

#[cfg(unix)]
#[test]
fn a_pipe_is_read_once_and_never_waited_for() {
    use std::process::Command;
    let mut story = Story::of(&text(1));
    let pipe = story.folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // Begun from a pipe, as `--config <(...)` does: there is nothing to load again.
    let mut begun = Loader::new(source(&pipe), story.app.clone());
    assert_eq!(logged(|| begun.reload(false)), [""; 0]);
    let lines = logged(|| begun.reload(true));
    assert!(lines.len() == 1 && lines[0].contains("needs a restart"), "{lines:?}");
    assert!(!begun.is_refused());
    // Become one.
    fs::remove_file(&story.path).unwrap();
    fs::rename(&pipe, &story.path).unwrap();
    let lines = logged(|| story.loader.reload(false));
    assert!(lines.len() == 1 && lines[0].contains("no regular file"), "{lines:?}");
    assert!(story.loader.is_refused());
}
