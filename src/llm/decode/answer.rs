//! Puts an answer together from what the protocols read, and keeps account of it. Pure.

use std::{borrow::Cow, collections::VecDeque, time::Duration};

use super::{
    lines::LINE_LIMIT,
    think::{Split, ThinkSplitter},
};
use crate::{
    config,
    llm::{
        Call, Delta, LlmErrorKind,
        endpoint::Endings,
        protocol::{
            counts::Counts,
            piece::{Piece, ToolPiece},
        },
        redact::EXCERPT_LIMIT,
    },
    types::{Effort, FinishReason, Role, ToolChoice, Usage},
};
use calls::ToolCalls;
use gate::{Gate, Passed};

mod calls;
mod gate;

/// How long usage and the terminator may take to come after a finish reason behind the last piece.
const FINISH_WAIT: Duration = Duration::from_secs(5);
/// The same once usage has come, too; text may still follow where a server ends each part so.
const USAGE_WAIT: Duration = Duration::from_secs(2);

/// The answer so far.
#[derive(Debug)]
pub(in crate::llm) struct Answer {
    think: ThinkSplitter,
    /// Holds back what is not passed on: echoes and stop sequences.
    gate: Option<Gate>,
    calls: ToolCalls,
    /// A tool call was demanded.
    demand: Option<ToolChoice>,
    /// Text that came before a demanded call: without that it is no answer.
    before_call: VecDeque<Delta>,
    finish: Option<FinishReason>,
    /// The stop sequence that its upstream says it ended at.
    stopped_by: Option<u16>,
    /// Output came behind the finish reason, which therefore ended nothing.
    is_renewed: bool,
    /// Usage came behind the finish reason.
    is_settled: bool,
    /// The frame that is being read had some output.
    has_frame_output: bool,
    ended: bool,
    terminated: bool,
    /// A stop sequence ended it; its upstream writes on.
    is_cut_short: bool,
    pieces: u64,
    counts: Counts,
    text_bytes: usize,
    /// Something was said in a delta, so that a message would only repeat it.
    spoke_in_deltas: bool,
    in_message: bool,
    reasoning_bytes: usize,
    tool_bytes: usize,
    /// The first bytes of the text, when payloads are logged.
    excerpt: Option<String>,
    folded: bool,
}

impl Answer {
    /// `verbatim` output is not searched for thoughts.
    pub(in crate::llm) fn new(verbatim: bool, keep_excerpt: bool) -> Self {
        Self {
            think: if verbatim { ThinkSplitter::verbatim() } else { ThinkSplitter::new() },
            gate: None,
            calls: ToolCalls::default(),
            demand: None,
            before_call: VecDeque::new(),
            finish: None,
            stopped_by: None,
            is_renewed: false,
            is_settled: false,
            has_frame_output: false,
            ended: false,
            terminated: false,
            is_cut_short: false,
            pieces: 0,
            counts: Counts::default(),
            text_bytes: 0,
            spoke_in_deltas: false,
            in_message: false,
            reasoning_bytes: 0,
            tool_bytes: 0,
            excerpt: keep_excerpt.then(String::new),
            folded: false,
        }
    }

    /// The answer to a call of this model.
    pub(in crate::llm) fn to(call: &Call, config: &config::Model, keep_excerpt: bool) -> Self {
        let last =
            call.messages.last().filter(|last| last.role == Role::Assistant && !call.prompt.raw);
        let opening = last.map(|message| message.joined_text());
        let is_demand = |choice: &ToolChoice| {
            matches!(choice, ToolChoice::Required | ToolChoice::Named(_))
                && !call.prompt.tools.is_empty()
        };
        // What is put together anyway is split when it is whole, and where no thought was wanted the
        // template closes it, too.
        let is_open = config.thinking_forced_open
            && !call.folded
            && !call.prompt.raw
            && call.prompt.effort != Some(Effort::None);
        let answer = Self::new(call.prompt.raw, keep_excerpt);
        Self {
            think: if is_open { ThinkSplitter::opened() } else { answer.think },
            gate: Gate::new(opening.as_deref(), &call.prompt.stop),
            calls: ToolCalls::among(&call.messages),
            demand: call.prompt.tool_choice.clone().filter(is_demand),
            folded: call.folded,
            ..answer
        }
    }

    /// The number of the tool call that the last piece of one belongs to, once that was handed on.
    pub(super) fn last_call(&self) -> Option<u32> {
        self.calls.last()
    }

    /// A frame is about to be read.
    pub(super) fn begin_frame(&mut self) {
        self.has_frame_output = false;
    }

    /// Takes a piece; what can be shown of it goes to `out`.
    pub(super) fn take(&mut self, piece: Piece<'_>, out: &mut VecDeque<Delta>) {
        if self.ended {
            return;
        }
        self.pieces = self.pieces.wrapping_add(1);
        let speaks = matches!(piece, Piece::Text(_) | Piece::Reasoning(_) | Piece::Tool(_));
        self.spoke_in_deltas |= speaks && !self.in_message;
        match piece {
            Piece::Text(text) if text.is_empty() => {}
            Piece::Text(text) if self.think.is_answer() => self.pass_text(text, out),
            Piece::Text(text) => {
                for split in self.think.push(&text) {
                    self.show(split, out);
                }
            }
            Piece::Reasoning(text) if text.is_empty() => {}
            Piece::Reasoning(text) => {
                self.think.note_separate_reasoning();
                self.show_reasoning(text, out);
            }
            Piece::Tool(piece) => self.take_tool(piece, out),
            Piece::Foreign(index) => self.calls.leave(index),
            Piece::Kept(_) => {} // no part of the answer
            Piece::Message(pieces) => {
                if self.begin_message() {
                    pieces.into_iter().for_each(|piece| self.take(piece, out));
                    self.end_message();
                }
            }
            Piece::Stopped(sequence) => {
                self.stopped_by = self.gate.as_ref().and_then(|gate| gate.place(&sequence));
            }
            Piece::Finish(reason) => {
                self.finish = Some(reason);
                // Said once more, by itself: this time it may be the end.
                self.is_renewed &= self.has_frame_output;
            }
            Piece::Usage(counts) => {
                self.counts.update(&counts);
                self.is_settled = self.finish.is_some();
            }
            Piece::End => (self.ended, self.terminated) = (true, true),
        }
    }

    /// A message is about to be taken piece by piece, if it is news.
    pub(super) fn begin_message(&mut self) -> bool {
        self.in_message = !self.spoke_in_deltas;
        self.in_message
    }

    /// Ends a message, all of which was taken.
    pub(super) fn end_message(&mut self) {
        self.in_message = false;
    }

    /// Ends the answer, which is whole.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// Gives out what was held back. Called once, when the answer is over.
    pub(super) fn close(&mut self, out: &mut VecDeque<Delta>) {
        self.ended = true;
        for split in self.think.finish() {
            self.show(split, out);
        }
        if let Some(mut gate) = self.gate.take() {
            let rest = gate.finish();
            self.show_passed(rest, out);
        }
        self.calls.close(self.finish, out);
    }

    /// Whether more is held back than any answer has: tool calls without end, or arguments of
    /// calls that are never named.
    pub(super) fn is_flooded(&self) -> bool {
        let is_held = !self.before_call.is_empty() && self.text_bytes > LINE_LIMIT;
        self.calls.is_flooded() || is_held
    }

    /// The terminator was seen, or a stop sequence.
    pub(in crate::llm) fn is_ended(&self) -> bool {
        self.ended
    }

    /// A finish reason or the terminator was seen: the body may end now.
    pub(super) fn is_complete(&self) -> bool {
        self.ended || self.finish.is_some()
    }

    /// How long usage and the terminator may take once nothing else can be expected.
    /// A finish reason before the text, or between texts, promises nothing.
    pub(in crate::llm) fn last_wait(&self) -> Option<Duration> {
        let reason = self.finish?;
        let has_output = self.has_output() || reason == FinishReason::ContentFilter;
        match (self.is_settled, has_output) {
            (true, true) => Some(USAGE_WAIT),
            (true, false) => Some(FINISH_WAIT),
            (false, true) if !self.is_renewed => Some(FINISH_WAIT),
            (false, _) => None,
        }
    }

    /// Whether all of it has come, whatever happens to the connection now.
    pub(super) fn is_sure(&self) -> bool {
        self.ended || self.last_wait().is_some()
    }

    /// Pieces taken so far.
    pub(in crate::llm) fn pieces(&self) -> u64 {
        self.pieces
    }

    /// A stop sequence ended it here, while its upstream writes on.
    pub(in crate::llm) fn is_cut_short(&self) -> bool {
        self.is_cut_short
    }

    /// Why the closed answer ended, at an endpoint of these endings.
    ///
    /// # Errors
    /// When it is none, and why in words: cut off, withheld, empty without a reason, with tool calls
    /// that cannot be handed on, or without one that was demanded.
    pub(in crate::llm) fn reason(
        &self,
        endings: &Endings,
    ) -> Result<FinishReason, (LlmErrorKind, &'static str)> {
        if self.finish.is_none() && endings.gives_reasons() {
            return Err((LlmErrorKind::Truncated, "the answer ended without a finish reason"));
        }
        if self.is_renewed && !self.terminated && endings.terminates() {
            return Err((LlmErrorKind::Truncated, "the answer ended without its terminator"));
        }
        let reason = match (self.finish.unwrap_or(FinishReason::Stop), self.stopped_by) {
            (FinishReason::Stop, Some(place)) => FinishReason::StopSequence(place),
            (reason, _) => reason,
        };
        if let Some(words) = self.calls.fault(reason) {
            return Err((LlmErrorKind::Garbled, words));
        }
        let is_called = match &self.demand {
            Some(ToolChoice::Named(name)) => self.calls.is_called(name),
            _ => self.calls.is_any(),
        };
        match (self.text_bytes > 0, self.calls.is_any()) {
            (false, false) if reason == FinishReason::ContentFilter => {
                let words = "the answer was withheld by a content filter";
                Err((LlmErrorKind::ContentFilter, words))
            }
            _ if self.demand.is_some() && !is_called => {
                Err((LlmErrorKind::ToolCallMissing, "the demanded tool call did not come"))
            }
            (_, true) if matches!(reason, FinishReason::Stop | FinishReason::StopSequence(_)) => {
                Ok(FinishReason::ToolCalls)
            }
            (true, false) if reason == FinishReason::ToolCalls => Ok(FinishReason::Stop),
            (false, false) if self.finish.is_none() || reason == FinishReason::ToolCalls => {
                Err((LlmErrorKind::Empty, "the answer is empty"))
            }
            _ => Ok(reason),
        }
    }

    /// Records how its endpoint ends answers.
    pub(in crate::llm) fn shows(&self, endings: &Endings) {
        if !self.is_cut_short {
            endings.learn(self.finish.is_some(), self.terminated);
        }
    }

    /// What the answer cost: as the upstream said, else estimated, and timed by us.
    pub(in crate::llm) fn usage(
        &self,
        prompt_bytes: usize,
        waited: Duration,
        wrote: Duration,
    ) -> Usage {
        let written =
            self.text_bytes.saturating_add(self.reasoning_bytes).saturating_add(self.tool_bytes);
        self.counts.usage((prompt_bytes, waited), (written, wrote))
    }

    /// Bytes of text, of thoughts and of tool arguments, for the log.
    pub(in crate::llm) fn lengths(&self) -> (usize, usize, usize) {
        (self.text_bytes, self.reasoning_bytes, self.tool_bytes)
    }

    /// The beginning of the text, when it was asked for.
    pub(in crate::llm) fn excerpt(&self) -> Option<&str> {
        self.excerpt.as_deref()
    }

    fn show(&mut self, split: Split, out: &mut VecDeque<Delta>) {
        match split {
            _ if self.is_cut_short => {}
            Split::Text(text) => self.pass_text(text.into(), out),
            Split::Reasoning(text) => self.show_reasoning(text.into(), out),
        }
    }

    fn pass_text(&mut self, text: Cow<'_, str>, out: &mut VecDeque<Delta>) {
        match &mut self.gate {
            None => self.show_text(text, out),
            Some(gate) => {
                let passed = gate.push(&text);
                self.note_output();
                self.show_passed(passed, out);
            }
        }
    }

    fn show_passed(&mut self, passed: Passed, out: &mut VecDeque<Delta>) {
        if !passed.text.is_empty() {
            self.show_text(passed.text.into(), out);
        }
        if let Some(place) = passed.stopped {
            let reason = FinishReason::StopSequence(place);
            (self.finish, self.ended, self.is_cut_short) = (Some(reason), true, true);
            self.is_renewed = false;
            self.gate = None;
        }
    }

    fn show_text(&mut self, text: Cow<'_, str>, out: &mut VecDeque<Delta>) {
        self.note_output();
        self.text_bytes = self.text_bytes.saturating_add(text.len());
        if let Some(excerpt) = &mut self.excerpt
            && excerpt.len() < EXCERPT_LIMIT
        {
            excerpt.push_str(&text);
        }
        let awaits_call = self.demand.is_some() && !self.calls.is_any();
        let out = if awaits_call { &mut self.before_call } else { out };
        match out.back_mut() {
            Some(Delta::Text(last)) if self.folded => last.push_str(&text),
            _ => out.push_back(Delta::Text(text.into_owned())),
        }
    }

    fn show_reasoning(&mut self, text: Cow<'_, str>, out: &mut VecDeque<Delta>) {
        self.note_output();
        self.reasoning_bytes = self.reasoning_bytes.saturating_add(text.len());
        match out.back_mut() {
            Some(Delta::Reasoning(last)) if self.folded => last.push_str(&text),
            _ => out.push_back(Delta::Reasoning(text.into_owned())),
        }
    }

    fn take_tool(&mut self, piece: ToolPiece, out: &mut VecDeque<Delta>) {
        if self.calls.is_left(&piece) {
            return;
        }
        self.note_output();
        self.tool_bytes = self.tool_bytes.saturating_add(piece.arguments.len());
        let mut called = VecDeque::new();
        self.calls.take(piece, &mut called);
        if !called.is_empty() {
            out.append(&mut self.before_call);
        }
        out.append(&mut called);
    }

    fn note_output(&mut self) {
        self.has_frame_output = true;
        if self.finish.is_some() {
            (self.is_renewed, self.is_settled) = (true, false);
        }
    }

    /// Whether there is something that an answer can end with: no thoughts, nor calls whose arguments
    /// are still to come.
    fn has_output(&self) -> bool {
        match self.calls.is_any() {
            true => self.calls.are_whole(),
            false => self.text_bytes > 0,
        }
    }
}

#[cfg(test)]
mod tests;
