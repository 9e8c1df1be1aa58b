//! A config as it may be shown on a screen: without keys. Pure.

use toml_edit::{DocumentMut, Item, TableLike, Value};

use crate::llm::scrub;

/// What stands for a key.
const MASK: &str = "***";

/// Masks every key that is written out, in comments too; `env:` and `file:` stay readable.
pub(super) fn masked(text: &str) -> String {
    let Ok(mut document) = text.parse::<DocumentMut>() else { return String::new() };
    let mut secrets = Vec::new();
    for table in tables(document.get_mut("model")) {
        mask(table.get_mut("api_key"), &mut secrets);
        each(table.get_mut("headers"), &mut secrets);
        for endpoint in tables(table.get_mut("endpoint")) {
            mask(endpoint.get_mut("api_key"), &mut secrets);
        }
    }
    for table in tables(document.get_mut("client")) {
        mask(table.get_mut("key"), &mut secrets);
    }
    let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
    let shown = scrub(&document.to_string(), &secrets);
    shown.lines().map(|line| format!("{}\n", without_key(line))).collect()
}

/// The tables of an item, however they are written.
fn tables(item: Option<&mut Item>) -> Vec<&mut dyn TableLike> {
    match item {
        Some(Item::Table(table)) => vec![table],
        Some(Item::ArrayOfTables(tables)) => {
            tables.iter_mut().map(|table| table as &mut dyn TableLike).collect()
        }
        Some(Item::Value(Value::InlineTable(table))) => vec![table],
        Some(Item::Value(Value::Array(values))) => values
            .iter_mut()
            .filter_map(Value::as_inline_table_mut)
            .map(|table| table as &mut dyn TableLike)
            .collect(),
        _ => Vec::new(),
    }
}

fn each(item: Option<&mut Item>, secrets: &mut Vec<String>) {
    let Some(table) = item.and_then(Item::as_table_like_mut) else { return };
    for (_, value) in table.iter_mut() {
        mask(Some(value), secrets);
    }
}

fn mask(item: Option<&mut Item>, secrets: &mut Vec<String>) {
    let Some(value) = item.and_then(Item::as_value_mut) else { return };
    let Some(secret) = value.as_str().filter(|text| !is_public(text)).map(str::to_owned) else {
        return;
    };
    let mut new = Value::from(MASK);
    *new.decor_mut() = value.decor().clone();
    *value = new;
    secrets.push(secret);
}

/// Where a key is, instead of the key.
fn is_public(text: &str) -> bool {
    let text = text.trim();
    text.is_empty() || text.starts_with("env:") || text.starts_with("file:")
}

/// A commented line with a key in it: `# api_key = "..."`.
fn without_key(line: &str) -> String {
    let Some((before, comment)) = line.split_once('#') else { return line.to_owned() };
    let Some((name, value)) = comment.split_once('=') else { return line.to_owned() };
    let about_a_key = ["key", "token", "secret", "password", "header", "auth"];
    let name_is = name.to_lowercase();
    let public = is_public(value.trim().trim_start_matches(['"', '\'']));
    if public || !about_a_key.iter().any(|word| name_is.contains(word)) {
        return line.to_owned();
    }
    format!("{before}#{name}= {MASK}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_masked_wherever_they_are() {
        let text = r#"
# api_key = "old"   # the old one
# headers = { Authorization = "Bearer older" }
# it was pa55word-of-mine once
[[client]]
name = "x"
key = "c1"
[[model]]
name = "a"
api_base = "https://a.example/v1"
api_key = "pa55word-of-mine"  # mine
headers = { "X-Org" = "org", "X-Env" = "env:ORG" }
[[model.endpoint]]
api_base = "https://b.example/v1"
api_key = 'b2'
[[model.endpoint]]
api_base = "https://c.example/v1"
api_key = "env:C_KEY"
"#;
        insta::assert_snapshot!(masked(text), @r#"

        # api_key = ***
        # headers = ***
        # it was *** once
        [[client]]
        name = "x"
        key = "***"
        [[model]]
        name = "a"
        api_base = "https://a.example/v1"
        api_key = "***"  # mine
        headers = { "X-Org" = "***", "X-Env" = "env:ORG" }
        [[model.endpoint]]
        api_base = "https://b.example/v1"
        api_key = "***"
        [[model.endpoint]]
        api_base = "https://c.example/v1"
        api_key = "env:C_KEY"
        "#);
        for inline in ["model = { api_key = \"zz9\" }", "model = [{ api_key = \"zz9\" }]"] {
            assert!(!masked(inline).contains("zz9"), "{inline}");
        }
    }
}
