//! The schema against the reader: the same keys, ranges, words, defaults.

mod corpus;
mod forms;
mod leaves;

use std::collections::BTreeSet;

use boon::{Compiler, SchemaIndex, Schemas};
use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::{Value, json};

use super::*;
use crate::config::{schema, seen};
use leaves::{Leaf, PLACES, leaves};

/// Asks the schema, plans in `json` included.
struct Editor {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Editor {
    fn new() -> Self {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.enable_content_assertions();
        compiler.add_resource("config.schema.json", schema::config()).unwrap();
        let index = compiler.compile("config.schema.json", &mut schemas).unwrap();
        Self { schemas, index }
    }

    /// What it has against a config; text that is no TOML is nobody's config.
    fn check(&self, text: &str) -> Result<(), String> {
        let table: toml::Table = text.parse().map_err(|error| format!("no TOML: {error}"))?;
        let config = serde_json::to_value(table).unwrap();
        self.schemas.validate(&config, self.index).map_err(|error| format!("{error:#}"))
    }
}

/// Every key of the example resolves, whatever its name.
fn read(text: &str) -> Result<Config, String> {
    let env = |name: &str| (!name.to_uppercase().ends_with("_PROXY")).then(|| "k".to_owned());
    Config::parse(text, None, &env).map_err(|error| error.to_string())
}

#[test]
fn the_committed_schemas_are_current() {
    for (flag, file, committed, now) in [
        ("", "config", include_str!("../../../docs/schema/config.schema.json"), schema::config()),
        (" --plan", "plan", include_str!("../../../docs/schema/plan.schema.json"), schema::plan()),
    ] {
        assert!(
            committed == schema::text(&now),
            "run `cargo run -- config schema{flag} > docs/schema/{file}.schema.json` and commit it"
        );
    }
}

#[test]
fn both_schemas_are_schemas() {
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    for (name, schema) in [("c.json", schema::config()), ("p.json", schema::plan())] {
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        compiler.add_resource(name, schema).unwrap();
        compiler.compile(name, &mut schemas).unwrap();
    }
}

/// A file with every table, so that the reader asks for every key.
const ALL_TABLES: &str = r#"
[server]
request_body_limit = 1
[log]
[[client]]
name = "x"
key = "k"
[[alias]]
name = "y"
model = "a"
[[model]]
name = "a"
api_base = "http://127.0.0.1:1/v1"
price = { input_per_mtok = 1, output_per_mtok = 1 }
[[model.endpoint]]
api_base = "http://127.0.0.1:2/v1"
[workflow.timeouts]
[workflow.domains."127.0.0.1"]
[workflow.retry]
[workflow.health]
[workflow.pool]
[workflow-integration]
worker_models = ["a"]
synthesizer_model = "a"
[[workflow-profile]]
name = "p"
json = '''{ "analyzer": { "ref": "a" }, "workers": [{ "ref": "a" }, { "workers": ["a"] }],
            "reranker": { "ref": "a" }, "selector": "a", "synthesizer": "a", "policy": {} }'''
"#;

/// What messages call each table, and its definition in the schema.
const TABLES: [(&str, &str); 21] = [
    ("the file", ""),
    ("[server]", "Server"),
    ("[log]", "Log"),
    ("client `x`", "Client"),
    ("alias `y`", "Alias"),
    ("model `a`", "Model"),
    ("model `a`: `price`", "Price"),
    ("model `a`: [[model.endpoint]]", "Endpoint"),
    ("[workflow]", "Workflow"),
    ("[workflow.timeouts]", "Timeouts"),
    ("[workflow.domains.\"127.0.0.1\"]", "Domain"),
    ("[workflow.retry]", "Retry"),
    ("[workflow.health]", "Health"),
    ("[workflow.pool]", "Pool"),
    ("[workflow-integration]", "Integration"),
    ("workflow-profile `p`", "Profile"),
    ("", "Plan"),
    ("analyzer", "Stage"),
    ("reranker", "Reranker"),
    ("workers[0]", "Leaf"),
    ("workers[1]", "Panel"),
];

/// Bounds that the reader does not ask a table for, since they hang on something else.
const OWN_BOUNDS: [&str; 4] = ["nested_worker_depth", "samples", "min_success", "quorum"];

#[test]
fn the_schema_has_the_keys_the_ranges_and_the_words_of_the_reader() {
    seen::take();
    read(ALL_TABLES).unwrap();
    let mut asked = seen::take();
    let schema = schema::config();
    let mut described: BTreeSet<&str> =
        schema["$defs"].as_object().unwrap().keys().map(String::as_str).collect();
    described.remove("Worker"); // either a Leaf or a Panel
    for (label, name) in TABLES.into_iter().chain([("policy", "Policy")]) {
        let asked = asked.remove(label).unwrap_or_else(|| panic!("nobody read {label}"));
        described.remove(name);
        let table = if name.is_empty() { &schema } else { &schema["$defs"][name] };
        assert_eq!(table["additionalProperties"], false, "{name}");
        let properties = table["properties"].as_object().unwrap();
        let keys: BTreeSet<&str> =
            properties.keys().map(String::as_str).filter(|key| *key != "$schema").collect();
        let known: BTreeSet<&str> = asked.keys.difference(&asked.refused).copied().collect();
        assert_eq!(keys, known, "{name}: in the schema, and known to the reader");
        for (key, told) in properties {
            let words = asked.words.get(key).map(|words| json!(words));
            // The words of a protocol are asked for only where it is written.
            if key != "protocol" {
                assert_eq!(told.get("enum"), words.as_ref(), "{name}.{key}");
            }
            if OWN_BOUNDS.contains(&key.as_str()) || told.get("if").is_some() {
                continue;
            }
            let bounds = |end: &str| told.get(end).and_then(Value::as_f64);
            let told = bounds("minimum").zip(bounds("maximum"));
            assert_eq!(told, asked.ranges.get(key.as_str()).copied(), "{name}.{key}");
        }
    }
    assert!(described.is_empty(), "nobody reads {described:?}");
    let left: Vec<&String> = asked.keys().filter(|label| !is_repeated(label)).collect();
    assert!(left.is_empty(), "not in the schema: {left:?}");
}

/// Tables of a kind that another entry of [`TABLES`] stands for.
fn is_repeated(label: &str) -> bool {
    // The old keys are read as a plan; a table has this name until it is known which one it is.
    ["synthesizer", "selector", "workers[0].", "[[model]]", "[[client]]", "[[workflow-profile]]"]
        .iter()
        .any(|start| label.starts_with(start))
}

#[test]
fn every_key_is_described_with_a_default_or_an_example() {
    for leaf in leaves() {
        let told = leaf.told["description"].as_str().unwrap_or_default();
        assert!(told.len() > 10 && !told.starts_with('\n'), "{leaf}: {told:?}");
        let shown = ["default", "examples", "enum"].iter().any(|key| leaf.told.get(key).is_some());
        assert!(shown, "{leaf}");
        for (key, word) in [("default", "Default: `"), ("examples", "Example: `")] {
            assert!(leaf.told.get(key).is_none() || told.contains(word), "{leaf}: {told}");
        }
    }
}

#[test]
fn every_default_is_the_one_of_the_reader() {
    let mut compared = 0;
    for leaf in leaves() {
        let Some(default) = leaf.told.get("default") else { continue };
        let shown = |text: &str| match read(text) {
            // Some are warned of as idle when they are written out.
            Ok(config) => format!("{:?}", Config { warnings: Vec::new(), ..config }),
            Err(error) => panic!("{leaf}: {error}\n{text}"),
        };
        assert_eq!(shown(&leaf.with(default)), shown(&leaf.without()), "{leaf}");
        compared += 1;
    }
    assert!(compared > 50, "{compared}");
}

#[test]
fn every_example_is_taken_by_both() {
    let editor = Editor::new();
    for leaf in leaves() {
        for example in leaf.told["examples"].as_array().into_iter().flatten() {
            let text = leaf.with(example);
            assert_eq!(editor.check(&text), Ok(()), "{leaf}\n{text}");
            if !matches!(leaf.key.as_str(), "json_file" | "ca_cert") {
                assert!(read(&text).is_ok(), "{leaf}: {:?}\n{text}", read(&text).err());
            }
        }
    }
}

/// Both take it, or both refuse it.
fn agree(editor: &Editor, leaf: &Leaf, value: &Value, fine: bool) {
    let text = leaf.with(value);
    let (read, checked) = (read(&text).map(drop), editor.check(&text));
    assert_eq!(read.is_ok(), fine, "the reader: {leaf} = {value}: {read:?}\n{text}");
    assert_eq!(checked.is_ok(), fine, "the schema: {leaf} = {value}: {checked:?}\n{text}");
}

#[test]
fn types_words_and_bounds_are_the_same_to_both() {
    let editor = Editor::new();
    for leaf in leaves() {
        agree(&editor, &leaf, &json!([[]]), false);
        for word in leaf.told["enum"].as_array().into_iter().flatten() {
            agree(&editor, &leaf, word, true);
        }
        let is = |kind: &str| {
            let told = &leaf.told["type"];
            told == kind || told.as_array().is_some_and(|kinds| kinds.contains(&kind.into()))
        };
        if leaf.told.get("enum").is_some() {
            agree(&editor, &leaf, &json!("nonsense"), false);
        }
        if !is("string") && leaf.told.get("$ref").is_none() {
            agree(&editor, &leaf, &json!("nonsense"), false);
        }
        if !is("boolean") {
            agree(&editor, &leaf, &json!(true), false);
        }
        if !is("number") && !is("integer") {
            agree(&editor, &leaf, &json!(1), false);
        }
        if let Some((least, most)) = leaf.range() {
            for (value, fine) in
                [(least, true), (most, true), (least - 1.0, false), (most + 1.0, false)]
            {
                agree(&editor, &leaf, &leaf.number(value), fine);
            }
        }
    }
}

#[test]
fn a_key_that_no_table_has_is_refused_by_both() {
    let editor = Editor::new();
    for place in PLACES {
        let text = place.with("nonsense", &json!(1));
        assert!(editor.check(&place.with_nothing()).is_ok(), "{}", place.with_nothing());
        assert!(read(&text).unwrap_err().contains("nonsense"), "{text}");
        assert!(editor.check(&text).unwrap_err().contains("nonsense"), "{text}");
    }
}

/// Any number within the range of any key is taken by both, and any outside by neither.
#[test]
fn any_number_in_range_is_taken_by_both_and_any_outside_by_neither() {
    let editor = Editor::new();
    let bounded: Vec<Leaf> = leaves().into_iter().filter(|leaf| leaf.range().is_some()).collect();
    assert!(bounded.len() > 40, "{}", bounded.len());
    let mut runner = TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(128)
    });
    let any = (any::<prop::sample::Index>(), 0.0..1.0_f64, 1.0..1e6_f64, any::<bool>());
    let result = runner.run(&any, |(at, share, beyond, above)| {
        let leaf = at.get(&bounded);
        let (least, most) = leaf.range().unwrap();
        agree(&editor, leaf, &leaf.number(least + share * (most - least)), true);
        let outside = if above { most + beyond } else { least - beyond };
        agree(&editor, leaf, &leaf.number(outside), false);
        Ok(())
    });
    assert!(result.is_ok(), "{result:?}");
}
