//! The fields that upstreams of this protocol refuse, with the words they do it in.

use crate::llm::protocol::{
    parameter::{Field, Parameter, field},
    repair::STOP_WORDS,
};

/// What names a parameter of its own comes before what names several.
pub(super) const FIELDS: [Field; 28] = [
    field("/max_completion_tokens", Parameter::MaxCompletionTokens, &["max_completion_tokens"]),
    field("/max_tokens", Parameter::MaxTokens, &["max_tokens"]),
    field("/stream_options", Parameter::StreamOptions, &["stream_options", "include_usage"]),
    field("/parallel_tool_calls", Parameter::ParallelToolCalls, &["parallel_tool_calls"]),
    field("/reasoning_effort", Parameter::Effort, &["reasoning_effort", "reasoning.effort"]),
    field("/presence_penalty", Parameter::PresencePenalty, &["presence_penalty"]),
    field("/frequency_penalty", Parameter::FrequencyPenalty, &["frequency_penalty"]),
    field("/repeat_penalty", Parameter::RepeatPenalty, REPEAT_WORDS),
    field("/repetition_penalty", Parameter::RepeatPenalty, REPEAT_WORDS),
    field("/temperature", Parameter::Temperature, &["temperature"]),
    field("/top_p", Parameter::TopP, &["top_p"]),
    field("/top_k", Parameter::TopK, &["top_k"]),
    field("/min_p", Parameter::MinP, &["min_p"]),
    field("/seed", Parameter::Seed, &["seed", "random_seed"]),
    field("/stop", Parameter::Stop, STOP_WORDS),
    field("/tool_choice", Parameter::ToolChoice, &["tool_choice"]),
    field("/presence_penalty", Parameter::PresencePenalty, PENALTIES),
    field("/frequency_penalty", Parameter::FrequencyPenalty, PENALTIES),
    field("/repeat_penalty", Parameter::RepeatPenalty, PENALTIES),
    field("/repetition_penalty", Parameter::RepeatPenalty, PENALTIES),
    field("/temperature", Parameter::Temperature, ALL_SAMPLING),
    field("/top_p", Parameter::TopP, ALL_SAMPLING),
    field("/top_k", Parameter::TopK, ALL_SAMPLING),
    field("/min_p", Parameter::MinP, ALL_SAMPLING),
    field("/reasoning_effort", Parameter::Effort, NO_THINKING),
    field("/reasoning", Parameter::Effort, NO_THINKING),
    field("/prompt_cache_key", Parameter::PromptCacheKey, &["prompt_cache_key"]),
    // Nobody asked for it: it goes first where an unnamed field is one too many.
    field("/prompt_cache_key", Parameter::PromptCacheKey, ONE_TOO_MANY),
];

const REPEAT_WORDS: &[&str] = &["repeat_penalty", "repetition_penalty"];
const PENALTIES: &[&str] = &["penalties", "penalty_parameter", "penalty_parameters"];
const ALL_SAMPLING: &[&str] = &["sampling", "sampling_parameter", "sampling_parameters"];
/// What is said of a field that a server does not know.
const ONE_TOO_MANY: &[&str] = &[
    "unknown field",
    "unknown fields",
    "unknown parameter",
    "unknown parameters",
    "unrecognized field",
    "unrecognized request argument",
    "unexpected keyword argument",
    "additional properties",
    "extra inputs",
    "extra fields",
];
/// A model that cannot think; of one that only must not while it thinks, other words are used.
const NO_THINKING: &[&str] = &[
    "reasoning",
    "thinking is not",
    "thinking not",
    "thinking unsupported",
    "support thinking",
    "不支持思考",
];
