//! Answers of `POST /api/generate` and `POST /api/chat`: events to the shapes of [`super::wire`].

use std::cell::OnceCell;

use bytes::Bytes;
use serde::Serialize;

use super::{
    super::{
        dialect::Dialect,
        error::AppError,
        frames::{Encoder, FrameTemplate, Frames, Gap, TEXT, object_bytes},
        wire::Microseconds,
    },
    wire::{AnswerMessage, CallObject, ChatResponse, Ending, GenerateResponse},
};
use crate::{
    llm::ToolCallDelta,
    types::FinishReason,
    workflow::{Answer, Finished},
};

/// The field that holds an object's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `response`.
    Generate,
    /// `message.content`.
    Chat,
    /// `message.content`, and `response` too.
    ScriptChat,
}

impl Form {
    /// The form of `/api/chat`.
    pub(super) fn chat(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Script => Self::ScriptChat,
            Dialect::Ollama | Dialect::OpenAi | Dialect::Anthropic | Dialect::Gemini { .. } => {
                Self::Chat
            }
        }
    }
}

/// One answer's form.
#[derive(Debug)]
pub(in super::super) struct OllamaReply {
    form: Form,
    model: String,
    include_workflow: bool,
    /// Collects tool calls, which go out whole. Text and reasoning are not kept.
    calls: Answer,
    /// More than white space of the answer was sent.
    said: bool,
    text: OnceCell<FrameTemplate>,
    thinking: OnceCell<FrameTemplate>,
}

/// What an object says beside model and time.
#[derive(Default)]
struct Said<'a> {
    text: &'a str,
    thinking: &'a str,
    tool_calls: &'a [CallObject<'a>],
    /// What only the last object has.
    ending: Option<Ending<'a>>,
}

/// An object in the form of its endpoint.
#[derive(Serialize)]
#[serde(untagged)]
enum Object<'a> {
    Generate(GenerateResponse<'a>),
    Chat(ChatResponse<'a>),
}

impl OllamaReply {
    /// An answer from `model`, the name the client used.
    pub(super) fn new(form: Form, model: String, include_workflow: bool) -> Self {
        Self {
            form,
            model,
            include_workflow,
            calls: Answer::default(),
            said: false,
            text: OnceCell::new(),
            thinking: OnceCell::new(),
        }
    }

    /// The answer to a request that asks nothing.
    ///
    /// # Errors
    /// See [`object_bytes`].
    pub(super) fn loaded(&self, unloads: bool) -> Result<Bytes, AppError> {
        let ending = Some(Ending::loaded(unloads));
        object_bytes(&self.object(Said { ending, ..Said::default() }))
    }

    fn object<'a>(&'a self, said: Said<'a>) -> Object<'a> {
        self.object_at(Microseconds::now(), said)
    }

    fn object_at<'a>(&'a self, created_at: Microseconds, said: Said<'a>) -> Object<'a> {
        let Said { text, thinking, tool_calls, ending } = said;
        let model = &self.model;
        let thinking = (!thinking.is_empty()).then_some(thinking);
        let done = ending.is_some();
        if self.form == Form::Generate {
            let response = text;
            let object = GenerateResponse { model, created_at, response, thinking, done, ending };
            return Object::Generate(object);
        }
        let response = (self.form == Form::ScriptChat).then_some(text);
        let message = AnswerMessage { role: "assistant", content: text, thinking, tool_calls };
        Object::Chat(ChatResponse { model, created_at, response, message, done, ending })
    }

    fn push(&self, said: Said<'_>, frames: &mut Frames) {
        frames.push(&self.object(said));
    }

    /// A template of an object that has the same text `texts` times.
    fn template(&self, said: Said<'_>, texts: usize, frames: &Frames) -> FrameTemplate {
        let texts = std::iter::repeat_n(Gap::Text(TEXT), texts);
        let marks: Vec<Gap<'_>> =
            std::iter::once(Gap::Time(Microseconds::MARK)).chain(texts).collect();
        frames.template(&self.object_at(Microseconds::MARK, said), &marks)
    }

    fn ending<'a>(&self, finished: &'a Finished) -> Option<Ending<'a>> {
        let generates = self.form == Form::Generate;
        Some(Ending::of(finished, generates, self.include_workflow))
    }

    /// The calls of an answer, which only a chat can send.
    ///
    /// # Errors
    /// When one of them cannot be sent, or when an answer to `/api/generate` is nothing but calls,
    /// of tools that nobody offered: silence is no answer.
    fn tellable<'a>(
        &self,
        answer: &'a Answer,
        said: bool,
        reason: FinishReason,
    ) -> Result<Vec<CallObject<'a>>, AppError> {
        match self.form {
            Form::Chat | Form::ScriptChat => {
                CallObject::all(answer.whole_calls(reason).map(|(_, call)| call))
            }
            Form::Generate if said || answer.tool_calls.is_empty() => Ok(Vec::new()),
            Form::Generate => Err(AppError::OnlyToolCalls),
        }
    }
}

impl Encoder for OllamaReply {
    fn text(&mut self, text: &str, frames: &mut Frames) {
        self.said |= !text.trim().is_empty();
        let template = self.text.get_or_init(|| {
            let texts = if self.form == Form::ScriptChat { 2 } else { 1 };
            self.template(Said { text: TEXT, ..Said::default() }, texts, frames)
        });
        let text = Gap::Text(text);
        frames.push_filled(template, &[Gap::Time(Microseconds::now()), text, text]);
    }

    fn reasoning(&mut self, text: &str, frames: &mut Frames) {
        let template = self
            .thinking
            .get_or_init(|| self.template(Said { thinking: TEXT, ..Said::default() }, 1, frames));
        frames.push_filled(template, &[Gap::Time(Microseconds::now()), Gap::Text(text)]);
    }

    /// Arguments are an object here, so a call can only be sent once it is complete.
    fn tool_call(&mut self, delta: &ToolCallDelta, _frames: &mut Frames) {
        self.calls.push_call(delta);
    }

    fn finished(&mut self, finished: &Finished, frames: &mut Frames) -> Result<(), AppError> {
        let tool_calls = self.tellable(&self.calls, self.said, finished.reason)?;
        if !tool_calls.is_empty() {
            self.push(Said { tool_calls: &tool_calls, ..Said::default() }, frames);
        }
        self.push(Said { ending: self.ending(finished), ..Said::default() }, frames);
        Ok(())
    }

    fn heartbeat(&self, frames: &mut Frames) {
        self.push(Said::default(), frames);
    }

    fn whole(&mut self, answer: Answer, finished: &Finished) -> Result<Bytes, AppError> {
        let said = !answer.text.trim().is_empty();
        let tool_calls = self.tellable(&answer, said, finished.reason)?;
        object_bytes(&self.object(Said {
            text: &answer.text,
            thinking: &answer.reasoning,
            tool_calls: &tool_calls,
            ending: self.ending(finished),
        }))
    }
}

#[cfg(test)]
mod tests;
