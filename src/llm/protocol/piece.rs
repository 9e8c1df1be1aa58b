//! What a protocol reads out of a frame, piece by piece.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{counts::Counts, state::Kept};
use crate::types::FinishReason;

/// What one frame (or whole reply) of any protocol can say. Texts are lent from the frame where
/// they stand in it as they are.
#[derive(Debug, PartialEq)]
pub(in crate::llm) enum Piece<'f> {
    /// Text of the answer, perhaps with thoughts in tags.
    Text(Cow<'f, str>),
    /// Chain of thought in a field of its own.
    Reasoning(Cow<'f, str>),
    /// Part or whole of a tool call.
    Tool(ToolPiece),
    /// The upstream itself makes a call, whose pieces will bear this index.
    Foreign(u64),
    /// What the model wants back with the turn, to be kept for its next one.
    Kept(Kept),
    /// A message where a delta is expected: a piece as any other, or all that was said in deltas, again.
    Message(Vec<Piece<'f>>),
    /// The stop sequence that the answer ended at. It comes before the reason.
    Stopped(Cow<'f, str>),
    /// Why the answer ended. A frame's comes behind its other pieces.
    Finish(FinishReason),
    /// Counts, of which later ones win. A frame's come before its other pieces.
    Usage(Counts),
    /// The terminator: nothing more will be said.
    End,
}

/// Part or whole of a tool call, as loosely as upstreams send it.
#[derive(Debug, Default, PartialEq)]
pub(in crate::llm) struct ToolPiece {
    pub(in crate::llm) index: Option<u64>,
    pub(in crate::llm) id: Option<String>,
    pub(in crate::llm) name: Option<String>,
    pub(in crate::llm) arguments: String,
    /// Whether it is known to begin a call of its own.
    pub(in crate::llm) begins: bool,
    /// What the model wants back with the call.
    pub(in crate::llm) beside: Option<Box<Map<String, Value>>>,
}

/// An id for a call whose upstream gave none.
pub(in crate::llm) fn call_id() -> String {
    let random = std::iter::repeat_with(fastrand::alphanumeric).take(24);
    format!("call_{}", random.collect::<String>())
}

/// Takes what a frame says, piece by piece.
pub(super) type Emit<'t, 'f> = dyn FnMut(Piece<'f>) + 't;
