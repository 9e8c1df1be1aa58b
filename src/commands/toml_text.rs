//! How commands that write configs write a text.

use serde_json::Value;

/// A text in quotes, as TOML reads it back.
pub(super) fn quoted(text: &str) -> String {
    toml_edit::Value::from(text).to_string()
}

/// A plan over several lines, one stage or worker a line, as the value of `json`.
pub(super) fn plan(plan: &Value) -> String {
    let mut lines = Vec::new();
    let stages = plan.as_object().into_iter().flatten();
    for (key, stage) in stages {
        let key = Value::from(key.as_str()).to_string();
        match stage {
            Value::Array(workers) if workers.len() > 1 => {
                let workers: Vec<String> =
                    workers.iter().map(|worker| format!("    {}", spaced(worker))).collect();
                lines.push(format!("  {key}: [\n{}\n  ]", workers.join(",\n")));
            }
            stage => lines.push(format!("  {key}: {}", spaced(stage))),
        }
    }
    // Within `"""` only the backslash, DEL (which JSON leaves bare) and three quotes in a row are
    // special; JSON never puts three unescaped quotes in a row here, since no name is empty.
    let json = lines.join(",\n").replace('\\', "\\\\").replace('\u{7f}', "\\u007F");
    format!("\"\"\"\n{{\n{json}\n}}\n\"\"\"")
}

/// JSON with blanks where people put them.
fn spaced(value: &Value) -> String {
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            let entry = |(key, value): (&String, &Value)| {
                format!("{}: {}", Value::from(key.as_str()), spaced(value))
            };
            format!("{{ {} }}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        Value::Array(entries) if !entries.is_empty() => {
            format!("[ {} ]", entries.iter().map(spaced).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plan_is_written_as_people_write_it() {
        let value = json!({"workers": [{"ref": "a"}, {"ref": "b", "fallback": ["a"]}],
            "selector": {"ref": "b"}});
        insta::assert_snapshot!(plan(&value), @r#"
        """
        {
          "workers": [
            { "ref": "a" },
            { "ref": "b", "fallback": [ "a" ] }
          ],
          "selector": { "ref": "b" }
        }
        """
        "#);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn any_name_is_read_back_as_it_was(name in ".{1,12}|[\"'\\\\\u{7f}\n\t#]{1,8}") {
            let value = json!({"workers": [{"ref": name}, {"ref": name}], "selector": {"ref": name}});
            let text = format!("json = {}\nname = {}\n", plan(&value), quoted(&name));
            let table: toml::Table = text.parse().expect("it is TOML");
            prop_assert_eq!(table["name"].as_str(), Some(name.as_str()));
            let read: Value = serde_json::from_str(table["json"].as_str().unwrap()).unwrap();
            prop_assert_eq!(read, value);
        }
    }
}
