//! What a piece means for the answer, and for what it leaves behind. Pure.

use std::collections::VecDeque;

use serde_json::{Map, Value};

use crate::llm::{
    Delta, StatePiece, ToolCallDelta,
    answer::{Answer, Piece},
    state::{Kept, Recorder},
};

/// Takes a piece into the answer, and notes what its model wants back.
pub(super) fn tell(
    piece: Piece<'_>,
    answer: &mut Answer,
    ready: &mut VecDeque<Delta>,
    recorder: &mut Recorder,
) {
    match piece {
        Piece::Kept(kept) => {
            if let (Kept::Details(details), true) = (&kept, recorder.is_on()) {
                ready.push_back(Delta::State(StatePiece::Details(details.clone())));
            }
            recorder.keep(kept);
        }
        Piece::Tool(mut piece) => {
            let beside = piece.beside.take().filter(|_| recorder.is_on());
            let before = ready.len();
            let id = piece.id.clone().filter(|id| beside.is_some() && !id.is_empty());
            answer.take(Piece::Tool(piece), ready);
            if let Some(fields) = beside {
                tell_beside(fields, id, before, ready, recorder);
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

/// Tells what came beside a tool call: before the call, where that is not told yet.
fn tell_beside(
    fields: Map<String, Value>,
    id: Option<String>,
    before: usize,
    ready: &mut VecDeque<Delta>,
    recorder: &mut Recorder,
) {
    let is_this = |call: &ToolCallDelta| id.is_none() || call.id == id;
    let opener = |delta: &Delta| match delta {
        Delta::ToolCall(call) if call.id.is_some() && is_this(call) => Some(call.index),
        _ => None,
    };
    if let Some((at, index)) =
        (before..).zip(ready.iter().skip(before)).find_map(|(at, it)| Some((at, opener(it)?)))
    {
        ready.insert(at, Delta::State(StatePiece::Call { index, fields }));
        return;
    }
    let waiting = ready.iter().rev().find_map(opener);
    match waiting.or_else(|| recorder.number_of(id.as_deref())) {
        Some(index) => ready.push_back(Delta::State(StatePiece::Call { index, fields })),
        None => recorder.await_call(id, fields),
    }
}
