//! What is written of the keys elsewhere, against the structs of the file: both schemas, the tables of
//! the manual, and the example. `cargo xtask reference` writes what can be written.

use std::{fs, path::Path};

use serde_json::Value;

use crate::config::schema;

/// The sections of the manual's page on the config, and whose keys they list.
const CONFIG: [(&str, &str); 20] = [
    ("### `[server]`", "Server"),
    ("### `[server.tls]`", "Tls"),
    ("### `[limits]`", "Limits"),
    ("### `[[client]]`", "Client"),
    ("### `budget`", "Budget"),
    ("### `[log]`", "Log"),
    ("### `[audit]`", "Audit"),
    ("### `[runs]`", "Runs"),
    ("### `[[alias]]`", "Alias"),
    ("### `[[model]]`", "Model"),
    ("### `price`", "Price"),
    ("### `[[model.endpoint]]`", "Endpoint"),
    ("### `[workflow-integration]`", "Integration"),
    ("### `[[workflow-profile]]`", "Profile"),
    ("### `[workflow.timeouts]`", "Timeouts"),
    ("### `[workflow.retry]`", "Retry"),
    ("### `[workflow.health]`", "Health"),
    ("### `[workflow.pool]`", "Pool"),
    // The tables above are what these hold.
    ("", "Workflow"),
    ("", "Domain"),
];

/// The same of the page on the plan.
const PLAN: [(&str, &str); 6] = [
    ("## A level", "Level"),
    ("## A stage or worker", "Stage"),
    ("## A worker only", "Leaf"),
    ("## The reranker only", "Reranker"),
    ("## `policy`", "Policy"),
    ("", "Panel"),
];

/// A key, what it is without, and what the schema says of it.
struct Key {
    name: String,
    default: String,
    property: Value,
}

/// The keys of a definition, without old ones, lists of tables, and those of the plain stage.
fn keys(definition: &str) -> Vec<Key> {
    let schema = schema::config();
    let table = match definition {
        "Level" => &schema["$defs"]["Plan"],
        other => &schema["$defs"][other],
    };
    let required: Vec<&str> =
        table["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let is_own = |name: &str, property: &Value| {
        let of_a_stage = schema["$defs"]["Stage"]["properties"].get(name).is_some();
        let is_list_of_tables =
            property["items"].get("$ref").is_some() && property.get("examples").is_none();
        let is_elsewhere = of_a_stage && matches!(definition, "Leaf" | "Reranker");
        !(name == "$schema" || is_list_of_tables || is_elsewhere)
    };
    let all = table["properties"].as_object().unwrap().iter();
    let new = all
        .filter(|(name, property)| is_own(name, property) && property.get("deprecated").is_none());
    let key = |(name, property): (&String, &Value)| Key {
        name: name.clone(),
        default: match property.get("default") {
            Some(default) => format!("`{default}`"),
            None if required.contains(&name.as_str()) => "required".to_owned(),
            None => "none".to_owned(),
        },
        property: property.clone(),
    };
    new.map(key).collect()
}

/// What the manual says of a key, on one line.
fn meaning(property: &Value) -> String {
    let text = property["description"].as_str().unwrap();
    let text = text.split("\n\nDefault: ").next().unwrap();
    let (text, facts) = text.split_once("\n\nFrom ").unwrap_or((text, ""));
    let text = text.split("\n\nExample: ").next().unwrap();
    let mut parts = text.split("\n\n* ").flat_map(|part| part.split("\n* "));
    let mut meaning = parts.next().unwrap().replace('\n', " ");
    let words: Vec<String> =
        parts.map(|word| word.replace("`:", "`: ").replace(":  ", ": ")).collect();
    if !words.is_empty() {
        meaning.push_str(&format!(" {}.", words.join("; ")));
    }
    if !facts.is_empty() {
        let range = facts.split(". ").next().unwrap().trim_end_matches('.');
        meaning.push_str(&format!(" From {range}."));
    }
    meaning.replace('|', "\\|")
}

/// A page with its tables as they are to be.
fn with_tables(page: &str, sections: &[(&str, &str)]) -> String {
    let mut page = page.to_owned();
    for (header, definition) in sections.iter().filter(|(header, _)| !header.is_empty()) {
        let (above, rest) = page.split_once(&format!("\n{header}")).expect(header);
        let (text, rest) = rest.split_once("\n| ").expect(header);
        let below = rest.split_once("\n\n").map_or("", |(_, below)| below);
        let start = format!("{above}\n{header}{text}\n");
        let end = if below.is_empty() { String::new() } else { format!("\n{below}") };
        let mut table = "| key | default | meaning |\n| --- | --- | --- |\n".to_owned();
        for Key { name, default, property } in keys(definition) {
            table.push_str(&format!("| `{name}` | {default} | {} |\n", meaning(&property)));
        }
        page = format!("{start}{table}{end}");
    }
    page
}

/// Writes a file, where that is asked for; else it has to be so already.
fn is(file: &str, now: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("CHORUS_WRITE_REFERENCE").is_some() {
        fs::write(&path, now).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap();
    assert!(written == now, "{file} is not current: run `cargo xtask reference` and commit it");
}

#[test]
fn what_is_made_of_the_structs_is_current() {
    is("docs/schema/config.schema.json", &schema::text(&schema::config()));
    is("docs/schema/plan.schema.json", &schema::text(&schema::plan()));
    for (name, sections) in [("config", &CONFIG[..]), ("plan", &PLAN[..])] {
        let file = format!("docs/en/src/reference/{name}.md");
        let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&file)).unwrap();
        is(&file, &with_tables(&page, sections));
    }
}

/// Nobody can forget a table.
#[test]
fn every_table_of_the_file_is_in_the_manual() {
    let schema = schema::config();
    let mut left: Vec<&String> = schema["$defs"].as_object().unwrap().keys().collect();
    let elsewhere = ["Plan", "Worker"];
    left.retain(|name| {
        let known = CONFIG.iter().chain(&PLAN).any(|(_, definition)| definition == name);
        !known && !elsewhere.contains(&name.as_str())
    });
    assert_eq!(left, Vec::<&String>::new());
}

#[test]
fn the_example_has_every_key() {
    let example = include_str!("../../../config-example.toml");
    let all = CONFIG.iter().chain(&PLAN).flat_map(|(_, definition)| keys(definition));
    let is_there = |Key { name, .. }: &Key| {
        let forms = [
            format!(" {name} = "),
            format!("\"{name}\":"),
            format!(".{name}]"),
            format!(".{name}."),
        ];
        forms.iter().any(|form| example.contains(form))
    };
    let missing: Vec<String> = all.filter(|key| !is_there(key)).map(|key| key.name).collect();
    assert_eq!(missing, Vec::<String>::new());
}
