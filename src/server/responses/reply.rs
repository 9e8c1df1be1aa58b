//! Answers of `POST /v1/responses` (the Open Responses specification): typed events with a
//! running number, and the resource that the last of them (or the plain answer) is.

#[cfg(test)]
#[path = "../../../tests/it/support/typed_events.rs"]
mod checker;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;

use super::{
    entry::Entry,
    item::{ItemStatus, Kind, OutputItem, TextPiece},
    resource::{Resource, Status},
    store::{Client, Store},
    toolbox::{ClientTools, free_text},
    wire::{ErrorEvent, Event, ItemEvent, ResponseObject, Snapshot},
};
use crate::{
    llm::ToolCallDelta,
    server::{
        error::AppError,
        frames::{Encoder, FrameTemplate, Frames, Gap, NUMBER, TEXT, object_bytes},
        wire::Record,
    },
    types::{FinishReason, ToolCall, random_id},
    workflow::{Answer, Finished},
};

/// The longest `call_id` the schema allows, in characters.
const MOST_ID_CHARS: usize = 64;

/// The store of a finished response's conversation.
pub(super) struct Keep {
    pub(super) store: Arc<Store>,
    pub(super) client: Client,
    /// The conversation so far.
    pub(super) context: Vec<Entry>,
}

/// One response's form.
pub(in super::super) struct ResponseReply {
    resource: Resource,
    /// `None` for a response that cannot be continued.
    keep: Option<Keep>,
    tools: ClientTools,
    include_workflow: bool,
    sequence: Sequence,
    /// The template of the deltas of the item that had the last one.
    delta: Option<(usize, FrameTemplate)>,
}

/// The number of the next event.
struct Sequence(u64);

impl Sequence {
    fn push(&mut self, kind: &'static str, payload: impl Serialize, frames: &mut Frames) {
        frames.push_event(kind, &Event { kind, sequence_number: self.0, payload });
        self.0 += 1;
    }

    fn push_delta(&mut self, template: &FrameTemplate, text: &str, frames: &mut Frames) {
        frames.push_filled(template, &[Gap::Number(self.0), Gap::Text(text)]);
        self.0 += 1;
    }
}

/// The template of an item's deltas.
fn delta_template(item: &OutputItem, place: usize, frames: &Frames) -> FrameTemplate {
    let (kind, _) = item.kind.text_events();
    let payload = item.event(place, TextPiece::Delta(TEXT));
    let event = Event { kind, sequence_number: NUMBER.into(), payload };
    frames.event_template(kind, &event, &[Gap::Number(NUMBER.into()), Gap::Text(TEXT)])
}

impl ResponseReply {
    /// An answer from `model`, the name the client used.
    pub(super) fn new(
        model: &str,
        mut resource: Resource,
        keep: Option<Keep>,
        tools: ClientTools,
        include_workflow: bool,
    ) -> Self {
        resource.begin(random_id("resp_"), model, Timestamp::now());
        Self { resource, keep, tools, include_workflow, sequence: Sequence(0), delta: None }
    }

    fn push_snapshot(&mut self, kind: &'static str, record: Record<'_>, frames: &mut Frames) {
        let response = ResponseObject { resource: &self.resource, record };
        self.sequence.push(kind, Snapshot { response }, frames);
    }

    /// The place of the open item that `wanted` recognises.
    fn find(&self, wanted: impl Fn(&Kind) -> bool) -> Option<usize> {
        self.resource.output.iter().rposition(|item| item.is_open() && wanted(&item.kind))
    }

    fn open(&mut self, kind: Kind, frames: &mut Frames) -> usize {
        let output_index = self.resource.output.len();
        let item = OutputItem::new(kind);
        let added = ItemEvent { output_index, item: item.object() };
        self.sequence.push("response.output_item.added", added, frames);
        if let Some((event, _)) = item.kind.part_events() {
            let part = item.event(output_index, TextPiece::Part(item.kind.part("")));
            self.sequence.push(event, part, frames);
        }
        self.resource.output.push(item);
        output_index
    }

    fn delta(&mut self, place: usize, text: &str, frames: &mut Frames) {
        let Some(item) = self.resource.output.get_mut(place) else { return };
        item.text.push_str(text);
        let (_, template) = match self.delta.take().filter(|(of, _)| *of == place) {
            Some(known) => self.delta.insert(known),
            None => self.delta.insert((place, delta_template(item, place, frames))),
        };
        self.sequence.push_delta(template, text, frames);
    }

    /// Closes an item. Its events have the same text as its deltas had. Of half a call, in an
    /// answer that was `cut`, no event says that its arguments are done.
    fn close(&mut self, place: usize, status: ItemStatus, cut: bool, frames: &mut Frames) {
        let open = self.resource.output.get(place).filter(|item| item.is_open());
        let Some(item) = open else { return };
        let is_half = cut && item.is_half_call();
        if !is_half && item.lacks_arguments() {
            self.delta(place, "{}", frames);
        } else if !is_half && item.is_custom() {
            self.free_text(place, frames);
        }
        let Some(item) = self.resource.output.get_mut(place) else { return };
        item.status = if is_half { ItemStatus::Incomplete } else { status };
        if !is_half {
            let (_, text_done) = item.kind.text_events();
            self.sequence.push(text_done, item.event(place, item.whole()), frames);
        }
        if let Some((_, part_done)) = item.kind.part_events() {
            let part = item.event(place, TextPiece::Part(item.kind.part(&item.text)));
            self.sequence.push(part_done, part, frames);
        }
        let done = ItemEvent { output_index: place, item: item.object() };
        self.sequence.push("response.output_item.done", done, frames);
    }

    /// What the arguments of a call mean as free text, in one piece: they are JSON, and the text in
    /// them is not known before its end.
    fn free_text(&mut self, place: usize, frames: &mut Frames) {
        let Some(item) = self.resource.output.get_mut(place) else { return };
        let text = free_text(&std::mem::take(&mut item.text));
        if !text.is_empty() {
            self.delta(place, &text, frames);
        }
    }

    fn close_all(&mut self, wanted: impl Fn(&Kind) -> bool, frames: &mut Frames) {
        let open = |items: &[OutputItem]| {
            items.iter().position(|item| item.is_open() && wanted(&item.kind))
        };
        while let Some(place) = open(&self.resource.output) {
            self.close(place, ItemStatus::Completed, false, frames);
        }
    }

    /// Fills in the resource of an answer that came to its end, and keeps the conversation.
    fn end(&mut self, status: Status, finished: &Finished) {
        self.resource.end(status);
        self.resource.used(&finished.usage);
        if let Some(Keep { store, client, mut context }) = self.keep.take() {
            context.extend(self.resource.output.iter().filter_map(OutputItem::entry));
            let record = Record::of(finished, false);
            let object = object_bytes(&ResponseObject { resource: &self.resource, record });
            store.put(client, self.resource.id.clone(), context, object.unwrap_or_default());
        }
    }
}

impl Encoder for ResponseReply {
    fn opening(&mut self, frames: &mut Frames) {
        for kind in ["response.created", "response.in_progress"] {
            self.push_snapshot(kind, Record::default(), frames);
        }
    }

    /// Reasoning is over when the answer begins: clients close the block then.
    fn text(&mut self, text: &str, frames: &mut Frames) {
        self.close_all(|kind| matches!(kind, Kind::Reasoning), frames);
        let place = self.find(|kind| matches!(kind, Kind::Message));
        let place = place.unwrap_or_else(|| self.open(Kind::Message, frames));
        self.delta(place, text, frames);
    }

    fn reasoning(&mut self, text: &str, frames: &mut Frames) {
        let place = self.find(|kind| matches!(kind, Kind::Reasoning));
        let place = place.unwrap_or_else(|| self.open(Kind::Reasoning, frames));
        self.delta(place, text, frames);
    }

    /// Calls stay open until the end, because their deltas may come in turns.
    fn tool_call(&mut self, delta: &ToolCallDelta, frames: &mut Frames) {
        self.close_all(|kind| !matches!(kind, Kind::Call { .. }), frames);
        let known = |kind: &Kind| matches!(kind, Kind::Call { index, .. } if *index == delta.index);
        let place = self.find(known).unwrap_or_else(|| {
            let call_id = call_id(delta.id.clone().unwrap_or_default());
            let function = delta.name.clone().unwrap_or_default();
            let tool = self.tools.behind(&function);
            self.open(Kind::Call { index: delta.index, call_id, function, tool }, frames)
        });
        match self.resource.output.get_mut(place) {
            Some(item) if item.is_custom() => item.text.push_str(&delta.arguments),
            _ if delta.arguments.is_empty() => {}
            _ => self.delta(place, &delta.arguments, frames),
        }
    }

    fn finished(&mut self, finished: &Finished, frames: &mut Frames) -> Result<(), AppError> {
        let status = status(finished.reason);
        let cut = finished.reason == FinishReason::Length;
        let last = self.resource.output.len().saturating_sub(1);
        for place in 0..self.resource.output.len() {
            let own = if place == last { status.of_last_item() } else { ItemStatus::Completed };
            self.close(place, own, cut, frames);
        }
        self.end(status, finished);
        let event = match status {
            Status::Incomplete(_) => "response.incomplete",
            Status::Completed | Status::Failed => "response.completed",
        };
        self.push_snapshot(event, Record::of(finished, self.include_workflow), frames);
        Ok(())
    }

    fn failed(&mut self, error: &AppError, frames: &mut Frames) -> bool {
        let (kind, code) = match error.code() {
            "rate_limit_exceeded" => ("rate_limit_error", "rate_limit_exceeded"),
            "context_length_exceeded" => ("invalid_request_error", "context_length_exceeded"),
            _ => ("server_error", "server_error"),
        };
        let message = error.message();
        self.sequence.push("error", ErrorEvent::new(kind, code, &message), frames);
        self.resource.fail(code, message);
        let record = Record { workflow: error.record(), ..Record::default() };
        self.push_snapshot("response.failed", record, frames);
        true
    }

    fn whole(&mut self, answer: Answer, finished: &Finished) -> Result<Bytes, AppError> {
        let reasoning = Some((Kind::Reasoning, answer.reasoning));
        let message = Some((Kind::Message, answer.text));
        let texts = [reasoning, message].into_iter().flatten().filter(|(_, text)| !text.is_empty());
        let calls = answer.tool_calls.into_iter().zip(0..).map(|(call, index)| {
            let ToolCall { id, name: function, arguments } = call;
            let tool = self.tools.behind(&function);
            (Kind::Call { index, call_id: call_id(id), function, tool }, arguments)
        });
        let cut = finished.reason == FinishReason::Length;
        self.resource.output =
            texts.chain(calls).map(|(kind, text)| OutputItem::closed(kind, text, cut)).collect();
        self.end(status(finished.reason), finished);
        let record = Record::of(finished, self.include_workflow);
        object_bytes(&ResponseObject { resource: &self.resource, record })
    }
}

/// The upstream's id of a call, or one of ours where the schema does not allow it: the call comes
/// back in the client's next request under the id that it was given.
fn call_id(id: String) -> String {
    let fits = (1..=MOST_ID_CHARS).contains(&id.chars().count());
    if fits { id } else { random_id("call_") }
}

fn status(reason: FinishReason) -> Status {
    match reason {
        FinishReason::Stop | FinishReason::StopSequence(_) | FinishReason::ToolCalls => {
            Status::Completed
        }
        FinishReason::Length => Status::Incomplete("max_output_tokens"),
        FinishReason::ContentFilter => Status::Incomplete("content_filter"),
    }
}
