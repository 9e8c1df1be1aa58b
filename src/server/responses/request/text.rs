//! `text`: the form of the answer (OpenAI's API reference), flat as only this endpoint writes
//! it.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::super::{
    super::{error::AppError, openai::schema_name},
    resource::{FormatObject, TextObject},
};
use crate::types::OutputFormat;

/// The `text` field.
#[derive(Deserialize)]
pub(super) struct TextOptions {
    format: Option<TextFormat>,
    /// `low`, `medium` or `high`; repeated only.
    verbosity: Option<String>,
}

#[derive(Deserialize)]
struct TextFormat {
    #[serde(rename = "type")]
    kind: Option<String>,
    name: Option<String>,
    schema: Option<Value>,
    strict: Option<bool>,
    description: Option<String>,
}

/// The form the answer must have.
///
/// # Errors
/// 400 with the field to blame.
pub(super) fn format(text: Option<&TextOptions>) -> Result<OutputFormat, AppError> {
    let Some(format) = text.and_then(|text| text.format.as_ref()) else {
        return Ok(OutputFormat::Text);
    };
    match format.kind.as_deref() {
        Some("text") => Ok(OutputFormat::Text),
        Some("json_object") => Ok(OutputFormat::Json),
        Some("json_schema") => {
            let path = "text.format.schema";
            let schema = format.schema.clone();
            let schema = schema.ok_or_else(|| AppError::field(path, format!("{path}: missing")))?;
            Ok(OutputFormat::Schema {
                name: schema_name(format.name.clone(), "text.format.name")?,
                schema: Arc::new(schema.into()),
                strict: format.strict,
                description: format.description.clone(),
            })
        }
        _ => Err(AppError::field(
            "text.format.type",
            "text.format.type: expected text, json_object or json_schema",
        )),
    }
}

/// `text` as the answer repeats it.
///
/// # Errors
/// 400 for what [`format`] does not take, and for a verbosity that does not exist.
pub(super) fn told(text: Option<&TextOptions>) -> Result<TextObject, AppError> {
    let format = match format(text)? {
        OutputFormat::Text => FormatObject::Text,
        OutputFormat::Json => FormatObject::JsonObject,
        OutputFormat::Schema { name, schema, strict, description } => {
            let strict = strict.unwrap_or(false);
            FormatObject::JsonSchema { name, description, schema, strict }
        }
    };
    let verbosity = text.and_then(|text| text.verbosity.clone());
    if !matches!(verbosity.as_deref(), None | Some("low" | "medium" | "high")) {
        let path = "text.verbosity";
        return Err(AppError::field(path, format!("{path}: expected low, medium or high")));
    }
    Ok(TextObject { format, verbosity })
}
