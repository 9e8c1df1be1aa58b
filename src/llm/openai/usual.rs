//! The usual chunk or reply, read without a tree: text, thoughts, a finish reason, usage.

use serde::Deserialize;

use super::{Counts, Piece, Tell, finish_reason};
use crate::llm::usual::{self, First, Object, Seen, Text, present};

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
    #[serde(borrow, default, deserialize_with = "present")]
    delta: Option<Object<Said<'a>>>,
    #[serde(borrow, default, deserialize_with = "present")]
    message: Option<Object<Said<'a>>>,
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(default)]
    finish_reason: Option<&'a str>,
    #[serde(default)]
    error: (),
}

#[derive(Default, Deserialize)]
struct Said<'a> {
    #[serde(borrow, default)]
    content: Option<Text<'a>>,
    #[serde(borrow, default)]
    refusal: Option<Text<'a>>,
    #[serde(borrow, default)]
    reasoning_content: Option<Text<'a>>,
    #[serde(borrow, default)]
    reasoning: Option<Text<'a>>,
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
pub(super) fn read<'f>(frame: &'f str, tell: &mut Tell<'_, 'f>) -> bool {
    usual::read(frame).is_some_and(|chunk| say(chunk, tell).is_some())
}

/// `None` with nothing told when something in it is unusual after all.
fn say<'f>(chunk: Chunk<'f>, tell: &mut Tell<'_, 'f>) -> Option<()> {
    let Chunk { choices: First(choice), usage, object, error: () } = chunk;
    if object == Some("error") {
        return None;
    }
    if let Some(Object(choice)) = choice {
        let Choice { delta, message, text, finish_reason: reason, error: () } = choice;
        let Object(said) = delta.or(message).unwrap_or(Object(Said::default()));
        let reasoning = said.reasoning_content.filter(Text::is_filled);
        let reasoning = reasoning.or(said.reasoning.filter(Text::is_filled));
        if said.tool_calls.0 || (reasoning.is_none() && said.reasoning_details.0) {
            return None;
        }
        let reason = reason.filter(|reason| !matches!(*reason, "" | "null"));
        let reason = reason.map(finish_reason).transpose().ok()?;
        if let Some(Text(thought)) = reasoning {
            tell(Piece::Reasoning(thought));
        }
        let texts = [said.content, said.refusal, text].into_iter().flatten();
        texts.filter(Text::is_filled).for_each(|Text(text)| tell(Piece::Text(text)));
        if let Some(reason) = reason {
            tell(Piece::Finish(reason));
        }
    }
    if let Some(Object(usage)) = usage {
        tell(Piece::Usage(counts(&usage)));
    }
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
