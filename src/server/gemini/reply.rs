//! Answers of `:generateContent` and `:streamGenerateContent`: events to the shapes of
//! [`super::wire`].

#[cfg(test)]
mod tests;

use std::cell::OnceCell;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::wire::{Candidate, Content, FunctionCall, GenerateResponse, Part, UsageMetadata};
use crate::{
    llm::{Delta, StatePiece, ToolCallDelta},
    server::{
        error::AppError,
        frames::{Encoder, FrameTemplate, Frames, Gap, TEXT, object_bytes},
        wire::Record,
    },
    types::{FinishReason, random_id},
    workflow::{Answer, Finished},
};

/// One answer's form.
#[derive(Debug)]
pub(in super::super) struct GenerateReply {
    id: String,
    model: String,
    include_workflow: bool,
    /// Calls and signatures, which are sent whole.
    gathered: Answer,
    text: OnceCell<FrameTemplate>,
    thought: OnceCell<FrameTemplate>,
}

impl GenerateReply {
    /// An answer from `model`, the name the client used.
    pub(super) fn new(model: String, include_workflow: bool) -> Self {
        Self {
            id: random_id(""),
            model,
            include_workflow,
            gathered: Answer::default(),
            text: OnceCell::new(),
            thought: OnceCell::new(),
        }
    }

    fn object<'a>(&'a self, candidate: Option<Candidate<'a>>) -> GenerateResponse<'a> {
        GenerateResponse {
            model_version: &self.model,
            response_id: &self.id,
            candidates: candidate.map(|one| [one]),
            usage_metadata: None,
            record: Record::default(),
        }
    }

    fn template(&self, part: Part<'_>, frames: &Frames) -> FrameTemplate {
        frames.template(&self.object(Some(candidate(vec![part], None))), &[Gap::Text(TEXT)])
    }

    /// The object that ends an answer with these parts.
    fn last<'a>(&'a self, parts: Vec<Part<'a>>, finished: &'a Finished) -> GenerateResponse<'a> {
        GenerateResponse {
            usage_metadata: Some(UsageMetadata::from(&finished.usage)),
            record: Record::of(finished, self.include_workflow),
            ..self.object(Some(candidate(parts, Some(finish_reason(finished.reason)))))
        }
    }
}

fn candidate<'a>(parts: Vec<Part<'a>>, finish_reason: Option<&'static str>) -> Candidate<'a> {
    Candidate { content: Content { parts, role: "model" }, finish_reason, index: 0 }
}

fn text_part(text: &str, thought: bool) -> Part<'_> {
    Part { text: Some(text), thought: thought.then_some(true), ..Part::default() }
}

/// The calls of an answer, and an empty text that carries the signature of what was said.
fn gathered_parts(answer: &Answer, reason: FinishReason) -> Result<Vec<Part<'_>>, AppError> {
    let said = signature(&answer.state.fields)
        .map(|signature| Part { thought_signature: Some(signature), ..text_part("", false) });
    let calls = answer.whole_calls(reason).map(|(number, call)| {
        let unusable = || AppError::UnusableToolCall { tool: call.name.clone() };
        let args = match call.arguments.trim() {
            "" => Map::new(),
            arguments => serde_json::from_str(arguments).map_err(|_| unusable())?,
        };
        Ok(Part {
            function_call: Some(FunctionCall { id: &call.id, name: &call.name, args }),
            thought_signature: answer.state.calls.get(&number).and_then(signature),
            ..Part::default()
        })
    });
    said.into_iter().map(Ok).chain(calls).collect()
}

/// Gemini's signature in the form in which it is passed on.
fn signature(fields: &Map<String, Value>) -> Option<&str> {
    fields.get("extra_content")?.get("google")?.get("thought_signature")?.as_str()
}

fn finish_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop | FinishReason::StopSequence(_) | FinishReason::ToolCalls => "STOP",
        FinishReason::Length => "MAX_TOKENS",
        FinishReason::ContentFilter => "SAFETY",
    }
}

impl Encoder for GenerateReply {
    fn text(&mut self, text: &str, frames: &mut Frames) {
        let template = self.text.get_or_init(|| self.template(text_part(TEXT, false), frames));
        frames.push_filled(template, &[Gap::Text(text)]);
    }

    fn reasoning(&mut self, text: &str, frames: &mut Frames) {
        let template = self.thought.get_or_init(|| self.template(text_part(TEXT, true), frames));
        frames.push_filled(template, &[Gap::Text(text)]);
    }

    /// Arguments are an object here, so a call can only be sent once it is complete.
    fn tool_call(&mut self, delta: &ToolCallDelta, _frames: &mut Frames) {
        self.gathered.push_call(delta);
    }

    fn state(&mut self, piece: &StatePiece, _frames: &mut Frames) {
        self.gathered.push(&Delta::State(piece.clone()));
    }

    fn finished(&mut self, finished: &Finished, frames: &mut Frames) -> Result<(), AppError> {
        let mut parts = gathered_parts(&self.gathered, finished.reason)?;
        if parts.is_empty() {
            // Some look for a text in every piece.
            parts.push(text_part("", false));
        }
        frames.push(&self.last(parts, finished));
        Ok(())
    }

    fn heartbeat(&self, frames: &mut Frames) {
        frames.push(&self.object(None));
    }

    fn whole(&mut self, answer: Answer, finished: &Finished) -> Result<Bytes, AppError> {
        let texts = [(&answer.reasoning, true), (&answer.text, false)];
        let texts = texts.into_iter().filter(|(text, _)| !text.is_empty());
        let mut parts: Vec<Part<'_>> =
            texts.map(|(text, thought)| text_part(text, thought)).collect();
        let mut gathered = gathered_parts(&answer, finished.reason)?;
        // The signature of what was said stands on it.
        if let Some(said) = parts.last_mut().filter(|said| said.thought.is_none())
            && gathered.first().is_some_and(|first| first.text == Some(""))
        {
            said.thought_signature = gathered.remove(0).thought_signature;
        }
        parts.append(&mut gathered);
        object_bytes(&self.last(parts, finished))
    }
}
