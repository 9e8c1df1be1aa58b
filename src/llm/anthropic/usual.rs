//! The usual event, read without a tree: more text, or more of a thought.

use serde::Deserialize;

use super::Piece;
use crate::llm::usual::{self, Object};

#[derive(Deserialize)]
struct Event<'a> {
    r#type: &'a str,
    #[serde(borrow)]
    delta: Object<Delta<'a>>,
    #[serde(default)]
    error: (),
    /// It has neither, but servers that pretend to be it tell errors in them.
    #[serde(default)]
    object: (),
    #[serde(default)]
    choices: (),
}

#[derive(Deserialize)]
struct Delta<'a> {
    r#type: &'a str,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    thinking: Option<String>,
}

/// What the event says, when all of it is as usual.
pub(super) fn read(event: &str, pieces: &mut Vec<Piece>) -> bool {
    let Some(event) = usual::read(event) else { return false };
    let Event { r#type, delta: Object(delta), error: (), object: (), choices: () } = event;
    let piece = match (r#type, delta.r#type, delta.text, delta.thinking) {
        ("content_block_delta", "text_delta", Some(text), _) => Piece::Text(text),
        ("content_block_delta", "thinking_delta", _, Some(thought)) => Piece::Reasoning(thought),
        _ => return false,
    };
    pieces.push(piece);
    true
}
