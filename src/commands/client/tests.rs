//! Both commands, over real files.

use crate::store::{Record, Source, Store, Table};
use std::{path::PathBuf, sync::Arc};

use super::*;

const CONFIG: &str = "\
# my models
[server]
data_dir = \"state\"  # beside this file
[[model]]
name = \"a\"
api_base = \"http://127.0.0.1:9/v1\"

[workflow-integration]
json = '{ \"workers\": [\"a\"], \"selector\": \"a\" }' # the plan
";

fn config(folder: &tempfile::TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("config.toml");
    fs::write(&path, text).unwrap();
    path
}

/// The exit code, what it printed, and what else it said.
fn ran(command: impl FnOnce(&mut Screen<'_>) -> io::Result<u8>) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = command(&mut Screen { out: &mut out, err: &mut err, look: Look::PLAIN }).unwrap();
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

#[test]
fn a_new_client_gets_a_key_that_the_file_has_as_a_hash() {
    let folder = tempfile::tempdir().unwrap();
    let path = config(&folder, CONFIG);
    let new = |name: &str| ran(|screen| create(&path, name, &|_| None, screen));
    let (code, out, err) = new("ann");
    assert_eq!(code, FINE, "{err}");
    assert!(err.contains("`ann`") && err.contains("the first"), "{err}");
    let key = out.trim_end();
    assert!(key.starts_with(BEGINNING) && key.len() == BEGINNING.len() + 2 * LENGTH, "{key}");
    let written = fs::read_to_string(&path).unwrap();
    assert!(!written.contains(key) && !err.contains(key), "{written}");
    // What was there is there as it was.
    assert!(written.starts_with(CONFIG), "{written}");
    let (code, other, err) = new("ben");
    assert!(code == FINE && !err.contains("the first"), "{err}");
    assert_ne!(out, other);
    let config = Config::load(&path, &|_| None).unwrap();
    let clients: Vec<_> = config.clients.iter().map(|one| (&*one.name, one.key_sha256)).collect();
    let hash = |key: &str| <[u8; 32]>::from(Sha256::digest(key.trim_end()));
    assert_eq!(clients, [("ann", hash(&out)), ("ben", hash(&other))]);
}

#[test]
fn nothing_is_written_where_a_client_cannot_be() {
    let folder = tempfile::tempdir().unwrap();
    let taken = format!("{CONFIG}[[client]]\nname = \"ann\"\nkey = \"k\"\n");
    let inline = format!("client = [{{ name = \"ben\", key = \"k\" }}]\n{CONFIG}");
    for (text, name, says) in [
        (taken.as_str(), "ann", "the name is taken"),
        (&inline, "ann", "write it as [[client]]"),
        (CONFIG, " ", "has letters"),
        ("[server", "ann", "TOML"),
    ] {
        let path = config(&folder, text);
        let (code, out, err) = ran(|screen| create(&path, name, &|_| None, screen));
        assert!(code == REFUSED && out.is_empty() && err.contains(says), "{code} {err}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

/// What a server would have kept.
struct Kept;

impl Source for Kept {
    fn changed(&self) -> Vec<Record> {
        let (from, until) = (0, i64::MAX);
        let used = serde_json::json!({"from": from, "until": until, "calls": 3, "tokens": 54,
            "picodollars": 75_000_000});
        let value = serde_json::json!({"day": used, "week": used, "month": used}).to_string();
        vec![Record { table: Table::Clients, name: "ann".to_owned(), value }]
    }
}

#[test]
fn the_list_shows_use_against_budgets_while_a_server_writes() {
    let folder = tempfile::tempdir().unwrap();
    let clients = "[[client]]\nname = \"ann\"\nkey = \"k\"\nadmin = true\nexpires = \"9000-01-01\"\n\
                   budget = { tokens = 100, usd = 5.0, per = \"day\" }\n\
                   [[client]]\nname = \"ben\"\nkey = \"l\"\nenabled = false\n";
    let path = config(&folder, &format!("{CONFIG}{clients}"));
    let shown = |form| ran(|screen| list(&path, form, &|_| None, screen));
    let (code, out, err) = shown(Form::Text);
    assert!(code == FINE && out.contains("0 of 100 tokens"), "{out}{err}");
    let store = Store::open(&folder.path().join("state")).unwrap();
    store.keep(Arc::new(Kept));
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let out = loop {
        let (_, out, err) = shown(Form::Text);
        if out.contains("54 of 100 tokens") || std::time::Instant::now() > until {
            break format!("{out}{err}");
        }
    };
    insta::assert_snapshot!(out, @r"
    ann (admin, until 9000-01-01)
      today        3 calls, 54 of 100 tokens, 0.0001 of 5 dollars
      this week    3 calls, 54 tokens, 0.0001 dollars
      this month   3 calls, 54 tokens, 0.0001 dollars
    ben (switched off)
      today        0 calls, 0 tokens, 0.0000 dollars
      this week    0 calls, 0 tokens, 0.0000 dollars
      this month   0 calls, 0 tokens, 0.0000 dollars
    ");
    drop(store);
    let json: serde_json::Value = serde_json::from_str(&shown(Form::Json).1).unwrap();
    assert_eq!(json["clients"][0]["used"][0]["used"]["tokens"], 54);
}
