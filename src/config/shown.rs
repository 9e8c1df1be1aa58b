//! The config in use as JSON: what `/chorus/config` answers, and what a reload names the keys of. It
//! is the file's structs with all their defaults, under the names of the file; what is not set is left
//! out, and secrets are not in it (see `file/value.rs`).

use serde_json::Value;

use super::file::File;

/// The whole file.
pub(super) fn of(file: &File) -> Value {
    plain(serde_json::to_value(file).unwrap_or_default())
}

/// Whole seconds as such, and nothing that is not set.
fn plain(value: Value) -> Value {
    match value {
        Value::Object(entries) => {
            let set = entries.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(set.map(|(key, value)| (key, plain(value))).collect())
        }
        Value::Array(entries) => entries.into_iter().map(plain).collect(),
        Value::Number(number) => match number.as_f64() {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "it is whole, and no time is so long"
            )]
            Some(whole) if number.is_f64() && whole.fract() == 0.0 => (whole as i64).into(),
            _ => number.into(),
        },
        other => other,
    }
}
