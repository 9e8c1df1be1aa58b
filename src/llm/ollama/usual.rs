//! The usual line of a chat, read without a tree: a piece of text or thoughts, and not the end.

use serde::Deserialize;

use super::Piece;
use crate::llm::usual::{self, Object, Seen};

#[derive(Deserialize)]
struct Line {
    message: Object<Said>,
    #[serde(default)]
    done: bool,
    #[serde(default)]
    error: (),
    /// Ollama has neither, but servers that pretend to be one tell errors in them.
    #[serde(default)]
    object: (),
    #[serde(default)]
    choices: (),
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    thinking: Option<String>,
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    response: (),
    #[serde(default)]
    tool_calls: Seen,
}

/// What the line says, when all of it is as usual.
pub(super) fn read(line: &str, pieces: &mut Vec<Piece>) -> bool {
    let Some(line) = usual::read(line) else { return false };
    let Line { message: Object(said), done, error: (), object: (), choices: () } = line;
    let Said { thinking, content, response: (), tool_calls } = said;
    if done || tool_calls.0 {
        return false;
    }
    let filled = |text: &String| !text.is_empty();
    pieces.extend(thinking.filter(filled).map(Piece::Reasoning));
    pieces.extend(content.filter(filled).map(Piece::Text));
    true
}
