//! The usual chunk or reply, read without a tree: text, thoughts, a finish reason, usage.

use serde::Deserialize;

use super::{Counts, Piece, finish_reason};
use crate::llm::usual::{self, First, Object, Seen, present};

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    choices: First<Object<Choice<'a>>>,
    #[serde(default)]
    usage: Option<Object<Usage>>,
    #[serde(default)]
    object: Option<&'a str>,
    #[serde(default)]
    error: (),
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default, deserialize_with = "present")]
    delta: Option<Object<Said>>,
    #[serde(default, deserialize_with = "present")]
    message: Option<Object<Said>>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    finish_reason: Option<&'a str>,
    #[serde(default)]
    error: (),
}

#[derive(Default, Deserialize)]
struct Said {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    reasoning_content: Option<String>,
    #[serde(default)]
    reasoning: Option<String>,
    #[serde(default)]
    reasoning_details: Seen,
    #[serde(default)]
    tool_calls: Seen,
}

#[derive(Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
    #[serde(default)]
    prompt_tokens_details: Option<Object<PromptDetails>>,
    #[serde(default)]
    completion_tokens_details: Option<Object<CompletionDetails>>,
}

#[derive(Deserialize)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct CompletionDetails {
    #[serde(default)]
    reasoning_tokens: Option<u64>,
}

/// What the frame says, when all of it is as usual.
pub(super) fn read(frame: &str, pieces: &mut Vec<Piece>) -> bool {
    usual::read(frame).is_some_and(|chunk| tell(chunk, pieces).is_some())
}

/// `None` without a piece pushed when something in it is unusual after all.
fn tell(chunk: Chunk<'_>, pieces: &mut Vec<Piece>) -> Option<()> {
    let Chunk { choices: First(choice), usage, object, error: () } = chunk;
    if object == Some("error") {
        return None;
    }
    if let Some(Object(choice)) = choice {
        let Choice { delta, message, text, finish_reason: reason, error: () } = choice;
        let Object(said) = delta.or(message).unwrap_or(Object(Said::default()));
        let filled = |text: &String| !text.is_empty();
        let reasoning = said.reasoning_content.filter(filled).or(said.reasoning.filter(filled));
        if said.tool_calls.0 || (reasoning.is_none() && said.reasoning_details.0) {
            return None;
        }
        let reason = reason.filter(|reason| !matches!(*reason, "" | "null"));
        let reason = reason.map(finish_reason).transpose().ok()?;
        let texts = [said.content, said.refusal, text].into_iter().flatten().filter(filled);
        pieces.extend(reasoning.map(Piece::Reasoning));
        pieces.extend(texts.map(Piece::Text));
        pieces.extend(reason.map(Piece::Finish));
    }
    pieces.extend(usage.map(|Object(usage)| Piece::Usage(counts(&usage))));
    Some(())
}

fn counts(usage: &Usage) -> Counts {
    let prompt = usage.prompt_tokens_details.as_ref();
    let completion = usage.completion_tokens_details.as_ref();
    Counts {
        prompt: usage.prompt_tokens,
        completion: usage.completion_tokens,
        cached: prompt.and_then(|Object(details)| details.cached_tokens),
        reasoning: completion.and_then(|Object(details)| details.reasoning_tokens),
        prompt_time: None,
        completion_time: None,
    }
}
