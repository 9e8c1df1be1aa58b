//! The schema as an editor applies it, against the reader: the same keys, ranges, words and forms.

mod corpus;
mod forms;
mod leaves;

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::{Value, json};

use super::*;
use crate::config::schema;
use leaves::{Leaf, SECTIONS, leaves};

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
fn both_schemas_are_schemas() {
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    for (name, schema) in [("c.json", schema::config()), ("p.json", schema::plan())] {
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        compiler.add_resource(name, schema).unwrap();
        compiler.compile(name, &mut schemas).unwrap();
    }
}

#[test]
fn every_key_is_described_with_a_default_or_an_example() {
    for leaf in leaves() {
        let property = leaf.property["description"].as_str().unwrap_or_default();
        assert!(property.len() > 10 && !property.starts_with('\n'), "{leaf}: {property:?}");
        let shown =
            ["default", "examples", "enum"].iter().any(|key| leaf.property.get(key).is_some());
        assert!(shown, "{leaf}");
        for (key, word) in [("default", "Default: `"), ("examples", "Example: `")] {
            assert!(
                leaf.property.get(key).is_none() || property.contains(word),
                "{leaf}: {property}"
            );
        }
    }
}

#[test]
fn every_example_is_taken_by_both() {
    let editor = Editor::new();
    for leaf in leaves() {
        for example in leaf.property["examples"].as_array().into_iter().flatten() {
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
        for word in leaf.property["enum"].as_array().into_iter().flatten() {
            agree(&editor, &leaf, word, true);
        }
        let is = |kind: &str| {
            let property = &leaf.property["type"];
            property == kind
                || property.as_array().is_some_and(|kinds| kinds.contains(&kind.into()))
        };
        if leaf.property.get("enum").is_some() {
            agree(&editor, &leaf, &json!("nonsense"), false);
        }
        if !is("string") && leaf.property.get("$ref").is_none() {
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
    for place in SECTIONS {
        let text = place.with("nonsense", &json!(1));
        assert!(editor.check(&place.with_nothing()).is_ok(), "{}", place.with_nothing());
        assert!(read(&text).unwrap_err().contains("nonsense"), "{text}");
        assert!(editor.check(&text).unwrap_err().contains("nonsense"), "{text}");
    }
}
