//! The documents against the program: what they show loads, what they name exists, and the two
//! READMEs say the same.

mod configs;
mod failures;
mod keys;
mod markdown;
mod mistakes;
mod proofs;

use std::{collections::BTreeSet, path::Path};

use chorus::{
    commands::{check, diagnostics::Look},
    config::Config,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Script, Upstream, four_stages, question};
use markdown::{READMES, blocks, code, documents, files, level, read, root, row, section, split};

/// What is translated inside code.
const WORDS: [(&str, &str); 5] = [
    ("天空为什么是蓝色的？", "Why is the sky blue?"),
    ("为什么？", "Why?"),
    ("主机", "host"),
    ("端口", "port"),
    ("那日落时呢？", "And at sunset?"),
];

fn in_english(text: &str) -> String {
    WORDS.iter().fold(text.to_owned(), |text, (chinese, english)| text.replace(chinese, english))
}

fn parse(text: &str) -> Config {
    assert_eq!(configs::complaints(text), None, "{text}");
    Config::parse(text, None, &|_| None).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[test]
fn plans_load_and_other_json_is_json() {
    for file in READMES {
        let mut plans = 0;
        for block in blocks(&read(file)).iter().filter(|block| block.kind == "json") {
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
        assert!(plans > 0, "{file}");
    }
}

#[test]
fn the_readmes_begin_with_the_two_commands_that_run_and_test_it() {
    for file in READMES {
        let text = read(file);
        let first = &blocks(&text)[0];
        assert_eq!(first.text, "cargo run --release -- demo\ncargo test\n", "{file}");
    }
}

/// Code without what is translated: comments, and a few words. Diagrams are only as long.
fn untranslated(kind: &str, text: &str) -> Vec<String> {
    let bare = |line: &str| match kind {
        "sh" | "python" => line.split('#').next().unwrap().trim_end().to_owned(),
        "text" if !line.is_ascii() || line.contains("  ") => String::new(),
        _ => line.to_owned(),
    };
    in_english(text).lines().map(bare).collect()
}

#[test]
fn the_readmes_say_the_same_line_by_line() {
    let [chinese, english] = READMES.map(read);
    assert_eq!(chinese.lines().count(), english.lines().count());
    let ((left, left_prose), (right, right_prose)) = (split(&chinese), split(&english));
    assert_eq!(left.len(), right.len());
    for (left, right) in left.iter().zip(&right) {
        assert_eq!((left.line, &left.kind), (right.line, &right.kind));
        let code = [left, right].map(|block| untranslated(&block.kind, &block.text));
        assert_eq!(code[0], code[1], "the block at line {}", left.line);
    }
    assert_eq!(left_prose.len(), right_prose.len());
    for ((number, left), (_, right)) in left_prose.iter().zip(&right_prose) {
        assert_eq!(level(left), level(right), "the headings at line {number}");
        let columns = [left, right].map(|line| row(line).map(|cells| cells.len()));
        assert_eq!(columns[0], columns[1], "the tables at line {number}");
        let words = [left, right].map(|line| {
            let mut words: Vec<String> = code(line).into_iter().map(in_english).collect();
            words.sort();
            words
        });
        assert_eq!(words[0], words[1], "the code at line {number}");
        assert_eq!(left.is_empty(), right.is_empty(), "line {number}");
    }
}

/// Targets of `[text](target)` and `![text](target)`.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

#[test]
fn links_lead_somewhere() {
    let mut followed = 0;
    for (file, text) in documents() {
        let folder = root().join(&file).parent().unwrap().to_owned();
        for (number, line) in split(&text).1 {
            for target in links(line).filter(|target| !target.contains("://")) {
                let path = target.split('#').next().unwrap();
                assert!(folder.join(path).exists(), "{file}:{number}: {target}");
                followed += 1;
            }
        }
    }
    assert!(followed > 10);
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
fn the_plan_and_the_calls_are_shown_as_check_shows_them() {
    for file in READMES {
        let text = read(file);
        let blocks = blocks(&text);
        let config = blocks.iter().find(|block| block.kind == "toml").unwrap();
        let shown = blocks.iter().find(|block| block.text.starts_with("chorus\n")).unwrap();
        let mut screen = Vec::new();
        check::show(&parse(&config.text), Look::PLAIN, &mut screen).unwrap();
        let screen = String::from_utf8(screen).unwrap();
        for part in shown.text.split("\n\n") {
            assert!(screen.contains(part.trim_end()), "{file}: {part}\nis not in\n{screen}");
        }
    }
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
    for file in READMES {
        let text = read(file);
        let rows = section(&text, &["## API 用法", "## API"]).into_iter().filter_map(row);
        let cells: Vec<&str> = rows.map(|cells| cells[0]).collect();
        let endpoints: Vec<(&str, &str)> =
            cells.iter().flat_map(|cell| code(cell)).filter_map(|it| it.split_once(" /")).collect();
        assert!(endpoints.len() >= 9, "{file}: {endpoints:?}");
        for (method, path) in endpoints {
            let method: Method = method.parse().unwrap();
            let response = chorus.request(method.clone(), &format!("/{path}")).send().await;
            let status = response.unwrap().status().as_u16();
            let there = if method == Method::POST { 400 } else { 200 };
            assert_eq!(status, there, "{file}: {method} /{path} without a body");
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
    for file in READMES {
        let text = read(file);
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
    let text = read("TEMPERATURE_CONFIG.md");
    let rows = split(&text).1.into_iter().filter_map(|(_, line)| row(line));
    let rows = rows.filter(|cells| cells[0].contains(stage)).map(|cells| {
        cells.into_iter().skip(1).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
    });
    let rows: Vec<Vec<String>> = rows.collect();
    rows.try_into().unwrap_or_else(|rows| panic!("{stage}: {rows:?}"))
}

/// The same order as in `workflow/temperature.rs`, whose own test holds it against the code.
#[test]
fn the_temperature_rule_is_told_in_both_languages_and_in_order() {
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
    let text = read("TEMPERATURE_CONFIG.md");
    for source in ["node", "auto", "request", "model", "default"] {
        let told = text.matches(&format!("`{source}`")).count();
        assert!(told >= 3, "{source}: in Chinese, in the examples, in English");
    }
}

#[test]
fn the_hosts_that_take_less_are_the_ones_listed() {
    let text = read("TEMPERATURE_CONFIG.md");
    let rows = section(&text, &["## 范围较小的模型"]).into_iter().filter_map(row).skip(1);
    let mut hosts = 0;
    for cells in rows {
        let most: f32 = cells[1].parse().unwrap();
        for host in code(cells[0]) {
            let config = parse(&format!(
                "[[model]]\nname = \"a\"\napi_base = \"https://{host}/v1\"\nprotocol = \"openai\"\n\
                 [workflow-integration]\njson = '{{\"workers\":[\"a\"],\"selector\":\"a\"}}'\n"
            ));
            assert_eq!(config.models["a"].max_temperature, most, "{host}");
            hosts += 1;
        }
    }
    assert!(hosts > 5, "{hosts}");
    assert!(text.contains("`protocol = \"anthropic\"` 时是 1"));
    let config = parse(
        "[[model]]\nname = \"a\"\napi_base = \"https://other.example\"\nprotocol = \"anthropic\"\n\
         [workflow-integration]\njson = '{\"workers\":[\"a\"],\"selector\":\"a\"}'\n",
    );
    assert_eq!(config.models["a"].max_temperature, 1.0);
}
