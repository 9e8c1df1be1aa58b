//! The usual line of a chat, read without a tree: a piece of text or thoughts, and not the end.

use serde::Deserialize;

use crate::llm::protocol::{
    fast::{self, Object, Seen, Text, frame},
    piece::{Emit, Piece},
};

frame! {
    struct Line<'a> {
        #[serde(borrow)]
        message: Object<Said<'a>>,
        #[serde(default)]
        done: bool,
        /// Ollama has none of these, but servers that pretend to be one report errors in them.
        #[serde(default)]
        object: (),
        #[serde(default)]
        choices: (),
    }
}

#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow, default)]
    thinking: Option<Text<'a>>,
    #[serde(borrow, default)]
    content: Option<Text<'a>>,
    #[serde(default)]
    response: (),
    #[serde(default)]
    tool_calls: Seen,
}

/// What the line says, when all of it is as usual.
pub(super) fn read<'f>(line: &'f str, emit: &mut Emit<'_, 'f>) -> bool {
    let Some(line) = fast::read(line) else { return false };
    let Line { message: Object(said), done, error: (), object: (), choices: (), code: () } = line;
    let Said { thinking, content, response: (), tool_calls } = said;
    if done || tool_calls.0 {
        return false;
    }
    if let Some(Text(thought)) = thinking.filter(Text::is_filled) {
        emit(Piece::Reasoning(thought));
    }
    if let Some(Text(text)) = content.filter(Text::is_filled) {
        emit(Piece::Text(text));
    }
    true
}
