//! Files inside requests: only those that are text, since every model can read them.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};
use serde_json::{Map, Value};

use super::super::super::error::AppError;

/// The text of an `input_file` part whose `file_data` is a data URL of text.
///
/// # Errors
/// 400 that names `path`, for every other file.
pub(super) fn text(mut fields: Map<String, Value>, path: &str) -> Result<String, AppError> {
    // Chat nests it under `file`.
    let mut nested = match fields.remove("file") {
        Some(Value::Object(nested)) => nested,
        _ => fields,
    };
    let text = match nested.remove("file_data") {
        Some(Value::String(data)) => decoded(&data),
        _ => None,
    };
    text.ok_or_else(|| {
        let path = format!("{path}.file_data");
        let message = format!("{path}: only files of text are supported, as a base64 data URL");
        AppError::field(path, message)
    })
}

fn decoded(url: &str) -> Option<String> {
    let (kind, data) = url.trim().strip_prefix("data:")?.split_once(',')?;
    let (media_type, base64) = kind.rsplit_once(';')?;
    let media_type = media_type.split(';').next()?.trim().to_ascii_lowercase();
    let is_text = media_type.starts_with("text/")
        || matches!(media_type.as_str(), "application/json" | "application/xml");
    if !is_text || !base64.trim().eq_ignore_ascii_case("base64") {
        return None;
    }
    let bytes = STANDARD.decode(data).or_else(|_| STANDARD_NO_PAD.decode(data)).ok()?;
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_text_is_read() {
        for (data, want) in [
            (json!("data:text/plain;base64,aGVsbG8="), Some("hello")),
            (json!("data:text/plain;base64,aGVsbG8"), Some("hello")),
            (json!("data:text/markdown;charset=utf-8;base64,aGVsbG8="), Some("hello")),
            (json!("data:application/json;BASE64,e30="), Some("{}")),
            (json!("data:application/pdf;base64,aGVsbG8="), None),
            (json!("data:text/plain,hello"), None),
            (json!("data:text/plain;base64,/w=="), None),
            (json!("data:text/plain;base64,!"), None),
            (json!("aGVsbG8="), None),
            (json!(null), None),
        ] {
            let flat = json!({"type": "input_file", "file_data": data});
            let nested = json!({"type": "file", "file": {"file_data": data}});
            for part in [flat, nested] {
                let Value::Object(fields) = part else { panic!("an object") };
                match (text(fields, "input[0]"), want) {
                    (Ok(text), Some(want)) => assert_eq!(text, want),
                    (Err(AppError::Invalid { param, .. }), None) => {
                        assert_eq!(param.as_deref(), Some("input[0].file_data"));
                    }
                    (got, _) => panic!("{data}: {got:?}"),
                }
            }
        }
    }
}
