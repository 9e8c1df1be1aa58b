//! Answers of `POST /v1/responses` (the Open Responses specification): typed events with a
//! running number, and the resource that the last of them (or the plain answer) is.

#[cfg(test)]
#[path = "../../../tests/it/support/typed_events.rs"]
mod checker;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    super::{
        dialect::Dialect,
        error::AppError,
        frames::{Encoder, Frames},
        openai::random_id,
    },
    input::Entry,
    item::{Kind, OutputItem},
    resource::{Resource, Status},
    store::{Client, Store},
};
use crate::{
    llm::ToolCallDelta,
    types::{FinishReason, ToolCall},
    workflow::{Answer, Finished},
};

/// Where a finished response's conversation goes.
pub(super) struct Keep {
    pub(super) store: Arc<Store>,
    pub(super) client: Client,
    /// The conversation so far.
    pub(super) context: Vec<Entry>,
}

/// One response's form.
pub(in super::super) struct ResponseReply {
    id: String,
    resource: Resource,
    /// `None` for a response that cannot be continued.
    keep: Option<Keep>,
    include_workflow: bool,
    /// The number of the next event.
    sequence: u64,
    items: Vec<OutputItem>,
}

impl ResponseReply {
    /// An answer from `model`, the name the client used.
    pub(super) fn new(
        model: &str,
        mut resource: Resource,
        keep: Option<Keep>,
        include_workflow: bool,
    ) -> Self {
        let id = random_id("resp_");
        resource.begin(&id, model, Timestamp::now());
        Self { id, resource, keep, include_workflow, sequence: 0, items: Vec::new() }
    }

    /// Pushes an event; its number and type come first.
    fn event(&mut self, kind: &'static str, payload: Value, frames: &mut Frames) {
        let mut event = Map::new();
        event.insert("type".to_owned(), kind.into());
        event.insert("sequence_number".to_owned(), self.sequence.into());
        if let Value::Object(payload) = payload {
            event.extend(payload);
        }
        self.sequence += 1;
        frames.push_event(kind, &Value::Object(event));
    }

    /// The place of the open item that `wanted` recognises.
    fn find(&self, wanted: impl Fn(&Kind) -> bool) -> Option<usize> {
        self.items.iter().rposition(|item| item.open && wanted(&item.kind))
    }

    fn open(&mut self, kind: Kind, frames: &mut Frames) -> usize {
        let place = self.items.len();
        let item = OutputItem::new(kind);
        let added = json!({"output_index": place, "item": item.told("in_progress")});
        self.event("response.output_item.added", added, frames);
        if let Some((event, _)) = item.kind.part_events() {
            let part = item.part(place, "part", item.kind.told_part(""));
            self.event(event, part, frames);
        }
        self.items.push(item);
        place
    }

    fn delta(&mut self, place: usize, text: &str, frames: &mut Frames) {
        let Some(item) = self.items.get_mut(place) else { return };
        item.text.push_str(text);
        let (event, _) = item.kind.text_events();
        let payload = item.part(place, "delta", text.into());
        self.event(event, payload, frames);
    }

    /// Closes an item. Its events tell the same text as its deltas did.
    fn close(&mut self, place: usize, status: &'static str, frames: &mut Frames) {
        let Some(item) = self.items.get(place).filter(|item| item.open) else { return };
        if item.lacks_arguments() {
            self.delta(place, "{}", frames);
        }
        let Some(item) = self.items.get_mut(place) else { return };
        item.open = false;
        let (_, text_done) = item.kind.text_events();
        let text = item.part(place, item.kind.text_name(), item.text.as_str().into());
        let part_done = item
            .kind
            .part_events()
            .map(|(_, done)| (done, item.part(place, "part", item.kind.told_part(&item.text))));
        let done = json!({"output_index": place, "item": item.told(status)});
        self.event(text_done, text, frames);
        if let Some((event, part)) = part_done {
            self.event(event, part, frames);
        }
        self.event("response.output_item.done", done, frames);
    }

    fn close_all(&mut self, wanted: impl Fn(&Kind) -> bool, frames: &mut Frames) {
        while let Some(place) = self.items.iter().position(|item| item.open && wanted(&item.kind)) {
            self.close(place, "completed", frames);
        }
    }

    /// The output, whose last item stands as the response does.
    fn output(&self, status: Status) -> Vec<Value> {
        let last = self.items.len().saturating_sub(1);
        let told = self.items.iter().enumerate().map(|(place, item)| {
            let cut = place == last || item.open;
            item.told(if cut { last_item_status(status) } else { "completed" })
        });
        told.collect()
    }

    /// Fills in the resource of an answer that came to its end, and keeps the conversation.
    fn end(&mut self, status: Status, finished: &Finished) {
        self.resource.end(status, self.output(status));
        self.resource.used(&finished.usage);
        if !finished.trace.warnings.is_empty() {
            self.resource.set("warnings", json!(finished.trace.warnings));
        }
        if self.include_workflow {
            let trace = serde_json::to_value(&finished.trace).unwrap_or_default();
            self.resource.set("workflow", trace);
        }
        if let Some(Keep { store, client, mut context }) = self.keep.take() {
            context.extend(self.items.iter().filter_map(OutputItem::entry));
            store.put(client, self.id.clone(), context);
        }
    }
}

impl Encoder for ResponseReply {
    fn opening(&mut self, frames: &mut Frames) {
        for kind in ["response.created", "response.in_progress"] {
            let response = json!({"response": self.resource.told()});
            self.event(kind, response, frames);
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
            let call_id = delta.id.clone().unwrap_or_else(|| random_id("call_"));
            let name = delta.name.clone().unwrap_or_default();
            self.open(Kind::Call { index: delta.index, call_id, name }, frames)
        });
        if !delta.arguments.is_empty() {
            self.delta(place, &delta.arguments, frames);
        }
    }

    fn finished(&mut self, finished: &Finished, frames: &mut Frames) -> Result<(), AppError> {
        let status = status(finished.reason);
        let last = self.items.len().saturating_sub(1);
        for place in 0..self.items.len() {
            let own = if place == last { last_item_status(status) } else { "completed" };
            self.close(place, own, frames);
        }
        self.end(status, finished);
        let event = match status {
            Status::Incomplete(_) => "response.incomplete",
            _ => "response.completed",
        };
        let response = json!({"response": self.resource.told()});
        self.event(event, response, frames);
        Ok(())
    }

    /// One shape for every parser: flat as OpenAI's, nested as Open Responses wants it.
    fn failed(&mut self, error: &AppError, frames: &mut Frames) -> bool {
        let (kind, code) = match error.code() {
            "rate_limit_exceeded" => ("rate_limit_error", "rate_limit_exceeded"),
            _ => ("server_error", "server_error"),
        };
        let message = error.to_string();
        let told = json!({"code": code, "message": message, "param": null, "error": {
            "type": kind, "code": code, "message": message, "param": null
        }});
        self.event("error", told, frames);
        self.resource.end(Status::Failed, self.output(Status::Failed));
        self.resource.set("error", json!({"code": code, "message": message}));
        if let Some(trace) = error.body(Dialect::OpenAi).remove("workflow") {
            self.resource.set("workflow", trace);
        }
        let response = json!({"response": self.resource.told()});
        self.event("response.failed", response, frames);
        true
    }

    fn heartbeat(&self) -> Value {
        // SSE has comments; this form has no other framing.
        Value::Null
    }

    fn whole(&mut self, answer: Answer, finished: &Finished) -> Result<Value, AppError> {
        let reasoning = Some((Kind::Reasoning, answer.reasoning));
        let message = Some((Kind::Message, answer.text));
        let texts = [reasoning, message].into_iter().flatten().filter(|(_, text)| !text.is_empty());
        let calls = answer.tool_calls.into_iter().zip(0..).map(|(call, index)| {
            let ToolCall { id, name, arguments } = call;
            (Kind::Call { index, call_id: id, name }, arguments)
        });
        self.items =
            texts.chain(calls).map(|(kind, text)| OutputItem::closed(kind, text)).collect();
        self.end(status(finished.reason), finished);
        Ok(self.resource.told())
    }
}

fn status(reason: FinishReason) -> Status {
    match reason {
        FinishReason::Stop | FinishReason::ToolCalls => Status::Completed,
        FinishReason::Length => Status::Incomplete("max_output_tokens"),
        FinishReason::ContentFilter => Status::Incomplete("content_filter"),
    }
}

/// Only the last item can be the one that was cut.
fn last_item_status(status: Status) -> &'static str {
    match status {
        Status::Completed => "completed",
        Status::Incomplete(_) | Status::Failed => "incomplete",
    }
}
