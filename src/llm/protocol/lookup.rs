//! Looking into JSON. Pure.

use serde_json::Value;

/// The value at a path of names and indices, as `choices/0/delta`. No name in it holds a slash, so
/// nothing is escaped: `Value::pointer` takes longer to unescape each step than to follow it, and
/// frames are looked into in many places.
pub(super) fn get_path<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('/').try_fold(value, |value, step| match value {
        Value::Object(fields) => fields.get(step),
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_leads_through_objects_and_lists() {
        let value = json!({ "a": [{ "b": null }, { "b": { "0": 7 } }], "": 1 });
        for (path, want) in [
            ("a/1/b/0", Some(json!(7))),
            ("a/0/b", Some(json!(null))),
            ("a/2", None),
            ("a/b", None),
            ("a/0/b/c", None),
            ("b", None),
            ("", Some(json!(1))),
        ] {
            assert_eq!(get_path(&value, path), want.as_ref(), "{path}");
        }
    }
}
