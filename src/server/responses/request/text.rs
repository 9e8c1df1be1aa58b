//! `text`: the form of the answer (OpenAI's API reference), flat as only this endpoint writes
//! it.

use serde::Deserialize;
use serde_json::Value;

use super::super::{
    super::{error::AppError, form},
    resource::{FormatObject, TextObject},
};
use crate::types::OutputFormat;

/// The `text` field.
#[derive(Deserialize, schemars::JsonSchema)]
#[schemars(rename = "ResponseTextOptions")]
pub(super) struct TextOptions {
    format: Option<Value>,
    /// `low`, `medium` or `high`; repeated only.
    verbosity: Option<String>,
}

/// The form the answer must have.
///
/// # Errors
/// 400 with the field to blame.
pub(super) fn format(text: Option<&TextOptions>) -> Result<OutputFormat, AppError> {
    let Some(format) = text.and_then(|text| text.format.as_ref()) else {
        return Ok(OutputFormat::Text);
    };
    form::read(format, "text.format")?.ok_or_else(|| {
        let message = "text.format.type: expected text, json_object or json_schema";
        AppError::field("text.format.type", message)
    })
}

/// `text` as the answer repeats it.
///
/// # Errors
/// 400 for a verbosity that does not exist.
pub(super) fn repeated(
    text: Option<&TextOptions>,
    format: &OutputFormat,
) -> Result<TextObject, AppError> {
    let format = match format.clone() {
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
