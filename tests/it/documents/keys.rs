//! What the manual says of keys beside their tables, which are made of the structs of the file.

use chorus::config::{Config, schema};
use serde_json::{Value, json};

use super::markdown::{code, pages, read};

const PAGE: &str = "reference/config.md";

type Key = (String, String);

fn is_key(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

/// What the parser says of a config with this key in this table, at a value no key takes.
fn report((table, key): &Key) -> String {
    let text = format!("{table}\n{key} = [[]]\n");
    Config::parse(&text, None, &|_| None).expect_err("no key takes [[]]").to_string()
}

/// What the parser says of a plan whose node of this kind has this key, at a value no key takes.
fn plan_report(kind: usize, key: &str) -> String {
    let mut plan = json!({"selector": "a", "policy": {},
        "workers": [{"ref": "a"}, {"workers": ["a", "a"]}]});
    let place = ["/workers/1", "/workers/0", "/workers/0", "/policy"][kind];
    plan.pointer_mut(place).unwrap()[key] = json!([[]]);
    config_with(&plan).expect_err("no key takes [[]]")
}

fn config_with(plan: &Value) -> Result<Config, String> {
    let text = format!(
        "[[model]]\nname = \"a\"\napi_base = \"http://127.0.0.1:1/v1\"\n\
         [workflow-integration]\njson = '''{plan}'''\n"
    );
    Config::parse(&text, None, &|_| None).map_err(|error| error.to_string())
}

#[test]
fn every_old_key_is_on_the_page_of_old_configs() {
    let definitions = schema::config()["$defs"]["Integration"]["properties"].clone();
    let is_old = |(_, property): &(&String, &Value)| property.get("deprecated").is_some();
    let old: Vec<&String> =
        definitions.as_object().unwrap().iter().filter(is_old).map(|(key, _)| key).collect();
    assert_eq!(old.len(), 4, "{old:?}");
    for file in pages("operations/old-configs.md") {
        let text = read(&file);
        for key in &old {
            assert!(text.contains(&format!("`{key}`")), "{file}: {key}");
        }
    }
}

#[test]
fn every_key_said_to_be_refused_is_refused_as_not_supported_yet() {
    for file in pages(PAGE) {
        let text = read(&file);
        let marks = ["**尚不支持，因此拒绝**", "**Refused as not supported yet**"];
        let line = text.lines().find(|line| marks.iter().any(|mark| line.starts_with(mark)));
        let line = line.unwrap_or_else(|| panic!("{file} has no such paragraph"));
        let words = code(line);
        // `policy` only says where.
        for key in words.into_iter().filter(|word| is_key(word) && *word != "policy") {
            let toml = ["[server]", "[[client]]", "[[model]]", "[workflow]"]
                .map(|table| report(&(table.to_owned(), key.to_owned())));
            let plan = [0, 3].map(|kind| plan_report(kind, key));
            let protocol =
                Config::parse(&format!("[[model]]\nprotocol = \"{key}\"\n"), None, &|_| None);
            let protocol = protocol.expect_err("nothing else is there").to_string();
            let mut reports =
                toml.iter().chain(&plan).chain([&protocol]).flat_map(|all| all.lines());
            let refused =
                reports.any(|line| line.contains(key) && line.contains("not supported yet"));
            assert!(refused, "{file}: {key}");
        }
    }
}
