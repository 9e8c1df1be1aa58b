//! Puts an answer together from what the protocols read, and keeps its books. Pure.

use std::{collections::VecDeque, time::Duration};

use super::{
    Delta, LlmErrorKind, ToolCallDelta,
    redact::EXCERPT_LIMIT,
    think::{Split, ThinkSplitter},
};
use crate::types::{FinishReason, Usage};

/// What one frame (or whole reply) of any protocol can say.
#[derive(Debug, PartialEq)]
pub(super) enum Piece {
    /// Text of the answer, perhaps with thoughts in tags.
    Text(String),
    /// Chain of thought in a field of its own.
    Reasoning(String),
    /// Part or whole of a tool call.
    Tool(ToolPiece),
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
    /// The first bytes of the text, when payloads are logged.
    excerpt: Option<String>,
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
            excerpt: keep_excerpt.then(String::new),
        }
    }

    /// Takes a piece; what can be shown of it goes to `out`.
    pub(super) fn take(&mut self, piece: Piece, out: &mut VecDeque<Delta>) {
        if self.ended {
            return;
        }
        match piece {
            Piece::Text(text) => {
                for split in self.think.push(&text) {
                    self.show(split, out);
                }
            }
            Piece::Reasoning(text) if text.is_empty() => {}
            Piece::Reasoning(text) => self.show(Split::Reasoning(text), out),
            Piece::Tool(piece) => self.take_tool(piece, out),
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
            Split::Text(text) => {
                self.text_bytes = self.text_bytes.saturating_add(text.len());
                if let Some(excerpt) = &mut self.excerpt
                    && excerpt.len() < EXCERPT_LIMIT
                {
                    excerpt.push_str(&text);
                }
                out.push_back(Delta::Text(text));
            }
            Split::Reasoning(text) => {
                self.reasoning_bytes = self.reasoning_bytes.saturating_add(text.len());
                out.push_back(Delta::Reasoning(text));
            }
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
        slot.waiting.push_str(&piece.arguments);
        slot.id = slot.id.take().or_else(|| filled(piece.id));
        slot.name = slot.name.take().or_else(|| filled(piece.name));
        if slot.name.is_none() {
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
mod tests {
    use super::*;

    fn tool(index: Option<u64>, id: &str, name: &str, arguments: &str) -> Piece {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Piece::Tool(ToolPiece {
            index,
            id: some(id),
            name: some(name),
            arguments: arguments.into(),
        })
    }

    fn fold(pieces: Vec<Piece>) -> (Answer, Vec<Delta>) {
        let mut answer = Answer::new(false, false);
        let mut out = VecDeque::new();
        for piece in pieces {
            answer.take(piece, &mut out);
        }
        answer.close(&mut out);
        (answer, out.into())
    }

    /// `id name arguments` of every call, from the deltas.
    fn calls(pieces: Vec<Piece>) -> Vec<String> {
        let mut calls: Vec<(String, String)> = Vec::new();
        for delta in fold(pieces).1 {
            let Delta::ToolCall(delta) = delta else { continue };
            let at = delta.index as usize;
            if at == calls.len() {
                let name = delta.name.as_deref().expect("the first piece carries the name");
                calls.push((format!("{} {name}", delta.id.expect("and the id")), String::new()));
            }
            calls[at].1.push_str(&delta.arguments);
        }
        calls.into_iter().map(|(head, arguments)| format!("{head} {arguments}")).collect()
    }

    #[test]
    fn tool_calls_are_assembled_however_they_come() {
        for (pieces, want) in [
            (
                vec![
                    tool(Some(0), "a", "f", ""),
                    tool(Some(0), "", "", "{\"x\""),
                    tool(Some(0), "", "", ":1}"),
                ],
                vec!["a f {\"x\":1}"],
            ),
            (
                vec![
                    tool(Some(0), "a", "f", "{}"),
                    tool(Some(1), "b", "g", "{}"),
                    tool(Some(0), "", "", " "),
                ],
                vec!["a f {} ", "b g {}"],
            ),
            // no index: by id, else the last
            (
                vec![
                    tool(None, "a", "f", "{"),
                    tool(None, "b", "g", "["),
                    tool(None, "a", "", "}"),
                    tool(None, "", "", "]"),
                ],
                vec!["a f {}", "b g []"],
            ),
            // every call at index 0
            (
                vec![tool(Some(0), "a", "f", "{}"), tool(Some(0), "b", "g", "{}")],
                vec!["a f {}", "b g {}"],
            ),
            // id and name repeated on every piece
            (vec![tool(Some(0), "a", "f", "{"), tool(Some(0), "a", "f", "}")], vec!["a f {}"]),
            // arguments before the name, and none at all
            (vec![tool(Some(3), "a", "", "{}"), tool(Some(3), "", "f", "")], vec!["a f {}"]),
            (vec![tool(Some(0), "a", "f", "")], vec!["a f {}"]),
            // never named
            (vec![tool(Some(0), "a", "", "{}")], vec![]),
        ] {
            assert_eq!(calls(pieces), want);
        }
        let made_up = calls(vec![tool(None, "", "f", "{}"), tool(None, "", "f", "{}")]);
        assert_eq!(made_up.len(), 2, "two whole calls without id");
        assert!(made_up[0].starts_with("call_") && made_up[0] != made_up[1]);
    }

    #[test]
    fn how_it_ended() {
        let text = || Piece::Text("hi".into());
        let call = || tool(Some(0), "a", "f", "{}");
        let finish = Piece::Finish;
        for (pieces, want) in [
            (vec![text(), finish(FinishReason::Stop)], Ok(FinishReason::Stop)),
            (vec![text(), Piece::End], Ok(FinishReason::Stop)),
            (vec![text(), finish(FinishReason::Length)], Ok(FinishReason::Length)),
            (vec![text(), finish(FinishReason::ContentFilter)], Ok(FinishReason::ContentFilter)),
            (vec![finish(FinishReason::ContentFilter)], Err(LlmErrorKind::ContentFilter)),
            (vec![call(), finish(FinishReason::Stop)], Ok(FinishReason::ToolCalls)),
            (vec![text(), finish(FinishReason::ToolCalls)], Ok(FinishReason::Stop)),
            (vec![Piece::Reasoning("hm".into()), Piece::End], Err(LlmErrorKind::Empty)),
            (vec![Piece::Text("<think>hm".into()), Piece::End], Err(LlmErrorKind::Empty)),
            (vec![Piece::Text(" \n".into()), Piece::End], Err(LlmErrorKind::Empty)),
            (vec![Piece::End, text()], Err(LlmErrorKind::Empty)),
        ] {
            let shown = format!("{pieces:?}");
            assert_eq!(fold(pieces).0.reason(), want, "{shown}");
        }
    }

    #[test]
    fn usage_is_the_upstreams_or_estimated() {
        let counts =
            |prompt, completion| Piece::Usage(Counts { prompt, completion, ..Counts::default() });
        let text = || Piece::Text("12345".into());
        for (pieces, want) in [
            (vec![text(), counts(Some(9), Some(4))], (9, 4, false)),
            (vec![text(), counts(Some(9), Some(1)), counts(None, Some(4))], (9, 4, false)),
            (vec![text()], (3, 2, true)),
            (vec![text(), counts(None, Some(7))], (3, 7, true)),
            (vec![text(), counts(Some(0), Some(0))], (3, 2, true)),
        ] {
            let usage =
                fold(pieces).0.usage(10, Duration::from_millis(7), Duration::from_millis(8));
            assert_eq!((usage.prompt_tokens, usage.completion_tokens, usage.estimated), want);
            assert_eq!(usage.prompt_time, Duration::from_millis(7));
        }
    }
}
