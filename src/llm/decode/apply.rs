//! What a piece means for the answer, and for what it leaves behind. Pure.

use std::collections::VecDeque;

use serde_json::{Map, Value};

use super::answer::Answer;
use crate::llm::{
    Delta, StatePiece,
    protocol::{
        piece::Piece,
        state::{Kept, Recorder},
    },
};

/// Takes a piece into the answer, and notes what its model wants back.
pub(super) fn apply(
    piece: Piece<'_>,
    answer: &mut Answer,
    ready: &mut VecDeque<Delta>,
    recorder: &mut Recorder,
) {
    match piece {
        Piece::Kept(kept) => {
            let shown = match &kept {
                Kept::Details(details) => Some(StatePiece::Details(details.clone())),
                Kept::Fields(fields) => Some(StatePiece::Fields(fields.clone())),
                Kept::Block(_) | Kept::Signature(_) => None,
            };
            ready.extend(shown.filter(|_| recorder.is_on()).map(Delta::State));
            recorder.keep(kept);
        }
        Piece::Tool(mut piece) => {
            let beside = piece.beside.take().filter(|_| recorder.is_on());
            answer.take(Piece::Tool(piece), ready);
            match (beside, answer.last_call()) {
                (Some(fields), Some(index)) => apply_beside(*fields, index, ready),
                (Some(fields), None) => recorder.await_call(*fields),
                (None, _) => {}
            }
        }
        Piece::Message(pieces) => {
            if answer.begin_message() {
                pieces.into_iter().for_each(|piece| apply(piece, answer, ready, recorder));
                answer.end_message();
            }
        }
        piece => {
            if let Piece::Reasoning(text) = &piece {
                recorder.block_text(text);
            }
            answer.take(piece, ready);
        }
    }
}

/// Hands on what came beside the tool call of this number: before the call, if that still waits.
fn apply_beside(fields: Map<String, Value>, index: u32, ready: &mut VecDeque<Delta>) {
    let opens = |delta: &Delta| matches!(delta, Delta::ToolCall(call) if call.id.is_some() && call.index == index);
    let at = ready.iter().position(opens).unwrap_or(ready.len());
    ready.insert(at, Delta::State(StatePiece::Call { index, fields }));
}
