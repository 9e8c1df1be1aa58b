//! Every config that is shipped or shown loads, and an editor has nothing against it.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use boon::{Compiler, Schemas};
use chorus::config::{Config, schema};

use super::markdown::{blocks, documents, files, read, root};

/// What an editor has against a config, plans in `json` included.
pub(super) fn complaints(text: &str) -> Option<String> {
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.enable_content_assertions();
    compiler.add_resource("config.schema.json", schema::config()).unwrap();
    let index = compiler.compile("config.schema.json", &mut schemas).unwrap();
    let table: toml::Table = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
    let config = serde_json::to_value(table).unwrap();
    schemas.validate(&config, index).err().map(|error| format!("{error:#}"))
}

/// Keys are in the environment, proxies are not.
fn env(name: &str) -> Option<String> {
    (!name.to_uppercase().ends_with("_PROXY")).then(|| "a-key-of-sixteen".to_owned())
}

/// A part of a config, with what it needs to be a whole one.
fn completed(part: &str) -> String {
    let mut text = String::new();
    let first = part.lines().find(|line| !line.starts_with('#')).unwrap_or_default();
    if !first.is_empty() && !first.starts_with('[') {
        text.push_str("[[model]]\nname = \"small\"\n");
    }
    text.push_str(part);
    if !text.contains("[[model]]") {
        text.push_str("\n[[model]]\nname = \"small\"\napi_base = \"http://127.0.0.1:8080/v1\"\n");
    }
    if !text.contains("[workflow-integration]") {
        let (_, models) = text.split_once("[[model]]").unwrap();
        let (_, rest) = models.split_once("name = \"").unwrap();
        let name = rest.split('"').next().unwrap();
        text = format!(
            "{text}\n[workflow-integration]\n\
             json = '{{ \"workers\": [\"{name}\"], \"selector\": \"{name}\" }}'\n"
        );
    }
    text
}

#[test]
fn every_toml_block_of_the_documents_is_a_config_or_a_part_of_one_that_loads() {
    let (mut whole, mut parts) = (0, 0);
    for (file, text) in documents() {
        // Its blocks are mistakes; `mistakes.rs` loads each of them.
        if file.ends_with("reference/mistakes.md") {
            continue;
        }
        for block in blocks(&text) {
            let config = match block.kind.as_str() {
                "toml" => {
                    whole += 1;
                    block.text
                }
                "toml excerpt" => {
                    parts += 1;
                    completed(&block.text)
                }
                kind => {
                    assert!(!kind.contains("toml"), "{file}:{}: {kind}", block.line);
                    continue;
                }
            };
            let loaded = Config::parse(&config, None, &env);
            let loaded = loaded.unwrap_or_else(|error| panic!("{file}:{}: {error}", block.line));
            let remarks = (loaded.notices, loaded.warnings);
            assert_eq!(remarks, (vec![], vec![]), "{file}:{}", block.line);
            assert_eq!(complaints(&config), None, "{file}:{}", block.line);
        }
    }
    assert!(whole >= 10, "two in each README, three in each book: {whole}");
    assert!(parts >= 20, "{parts}");
}

/// Files of the name that are not configs of Chorus.
const OTHERS: [&str; 5] = ["Cargo.toml", "book.toml", "clippy.toml", "deny.toml", "rustfmt.toml"];

#[test]
fn every_toml_file_that_is_shipped_loads() {
    let mut loaded = Vec::new();
    for file in files() {
        let name = file.file_name().unwrap().to_str().unwrap();
        if file.extension().is_none_or(|ending| ending != "toml") || OTHERS.contains(&name) {
            continue;
        }
        let config = Config::load(&root().join(&file), &env);
        let config = config.unwrap_or_else(|error| panic!("{error}"));
        let old = name == "test-old-config.toml";
        assert_eq!(!config.notices.is_empty(), old, "{:?}", config.notices);
        let text = fs::read_to_string(root().join(&file)).unwrap();
        let complaints = complaints(&text);
        // Of the old forms a single [model] alone is one that the schema does not show.
        assert_eq!(complaints.is_some(), old, "{complaints:?}");
        if old {
            assert_eq!(self::complaints(&text.replace("[model]", "[[model]]")), None);
        }
        loaded.push(file);
    }
    for known in ["config-example.toml", "examples/real-llm/config.toml", "test-old-config.toml"] {
        assert!(loaded.iter().any(|file| file == Path::new(known)), "{known}: {loaded:?}");
    }
}

/// The command, with this home and a key.
fn chorus(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chorus"));
    command.args(arguments).env_clear().env("HOME", home).current_dir(home).stdin(Stdio::null());
    // Nobody listens on port 1, so no real Ollama of this machine is found.
    command.env("OLLAMA_HOST", "127.0.0.1:1").env("OPENAI_API_KEY", "k").output().unwrap()
}

#[test]
fn the_schemas_are_printed_as_they_are_committed_with_no_config_there() {
    let home = tempfile::tempdir().unwrap();
    for (arguments, file) in [
        (vec!["config", "schema"], "docs/schema/config.schema.json"),
        (vec!["config", "schema", "--plan"], "docs/schema/plan.schema.json"),
    ] {
        let ran = chorus(home.path(), &arguments);
        assert_eq!((ran.status.code(), ran.stderr), (Some(0), vec![]));
        assert_eq!(String::from_utf8(ran.stdout).unwrap(), read(file), "{file}");
    }
}

#[test]
fn an_editor_has_nothing_against_what_chorus_writes() {
    let home = tempfile::tempdir().unwrap();
    let old = home.path().join("old.toml");
    fs::copy(root().join("test-old-config.toml"), &old).unwrap();
    for (arguments, file) in [
        (vec!["init", "--yes", "--config", "new.toml"], "new.toml"),
        (vec!["migrate", "--config", "old.toml"], "old.toml"),
    ] {
        let ran = chorus(home.path(), &arguments);
        assert_eq!(ran.status.code(), Some(0), "{ran:?}");
        let text = fs::read_to_string(home.path().join(file)).unwrap();
        assert!(text.contains("[[model]]"), "{text}");
        assert_eq!(complaints(&text), None, "{text}");
    }
}
