//! Puts tool calls together from pieces that say more or less clearly which call they belong to.
//! What belongs to none is a fault of the answer: a call must never run with arguments that nobody
//! wrote. Pure.

use std::collections::{HashSet, VecDeque};

use crate::{
    llm::{
        Delta, ToolCallDelta,
        decode::{lines::LINE_LIMIT, scan::Scanner},
        protocol::{
            arguments::{is_empty_object, unwrapped},
            piece::{ToolPiece, call_id},
        },
    },
    types::{FinishReason, Message},
};

/// Most tool calls of an answer.
const MOST_CALLS: usize = 1024;

/// The tool calls of an answer.
#[derive(Debug, Default)]
pub(super) struct ToolCalls {
    calls: Vec<ToolCall>,
    announced: u32,
    /// Bytes of arguments whose call was never named.
    unnamed_bytes: usize,
    /// There was a piece that belongs to no call.
    is_misplaced: bool,
    /// Indices of calls that are the upstream's own.
    left: HashSet<u64>,
    /// Ids that the conversation has already.
    known_ids: HashSet<String>,
    /// The number of the call that the last piece belongs to, once that was announced.
    last: Option<u32>,
}

/// One call being put together.
#[derive(Debug, Default)]
struct ToolCall {
    index: Option<u64>,
    /// The upstream's, which some give to several calls.
    id: Option<String>,
    name: Option<String>,
    /// Its number, given when it was announced, once its name was known.
    number: Option<u32>,
    arguments: String,
    /// Follows the arguments to their end.
    scan: Scanner,
    /// An empty object stood for its arguments, which may only hold the place of what follows.
    is_declared_empty: bool,
    /// It was named once more behind its end, with this id: another call of it begins there.
    again: Option<Option<String>>,
}

/// What a piece belongs to.
enum Target {
    /// The call at this index.
    At(usize),
    /// A new call, which begins with it.
    New,
    /// A further call of the tool that the one at this index calls.
    Again(usize),
    /// The call at this index, which has all of it already.
    Known(usize),
    /// It cannot be decided.
    Nowhere,
}

impl ToolCalls {
    /// The calls of an answer to these turns, which may have calls of their own.
    pub(super) fn among(turns: &[Message]) -> Self {
        let calls = turns.iter().flat_map(|turn| &turn.tool_calls);
        Self { known_ids: calls.map(|call| call.id.clone()).collect(), ..Self::default() }
    }

    /// The number of the call that the last piece belongs to, once that was announced.
    pub(super) fn last(&self) -> Option<u32> {
        self.last
    }

    /// Pieces of this index belong to a call that the upstream makes itself.
    pub(super) fn leave(&mut self, index: u64) {
        if self.left.len() < MOST_CALLS {
            self.left.insert(index);
        }
    }

    /// Whether it is a piece of such a call.
    pub(super) fn is_left(&self, piece: &ToolPiece) -> bool {
        piece.name.is_none() && piece.index.is_some_and(|index| self.left.contains(&index))
    }

    /// Takes a piece; what can be shown of it goes to `out`.
    pub(super) fn take(&mut self, piece: ToolPiece, out: &mut VecDeque<Delta>) {
        let piece = ToolPiece { id: filled(piece.id), name: filled(piece.name), ..piece };
        self.last = None;
        let target = match piece.begins {
            true => self.known(&piece).map_or(Target::New, Target::Known),
            false => self.target(&piece),
        };
        let mut next = match target {
            Target::At(at) => self.add(at, piece, out),
            Target::New => self.begin(piece, out),
            Target::Again(at) => {
                let Some(call) = self.calls.get_mut(at) else { return };
                let (name, id) = (call.name.clone(), call.again.take().flatten());
                let index = piece.index.or(call.index);
                self.begin(ToolPiece { index, id, name, ..piece }, out)
            }
            Target::Known(at) => {
                self.last = self.calls.get(at).and_then(|call| call.number);
                None
            }
            Target::Nowhere => {
                self.is_misplaced = true;
                None
            }
        };
        while let Some(piece) = next
            && !self.is_flooded()
        {
            next = self.begin(piece, out);
        }
    }

    /// Whether there is a call that was named.
    pub(super) fn is_any(&self) -> bool {
        self.announced > 0
    }

    /// Whether there are calls, and all arguments of each have come.
    pub(super) fn are_whole(&self) -> bool {
        let is_whole = |call: &ToolCall| call.is_whole() || call.is_declared_empty;
        self.is_any() && self.calls.iter().all(is_whole)
    }

    /// Whether there is a call of this function.
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.calls.iter().any(|call| call.name.as_deref() == Some(name))
    }

    /// More than any answer has: calls without end, or arguments of calls that are never named.
    pub(super) fn is_flooded(&self) -> bool {
        self.unnamed_bytes > LINE_LIMIT || self.calls.len() > MOST_CALLS
    }

    /// The answer is over. Clients parse the arguments as JSON, which nothing at all is not; but what
    /// was cut off before its arguments has none of that kind.
    pub(super) fn close(&mut self, reason: Option<FinishReason>, out: &mut VecDeque<Delta>) {
        if reason == Some(FinishReason::Length) {
            return;
        }
        for call in self.calls.iter_mut().filter(|call| call.arguments.trim().is_empty()) {
            if let Some(index) = call.number {
                call.arguments = "{}".to_owned();
                out.push_back(more(index, "{}".to_owned()));
            }
        }
    }

    /// What is wrong with the calls of a closed answer, in words.
    pub(super) fn fault(&self, reason: FinishReason) -> Option<&'static str> {
        let is_lost = |call: &ToolCall| {
            call.name.is_none() && (call.is_declared_empty || !call.arguments.trim().is_empty())
        };
        if self.is_misplaced || self.calls.iter().any(is_lost) {
            return Some("a piece of a tool call belongs to no call");
        }
        if reason == FinishReason::Length {
            // As far as they go they are the model's, and the reason says so.
            return None;
        }
        let mut named = self.calls.iter().filter(|call| call.name.is_some());
        let is_json = |text: &str| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
        let broken = named.any(|call| !is_json(&call.arguments));
        broken.then_some("the arguments of a tool call are not JSON")
    }

    /// The call that a whole one only says again.
    fn known(&self, piece: &ToolPiece) -> Option<usize> {
        let is_same = |call: &ToolCall| {
            piece.id.is_some() && call.id == piece.id && call.name == piece.name && call.says(piece)
        };
        self.calls.iter().position(is_same)
    }

    /// The call a piece belongs to.
    fn target(&self, piece: &ToolPiece) -> Target {
        let last = self.calls.len().checked_sub(1);
        let by_index =
            piece.index.and_then(|_| self.calls.iter().rposition(|c| c.index == piece.index));
        let is_blank = piece.arguments.trim().is_empty();
        if piece.id.is_none() && piece.name.is_none() {
            // Without either it goes on with the call of its index, or whatever that says, the last.
            let takes = |at: &usize| is_blank || self.calls.get(*at).is_some_and(|c| !c.is_whole());
            return match by_index.filter(takes).or(last.filter(takes)) {
                Some(at) => Target::At(at),
                None => by_index.or(last).map_or(Target::New, |at| self.behind(at)),
            };
        }
        let has_id = |call: &ToolCall| piece.id.is_some() && call.id == piece.id;
        let by_both = self.calls.iter().rposition(|call| has_id(call) && call.index == piece.index);
        let by_id = self.calls.iter().rposition(has_id);
        let unindexed = last.filter(|_| piece.index.is_none());
        match by_both.or(by_id).or(by_index).or(unindexed) {
            Some(at) => self.target_at(at, piece),
            None => match last {
                Some(at) if self.goes_on(at, piece) => Target::At(at),
                Some(at) if self.goes_on_again(at, piece) => Target::Again(at),
                _ => Target::New,
            },
        }
    }

    /// Whether the last call goes on in a piece of an index that was not there before: with indices
    /// that rise from piece to piece, or that only later pieces have.
    fn goes_on(&self, at: usize, piece: &ToolPiece) -> bool {
        let Some(call) = self.calls.get(at) else { return false };
        let is_same = piece.name.is_none() || piece.name == call.name;
        let text = piece.arguments.trim_start();
        let is_rest = call.scan.is_inside() && !text.is_empty() && !text.starts_with('{');
        let is_whole = call.is_whole() || (call.is_declared_empty && piece.name.is_some());
        // A call that has an id is not begun by a piece that has none.
        let lacks_id = call.id.is_some() && piece.id.is_none();
        let is_more = call.index.is_none() || is_rest || piece.name.is_none() || lacks_id;
        is_same && if is_whole { lacks_id && text.is_empty() } else { is_more }
    }

    /// Whether it is what the last call was named once more for.
    fn goes_on_again(&self, at: usize, piece: &ToolPiece) -> bool {
        let is_again = self.calls.get(at).is_some_and(|call| call.again.is_some());
        is_again && piece.name.is_none() && !piece.arguments.trim().is_empty()
    }

    /// Whether a piece with an id or a name belongs to the call that its index or id leads to.
    fn target_at(&self, at: usize, piece: &ToolPiece) -> Target {
        let Some(call) = self.calls.get(at) else { return Target::New };
        let is_blank = piece.arguments.trim().is_empty();
        // The same id, and not merely none, is the same call, if nothing else speaks against it.
        let is_same_id = piece.id.is_some() && piece.id == call.id;
        let is_whole =
            call.is_whole() || (call.is_declared_empty && !is_same_id && piece.name.is_some());
        match (&call.name, &piece.name) {
            (None, _) if is_whole && !is_blank => Target::Nowhere,
            (Some(known), Some(name)) if known == name && is_same_id && call.says(piece) => {
                Target::Known(at)
            }
            (None, _) => Target::At(at),
            // Without an index only the ids tell apart what has no arguments yet: one call or two?
            (Some(known), Some(name))
                if known == name
                    && piece.index.is_none()
                    && call.arguments.trim().is_empty()
                    && !call.is_declared_empty
                    && call.id.is_some()
                    && piece.id.is_some()
                    && call.id != piece.id =>
            {
                Target::Nowhere
            }
            // Some repeat the name, or make up an id, for every piece.
            (Some(known), Some(name)) if known == name => match is_whole && !is_blank {
                true => Target::New,
                false => Target::At(at),
            },
            // A name in pieces, or another call? That was announced already.
            (Some(_), Some(_))
                if call.arguments.is_empty()
                    && !call.is_declared_empty
                    && call.id.is_some()
                    && piece.id.is_none() =>
            {
                Target::Nowhere
            }
            (Some(_), Some(_)) => Target::New,
            (Some(_), None) if !is_whole => Target::At(at),
            (Some(_), None) if call.again.is_none() && piece.id != call.id => Target::New,
            (Some(_), None) if is_blank => Target::At(at),
            (Some(_), None) => self.behind(at),
        }
    }

    /// What text belongs to that stands behind the whole arguments of a call.
    fn behind(&self, at: usize) -> Target {
        match self.calls.get(at) {
            Some(call) if call.again.is_some() => Target::Again(at),
            _ => Target::Nowhere,
        }
    }

    /// Begins a call with a piece; what of that is left for another one.
    fn begin(&mut self, piece: ToolPiece, out: &mut VecDeque<Delta>) -> Option<ToolPiece> {
        self.calls.push(ToolCall { index: piece.index, ..ToolCall::default() });
        self.add(self.calls.len().saturating_sub(1), piece, out)
    }

    /// Adds a piece to its call; what of it stands behind whole arguments begins another one.
    fn add(&mut self, at: usize, piece: ToolPiece, out: &mut VecDeque<Delta>) -> Option<ToolPiece> {
        let (before, rest) = self.calls.split_at_mut_checked(at)?;
        let call = rest.first_mut()?;
        let is_same_id = piece.id.is_some() && piece.id == call.id;
        let is_over = call.is_whole() || (call.is_declared_empty && !is_same_id);
        if is_over && piece.name.is_some() {
            call.again = Some(piece.id.clone().filter(|id| call.id.as_ref() != Some(id)));
        }
        call.index = call.index.or(piece.index);
        call.id = call.id.take().or_else(|| piece.id.clone());
        call.name = call.name.take().or_else(|| piece.name.clone());
        let mut arguments = match call.arguments.is_empty() {
            true => unwrapped(piece.arguments),
            false => piece.arguments,
        };
        let is_placeholder = !piece.begins && is_empty_object(&arguments);
        call.is_declared_empty |= call.arguments.is_empty() && is_placeholder;
        if call.is_declared_empty && (is_placeholder || arguments.trim().is_empty()) {
            arguments.clear();
        }
        let end = call.scan.feed(&arguments).unwrap_or(arguments.len());
        let rest = match arguments.get(end..).is_some_and(|rest| !rest.trim().is_empty()) {
            true => arguments.split_off(end),
            false => String::new(),
        };
        call.arguments.push_str(&arguments);
        let is_named = call.name.is_some();
        if !is_named {
            self.unnamed_bytes = self.unnamed_bytes.saturating_add(arguments.len());
        } else if let Some(index) = call.number {
            if !arguments.is_empty() {
                out.push_back(more(index, arguments));
            }
        } else {
            // Results are told apart by the ids of their calls, and some clients end where an id
            // comes again in a later turn.
            let is_used = |id: &String| {
                self.known_ids.contains(id)
                    || before.iter().any(|call| call.id.as_ref() == Some(id))
            };
            let id = call.id.clone().filter(|id| !is_used(id)).unwrap_or_else(call_id);
            call.number = Some(self.announced);
            out.push_back(Delta::ToolCall(ToolCallDelta {
                index: self.announced,
                id: Some(id),
                name: call.name.clone(),
                arguments: call.arguments.clone(),
            }));
            self.announced = self.announced.saturating_add(1);
        }
        self.last = self.last.or(call.number);
        self.is_misplaced |= !rest.is_empty() && piece.name.is_none();
        let is_next = !rest.is_empty() && piece.name.is_some();
        is_next.then_some(ToolPiece { arguments: rest, ..piece })
    }
}

impl ToolCall {
    /// Whether its arguments are there to their end.
    fn is_whole(&self) -> bool {
        self.scan.is_ended() || (self.is_declared_empty && self.again.is_some())
    }

    /// Whether its arguments are there to their end, and are those of the piece, at the same index.
    fn says(&self, piece: &ToolPiece) -> bool {
        let is_there = piece.index.is_none() || piece.index == self.index;
        is_there && self.is_whole() && self.arguments.trim() == piece.arguments.trim()
    }
}

/// More arguments of a call that was announced.
fn more(index: u32, arguments: String) -> Delta {
    Delta::ToolCall(ToolCallDelta { index, id: None, name: None, arguments })
}

fn filled(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests;
