//! What the manual says of keys beside their tables, which are made of the structs of the file.

use chorus::config::schema;
use serde_json::Value;

use super::markdown::{pages, read};

#[test]
fn every_old_key_is_on_the_page_of_old_configs() {
    let definitions = schema::config()["$defs"]["Integration"]["properties"].clone();
    let is_old = |(_, property): &(&String, &Value)| property.get("deprecated").is_some();
    let old: Vec<&String> =
        definitions.as_object().unwrap().iter().filter(is_old).map(|(key, _)| key).collect();
    assert_eq!(old.len(), 4, "{old:?}");
    for file in pages("operations/old-configs.md") {
        let text = read(&file);
        for key in &old {
            assert!(text.contains(&format!("`{key}`")), "{file}: {key}");
        }
    }
}
