//! The usual chunk, read without a tree: text or thoughts, with usage, and not the end.

use serde::Deserialize;

use crate::llm::protocol::{
    counts::Counts,
    fast::{self, First, Object, Text, frame},
    piece::{Emit, Piece},
};

frame! {
    #[serde(rename_all = "camelCase")]
    struct Chunk<'a> {
        #[serde(borrow)]
        candidates: First<Object<Candidate<'a>>>,
        #[serde(default)]
        usage_metadata: Option<Object<Usage>>,
        #[serde(default, rename = "usage_metadata")]
        other_usage: (),
        /// It has none of these, but servers that pretend to be it report errors in them.
        #[serde(default)]
        object: (),
        #[serde(default)]
        choices: (),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate<'a> {
    #[serde(borrow)]
    content: Object<Content<'a>>,
    #[serde(default, alias = "finish_reason")]
    finish_reason: (),
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow)]
    parts: Vec<Object<Part<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    #[serde(borrow)]
    text: Text<'a>,
    #[serde(default)]
    thought: bool,
    #[serde(default, alias = "function_call")]
    function_call: (),
    #[serde(default, alias = "thought_signature")]
    thought_signature: (),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Usage {
    #[serde(default)]
    prompt_token_count: Option<u64>,
    #[serde(default)]
    candidates_token_count: Option<u64>,
    #[serde(default)]
    thoughts_token_count: Option<u64>,
    #[serde(default)]
    cached_content_token_count: Option<u64>,
}

/// What the chunk says, when all of it is as usual.
pub(super) fn read<'f>(chunk: &'f str, emit: &mut Emit<'_, 'f>) -> bool {
    let Some(chunk) = fast::read(chunk) else { return false };
    let Chunk {
        candidates: First(candidate),
        usage_metadata,
        other_usage: (),
        error: (),
        object: (),
        choices: (),
        code: (),
    } = chunk;
    let Some(Object(Candidate { content: Object(content), finish_reason: () })) = candidate else {
        return false;
    };
    if let Some(Object(usage)) = usage_metadata {
        emit(Piece::Usage(Counts {
            prompt: usage.prompt_token_count,
            completion: written(usage.candidates_token_count, usage.thoughts_token_count),
            cached: usage.cached_content_token_count,
            reasoning: usage.thoughts_token_count,
            ..Counts::default()
        }));
    }
    for Object(part) in content.parts {
        let Part { text: Text(text), thought, function_call: (), thought_signature: () } = part;
        emit(if thought { Piece::Reasoning(text) } else { Piece::Text(text) });
    }
    true
}

/// Thoughts are not among the candidates' tokens.
pub(super) fn written(answer: Option<u64>, thoughts: Option<u64>) -> Option<u64> {
    let all = answer.unwrap_or(0).saturating_add(thoughts.unwrap_or(0));
    answer.or(thoughts).map(|_| all)
}
