//! Makes what helps in an editor of what the derive makes of the structs.

use schemars::{
    Schema,
    transform::{Transform, transform_subschemas},
};
use serde_json::{Map, Value, json};

/// Values of this and more under a `_secs` key of the time limits are milliseconds.
pub(crate) const MILLISECONDS_FROM: f64 = 10_000.0;

/// Takes out what only means something to Rust: the `null` of an `Option`, the widths of numbers,
/// line breaks of comments, and a schema for each word of an enum.
#[derive(Clone)]
pub(in crate::config) struct Plain;

impl Transform for Plain {
    fn transform(&mut self, schema: &mut Schema) {
        if let Some(schema) = schema.as_object_mut() {
            schema.remove("format");
            if let Some(Value::String(text)) = schema.get_mut("description") {
                let paragraphs = text.split("\n\n").map(|part| part.replace('\n', " "));
                *text = paragraphs.collect::<Vec<_>>().join("\n\n");
            }
            without_null(schema);
            words(schema);
            required(schema);
        }
        transform_subschemas(self, schema);
    }
}

fn without_null(schema: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|one| one != "null");
        if let [one] = types.as_slice() {
            let one = one.clone();
            schema.insert("type".to_owned(), one);
        }
    }
    let null = json!({ "type": "null" });
    let Some(Value::Array(ways)) = schema.get_mut("anyOf") else { return };
    if !ways.contains(&null) {
        return;
    }
    ways.retain(|way| *way != null);
    if let [Value::Object(only)] = ways.as_slice() {
        let only = only.clone();
        schema.remove("anyOf");
        for (key, value) in only {
            schema.entry(key).or_insert(value);
        }
    }
}

/// `oneOf` words to one `enum`, which editors complete and name when none fits; what each means goes
/// into the description.
fn words(schema: &mut Map<String, Value>) {
    let Some(Value::Array(ways)) = schema.get("oneOf") else { return };
    let word = |way: &Value| {
        let (word, means) = (way.get("const")?, way.get("description")?.as_str()?);
        Some((word.clone(), format!("\n* `{word}`: {means}")))
    };
    let Some(words) = ways.iter().map(word).collect::<Option<Vec<_>>>() else { return };
    let (words, list): (Vec<Value>, Vec<String>) = words.into_iter().unzip();
    schema.remove("oneOf");
    schema.insert("type".to_owned(), "string".into());
    schema.insert("enum".to_owned(), words.into());
    append(schema, &format!("\n{}", list.concat()));
}

/// A key with a default need not be there.
fn required(schema: &mut Map<String, Value>) {
    let has_default = |key: &Value| {
        let found = schema.get("properties").and_then(|all| all.get(key.as_str()?));
        found.is_some_and(|found| found.get("default").is_some())
    };
    let Some(Value::Array(keys)) = schema.get("required") else { return };
    let keys: Vec<Value> = keys.iter().filter(|key| !has_default(key)).cloned().collect();
    schema.insert("required".to_owned(), keys.into());
}

fn append(schema: &mut Map<String, Value>, more: &str) {
    let found = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let found = format!("{found}{more}");
    schema.insert("description".to_owned(), found.into());
}

/// Without what is for Chorus alone: words beginning with `x-`, and that a table is empty by default.
pub(in crate::config) fn published(schema: &Value) -> Value {
    match schema {
        Value::Object(entries) => {
            let is_table = ["$ref", "items", "additionalProperties"];
            let is_table = is_table.iter().any(|key| {
                entries
                    .get(*key)
                    .is_some_and(|found| found.get("$ref").is_some() || found.is_string())
            });
            let kept = entries.iter().filter(|(key, found)| {
                let is_own = key.starts_with("x-") || (*key == "required" && **found == json!([]));
                !(is_own || (is_table && *key == "default"))
            });
            kept.map(|(key, found)| (key.clone(), published(found))).collect::<Map<_, _>>().into()
        }
        Value::Array(entries) => entries.iter().map(published).collect(),
        other => other.clone(),
    }
}

/// Says range, default and examples in the description of each key too: not every editor shows them.
pub(in crate::config) fn spelled_out(mut schema: Value) -> Value {
    if let Some(object) = schema.as_object_mut() {
        if let Some(Value::Object(properties)) = object.get_mut("properties") {
            properties.values_mut().filter_map(Value::as_object_mut).for_each(spell_out);
        }
        for value in object.values_mut() {
            *value = spelled_out(value.take());
        }
    }
    schema
}

fn spell_out(key: &mut Map<String, Value>) {
    let mut facts = Vec::new();
    if let (Some(least), Some(most), false) =
        (key.get("minimum"), key.get("maximum"), key.contains_key("if"))
    {
        facts.push(format!("From {least} to {most}."));
    }
    if let Some(default) = key.get("default") {
        facts.push(format!("Default: `{default}`."));
    }
    if let Some(Value::Array(examples)) = key.get("examples") {
        let examples: Vec<String> = examples.iter().map(|one| format!("`{one}`")).collect();
        facts.push(format!("Example: {}.", examples.join(", ")));
    }
    if !facts.is_empty() {
        append(key, &format!("\n\n{}", facts.join(" ")));
    }
}

/// A size may be a number of bytes too.
pub(in crate::config) fn size(schema: &mut Schema) {
    schema.insert("type".to_owned(), json!(["string", "integer"]));
    schema.insert("minimum".to_owned(), json!(1));
    schema.insert("maximum".to_owned(), json!(u32::MAX));
}

/// A single table stands for a list of one.
pub(in crate::config) fn one_or_many(schema: &mut Schema) {
    let entry = schema.get("items").cloned().unwrap_or_default();
    schema.insert("type".to_owned(), json!(["array", "object"]));
    schema.insert("anyOf".to_owned(), json!([{ "type": "array" }, entry]));
}

/// The same for sizes that a number of four bytes does not hold.
pub(in crate::config) fn large_size(schema: &mut Schema) {
    size(schema);
    schema.insert("maximum".to_owned(), json!(1_u64 << 50));
}

/// What reads as a digest must be one.
pub(in crate::config) fn digest(schema: &mut Schema) {
    schema.insert("if".to_owned(), json!({ "pattern": r"^\s*sha256:" }));
    schema.insert("then".to_owned(), json!({ "pattern": r"^\s*sha256:\s*[0-9A-Fa-f]{64}\s*$" }));
}

/// Chorus adds the end of the path itself.
pub(in crate::config) fn base_url(schema: &mut Schema) {
    let ends = "/chat/completions|/completions|/api/chat|/api/generate|/messages|:generateContent\
                |:streamGenerateContent";
    schema.insert("not".to_owned(), json!({ "pattern": format!("({ends})/*$") }));
}

/// Headers that Chorus sets itself are refused in any case of their letters.
pub(in crate::config) fn header_names(schema: &mut Schema) {
    let any_case = |name: &str| -> String {
        let both = |letter: char| match letter.to_ascii_uppercase() {
            upper if upper != letter => format!("[{upper}{letter}]"),
            other => other.to_string(),
        };
        name.chars().map(both).collect()
    };
    let own =
        ["host", "content-type", "content-length", "transfer-encoding", "connection"].map(any_case);
    let names = json!({
        "pattern": r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$",
        "not": { "pattern": format!("^({})$", own.join("|")) },
    });
    schema.insert("propertyNames".to_owned(), names);
}

/// A host, or a host and a port; no scheme and no path.
pub(in crate::config) fn host_names(schema: &mut Schema) {
    let host = r"^\s*(\[[0-9A-Fa-f:.]+\]|[^\s/:@?#\[\]]+)(:[0-9]{1,5})?\s*$";
    schema.insert("propertyNames".to_owned(), json!({ "pattern": host }));
}

/// Seconds, or what an old file means by a large number.
pub(in crate::config) fn seconds(schema: &mut Schema) {
    schema.insert("minimum".to_owned(), json!(0.001));
    schema.insert("maximum".to_owned(), json!(86_400_000));
    let remedy = "write seconds, more than 0 and at most a day (86400)";
    schema.insert("x-remedy".to_owned(), remedy.into());
    schema.insert("if".to_owned(), json!({ "minimum": MILLISECONDS_FROM }));
    schema.insert("then".to_owned(), json!({ "deprecated": true }));
    if let Some(schema) = schema.as_object_mut() {
        let text = format!(
            " From 0.001; {MILLISECONDS_FROM} and more are an old form and read as milliseconds, up to a \
             day."
        );
        append(schema, &text);
    }
}
