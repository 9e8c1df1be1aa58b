//! Refused parameters: which one a 400 or 422 names, and what is remembered of it. Pure.
//!
//! A repaired call is sent again without the parameter (or with its other name, or with a weaker
//! form of it); that is no retry, and each parameter is repaired at most once per call.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{
    Call,
    refusal::{Refusal, mentions},
};
use crate::{
    config::StructuredOutput,
    types::{Protocol, ToolChoice},
};

/// Something of a request that upstreams refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Parameter {
    /// `max_tokens`: then `max_completion_tokens` is sent.
    MaxTokens,
    /// `max_completion_tokens`: then `max_tokens`, unless that was refused as well.
    MaxCompletionTokens,
    Temperature,
    TopP,
    TopK,
    MinP,
    Seed,
    PresencePenalty,
    FrequencyPenalty,
    RepeatPenalty,
    StreamOptions,
    /// Efforts below `low`: then `low`, the least that every reasoning model knows.
    LeastEffort,
    /// `reasoning_effort`, `think`.
    Effort,
    ParallelToolCalls,
    /// A schema as output form: then JSON mode.
    Schema,
    /// JSON mode: then only the instruction.
    Json,
    /// Pictures: nothing can be left out, the call fails.
    Images,
    /// Tools: left out when none may be called, else the call fails.
    Tools,
}

/// What a model has refused so far. Small, cloned for each attempt.
pub(super) type Refused = BTreeSet<Parameter>;

/// What to do about a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repair {
    /// Send it again without this.
    Without(Parameter),
    /// The model cannot take a part of the input; remember it, the call fails.
    Unsupported(Parameter),
}

/// The strictest form of output that may still be sent.
pub(super) fn format_ceiling(configured: StructuredOutput, refused: &Refused) -> StructuredOutput {
    let known = if refused.contains(&Parameter::Json) {
        StructuredOutput::None
    } else if refused.contains(&Parameter::Schema) {
        StructuredOutput::Json
    } else {
        StructuredOutput::Schema
    };
    configured.min(known)
}

/// Whether the call may have tools called; with tool choice `none` they are only shown.
pub(super) fn needs_tools(call: &Call) -> bool {
    !call.tools.is_empty() && call.tool_choice != Some(ToolChoice::None)
}

/// Finds the parameter of `body` that a refusal names.
pub(super) fn diagnose(
    refusal: &Refusal,
    protocol: Protocol,
    body: &Map<String, Value>,
    call: &Call,
) -> Option<Repair> {
    let words = refusal.words();
    if refuses_images(refusal, &words, call) {
        return Some(Repair::Unsupported(Parameter::Images));
    }
    if refuses_tools(refusal, &words, body) {
        return Some(match needs_tools(call) {
            true => Repair::Unsupported(Parameter::Tools),
            false => Repair::Without(Parameter::Tools),
        });
    }
    if !matches!(refusal.status, 400 | 422) || !mentions(&words, &COMPLAINTS) {
        return None;
    }
    if let Some(format) = refused_format(refusal, &words, protocol, body) {
        return Some(Repair::Without(format));
    }
    let sent = || FIELDS.iter().filter(|(field, _, _)| body.contains_key(*field));
    let (field, parameter, _) = sent()
        .find(|(field, _, _)| refusal.blames(field))
        .or_else(|| sent().find(|(_, _, names)| names.iter().any(|name| has_word(&words, name))))
        .copied()?;
    let about_length = matches!(parameter, Parameter::MaxTokens | Parameter::MaxCompletionTokens);
    if about_length && !words.contains("max_completion_tokens") && mentions(&words, &RANGE_WORDS) {
        return None; // the value is wrong, not the name
    }
    let least = body.get(field).is_some_and(|effort| effort == "none" || effort == "minimal");
    if parameter == Parameter::Effort && least && mentions(&words, &VALUE_WORDS) {
        return Some(Repair::Without(Parameter::LeastEffort));
    }
    // Ollama warns of unknown options but never refuses them; "think" is all it refuses.
    (protocol == Protocol::OpenAi || field == "think").then_some(Repair::Without(parameter))
}

/// A request field, what its refusal means, and the words it goes by in messages.
type Field = (&'static str, Parameter, &'static [&'static str]);

/// Everyday words must stand in quotes or as a path: a message may speak of seeds.
const FIELDS: [Field; 14] = [
    ("max_completion_tokens", Parameter::MaxCompletionTokens, &["max_completion_tokens"]),
    ("max_tokens", Parameter::MaxTokens, &["max_tokens"]),
    ("stream_options", Parameter::StreamOptions, &["stream_options"]),
    ("parallel_tool_calls", Parameter::ParallelToolCalls, &["parallel_tool_calls"]),
    ("reasoning_effort", Parameter::Effort, &["reasoning_effort", "reasoning.effort", "reasoning"]),
    ("think", Parameter::Effort, &["think", "thinking"]),
    ("presence_penalty", Parameter::PresencePenalty, &["presence_penalty"]),
    ("frequency_penalty", Parameter::FrequencyPenalty, &["frequency_penalty"]),
    ("repeat_penalty", Parameter::RepeatPenalty, &["repeat_penalty"]),
    ("temperature", Parameter::Temperature, &["temperature"]),
    ("top_p", Parameter::TopP, &["top_p"]),
    ("top_k", Parameter::TopK, &["top_k"]),
    ("min_p", Parameter::MinP, &["min_p"]),
    ("seed", Parameter::Seed, &["'seed'", "\"seed\"", "`seed`", "body.seed", ": seed"]),
];

const COMPLAINTS: [&str; 19] = [
    "support",
    "unrecognized",
    "unrecognised",
    "unknown",
    "unavailable",
    "unexpected",
    "extra",
    "not permitted",
    "not allowed",
    "not available",
    "not enabled",
    "not implemented",
    "invalid",
    "deprecated",
    "cannot",
    "only",
    "must",
    "does not",
    "out of range",
];

/// Said of an effort that exists, but not for this model.
const VALUE_WORDS: [&str; 5] =
    ["unsupported value", "supported values", "invalid value", "must be one of", "'none'"];

const RANGE_WORDS: [&str; 7] =
    ["too large", "at most", "less than", "maximum", "at least", "greater than", "out of range"];

fn refused_format(
    refusal: &Refusal,
    words: &str,
    protocol: Protocol,
    body: &Map<String, Value>,
) -> Option<Parameter> {
    const NAMES: [&str; 7] = [
        "response_format",
        "json_schema",
        "json_object",
        "structured output",
        "json mode",
        "grammar",
        "guided",
    ];
    let (field, is_schema): (&str, fn(&Value) -> bool) = match protocol {
        Protocol::OpenAi => ("response_format", |format| {
            format.get("type").and_then(Value::as_str) == Some("json_schema")
        }),
        Protocol::Ollama => ("format", Value::is_object),
    };
    let sent = body.get(field)?;
    let blamed = refusal.blames(field)
        || mentions(words, &NAMES)
        || (protocol == Protocol::Ollama && has_word(words, "format"));
    blamed.then(|| if is_schema(sent) { Parameter::Schema } else { Parameter::Json })
}

fn refuses_images(refusal: &Refusal, words: &str, call: &Call) -> bool {
    const NAMES: [&str; 4] = ["image", "vision", "multimodal", "multi-modal"];
    const WHY: [&str; 9] = [
        "support",
        "unknown variant",
        "unexpected",
        "text only",
        "text-only",
        "only text",
        "mmproj",
        "not a multimodal",
        "does not have",
    ];
    // A picture that is broken or too big says nothing about the next one.
    const THIS_ONE: [&str; 8] = [
        "invalid image",
        "download",
        "decode",
        "fetch",
        "too large",
        "corrupt",
        "dimension",
        "image format",
    ];
    may_refuse_input(refusal.status)
        && call.messages.iter().any(crate::types::Message::has_image)
        && mentions(words, &NAMES)
        && mentions(words, &WHY)
        && !mentions(words, &THIS_ONE)
}

fn refuses_tools(refusal: &Refusal, words: &str, body: &Map<String, Value>) -> bool {
    const PHRASES: [&str; 12] = [
        "not support tool",
        "not support function",
        "support tool use",
        "support tool call",
        "tools is not supported",
        "tools are not supported",
        "tool use is not supported",
        "tool calling is not supported",
        "function calling is not",
        "requires --jinja",
        "enable-auto-tool-choice",
        "unsupported parameter: 'tools'",
    ];
    let blamed = refusal.blames("tools") && words.contains("support");
    may_refuse_input(refusal.status)
        && body.contains_key("tools")
        && (blamed || mentions(words, &PHRASES))
}

/// Servers say "I cannot see" with many statuses, llama.cpp even with 500.
fn may_refuse_input(status: u16) -> bool {
    matches!(status, 400 | 404 | 415 | 422 | 500 | 501)
}

/// Whether a name stands in a text with no further letter, digit or underscore around it (where it
/// begins or ends with one itself).
fn has_word(words: &str, name: &str) -> bool {
    let joins = |character: Option<char>| {
        character.is_some_and(|character| character.is_ascii_alphanumeric() || character == '_')
    };
    words.match_indices(name).any(|(at, found)| {
        let before = words.get(..at).and_then(|text| text.chars().next_back());
        let after =
            words.get(at.saturating_add(found.len())..).and_then(|text| text.chars().next());
        let goes_on_left = joins(before) && joins(name.chars().next());
        let goes_on_right = joins(after) && joins(name.chars().next_back());
        !goes_on_left && !goes_on_right
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::llm::testing;

    fn diagnosis(protocol: Protocol, status: u16, error: &Value, body: &Value) -> Option<Repair> {
        let refusal = Refusal::of_response(status, error.to_string().as_bytes());
        diagnose(&refusal, protocol, body.as_object().unwrap(), &testing::call("hi"))
    }

    #[test]
    fn a_named_parameter_is_found() {
        use Parameter as P;
        let body = json!({
            "max_tokens": 5, "temperature": 1.4, "top_p": 0.9, "top_k": 3, "min_p": 0.1, "seed": 1,
            "presence_penalty": 0.1, "frequency_penalty": 0.1, "stream_options": {},
            "reasoning_effort": "none", "parallel_tool_calls": true, "messages": [],
            "response_format": {"type": "json_schema"},
        });
        for (error, want) in [
            (
                json!({"error": {"param": "max_tokens", "code": "unsupported_parameter", "message":
                    "Unsupported parameter: 'max_tokens' is not supported with this model. Use \
                     'max_completion_tokens' instead."}}),
                Some(P::MaxTokens),
            ),
            (
                json!({"error": {"param": "temperature", "code": "unsupported_value", "message":
                    "Unsupported value: 'temperature' does not support 1.4 with this model. Only \
                     the default (1) value is supported."}}),
                Some(P::Temperature),
            ),
            (
                json!({"error": {"message": "Unrecognized request argument supplied: top_k"}}),
                Some(P::TopK),
            ),
            (
                json!({"detail": [{"type": "extra_forbidden", "loc": ["body", "min_p"],
                    "msg": "Extra inputs are not permitted"}]}),
                Some(P::MinP),
            ),
            (
                json!({"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}),
                Some(P::Seed),
            ),
            (json!({"message": "unknown field: seed"}), Some(P::Seed)),
            (json!({"error": "stream_options is not supported"}), Some(P::StreamOptions)),
            (
                json!({"error": {"message": "unsupported", "param": "presence_penalty"}}),
                Some(P::PresencePenalty),
            ),
            (
                json!({"error": {"message": "frequency_penalty unsupported"}}),
                Some(P::FrequencyPenalty),
            ),
            (
                json!({"error": {"message": "reasoning is not supported by this model"}}),
                Some(P::Effort),
            ),
            (json!({"error": "unknown parameter parallel_tool_calls"}), Some(P::ParallelToolCalls)),
            (
                json!({"error": {"message": "This response_format type is unavailable now"}}),
                Some(P::Schema),
            ),
            (json!({"error": {"message": "json_schema is not supported"}}), Some(P::Schema)),
            // Not the name but the value, or nothing of ours:
            (
                json!({"error": {"message": "max_tokens is too large: 5. At most 4 are supported",
                    "param": "max_tokens"}}),
                None,
            ),
            (json!({"error": {"message": "the seed of doubt is not supported"}}), None),
            (json!({"error": {"message": "logit_bias is not supported"}}), None),
            (json!({"error": {"message": "bad luck"}}), None),
        ] {
            let want = want.map(Repair::Without);
            assert_eq!(diagnosis(Protocol::OpenAi, 400, &error, &body), want, "{error}");
        }
        let error = json!({"error": "temperature is not supported"});
        assert_eq!(diagnosis(Protocol::OpenAi, 500, &error, &body), None, "only 400 and 422");
        assert_eq!(
            diagnosis(Protocol::OpenAi, 422, &error, &json!({"top_p": 1})),
            None,
            "only what was sent"
        );
    }

    #[test]
    fn efforts_step_down() {
        let value = json!({"error": {"param": "reasoning_effort", "message":
            "Unsupported value: 'none' is not supported. Supported values are: 'low' and 'high'."}});
        let name = json!({"error": "Unrecognized request argument supplied: reasoning_effort"});
        for (error, effort, want) in [
            (&value, "none", Parameter::LeastEffort),
            (&value, "low", Parameter::Effort),
            (&name, "none", Parameter::Effort),
        ] {
            let body = json!({"reasoning_effort": effort});
            let found = diagnosis(Protocol::OpenAi, 400, error, &body);
            assert_eq!(found, Some(Repair::Without(want)), "{effort}");
        }
    }

    #[test]
    fn formats_step_down() {
        let error = json!({"error": {"param": "response_format", "message": "not supported"}});
        let body = json!({"response_format": {"type": "json_object"}});
        let found = diagnosis(Protocol::OpenAi, 400, &error, &body);
        assert_eq!(found, Some(Repair::Without(Parameter::Json)));
        for (refused, want) in [
            (vec![], StructuredOutput::Schema),
            (vec![Parameter::Schema], StructuredOutput::Json),
            (vec![Parameter::Schema, Parameter::Json], StructuredOutput::None),
        ] {
            let refused = refused.into_iter().collect();
            assert_eq!(format_ceiling(StructuredOutput::Schema, &refused), want);
        }
        let ceiling = format_ceiling(StructuredOutput::None, &Refused::new());
        assert_eq!(ceiling, StructuredOutput::None);
    }

    #[test]
    fn ollama_refuses_think_tools_and_format() {
        let body = json!({"think": true, "tools": [{}], "format": {"type": "object"},
            "options": {"temperature": 1}});
        for (error, want) in [
            ("\"m\" does not support thinking", Repair::Without(Parameter::Effort)),
            (
                "registry.ollama.ai/library/m does not support tools",
                Repair::Without(Parameter::Tools),
            ),
            ("invalid format: expected \"json\"", Repair::Without(Parameter::Schema)),
        ] {
            let found = diagnosis(Protocol::Ollama, 400, &json!({"error": error}), &body);
            assert_eq!(found, Some(want), "{error}");
        }
    }

    #[test]
    fn pictures_and_tools_that_are_needed_cannot_be_left_out() {
        let call = testing::call_with_image();
        let body = json!({"messages": []});
        for (status, message, want) in [
            (500, "image input is not supported - hint: you may need to provide the mmproj", true),
            (404, "No endpoints found that support image input", true),
            (400, "messages[0]: unknown variant `image_url`, expected `text`", true),
            (400, "Invalid image data: only PNG is supported", false),
            (429, "image input is not supported", false),
        ] {
            let error = json!({"error": {"message": message}}).to_string();
            let refusal = Refusal::of_response(status, error.as_bytes());
            let found = diagnose(&refusal, Protocol::OpenAi, body.as_object().unwrap(), &call);
            let want = want.then_some(Repair::Unsupported(Parameter::Images));
            assert_eq!(found, want, "{message}");
        }
        let call = testing::call_with_tools();
        let refusal = Refusal::of_response(
            500,
            br#"{"error":{"message":"tools param requires --jinja flag"}}"#,
        );
        let body = json!({"tools": [{}]});
        let found = diagnose(&refusal, Protocol::OpenAi, body.as_object().unwrap(), &call);
        assert_eq!(found, Some(Repair::Unsupported(Parameter::Tools)));
    }
}
