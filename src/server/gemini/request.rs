//! The bodies of `:generateContent` and `:countTokens` (Gemini's API reference) to a [`Request`]. Each
//! name is taken in both spellings of protocol buffers, as Google's own servers take it.

#[cfg(test)]
mod tests;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    content::{self, Read},
    schema,
    tool::{self, Tools},
};
use crate::{
    server::{
        error::AppError,
        extract::{Parted, typed},
        form,
        parsed::Parsed,
    },
    types::{Effort, Extra, OutputFormat, Prompt, Protocol, Request, Sampling},
};

/// The fields Chorus reads. All may be null or missing but `contents`; the others (`safetySettings`,
/// `cachedContent`, `labels`) are kept for a direct call.
#[derive(Default, Deserialize, schemars::JsonSchema)]
#[schemars(rename = "GeminiRequest")]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct GenerateRequest {
    contents: Option<Value>,
    #[serde(alias = "system_instruction")]
    system_instruction: Option<Value>,
    tools: Option<Value>,
    #[serde(alias = "tool_config")]
    tool_config: Option<Value>,
    #[serde(alias = "generation_config")]
    generation_config: Option<Parted<GenerationConfig>>,
    /// Repeats the path's.
    model: Option<String>,
    /// Chorus: whether the record of the run is wanted.
    #[serde(rename = "include_workflow")]
    include_workflow: Option<bool>,
}

#[derive(Default, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
struct GenerationConfig {
    /// 0 to 2.
    temperature: Option<f32>,
    #[serde(alias = "top_p")]
    top_p: Option<f32>,
    /// Whole, but some clients write 40.0.
    #[serde(alias = "top_k")]
    top_k: Option<f64>,
    seed: Option<i64>,
    #[serde(alias = "presence_penalty")]
    presence_penalty: Option<f32>,
    #[serde(alias = "frequency_penalty")]
    frequency_penalty: Option<f32>,
    #[serde(alias = "max_output_tokens")]
    max_output_tokens: Option<i64>,
    #[serde(alias = "stop_sequences")]
    stop_sequences: Option<Vec<String>>,
    /// Only 1.
    #[serde(alias = "candidate_count")]
    candidate_count: Option<i64>,
    #[serde(alias = "response_mime_type")]
    response_mime_type: Option<String>,
    /// OpenAPI's form of a schema.
    #[serde(alias = "response_schema")]
    response_schema: Option<Value>,
    /// JSON Schema.
    #[serde(alias = "response_json_schema", alias = "_responseJsonSchema")]
    response_json_schema: Option<Value>,
    #[serde(alias = "thinking_config")]
    thinking_config: Option<Thinking>,
}

#[derive(Default, Deserialize, schemars::JsonSchema)]
#[schemars(rename = "GeminiThinking")]
#[serde(rename_all = "camelCase")]
struct Thinking {
    /// Absent = false: what the models think is not shown.
    #[serde(alias = "include_thoughts")]
    include_thoughts: Option<bool>,
    /// In tokens; -1 leaves it to the model.
    #[serde(alias = "thinking_budget")]
    thinking_budget: Option<i64>,
    #[serde(alias = "thinking_level")]
    thinking_level: Option<String>,
}

/// What `:countTokens` takes: contents, or a whole request.
#[derive(Default, Deserialize, schemars::JsonSchema)]
#[schemars(rename = "GeminiCountRequest")]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct CountRequest {
    contents: Option<Value>,
    #[serde(alias = "generate_content_request")]
    generate_content_request: Option<Value>,
}

impl CountRequest {
    /// Checks and converts.
    ///
    /// # Errors
    /// 400 with the field to blame.
    pub(super) fn read(
        self,
        model: &str,
        rest: Map<String, Value>,
    ) -> Result<Parsed<()>, AppError> {
        let request = match self.generate_content_request {
            Some(request) => typed::<Parted<GenerateRequest>>(request, "generateContentRequest")?,
            None => {
                // Some SDKs send the fields of a whole request beside the contents.
                let mut request: Parted<GenerateRequest> = typed(rest.into(), "")?;
                request.known.contents = self.contents;
                request
            }
        };
        request.known.read(model, false, request.rest)
    }
}

impl GenerateRequest {
    /// Checks and converts; `rest` are the fields Chorus does not know.
    ///
    /// # Errors
    /// 400 with the field to blame.
    pub(super) fn read(
        self,
        model: &str,
        stream: bool,
        rest: Map<String, Value>,
    ) -> Result<Parsed<()>, AppError> {
        drop(self.model);
        let mut extra = Extra::new(Protocol::Gemini, rest);
        let Read { messages, mut left_out, only_there } =
            content::conversation(self.system_instruction, self.contents)?;
        extra.only_there = only_there;
        let Tools { mut definitions, others, names } = tool::read(self.tools)?;
        let tool_choice = tool::choice(self.tool_config, &mut definitions)?;
        if !others.is_empty() {
            extra.fields.insert("tools".to_owned(), others.into());
            left_out.extend(names);
        }
        let Parted { known: config, rest } = self.generation_config.unwrap_or_default();
        if !rest.is_empty() {
            extra.within.insert("generationConfig".to_owned(), rest.clone().into());
            extra.fields.insert("generationConfig".to_owned(), rest.into());
        }
        let thinking = config.thinking_config.as_ref();
        let reasoning = thinking.is_some_and(|it| it.include_thoughts == Some(true));
        let effort = thinking.map(Thinking::effort).transpose()?.flatten();
        let prompt = Prompt {
            tools: definitions.into(),
            tool_choice,
            effort,
            extra: Some(extra),
            ..config.read()?
        };
        let request = Request { prompt, left_out, ..Request::new(model, messages) };
        Ok(Parsed {
            request,
            stream,
            include_workflow: self.include_workflow.unwrap_or(false),
            reasoning,
            extras: (),
        })
    }
}

impl GenerationConfig {
    fn read(self) -> Result<Prompt, AppError> {
        let refuse = |name: &str, why: &str| {
            let path = format!("generationConfig.{name}");
            Err(AppError::field(path.as_str(), format!("{path}: {why}")))
        };
        if self.candidate_count.is_some_and(|count| count != 1) {
            return refuse("candidateCount", "only one answer per request is supported");
        }
        if self.temperature.is_some_and(|value| !(0.0..=2.0).contains(&value)) {
            return refuse("temperature", "must be between 0 and 2");
        }
        let floats = [
            ("topP", self.top_p),
            ("presencePenalty", self.presence_penalty),
            ("frequencyPenalty", self.frequency_penalty),
        ];
        if let Some((name, _)) = floats.iter().find(|(_, it)| it.is_some_and(|it| !it.is_finite()))
        {
            return refuse(name, "this number is too large");
        }
        let max_tokens = match self.max_output_tokens {
            None => None,
            Some(value @ 1..) => Some(u32::try_from(value).unwrap_or(u32::MAX)),
            Some(_) => return refuse("maxOutputTokens", "must be 1 or more"),
        };
        let schema = self.response_json_schema.filter(|schema| !schema.is_null());
        let schema = schema.or_else(|| self.response_schema.map(schema::of_open_api));
        let format = match (self.response_mime_type.as_deref(), schema) {
            (None | Some("application/json"), Some(schema)) if schema.is_object() => {
                form::bare(schema)
            }
            (None | Some("" | "text/plain"), None) => OutputFormat::Text,
            (Some("application/json"), None) => OutputFormat::Json,
            (None | Some("application/json"), Some(_)) => {
                return refuse("responseSchema", "expected an object");
            }
            (Some(_), _) => {
                return refuse("responseMimeType", "expected text/plain or application/json");
            }
        };
        let mut stop = self.stop_sequences.unwrap_or_default();
        // An empty one would end every answer at once.
        stop.retain(|sequence| !sequence.is_empty());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
        let top_k = self.top_k.map(|top_k| top_k as u32).filter(|top_k| *top_k > 0);
        Ok(Prompt {
            sampling: Sampling {
                temperature: self.temperature,
                top_p: self.top_p,
                top_k,
                seed: self.seed,
                presence_penalty: self.presence_penalty,
                frequency_penalty: self.frequency_penalty,
                ..Sampling::default()
            },
            stop,
            max_tokens,
            format,
            ..Prompt::default()
        })
    }
}

impl Thinking {
    /// A level, or a budget of tokens, as an effort.
    fn effort(&self) -> Result<Option<Effort>, AppError> {
        let level = self.thinking_level.as_deref().unwrap_or_default().to_ascii_lowercase();
        Ok(match (level.as_str(), self.thinking_budget) {
            ("minimal", _) => Some(Effort::Minimal),
            ("low", _) => Some(Effort::Low),
            ("medium", _) => Some(Effort::Medium),
            ("high", _) => Some(Effort::High),
            ("" | "thinking_level_unspecified", budget) => budget.map(|budget| match budget {
                0 => Effort::None,
                ..0 => Effort::On,
                1..=2048 => Effort::Low,
                2049..=8192 => Effort::Medium,
                _ => Effort::High,
            }),
            _ => {
                let path = "generationConfig.thinkingConfig.thinkingLevel";
                let message = format!("{path}: expected MINIMAL, LOW, MEDIUM or HIGH");
                return Err(AppError::field(path, message));
            }
        })
    }
}
