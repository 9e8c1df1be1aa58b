//! The words that upstreams end an answer with, in whatever protocol: some of them mean that it
//! failed. Pure.

use serde_json::Value;

use super::upstream_error::Refusal;
use crate::types::FinishReason;

/// What a finish reason means; a word that is not known is taken for a stop.
///
/// # Errors
/// When it says that the answer broke off.
pub(super) fn finish_reason(reason: &str) -> Result<FinishReason, Refusal> {
    // As nearly all answers say it.
    match reason {
        "stop" | "end_turn" | "STOP" => return Ok(FinishReason::Stop),
        "tool_calls" | "tool_use" => return Ok(FinishReason::ToolCalls),
        "error" => return Err(Refusal::wordless()),
        _ => {}
    }
    let word = reason.trim().to_lowercase().replace(['-', ' '], "_");
    match word.as_str() {
        _ if is_failure(&word) => Err(Refusal::ended_with(&word)),
        "length"
        | "max_tokens"
        | "max_output_tokens"
        | "max_length"
        | "model_length"
        | "length_limit"
        | "token_limit"
        | "incomplete"
        | "repetition"
        | "repetition_truncation"
        | "model_context_window_exceeded" => Ok(FinishReason::Length),
        "tool_calls" | "tool_call" | "tool_use" | "function_call" => Ok(FinishReason::ToolCalls),
        "content_filter"
        | "content_filtered"
        | "safety"
        | "sensitive"
        | "recitation"
        | "blocklist"
        | "prohibited_content"
        | "spii"
        | "language"
        | "refusal"
        | "guardrail_intervened" => Ok(FinishReason::ContentFilter),
        word if word.starts_with("image_") => Ok(FinishReason::ContentFilter),
        _ => Ok(FinishReason::Stop),
    }
}

/// The reason, where it stands in several places: the one that says more, since a gateway that has
/// no word for what its provider said says `stop`.
///
/// # Errors
/// When one of them says that the answer broke off.
pub(super) fn of_gateway(
    said: Option<&str>,
    native: Option<&str>,
) -> Result<Option<FinishReason>, Refusal> {
    let native = native.map(finish_reason).transpose()?;
    let said = said.map(finish_reason).transpose()?;
    Ok(match (said, native) {
        (Some(FinishReason::Stop), Some(FinishReason::Length)) => native,
        (said, _) => said,
    })
}

/// A text that is a reason, or SGLang's object with one.
pub(super) fn word(value: Option<&Value>) -> Option<&str> {
    let value = value?;
    let word = value.as_str().or_else(|| value.get("type")?.as_str());
    word.filter(|reason| !matches!(*reason, "" | "null"))
}

/// Whether a reason, in lower case with underscores, says that the answer broke off.
fn is_failure(word: &str) -> bool {
    const BROKEN: [&str; 22] = [
        "abort",
        "cancel",
        "closed",
        "crash",
        "disconnect",
        "error",
        "exception",
        "evict",
        "fail",
        "insufficient",
        "interrupt",
        "killed",
        "malformed",
        "overload",
        "preempt",
        "quota",
        "rate_limit",
        "reset",
        "shutdown",
        "timed_out",
        "timeout",
        "unavailable",
    ];
    BROKEN.iter().any(|broken| word.contains(broken))
        || matches!(
            word,
            // Gemini's, when none of its reasons to stop holds.
            "other" | "missing_thought_signature" | "too_many_tool_calls" | "unexpected_tool_call"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_known_in_whatever_spelling() {
        for (reason, want) in [
            ("stop", Some(FinishReason::Stop)),
            ("eos_token", Some(FinishReason::Stop)),
            ("MAX_TOKENS", Some(FinishReason::Length)),
            ("length", Some(FinishReason::Length)),
            ("SAFETY", Some(FinishReason::ContentFilter)),
            ("IMAGE_SAFETY", Some(FinishReason::ContentFilter)),
            ("function_call", Some(FinishReason::ToolCalls)),
            ("error", None),
            ("network_error", None),
            ("Network-Error", None),
            ("engine_failure", None),
            ("abort", None),
            ("insufficient_system_resource", None),
            ("MALFORMED_FUNCTION_CALL", None),
            ("engine_overloaded", None),
            ("service unavailable", None),
            ("connection_reset", None),
            ("rate_limit_exceeded", None),
            ("OTHER", None),
            ("repetition_truncation", Some(FinishReason::Length)),
            ("stop_sequence", Some(FinishReason::Stop)),
            ("pause_turn", Some(FinishReason::Stop)),
        ] {
            assert_eq!(finish_reason(reason).ok(), want, "{reason}");
        }
    }

    #[test]
    fn what_the_provider_said_counts_behind_a_gateway() {
        for (said, native, want) in [
            (Some("stop"), None, Some(Some(FinishReason::Stop))),
            (Some("stop"), Some("network_error"), None),
            (None, Some("network_error"), None),
            (Some("stop"), Some("MAX_TOKENS"), Some(Some(FinishReason::Length))),
            (Some("tool_calls"), Some("length"), Some(Some(FinishReason::ToolCalls))),
            (None, Some("stop"), Some(None)),
        ] {
            assert_eq!(of_gateway(said, native).ok(), want, "{said:?} {native:?}");
        }
    }
}
