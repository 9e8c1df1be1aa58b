//! Every key the manual describes is one the parser knows, and every key of the example is
//! described.

use std::collections::BTreeSet;

use chorus::config::{Config, schema};
use serde_json::{Value, json};

use super::markdown::{code, level, pages, read, row, section};

const PAGE: &str = "reference/config.md";
/// Its section on keys, and that of the plan's page, in both languages.
const KEYS: [&str; 2] = ["## 全部键", "## Keys"];
const PLAN_PAGE: &str = "reference/plan.md";
const PLAN_KEYS: [&str; 2] = ["# 计划的键", "# Keys of the plan"];

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

/// (table, key) for each key of the rows below a heading that names the table, or several.
fn described(page: &str) -> BTreeSet<Key> {
    let (mut found, mut tables) = (BTreeSet::new(), Vec::new());
    for line in section(page, &KEYS) {
        if level(line) > 0 {
            tables = code(line).into_iter().map(table).collect();
        }
        let keys = row(line).map(|cells| code(cells[0])).unwrap_or_default();
        for key in keys.into_iter().filter(|word| is_key(word)) {
            found.extend(tables.iter().map(|table| (table.clone(), key.to_owned())));
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
fn every_key_of_the_manual_is_known_and_every_key_of_the_example_is_in_them() {
    let wanted = exemplified(&read("config-example.toml"));
    assert!(wanted.len() > 45, "{wanted:?}");
    for file in pages(PAGE) {
        let keys = described(&read(&file));
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

/// The definition of each table in the schema.
const TABLES: [(&str, &str); 13] = [
    ("[server]", "Server"),
    ("[log]", "Log"),
    ("[[client]]", "Client"),
    ("[[alias]]", "Alias"),
    ("[[model]]", "Model"),
    ("[[model.endpoint]]", "Endpoint"),
    ("[workflow.timeouts]", "Timeouts"),
    ("[workflow.domains.\"host\"]", "Domain"),
    ("[workflow.retry]", "Retry"),
    ("[workflow.health]", "Health"),
    ("[workflow.pool]", "Pool"),
    ("[workflow-integration]", "Integration"),
    ("[[workflow-profile]]", "Profile"),
];

/// What the schema says of each key of a definition, tables below it and old forms left out.
fn schema(definition: &str) -> Vec<(String, Value)> {
    let schema = schema::config();
    let properties = schema["$defs"][definition]["properties"].as_object().unwrap();
    let own = properties.iter().filter(|(key, schema)| {
        let table = *key == "endpoint" || *key == "$schema";
        !table && schema.get("deprecated").is_none()
    });
    own.map(|(key, schema)| (key.clone(), schema.clone())).collect()
}

#[test]
fn the_manual_describes_the_keys_of_the_schema_and_no_others() {
    let keys = |(table, definition): (&str, &str)| -> Vec<Key> {
        schema(definition).into_iter().map(|(key, _)| (table.to_owned(), key)).collect()
    };
    let wanted: BTreeSet<Key> = TABLES.into_iter().flat_map(keys).collect();
    assert!(wanted.len() > 70, "{}", wanted.len());
    for file in pages(PAGE) {
        let text = read(&file);
        let described = described(&text);
        let missing: Vec<&Key> = wanted.difference(&described).collect();
        let invented: Vec<&Key> = described.difference(&wanted).collect();
        assert!(missing.is_empty(), "{file} does not describe {missing:?}");
        assert!(invented.is_empty(), "{file} describes {invented:?}, which the schema has not");
        for (key, _) in schema("Price") {
            assert!(section(&text, &KEYS).iter().any(|line| line.contains(&key)), "{file}: {key}");
        }
        let old_forms = read(&file.replace(PAGE, "operations/old-configs.md"));
        let definitions = schema::config()["$defs"]["Integration"]["properties"].clone();
        for (key, schema) in definitions.as_object().unwrap() {
            let old = schema.get("deprecated").is_some();
            assert!(!old || old_forms.contains(&format!("`{key}`")), "{file}: the old key {key}");
        }
    }
}

/// The default that the schema has for a key of one of these tables.
fn default_of(tables: &[String], key: &str) -> Option<Value> {
    let (_, definition) = TABLES.into_iter().find(|(table, _)| tables[0] == *table)?;
    let (_, schema) = schema(definition).into_iter().find(|(own, _)| own == key)?;
    schema.get("default").cloned()
}

#[test]
fn the_defaults_of_the_manual_are_those_of_the_schema() {
    for file in pages(PAGE) {
        let (text, mut tables, mut compared) = (read(&file), Vec::new(), 0);
        for line in section(&text, &KEYS) {
            if level(line) > 0 {
                tables = code(line).into_iter().map(table).collect();
            }
            let Some(cells) = row(line).filter(|cells| cells.len() == 3) else { continue };
            for (key, shown) in listed(cells[0]).into_iter().zip(listed(cells[1])) {
                let Ok(shown) = serde_json::from_str::<Value>(shown) else { continue };
                let default = default_of(&tables, key);
                let same = default.as_ref().is_some_and(|default| match shown.as_f64() {
                    Some(shown) => default.as_f64() == Some(shown),
                    None => *default == shown,
                });
                assert!(same, "{file}: {tables:?} {key}: {shown}, and the schema has {default:?}");
                compared += 1;
            }
        }
        assert!(compared > 35, "{file}: {compared}");
    }
}

/// What a cell lists, without backticks.
fn listed(cell: &str) -> Vec<&str> {
    cell.split(['、', ',']).map(|one| one.trim().trim_matches('`')).collect()
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
fn every_plan_key_of_the_manual_is_known() {
    for file in pages(PLAN_PAGE) {
        let text = read(&file);
        let rows = section(&text, &PLAN_KEYS).into_iter().filter_map(row);
        let rows: Vec<Vec<&str>> = rows.skip(1).collect();
        assert_eq!(rows.len(), 4, "{file}: a level, a stage, a worker, a policy");
        let keys = |definition: &str| -> BTreeSet<String> {
            schema(definition).into_iter().map(|(key, _)| key).collect()
        };
        let only = |definition: &str| &keys(definition) - &keys("Stage");
        let schema = [keys("Panel"), keys("Stage"), only("Leaf"), keys("Policy")];
        for (cells, wanted) in rows.iter().zip(schema) {
            let keys = code(cells[1]).into_iter().filter(|word| is_key(word));
            assert_eq!(keys.map(str::to_owned).collect::<BTreeSet<_>>(), wanted, "{file}");
        }
        for key in only("Reranker") {
            assert!(text.contains(&format!("`{key}`")), "{file}: {key} of a reranker");
        }
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
