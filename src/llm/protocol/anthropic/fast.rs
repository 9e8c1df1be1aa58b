//! The usual event, read without a tree: more text, or more of a thought.

use serde::Deserialize;

use crate::llm::protocol::{
    fast::{self, Object, Text, frame},
    piece::{Emit, Piece},
};

frame! {
    struct Event<'a> {
        r#type: &'a str,
        #[serde(borrow)]
        delta: Object<Delta<'a>>,
        /// It has none of these, but servers that pretend to be it report errors in them.
        #[serde(default)]
        object: (),
        #[serde(default)]
        choices: (),
        /// Belongs elsewhere, but some send it here.
        #[serde(default, alias = "amazon-bedrock-invocationMetrics")]
        usage: (),
    }
}

#[derive(Deserialize)]
struct Delta<'a> {
    r#type: &'a str,
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    thinking: Option<Text<'a>>,
    #[serde(default)]
    usage: (),
}

/// What the event says, when all of it is as usual.
pub(super) fn read<'f>(event: &'f str, emit: &mut Emit<'_, 'f>) -> bool {
    let Some(event) = fast::read(event) else { return false };
    let Event {
        r#type,
        delta: Object(delta),
        error: (),
        object: (),
        choices: (),
        usage: (),
        code: (),
    } = event;
    let () = delta.usage;
    let piece = match (r#type, delta.r#type, delta.text, delta.thinking) {
        ("content_block_delta", "text_delta", Some(Text(text)), _) => Piece::Text(text),
        ("content_block_delta", "thinking_delta", _, Some(Text(text))) => Piece::Reasoning(text),
        _ => return false,
    };
    emit(piece);
    true
}
