//! Every key the READMEs describe is one the parser knows, and every key of the example is
//! described.

use std::collections::BTreeSet;

use chorus::config::Config;
use serde_json::{Value, json};

use super::markdown::{READMES, code, read, row, section};

/// The subsections on keys, in both languages.
const KEYS: [&str; 2] = ["### 全部键", "### Keys"];
const PLAN_KEYS: [&str; 2] = ["### 计划的键", "### Keys of the plan"];

type Key = (String, String);

fn is_key(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

/// `[workflow.domains."主机"]` and `[workflow.domains."api.example.com"]` are one table.
fn table(header: &str) -> String {
    match header.split_once('"') {
        Some((start, _)) => format!("{start}\"host\"]"),
        None => header.to_owned(),
    }
}

/// (table, key) for each key of the tables below a line that names the table, and of such a line.
fn described(readme: &str) -> BTreeSet<Key> {
    let (mut found, mut tables, mut fresh) = (BTreeSet::new(), Vec::new(), true);
    for line in section(readme, &KEYS) {
        let words = match row(line) {
            Some(cells) => code(cells[0]),
            None if line.starts_with("`[") => {
                tables.clear();
                code(line)
            }
            None => continue,
        };
        for word in words {
            // `format = "pretty"` describes `format`.
            let key = word.split(" = ").next().unwrap();
            if word.starts_with('[') && word.ends_with(']') && word != "[]" {
                if !fresh {
                    tables.clear();
                }
                tables.push(table(word));
                fresh = true;
            } else if is_key(key) {
                found.extend(tables.iter().map(|table| (table.clone(), key.to_owned())));
                fresh = false;
            }
        }
    }
    found
}

/// (table, key) for each option of the example, most of them commented out.
fn exemplified(example: &str) -> BTreeSet<Key> {
    let (mut found, mut within) = (BTreeSet::new(), String::new());
    for line in example.lines() {
        let line = line.strip_prefix("# ").unwrap_or(line);
        let header = line.split("  #").next().unwrap().trim_end();
        if header.starts_with('[') && header.ends_with(']') {
            within = table(header);
        } else if let Some((key, _)) = line.split_once(" = ").filter(|(key, _)| is_key(key)) {
            found.insert((within.clone(), key.to_owned()));
        }
    }
    found
}

/// What the parser says of a config with this key in this table, at a value no key takes.
fn report((table, key): &Key) -> String {
    let text = format!("{table}\n{key} = [[]]\n");
    Config::parse(&text, None, &|_| None).expect_err("no key takes [[]]").to_string()
}

#[test]
fn every_key_of_the_readmes_is_known_and_every_key_of_the_example_is_in_them() {
    let wanted = exemplified(&read("config-example.toml"));
    assert!(wanted.len() > 45, "{wanted:?}");
    for file in READMES {
        let keys = described(&read(file));
        let missing: Vec<&Key> = wanted.difference(&keys).collect();
        assert!(missing.is_empty(), "{file} does not describe {missing:?}");
        for key in &keys {
            let report = report(key);
            let unknown = format!("unknown key `{}`", key.1);
            assert!(!report.contains(&unknown), "{file}: {key:?}: {report}");
            // The same question about a key that no table has is answered by the table.
            let nonsense = (key.0.clone(), "nonsense".to_owned());
            let report = self::report(&nonsense);
            assert!(report.contains("unknown key `nonsense`"), "{file}: {nonsense:?}: {report}");
        }
    }
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
fn every_plan_key_of_the_readmes_is_known() {
    for file in READMES {
        let text = read(file);
        let rows = section(&text, &PLAN_KEYS).into_iter().filter_map(row);
        let rows: Vec<Vec<&str>> = rows.skip(1).collect();
        assert_eq!(rows.len(), 4, "{file}: a level, a stage, a worker, a policy");
        for (kind, cells) in rows.iter().enumerate() {
            let keys: Vec<&str> = code(cells[1]).into_iter().filter(|word| is_key(word)).collect();
            assert!(!keys.is_empty(), "{file}: {cells:?}");
            for key in keys {
                let report = plan_report(kind, key);
                let unknown = format!("{key}: unknown key");
                assert!(!report.contains(&unknown), "{file}: {}: {report}", cells[0]);
            }
            let report = plan_report(kind, "nonsense");
            assert!(report.contains("nonsense: unknown key"), "{file}: {}: {report}", cells[0]);
        }
    }
}

#[test]
fn every_key_said_to_be_refused_is_refused_as_not_supported_yet() {
    for file in READMES {
        let text = read(file);
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
