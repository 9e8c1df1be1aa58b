//! Answers of `POST /v1/messages`: events to the shapes of [`super::wire`]. Blocks come one after the
//! other; what belongs to one while another is open waits.

#[cfg(test)]
#[path = "../../../tests/it/support/message_events.rs"]
mod checker;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::wire::{Block, Delta, Ending, Event, MessageObject, UsageObject};
use crate::{
    llm::ToolCallDelta,
    server::{
        dialect::Dialect,
        error::AppError,
        frames::{Encoder, FrameTemplate, Frames, Gap, NUMBER, TEXT, object_bytes},
        wire::Record,
    },
    types::{FinishReason, RequestId, ToolCall, random_id},
    workflow::{Answer, Finished},
};

/// One answer's form.
pub(in super::super) struct MessageReply {
    id: String,
    request_id: RequestId,
    model: String,
    stops: Vec<String>,
    /// What the prompt takes, estimated.
    prompt_tokens: u64,
    include_workflow: bool,
    /// The number of the next block.
    next: u32,
    open: Option<Open>,
    /// The calls whose blocks have not begun, by their numbers.
    waiting: BTreeMap<u32, ToolCall>,
    /// Whether any call was made.
    called: bool,
    /// Text that came while a call was half said.
    late: String,
}

/// The block that is open: its number is the last one.
struct Open {
    kind: OpenKind,
    /// What its deltas are cut from.
    template: FrameTemplate,
}

enum OpenKind {
    Thinking,
    Text,
    /// The call of this number, and its arguments so far.
    Call(u32, String),
}

impl MessageReply {
    /// An answer from `model`, the name the client used.
    pub(super) fn new(
        request_id: RequestId,
        model: String,
        stops: Vec<String>,
        prompt_tokens: u64,
        include_workflow: bool,
    ) -> Self {
        Self {
            id: random_id("msg_"),
            request_id,
            model,
            stops,
            prompt_tokens,
            include_workflow,
            next: 0,
            open: None,
            waiting: BTreeMap::new(),
            called: false,
            late: String::new(),
        }
    }

    fn object<'a>(&'a self, content: Vec<Block<'a>>, usage: UsageObject) -> MessageObject<'a> {
        MessageObject {
            id: &self.id,
            kind: "message",
            role: "assistant",
            model: &self.model,
            content,
            stop_reason: None,
            stop_sequence: None,
            usage,
            record: Record::default(),
        }
    }

    fn start(&mut self, kind: OpenKind, block: Block<'_>, frames: &mut Frames) {
        self.stop(frames);
        let delta = match kind {
            OpenKind::Thinking => Delta::Thinking { thinking: TEXT },
            OpenKind::Text => Delta::Text { text: TEXT },
            OpenKind::Call(..) => Delta::Input { partial_json: TEXT },
        };
        let event = Event::ContentBlockDelta { index: NUMBER, delta };
        let marks = [Gap::Number(NUMBER.into()), Gap::Text(TEXT)];
        let template = frames.event_template(event.name(), &event, &marks);
        push(&Event::ContentBlockStart { index: self.next, content_block: block }, frames);
        self.open = Some(Open { kind, template });
        self.next += 1;
    }

    fn stop(&mut self, frames: &mut Frames) {
        if self.open.take().is_some() {
            push(&Event::ContentBlockStop { index: self.next.saturating_sub(1) }, frames);
        }
    }

    /// More of the open block.
    fn delta(&self, text: &str, frames: &mut Frames) {
        let Some(open) = self.open.as_ref().filter(|_| !text.is_empty()) else { return };
        let index = self.next.saturating_sub(1);
        frames.push_filled(&open.template, &[Gap::Number(index.into()), Gap::Text(text)]);
    }

    fn start_text(&mut self, frames: &mut Frames) {
        self.start(OpenKind::Text, Block::Text { text: "", citations: None }, frames);
    }

    fn start_call(&mut self, index: u32, call: ToolCall, frames: &mut Frames) {
        let ToolCall { id, name, arguments } = call;
        let id = if id.is_empty() { random_id("toolu_") } else { id };
        let block = Block::ToolUse { id: &id, name: &name, input: Map::new() };
        self.start(OpenKind::Call(index, arguments.clone()), block, frames);
        self.delta(&arguments, frames);
    }

    /// Whether the open block is a call that is not whole.
    fn is_half_called(&self) -> bool {
        let Some(Open { kind: OpenKind::Call(_, arguments), .. }) = &self.open else {
            return false;
        };
        let call =
            ToolCall { id: String::new(), name: String::new(), arguments: arguments.clone() };
        !call.is_whole()
    }

    /// Why the answer ended, and the stop sequence that it ended at.
    fn ending(&self, reason: FinishReason, called: bool) -> Ending<'_> {
        let (stop_reason, stop_sequence) = match reason {
            FinishReason::Stop | FinishReason::StopSequence(_) | FinishReason::ToolCalls
                if called =>
            {
                ("tool_use", None)
            }
            FinishReason::StopSequence(place) => {
                let sequence = self.stops.get(usize::from(place)).map(String::as_str);
                (if sequence.is_some() { "stop_sequence" } else { "end_turn" }, sequence)
            }
            FinishReason::Stop | FinishReason::ToolCalls => ("end_turn", None),
            FinishReason::Length => ("max_tokens", None),
            FinishReason::ContentFilter => ("refusal", None),
        };
        Ending { stop_reason, stop_sequence }
    }
}

fn push(event: &Event<'_>, frames: &mut Frames) {
    frames.push_event(event.name(), event);
}

impl Encoder for MessageReply {
    fn opening(&mut self, frames: &mut Frames) {
        let message = self.object(Vec::new(), UsageObject::estimated(self.prompt_tokens));
        push(&Event::MessageStart { message }, frames);
    }

    fn text(&mut self, text: &str, frames: &mut Frames) {
        if self.is_half_called() {
            self.late.push_str(text);
            return;
        }
        if !matches!(self.open, Some(Open { kind: OpenKind::Text, .. })) {
            self.start_text(frames);
        }
        self.delta(text, frames);
    }

    fn reasoning(&mut self, text: &str, frames: &mut Frames) {
        if !matches!(self.open, Some(Open { kind: OpenKind::Thinking, .. })) {
            let block = Block::Thinking { thinking: "", signature: "" };
            self.start(OpenKind::Thinking, block, frames);
        }
        self.delta(text, frames);
    }

    /// The first call is sent as it comes. Pieces of several may come in turns: the others follow
    /// whole.
    fn tool_call(&mut self, delta: &ToolCallDelta, frames: &mut Frames) {
        if let Some(Open { kind: OpenKind::Call(index, arguments), .. }) = &mut self.open
            && *index == delta.index
        {
            arguments.push_str(&delta.arguments);
            self.delta(&delta.arguments, frames);
            return;
        }
        let is_first = !self.called;
        self.called = true;
        let known = self.waiting.remove(&delta.index);
        // What is left of a call whose block is closed is white space.
        let ((Some(mut call), _) | (None, Some(mut call))) =
            (known, delta.name.as_ref().map(|name| opened(delta, name)))
        else {
            return;
        };
        call.arguments.push_str(&delta.arguments);
        match is_first {
            true => self.start_call(delta.index, call, frames),
            false => drop(self.waiting.insert(delta.index, call)),
        }
    }

    fn finished(&mut self, finished: &Finished, frames: &mut Frames) -> Result<(), AppError> {
        let cut = finished.reason == FinishReason::Length;
        for (index, call) in std::mem::take(&mut self.waiting) {
            if !cut || call.is_whole() {
                self.start_call(index, call, frames);
            }
        }
        let late = std::mem::take(&mut self.late);
        if !late.is_empty() {
            self.start_text(frames);
            self.delta(&late, frames);
        }
        self.stop(frames);
        let ending = Event::MessageDelta {
            delta: self.ending(finished.reason, self.called),
            usage: UsageObject::from(&finished.usage),
            record: Record::of(finished, self.include_workflow),
        };
        push(&ending, frames);
        push(&Event::MessageStop, frames);
        Ok(())
    }

    fn failed(&mut self, error: &AppError, frames: &mut Frames) -> bool {
        frames.push_event("error", &error.body(Dialect::Anthropic).of_request(self.request_id));
        true
    }

    fn heartbeat(&self, frames: &mut Frames) {
        push(&Event::Ping, frames);
    }

    fn whole(&mut self, answer: Answer, finished: &Finished) -> Result<Bytes, AppError> {
        let thinking = Block::Thinking { thinking: &answer.reasoning, signature: "" };
        let text = Block::Text { text: &answer.text, citations: None };
        let texts = [(thinking, answer.reasoning.is_empty()), (text, answer.text.is_empty())];
        let mut content: Vec<Block<'_>> = texts
            .into_iter()
            .filter_map(|(block, is_empty)| (!is_empty).then_some(block))
            .collect();
        let mut called = false;
        for (_, call) in answer.whole_calls(finished.reason) {
            called = true;
            content.push(Block::ToolUse { id: &call.id, name: &call.name, input: input(call)? });
        }
        let Ending { stop_reason, stop_sequence } = self.ending(finished.reason, called);
        object_bytes(&MessageObject {
            stop_reason: Some(stop_reason),
            stop_sequence,
            record: Record::of(finished, self.include_workflow),
            ..self.object(content, UsageObject::from(&finished.usage))
        })
    }
}

/// A call of which nothing but its beginning is known.
fn opened(delta: &ToolCallDelta, name: &str) -> ToolCall {
    ToolCall {
        id: delta.id.clone().unwrap_or_default(),
        name: name.to_owned(),
        arguments: String::new(),
    }
}

fn input(call: &ToolCall) -> Result<Map<String, Value>, AppError> {
    if call.arguments.trim().is_empty() {
        return Ok(Map::new());
    }
    let unusable = |_| AppError::UnusableToolCall { tool: call.name.clone() };
    serde_json::from_str(&call.arguments).map_err(unusable)
}
