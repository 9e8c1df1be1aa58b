//! The documents against the program: what they show loads and runs, what they name exists, and
//! both languages say the same.

mod commands;
mod configs;
mod failures;
mod keys;
mod manual;
mod markdown;
mod mistakes;
mod proofs;

use std::{collections::BTreeSet, path::Path};

use chorus::config::Config;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Script, Upstream, four_stages, question};
use markdown::{READMES, blocks, code, documents, files, pages, read, root, row, section, split};

fn parse(text: &str) -> Config {
    assert_eq!(configs::complaints(text), None, "{text}");
    Config::parse(text, None, &|_| None).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[test]
fn plans_load_and_other_json_is_json() {
    let mut plans = 0;
    for (file, text) in documents() {
        for block in blocks(&text).iter().filter(|block| block.kind == "json") {
            let value: Value = serde_json::from_str(&block.text)
                .unwrap_or_else(|error| panic!("{file}:{}: {error}", block.line));
            if value.get("workflow_id").is_none() {
                let model = |name| {
                    format!("[[model]]\nname = \"{name}\"\napi_base = \"http://127.0.0.1:1/v1\"\n")
                };
                let models = ["small", "large"].map(model).concat();
                parse(&format!("{models}[workflow-integration]\njson = '''{}'''\n", block.text));
                plans += 1;
            }
        }
    }
    assert!(plans >= 4, "two in each language: {plans}");
}

#[test]
fn the_readmes_begin_with_the_two_commands_that_run_and_test_it() {
    for file in READMES {
        let text = read(file);
        let first = &blocks(&text)[0];
        assert_eq!(first.text, "cargo run --release -- demo\ncargo test\n", "{file}");
    }
}

#[test]
fn files_that_are_named_exist() {
    let known = files();
    let mut named = 0;
    for (file, text) in documents() {
        for (number, line) in split(&text).1 {
            let source = |word: &&str| word.ends_with(".rs") || word.ends_with(".sh");
            for word in code(line).into_iter().filter(source) {
                let path = word.trim_start_matches("./");
                let exists = known.iter().any(|known| known.ends_with(Path::new(path)));
                assert!(exists, "{file}:{number}: {word}");
                named += 1;
            }
        }
    }
    assert!(named > 10);
}

#[test]
fn the_map_shows_what_is_there() {
    let page = read("ARCHITECTURE.md");
    let map = section_text(&page, "\n## The map\n");
    let block = blocks(map).into_iter().next().unwrap();
    let paths: Vec<&str> = block.text.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(paths.len() > 30, "{paths:?}");
    for path in &paths {
        assert!(root().join(path).exists(), "{path}");
    }
    let size = page.lines().count();
    assert!(size <= 160, "a page of {size} lines: decisions go into docs/decisions");
    let shown = split(&page).1.into_iter().flat_map(|(_, line)| code(line));
    let sources: Vec<&str> = shown.filter(|word| word.starts_with("src/")).collect();
    assert!(sources.len() > 10, "{sources:?}");
    for path in sources {
        assert!(root().join(path).exists(), "{path}");
    }
}

/// What follows a heading, blocks included.
fn section_text<'d>(page: &'d str, heading: &str) -> &'d str {
    let (_, rest) = page.split_once(heading).unwrap_or_else(|| panic!("no {heading}"));
    rest.split("\n## ").next().unwrap_or(rest)
}

#[test]
fn decisions_are_numbered_and_say_what_was_chosen() {
    let folder = std::path::Path::new("docs/decisions");
    let mut names: Vec<String> = files()
        .into_iter()
        .filter_map(|file| Some(file.strip_prefix(folder).ok()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    for (number, name) in (1..).zip(&names) {
        assert!(name.starts_with(&format!("{number:04}-")), "{name} is not number {number}");
        let text = read(&format!("docs/decisions/{name}"));
        assert!(text.starts_with("# "), "{name}");
        assert!(number == 1 || text.contains("\n**Chosen.** "), "{name}");
        assert!(text.lines().count() < 60, "{name} is not short");
    }
    assert!(names.len() > 2);
}

async fn cast() -> Upstream {
    Upstream::start([
        ("judge", Script::judges_for("")),
        ("writer", Script::fuses()),
        ("qwen", Script::says("one draft, about light")),
        ("llama", Script::says("another, on something else")),
        ("remote", Script::fails(500)),
    ])
    .await
}

#[tokio::test]
async fn every_endpoint_in_the_tables_is_there() {
    let upstream = cast().await;
    let chorus = four_stages(&["qwen"]).over(&upstream).await;
    for file in pages("reference/api.md") {
        let text = read(&file);
        let rows = section(&text, &["## 端点", "## Endpoints"]).into_iter().filter_map(row);
        let cells: Vec<&str> = rows.map(|cells| cells[0]).collect();
        let endpoints: Vec<(&str, &str)> =
            cells.iter().flat_map(|cell| code(cell)).filter_map(|it| it.split_once(" /")).collect();
        assert!(endpoints.len() >= 9, "{file}: {endpoints:?}");
        for (method, path) in endpoints {
            let method: Method = method.parse().unwrap();
            let response = chorus.request(method.clone(), &format!("/{path}")).send().await;
            let response = response.unwrap();
            let status = response.status().as_u16();
            let there = match method {
                Method::POST => 400,
                // Nothing is kept.
                _ if path.ends_with("{id}") => 404,
                _ => 200,
            };
            assert_eq!(status, there, "{file}: {method} /{path} without a body");
            let text = response.text().await.unwrap();
            assert!(!text.contains("no such endpoint"), "{file}: {method} /{path}");
        }
    }
    assert_eq!(chorus.get("/nowhere").await.status(), 404);
}

/// Every path of keys in a record, lists and named scores merged.
fn shape(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) if !at.ends_with("/scores") => {
            for (key, value) in object {
                let path = format!("{at}/{key}");
                found.insert(path.clone());
                shape(value, &path, found);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| shape(value, at, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_record_of_a_run_has_the_fields_that_are_shown_and_the_documented_temperatures() {
    let upstream = cast().await;
    let setup = four_stages(&["qwen", "remote", "llama"]).without_retries();
    let chorus = setup.over(&upstream).await;
    let path = "/v1/chat/completions";
    let mut body = question(path, "chorus", "hi", false);
    body["include_workflow"] = json!(true);
    let (_, answer) = chorus.ask(path, &body).await;
    let trace = &answer["workflow"];
    assert_eq!(trace["status"], "degraded", "{answer}");

    let mut real = BTreeSet::new();
    shape(trace, "", &mut real);
    for file in pages("reference/record.md") {
        let text = read(&file);
        let block = blocks(&text).into_iter().find(|b| b.text.contains("workflow_id")).unwrap();
        let mut shown = BTreeSet::new();
        shape(&serde_json::from_str(&block.text).unwrap(), "", &mut shown);
        let invented: Vec<&String> = shown.difference(&real).collect();
        assert!(invented.is_empty(), "{file}: {invented:?} is not in {trace}");
    }

    // Nobody said anything of temperatures, so the last cell of each row applies.
    for (stage, record) in [
        ("worker", &trace["workers"][0]),
        ("synthesizer", &trace["synthesizer"]),
        ("selector", &trace["selector"]),
    ] {
        for cells in temperature_rows(stage) {
            let default: f64 = cells.last().unwrap().parse().expect("a number");
            assert_eq!(record["temperature"], json!(default), "{stage}");
            assert_eq!(record["temperature_source"], "default", "{stage}");
        }
    }
}

/// The rows of the rule for a stage, in Chinese and in English, without their empty cells.
fn temperature_rows(stage: &str) -> [Vec<String>; 2] {
    pages("temperature.md").map(|file| {
        let text = read(&file);
        let rows = section(&text, &["## 规则", "## The rule"]).into_iter().filter_map(row);
        let mut rows = rows.filter(|cells| cells[0].contains(stage)).map(|cells| {
            let said = cells.into_iter().skip(1).filter(|cell| !cell.is_empty());
            said.map(str::to_owned).collect()
        });
        rows.next().unwrap_or_else(|| panic!("{file}: {stage}"))
    })
}

/// The same order as in the source of the rule, whose own test holds it against the code.
#[test]
fn the_temperature_rule_is_documented_in_both_languages_and_in_order() {
    for (stage, order) in [
        ("worker", vec!["node", "auto", "request", "model", "default"]),
        ("synthesizer", vec!["node", "request", "auto", "model", "default"]),
        ("selector", vec!["node", "model", "default"]),
    ] {
        for cells in temperature_rows(stage) {
            let source = |cell: &String| {
                let says = |words: [&str; 2]| words.iter().any(|word| cell.contains(word));
                match () {
                    () if cell.contains("auto_temperature") => "auto",
                    () if says(["节点", "node"]) => "node",
                    () if says(["请求", "request"]) => "request",
                    () if says(["模型", "model"]) => "model",
                    () => "default",
                }
            };
            assert_eq!(cells.iter().map(source).collect::<Vec<_>>(), order, "{cells:?}");
        }
    }
    for file in pages("temperature.md") {
        for source in ["node", "auto", "request", "model", "default"] {
            let count = read(&file).matches(&format!("`{source}`")).count();
            assert!(count >= 2, "{file}: {source}: in the rule and in the examples");
        }
    }
}

#[test]
fn the_hosts_that_take_less_are_the_ones_listed() {
    let plan = "[workflow-integration]\njson = '{\"workers\":[\"a\"],\"selector\":\"a\"}'\n";
    for file in pages("temperature.md") {
        let text = read(&file);
        let headings = ["## 范围较小的模型", "## Models with a smaller range"];
        let rows = section(&text, &headings).into_iter().filter_map(row).skip(1);
        let mut hosts = 0;
        for cells in rows {
            let most: f32 = cells[1].parse().unwrap();
            for host in code(cells[0]) {
                let config = parse(&format!(
                    "[[model]]\nname = \"a\"\napi_base = \"https://{host}/v1\"\n\
                     protocol = \"openai\"\n{plan}"
                ));
                assert_eq!(config.models["a"].max_temperature, most, "{host}");
                hosts += 1;
            }
        }
        assert!(hosts > 5, "{file}: {hosts}");
        let anthropic = ["1 for `protocol = \"anthropic\"`", "`protocol = \"anthropic\"` 时是 1"];
        assert!(anthropic.iter().any(|words| text.contains(words)), "{file}");
    }
    let config = parse(&format!(
        "[[model]]\nname = \"a\"\napi_base = \"https://other.example\"\n\
         protocol = \"anthropic\"\n{plan}"
    ));
    assert_eq!(config.models["a"].max_temperature, 1.0);
}
