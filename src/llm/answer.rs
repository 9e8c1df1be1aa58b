//! Puts an answer together from what the protocols read, and keeps its books. Pure.

use std::{borrow::Cow, collections::VecDeque, time::Duration};

use super::{
    Delta, LlmErrorKind, ToolCallDelta,
    lines::LINE_LIMIT,
    redact::EXCERPT_LIMIT,
    think::{Split, ThinkSplitter},
};
use crate::types::{FinishReason, Usage};

/// No answer has so many tool calls.
const MOST_CALLS: usize = 1024;

/// What one frame (or whole reply) of any protocol can say. Texts are lent from the frame where
/// they stand in it as they are.
#[derive(Debug, PartialEq)]
pub(super) enum Piece<'f> {
    /// Text of the answer, perhaps with thoughts in tags.
    Text(Cow<'f, str>),
    /// Chain of thought in a field of its own.
    Reasoning(Cow<'f, str>),
    /// Part or whole of a tool call.
    Tool(ToolPiece),
    /// What the model signed a tool call with, to be kept for its next turn; empty for nothing.
    Signed {
        /// The call's id.
        call: String,
        /// Opaque.
        signature: String,
    },
    /// Why the answer ended.
    Finish(FinishReason),
    /// Counts, of which later ones win.
    Usage(Counts),
    /// The terminator: nothing more will be said.
    End,
}

/// Part or whole of a tool call, as loosely as upstreams send it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct ToolPiece {
    pub(super) index: Option<u64>,
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) arguments: String,
}

/// What an upstream says of cost; what it leaves out is estimated or measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) prompt: Option<u64>,
    pub(super) completion: Option<u64>,
    pub(super) cached: Option<u64>,
    pub(super) reasoning: Option<u64>,
    pub(super) prompt_time: Option<Duration>,
    pub(super) completion_time: Option<Duration>,
}

/// The answer so far.
#[derive(Debug)]
pub(super) struct Answer {
    think: ThinkSplitter,
    calls: Vec<ToolSlot>,
    announced: u32,
    finish: Option<FinishReason>,
    ended: bool,
    counts: Counts,
    text_bytes: usize,
    reasoning_bytes: usize,
    tool_bytes: usize,
    /// Of them, those that came before a name.
    unnamed_bytes: usize,
    /// The first bytes of the text, when payloads are logged.
    excerpt: Option<String>,
    folded: bool,
}

/// One tool call being assembled.
#[derive(Debug)]
struct ToolSlot {
    index: Option<u64>,
    id: Option<String>,
    name: Option<String>,
    /// Its place in our numbering, once its name was known and it was announced.
    number: Option<u32>,
    /// Arguments that came before the name.
    waiting: String,
    argument_bytes: usize,
}

impl Answer {
    /// `verbatim` output is not searched for thoughts.
    pub(super) fn new(verbatim: bool, keep_excerpt: bool) -> Self {
        Self {
            think: if verbatim { ThinkSplitter::verbatim() } else { ThinkSplitter::new() },
            calls: Vec::new(),
            announced: 0,
            finish: None,
            ended: false,
            counts: Counts::default(),
            text_bytes: 0,
            reasoning_bytes: 0,
            tool_bytes: 0,
            unnamed_bytes: 0,
            excerpt: keep_excerpt.then(String::new),
            folded: false,
        }
    }

    /// Its text is put together anyway: what is shown together is one delta.
    pub(super) fn folded(self, folded: bool) -> Self {
        Self { folded, ..self }
    }

    /// Takes a piece; what can be shown of it goes to `out`.
    pub(super) fn take(&mut self, piece: Piece<'_>, out: &mut VecDeque<Delta>) {
        if self.ended {
            return;
        }
        match piece {
            Piece::Text(text) if text.is_empty() => {}
            Piece::Text(text) if self.think.is_answer() => self.show_text(text, out),
            Piece::Text(text) => {
                for split in self.think.push(&text) {
                    self.show(split, out);
                }
            }
            Piece::Reasoning(text) if text.is_empty() => {}
            Piece::Reasoning(text) => self.show_reasoning(text, out),
            Piece::Tool(piece) => self.take_tool(piece, out),
            Piece::Signed { .. } => {} // no part of the answer
            Piece::Finish(reason) => self.finish = Some(reason),
            Piece::Usage(counts) => self.counts.update(&counts),
            Piece::End => self.ended = true,
        }
    }

    /// Gives out what was held back. Called once, when the answer is over.
    pub(super) fn close(&mut self, out: &mut VecDeque<Delta>) {
        self.ended = true;
        if let Some(split) = self.think.finish() {
            self.show(split, out);
        }
        for slot in &mut self.calls {
            // Clients parse the arguments as JSON, which nothing at all is not.
            if let (Some(index), 0) = (slot.number, slot.argument_bytes) {
                slot.argument_bytes = 2;
                let arguments = "{}".to_owned();
                out.push_back(Delta::ToolCall(ToolCallDelta {
                    index,
                    id: None,
                    name: None,
                    arguments,
                }));
            }
        }
    }

    /// Whether more is held back than any answer has: tool calls without end, or arguments of
    /// calls that are never named.
    pub(super) fn is_flooded(&self) -> bool {
        self.unnamed_bytes > LINE_LIMIT || self.calls.len() > MOST_CALLS
    }

    /// The terminator was seen.
    pub(super) fn is_ended(&self) -> bool {
        self.ended
    }

    /// A finish reason or the terminator was seen: an end of the body now is no cut.
    pub(super) fn is_complete(&self) -> bool {
        self.ended || self.finish.is_some()
    }

    /// Why the complete answer ended.
    ///
    /// # Errors
    /// When it holds nothing: withheld, or empty. Thoughts alone are no answer.
    pub(super) fn reason(&self) -> Result<FinishReason, LlmErrorKind> {
        let reason = self.finish.unwrap_or(FinishReason::Stop);
        match (self.text_bytes > 0, self.announced > 0) {
            (_, true) if reason == FinishReason::Stop => Ok(FinishReason::ToolCalls),
            (true, false) if reason == FinishReason::ToolCalls => Ok(FinishReason::Stop),
            (false, false) if reason == FinishReason::ContentFilter => {
                Err(LlmErrorKind::ContentFilter)
            }
            (false, false) => Err(LlmErrorKind::Empty),
            _ => Ok(reason),
        }
    }

    /// What the answer cost: as the upstream said, else estimated at four bytes a token, and timed
    /// by us.
    pub(super) fn usage(&self, prompt_bytes: usize, waited: Duration, wrote: Duration) -> Usage {
        let counts = &self.counts;
        // A server that knows no counts may say 0 for both; no prompt has no tokens.
        let unknown = counts.prompt.unwrap_or(0) == 0 && counts.completion.unwrap_or(0) == 0;
        let written =
            self.text_bytes.saturating_add(self.reasoning_bytes).saturating_add(self.tool_bytes);
        let prompt = counts.prompt.filter(|_| !unknown);
        let completion = counts.completion.filter(|_| !unknown);
        Usage {
            prompt_tokens: prompt.unwrap_or_else(|| estimate(prompt_bytes)),
            completion_tokens: completion.unwrap_or_else(|| estimate(written)),
            cached_tokens: counts.cached.unwrap_or(0),
            reasoning_tokens: counts.reasoning.unwrap_or(0),
            prompt_time: counts.prompt_time.unwrap_or(waited),
            completion_time: counts.completion_time.unwrap_or(wrote),
            estimated: prompt.is_none() || completion.is_none(),
        }
    }

    /// Bytes of text, of thoughts and of tool arguments, for the log.
    pub(super) fn lengths(&self) -> (usize, usize, usize) {
        (self.text_bytes, self.reasoning_bytes, self.tool_bytes)
    }

    /// The beginning of the text, when it was asked for.
    pub(super) fn excerpt(&self) -> Option<&str> {
        self.excerpt.as_deref()
    }

    fn show(&mut self, split: Split, out: &mut VecDeque<Delta>) {
        match split {
            Split::Text(text) => self.show_text(text.into(), out),
            Split::Reasoning(text) => self.show_reasoning(text.into(), out),
        }
    }

    fn show_text(&mut self, text: Cow<'_, str>, out: &mut VecDeque<Delta>) {
        self.text_bytes = self.text_bytes.saturating_add(text.len());
        if let Some(excerpt) = &mut self.excerpt
            && excerpt.len() < EXCERPT_LIMIT
        {
            excerpt.push_str(&text);
        }
        match out.back_mut() {
            Some(Delta::Text(last)) if self.folded => last.push_str(&text),
            _ => out.push_back(Delta::Text(text.into_owned())),
        }
    }

    fn show_reasoning(&mut self, text: Cow<'_, str>, out: &mut VecDeque<Delta>) {
        self.reasoning_bytes = self.reasoning_bytes.saturating_add(text.len());
        match out.back_mut() {
            Some(Delta::Reasoning(last)) if self.folded => last.push_str(&text),
            _ => out.push_back(Delta::Reasoning(text.into_owned())),
        }
    }

    fn take_tool(&mut self, piece: ToolPiece, out: &mut VecDeque<Delta>) {
        self.tool_bytes = self.tool_bytes.saturating_add(piece.arguments.len());
        let next = self.announced;
        let Some(slot) = self.slot(&piece) else { return };
        slot.argument_bytes = slot.argument_bytes.saturating_add(piece.arguments.len());
        if let Some(index) = slot.number {
            if !piece.arguments.is_empty() {
                let arguments = piece.arguments;
                out.push_back(Delta::ToolCall(ToolCallDelta {
                    index,
                    id: None,
                    name: None,
                    arguments,
                }));
            }
            return;
        }
        let unnamed = piece.arguments.len();
        slot.waiting.push_str(&piece.arguments);
        slot.id = slot.id.take().or_else(|| filled(piece.id));
        slot.name = slot.name.take().or_else(|| filled(piece.name));
        if slot.name.is_none() {
            self.unnamed_bytes = self.unnamed_bytes.saturating_add(unnamed);
            return; // announced when the name comes
        }
        slot.number = Some(next);
        let first = ToolCallDelta {
            index: next,
            id: Some(slot.id.clone().unwrap_or_else(call_id)),
            name: slot.name.clone(),
            arguments: std::mem::take(&mut slot.waiting),
        };
        self.announced = next.saturating_add(1);
        out.push_back(Delta::ToolCall(first));
    }

    /// The call a piece belongs to: by index, else by id, else the last; a new one when none fits.
    fn slot(&mut self, piece: &ToolPiece) -> Option<&mut ToolSlot> {
        let id = piece.id.as_deref().filter(|id| !id.is_empty());
        let named = piece.name.as_deref().is_some_and(|name| !name.is_empty());
        let found = match (piece.index, id) {
            (Some(_), _) => self.calls.iter().rposition(|slot| slot.index == piece.index),
            (None, Some(id)) => self.calls.iter().rposition(|slot| slot.id.as_deref() == Some(id)),
            (None, None) => self.calls.len().checked_sub(1),
        };
        // Some servers give every call index 0 (or none) and tell them apart by id and name only.
        let another = |slot: &ToolSlot| {
            let differs = match (piece.index, id) {
                (Some(_), Some(id)) => slot.id.as_deref().is_some_and(|known| known != id),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            };
            named && slot.name.is_some() && differs
        };
        let found = found.filter(|at| !self.calls.get(*at).is_some_and(another));
        if found.is_none() {
            self.calls.push(ToolSlot {
                index: piece.index,
                id: None,
                name: None,
                number: None,
                waiting: String::new(),
                argument_bytes: 0,
            });
        }
        let last = self.calls.len().saturating_sub(1);
        self.calls.get_mut(found.unwrap_or(last))
    }
}

impl Counts {
    fn update(&mut self, later: &Self) {
        self.prompt = later.prompt.or(self.prompt);
        self.completion = later.completion.or(self.completion);
        self.cached = later.cached.or(self.cached);
        self.reasoning = later.reasoning.or(self.reasoning);
        self.prompt_time = later.prompt_time.or(self.prompt_time);
        self.completion_time = later.completion_time.or(self.completion_time);
    }
}

/// About four bytes a token; something is never nothing.
fn estimate(bytes: usize) -> u64 {
    u64::try_from(bytes.div_ceil(4)).unwrap_or(u64::MAX)
}

fn filled(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// An id for a call whose upstream gave none.
pub(super) fn call_id() -> String {
    let random = std::iter::repeat_with(fastrand::alphanumeric).take(24);
    format!("call_{}", random.collect::<String>())
}

#[cfg(test)]
mod tests;
