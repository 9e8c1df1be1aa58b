//! The usual chunk, read without a tree: text or thoughts, with usage, and not the end.

use serde::Deserialize;

use super::{Counts, Piece, written};
use crate::llm::usual::{self, First, Object};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chunk {
    candidates: First<Object<Candidate>>,
    #[serde(default)]
    usage_metadata: Option<Object<Usage>>,
    #[serde(default)]
    error: (),
    /// It has neither, but servers that pretend to be it tell errors in them.
    #[serde(default)]
    object: (),
    #[serde(default)]
    choices: (),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    content: Object<Content>,
    #[serde(default)]
    finish_reason: (),
}

#[derive(Deserialize)]
struct Content {
    parts: Vec<Object<Part>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    text: String,
    #[serde(default)]
    thought: bool,
    #[serde(default)]
    function_call: (),
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
pub(super) fn read(chunk: &str, pieces: &mut Vec<Piece>) -> bool {
    let Some(chunk) = usual::read(chunk) else { return false };
    let Chunk { candidates: First(candidate), usage_metadata, error: (), object: (), choices: () } =
        chunk;
    let Some(Object(Candidate { content: Object(content), finish_reason: () })) = candidate else {
        return false;
    };
    let part = |Object(Part { text, thought, function_call: () })| match thought {
        true => Piece::Reasoning(text),
        false => Piece::Text(text),
    };
    pieces.extend(content.parts.into_iter().map(part));
    pieces.extend(usage_metadata.map(|Object(usage)| {
        Piece::Usage(Counts {
            prompt: usage.prompt_token_count,
            completion: written(usage.candidates_token_count, usage.thoughts_token_count),
            cached: usage.cached_content_token_count,
            reasoning: usage.thoughts_token_count,
            ..Counts::default()
        })
    }));
    true
}
