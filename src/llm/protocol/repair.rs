//! Refused parameters: which one a 400 or 422 names (or an error under another status that means one), and what is remembered of it. Pure.
//!
//! A repaired call is sent again without the parameter (or with its other name, or with a weaker
//! form of it); that is no retry, and each parameter is repaired at most once per call.

mod input;
mod names;
mod streams;

use serde_json::{Map, Value};

use super::{
    Wire,
    body::Body,
    parameter::{Field, Parameter, needs_tools, root},
    shape,
    upstream_error::{Refusal, folded, words::mentions},
};
use crate::llm::Call;
use input::{refuses_images, refuses_tools};
use names::has_word;
use streams::refuses_streams;

/// What to do about a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::llm) enum Repair {
    /// Send it again without this. When that is taken, it is remembered.
    Without(Parameter),
    /// Its value is out of range: this call is sent again without it, later ones may have it.
    WithoutNow(Parameter),
    /// The model cannot take a part of the input; remember it, the call fails.
    Unsupported(Parameter),
}

/// Finds the parameter of `body` that a refusal names.
pub(in crate::llm) fn diagnose(
    refusal: &Refusal,
    wire: &dyn Wire,
    body: &Body,
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
    if refuses_streams(refusal, &words, call) {
        return Some(Repair::Without(Parameter::Stream));
    }
    if let Some(parameter) = shape::refused(refusal, &words, &call.messages, body) {
        return Some(Repair::Without(parameter));
    }
    if !complains(refusal) {
        return None;
    }
    let names_betas = call.prompt.extra.as_ref().is_some_and(|extra| extra.betas.is_some());
    if names_betas && has_word(&words, "anthropic_beta") {
        return Some(Repair::Without(Parameter::Betas));
    }
    let place = place(refusal, body);
    if let Some(format) = refused_format(refusal, &words, place, wire, body) {
        return Some(Repair::Without(format));
    }
    let may_be_meant = |field: &&Field| place.is_none_or(|place| field.root() == place);
    let sent = || {
        let fields = wire.refusable().iter().filter(may_be_meant);
        fields.filter_map(|field| Some((field, field.find(body)?)))
    };
    let (field, value) = sent().find(|(field, _)| refusal.blames(&field.name())).or_else(|| {
        sent().find(|(field, _)| field.words.iter().any(|name| has_word(&words, name)))
    })?;
    match field.means {
        // The value is wrong, not the name.
        Parameter::MaxTokens | Parameter::MaxCompletionTokens
            if !words.contains("max_completion_tokens") && is_of_range(&words) =>
        {
            None
        }
        Parameter::Effort | Parameter::EffortName
            if is_least(value) && mentions(&words, &VALUE_WORDS) =>
        {
            Some(Repair::Without(Parameter::LeastEffort))
        }
        parameter if is_of_range(&words) => Some(Repair::WithoutNow(parameter)),
        parameter => Some(Repair::Without(parameter)),
    }
}

/// Whether a refusal is about something in the request. Of what calls itself a server's error it has
/// to be plain.
fn complains(refusal: &Refusal) -> bool {
    let words = refusal.complaint();
    match refusal.refused_status() {
        400 | 422 => mentions(&words, &COMPLAINTS),
        500..=503 => mentions(&words, &PLAIN_COMPLAINTS),
        _ => false,
    }
}

/// The field of the body that a refusal points at, when it says where the fault is. Nothing else
/// is to blame then, whatever words of the conversation it quotes.
fn place<'a>(refusal: &Refusal, body: &'a Map<String, Value>) -> Option<&'a str> {
    let place = refusal.place()?;
    let place = place.strip_prefix("body.").unwrap_or(place);
    let first = folded(place.split(['.', '[']).next()?);
    body.keys().find(|name| folded(name) == first).map(String::as_str)
}

/// What stop sequences are called.
pub(super) const STOP_WORDS: &[&str] = &[
    "stop",
    "stop_sequence",
    "stop_sequences",
    "stop_word",
    "stop_words",
    "stop_token",
    "stop_tokens",
];

/// Whether the value of an effort is below `low`.
fn is_least(value: &Value) -> bool {
    matches!(value.as_str(), Some("none" | "minimal")) || value.as_u64() == Some(0)
}

const PLAIN_COMPLAINTS: [&str; 11] = [
    "not support",
    "unsupported",
    "unrecognized",
    "unrecognised",
    "unknown param",
    "unknown field",
    "unknown argument",
    "not permitted",
    "not allowed",
    "不支持",
    "不允许",
];

const COMPLAINTS: [&str; 38] = [
    "can not",
    "can't",
    "isn't",
    "incompatible",
    "remove",
    "不允许",
    "不可用",
    "不合法",
    "无效",
    "无法",
    "未知",
    "should not",
    "not accept",
    "not recognized",
    "not recognised",
    "disallowed",
    "不支持",
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
    "not valid",
    "deprecated",
    "cannot",
    "only",
    "must",
    "should be",
    "does not",
    "out of range",
];

/// Said of an effort that exists, but not for this model.
const VALUE_WORDS: [&str; 9] = [
    "unsupported value",
    "supported values",
    "invalid value",
    "must be one of",
    "'none'",
    "other thinking level",
    "budget 0",
    "a value between",
    "only works in thinking mode",
];

/// Whether the value is what is wrong, and another one would do. An arrow (`body -> stop`) only leads
/// to the field.
fn is_of_range(words: &str) -> bool {
    mentions(&words.replace("->", " "), &RANGE_WORDS)
}

/// Said of a value that another one could stand for.
const RANGE_WORDS: [&str; 17] = [
    "range",
    "between",
    "less than",
    "greater than",
    "at most",
    "at least",
    "maximum",
    "minimum",
    "too large",
    "too small",
    "too high",
    "too low",
    "exceed",
    "<",
    ">",
    " in [",
    " in (",
];

fn refused_format(
    refusal: &Refusal,
    words: &str,
    place: Option<&str>,
    wire: &dyn Wire,
    body: &Map<String, Value>,
) -> Option<Parameter> {
    const NAMES: [&str; 14] = [
        "response_format",
        "json_schema",
        "json_object",
        "structured output",
        "json mode",
        "grammar",
        "guided",
        "output_format",
        "output_config:",
        "response mime type",
        "response_mime_type",
        "response_json_schema",
        "responsemimetype",
        "responsejsonschema",
    ];
    let (field, is_schema) = wire.format_field(body)?;
    let named = || has_word(words, &field.to_lowercase());
    let elsewhere = place.is_some_and(|place| place != root(field, '.'));
    let blamed = refusal.blames(field) || named() || (!elsewhere && mentions(words, &NAMES));
    blamed.then_some(if is_schema { Parameter::Schema } else { Parameter::Json })
}

#[cfg(test)]
mod tests;
