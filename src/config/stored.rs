//! A config's text as it may be kept: without the keys that are written out in it. And back: with the
//! keys of another text that has them in the same places. Pure.

use std::{collections::HashMap, ops::Range};

use sha2::{Digest, Sha256};
use toml::de::DeTable;

use super::{
    mask::comments_hidden,
    schema::{Rule, Use},
    secret::Reference,
    tree::{Node, Value},
};

/// What stands for a key. `chorus check` warns of it as of any placeholder.
const ABSENT: &str = "<secret>";

/// A key that is written out.
struct Literal {
    /// Which one, by the names around it: `model qwen: api_key`.
    name: String,
    /// With its quotation marks.
    span: Range<usize>,
    value: String,
}

/// The text without its keys: those of clients become their hashes, the others a word. In comments,
/// what could be a secret is hidden. `None`: it is no TOML.
pub(crate) fn without_keys_of(text: &str) -> Option<String> {
    let (literals, strings) = literals(text)?;
    let mut changes: Vec<(Range<usize>, String)> = Vec::with_capacity(literals.len());
    for Literal { name, span, value } in &literals {
        changes.push((span.clone(), instead_of(name, value)));
    }
    let values: Vec<&str> = literals.iter().map(|literal| literal.value.as_str()).collect();
    changes.extend(comments_hidden(text, &strings, &values));
    Some(changed(text, changes))
}

fn instead_of(name: &str, value: &str) -> String {
    if name.starts_with("client ") {
        let digest = Sha256::digest(value.as_bytes());
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        return format!("\"sha256:{hex}\"");
    }
    format!("\"{ABSENT}\"")
}

/// A kept text with the keys of `today`'s, and the names of those that it does not have.
pub(crate) fn with_keys_of(kept: &str, today: &str) -> Option<(String, Vec<String>)> {
    let (wanted, _) = literals(kept)?;
    let (known, _) = literals(today).unwrap_or_default();
    let written = |span: &Range<usize>| today.get(span.clone()).unwrap_or_default();
    let known: HashMap<&str, &str> =
        known.iter().map(|literal| (literal.name.as_str(), written(&literal.span))).collect();
    let (mut changes, mut missing) = (Vec::new(), Vec::new());
    for Literal { name, span, value } in wanted {
        if value != ABSENT {
            continue;
        }
        match known.get(name.as_str()) {
            Some(key) => changes.push((span, (*key).to_owned())),
            None => missing.push(name),
        }
    }
    Some((changed(kept, changes), missing))
}

fn changed(text: &str, mut changes: Vec<(Range<usize>, String)>) -> String {
    changes.sort_by_key(|(span, _)| span.start);
    let mut new = String::with_capacity(text.len());
    let mut at = 0;
    for (span, instead) in changes.iter().filter(|(span, _)| !span.is_empty()) {
        // Stretches of a comment may overlap.
        if span.end <= at {
            continue;
        }
        new.push_str(text.get(at..span.start).unwrap_or_default());
        new.push_str(instead);
        at = span.end;
    }
    new.push_str(text.get(at..).unwrap_or_default());
    new
}

/// Every key that is written out, and where strings and names are: a `#` in them begins no comment.
fn literals(text: &str) -> Option<(Vec<Literal>, Vec<Range<usize>>)> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return None;
    }
    let mut walk = Walk { found: Vec::new(), strings: Vec::new() };
    walk.value(&Node::of_toml(table), Some(Rule::of_config()), false, "");
    walk.found.sort_by_key(|literal| literal.span.start);
    walk.strings.sort_by_key(|range| range.start);
    Some((walk.found, walk.strings))
}

struct Walk {
    found: Vec<Literal>,
    strings: Vec<Range<usize>>,
}

impl Walk {
    fn value(&mut self, node: &Node, rule: Option<Rule>, is_key: bool, name: &str) {
        let is_key = is_key || rule.is_some_and(|rule| rule.shown() == Use::Key);
        match &node.value {
            Value::Table(entries) => {
                // A single `[model]` is an old form of a list.
                let rule = rule.map(|rule| rule.items().unwrap_or(rule));
                let has = |key: &str| entries.iter().any(|entry| entry.key == key);
                for entry in entries {
                    self.strings.push(entry.at.clone());
                    let inner = rule.and_then(|rule| rule.branch(has).0.property(&entry.key));
                    let name = if name.is_empty() {
                        entry.key.clone()
                    } else {
                        format!("{name}: {}", entry.key)
                    };
                    self.value(&entry.node, inner, is_key, &name);
                }
            }
            Value::List(entries) => {
                for (index, entry) in entries.iter().enumerate() {
                    let own = entry.get("name").or_else(|| entry.get("api_base"));
                    let own = match own.map(|own| &own.value) {
                        Some(Value::Text(text)) => text.as_str().to_owned(),
                        _ => index.to_string(),
                    };
                    let rule = rule.and_then(Rule::items);
                    self.value(entry, rule, is_key, &format!("{name} {own}"));
                }
            }
            Value::Text(text) => {
                self.strings.push(node.span.clone());
                let value = text.trim();
                let is_literal = Reference::of(value) == Reference::Literal;
                if is_key && is_literal && !value.is_empty() && !value.starts_with("sha256:") {
                    let (name, value) = (name.to_owned(), value.to_owned());
                    self.found.push(Literal { name, span: node.span.clone(), value });
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r##"
# an old key: sk-abcdefgh1234
[[client]]
name = "laptop"
key = "k-laptop" # and "literal-a" again
[[client]]
name = "ci"
key = "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
[[model]]
name = "a # no comment"
api_base = "http://127.0.0.1:1/v1"
api_key = 'literal-a'
headers = { X-Org = "org", X-Env = "env:ORG" }
[[model.endpoint]]
api_base = "http://127.0.0.1:2/v1"
api_key = """literal-b"""
[[model]]
name = "b"
api_base = "http://127.0.0.1:1/v1"
api_key = "file:key"
[workflow-integration]
json = '{ "workers": [{ "ref": "b", "system": "Be kind." }], "selector": "b" }'
"##;

    #[test]
    fn a_kept_text_has_no_key_and_all_the_rest() {
        let kept = without_keys_of(TEXT).unwrap();
        for secret in ["k-laptop", "literal-a", "literal-b", "\"org\"", "sk-abcdefgh"] {
            assert!(!kept.contains(secret), "{secret}\n{kept}");
        }
        for stays in ["a # no comment", "env:ORG", "file:key", "Be kind.", "sha256:2c26b4", "# "] {
            assert!(kept.contains(stays), "{stays}\n{kept}");
        }
        assert_eq!(kept.lines().count(), TEXT.lines().count());
        assert_eq!(kept.matches("sha256:").count(), 2, "{kept}");
    }

    #[test]
    fn keys_come_back_to_where_they_were_and_missing_ones_are_named() {
        let kept = without_keys_of(TEXT).unwrap();
        let (back, missing) = with_keys_of(&kept, TEXT).unwrap();
        assert_eq!(missing, [""; 0]);
        for line in ["api_key = 'literal-a'", "api_key = \"\"\"literal-b\"\"\"", "X-Org = \"org\""]
        {
            assert!(back.contains(line), "{line}\n{back}");
        }
        // Another order, other keys, and one model less.
        let today = "[[model]]\nname = \"a # no comment\"\napi_base = \"http://127.0.0.1:1/v1\"\n\
                     api_key = \"new\"\n";
        let (back, missing) = with_keys_of(&kept, today).unwrap();
        assert!(back.contains("api_key = \"new\""), "{back}");
        let want = [
            "model a # no comment: headers: X-Org",
            "model a # no comment: endpoint http://127.0.0.1:2/v1: api_key",
        ];
        assert_eq!(missing, want);
    }

    #[test]
    fn what_is_no_toml_is_not_kept() {
        assert_eq!(without_keys_of("[[model"), None);
        let old = "[model]\nname = \"a\"\napi_key = \"literal\"\n";
        assert!(without_keys_of(old).unwrap().contains("api_key = \"<secret>\""));
    }
}
