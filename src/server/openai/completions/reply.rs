//! Answers of `POST /v1/completions`: events to the shapes of [`super::wire`].

use std::{cell::OnceCell, sync::Arc};

use bytes::Bytes;
use jiff::Timestamp;

use super::wire::{Choice, Completion};
use crate::{
    llm::ToolCallDelta,
    server::{
        error::AppError,
        frames::{Encoder, FrameTemplate, Frames, Gap, TEXT, object_bytes},
        openai::wire::UsageObject,
        wire::{Microseconds, Record},
    },
    types::{FinishReason, Usage, random_id},
    workflow::{Answer, Finished, Spent, Warning, WorkflowExecutionDetails},
};

/// One answer's form: its id and time are the same on every chunk.
pub(in super::super::super) struct CompletionReply {
    id: String,
    created: Timestamp,
    model: String,
    include_usage: bool,
    include_workflow: bool,
    /// One for each prompt.
    prompts: Vec<PromptState>,
    /// The prompt whose answer is being sent.
    index: usize,
    /// The sum of the answers that have ended.
    usage: Usage,
    /// Likewise.
    spent: Option<Spent>,
}

/// What was sent of the answer to one prompt.
#[derive(Default)]
struct PromptState {
    /// More than white space.
    said: bool,
    called: bool,
    ended: bool,
    /// A plain answer, once it is complete.
    whole: Option<Whole>,
    text: OnceCell<FrameTemplate>,
}

struct Whole {
    text: String,
    finish_reason: &'static str,
    spent: Spent,
    warnings: Vec<Warning>,
    workflow: Option<Arc<WorkflowExecutionDetails>>,
}

impl CompletionReply {
    /// An answer to so many prompts from `model`, the name the client used.
    pub(super) fn new(
        model: String,
        prompts: usize,
        include_usage: bool,
        include_workflow: bool,
    ) -> Self {
        Self {
            id: random_id("cmpl-"),
            created: Timestamp::now(),
            model,
            include_usage,
            include_workflow,
            prompts: std::iter::repeat_with(PromptState::default).take(prompts).collect(),
            index: 0,
            usage: Usage::default(),
            spent: None,
        }
    }

    /// An object; the record of a single run stands at its top, as on every other endpoint. Of
    /// several each choice has its own, and the object that ends them the sum.
    fn object<'a>(
        &'a self,
        choices: &'a mut [Choice<'a>],
        usage: Option<Option<UsageObject>>,
    ) -> Completion<'a> {
        let record = match (self.prompts.len(), &mut *choices) {
            (1, [choice]) => std::mem::take(&mut choice.record),
            _ => Record { chorus: self.sum(), ..Record::default() },
        };
        Completion {
            id: &self.id,
            object: "text_completion",
            created: self.created.as_second(),
            created_at: Microseconds(self.created),
            model: &self.model,
            choices,
            usage,
            record,
        }
    }

    /// What all runs took, once they have ended.
    fn sum(&self) -> Option<&Spent> {
        self.spent.as_ref().filter(|_| self.is_complete())
    }

    /// A chunk of usage alone.
    fn usage_chunk(&self) -> Completion<'_> {
        self.object(&mut [], Some(Some(UsageObject::from(&self.usage))))
    }

    fn choice<'a>(&self, text: &'a str) -> Choice<'a> {
        Choice {
            index: self.index,
            text,
            logprobs: None,
            finish_reason: None,
            record: Record::default(),
        }
    }

    fn push<'a>(&'a self, choice: Choice<'a>, frames: &mut Frames) {
        frames.push(&self.object(&mut [choice], self.no_usage()));
    }

    /// What a chunk of a stream says of usage before its end.
    fn no_usage(&self) -> Option<Option<UsageObject>> {
        self.include_usage.then_some(None)
    }

    fn state(&mut self) -> Option<&mut PromptState> {
        self.prompts.get_mut(self.index)
    }

    /// Notes that the answer is complete.
    ///
    /// # Errors
    /// When it is nothing but calls, of tools that nobody offered: this form cannot send them, and
    /// silence is no answer.
    fn end(&mut self, finished: &Finished) -> Result<(), AppError> {
        if let Some(state) = self.state() {
            if state.called && !state.said {
                return Err(AppError::OnlyToolCalls);
            }
            state.ended = true;
        }
        self.usage += finished.usage;
        let spent = self.spent.map_or(finished.spent, |sum| sum.plus(&finished.spent));
        self.spent = Some(spent);
        Ok(())
    }
}

impl Encoder for CompletionReply {
    fn turn_to(&mut self, run: usize) {
        self.index = run;
    }

    fn is_complete(&self) -> bool {
        self.prompts.iter().all(|state| state.ended)
    }

    fn text(&mut self, text: &str, frames: &mut Frames) {
        if let Some(state) = self.state() {
            state.said |= !text.trim().is_empty();
        }
        let Some(state) = self.prompts.get(self.index) else { return };
        let template = state.text.get_or_init(|| {
            let choices = &mut [self.choice(TEXT)];
            frames.template(&self.object(choices, self.no_usage()), &[Gap::Text(TEXT)])
        });
        frames.push_filled(template, &[Gap::Text(text)]);
    }

    fn reasoning(&mut self, _text: &str, _frames: &mut Frames) {}

    fn tool_call(&mut self, _delta: &ToolCallDelta, _frames: &mut Frames) {
        if let Some(state) = self.state() {
            state.called = true;
        }
    }

    fn finished(&mut self, finished: &Finished, frames: &mut Frames) -> Result<(), AppError> {
        self.end(finished)?;
        let last = Choice {
            finish_reason: Some(finish_reason(finished.reason)),
            record: Record::of(finished, self.include_workflow),
            ..self.choice("")
        };
        self.push(last, frames);
        if self.include_usage && self.is_complete() {
            frames.push(&self.usage_chunk());
        }
        Ok(())
    }

    /// The choices so far: the last of them makes the answer whole.
    fn whole(&mut self, answer: Answer, finished: &Finished) -> Result<Bytes, AppError> {
        let workflow = self.include_workflow.then(|| Arc::clone(&finished.trace));
        if let Some(state) = self.state() {
            state.said = !answer.text.trim().is_empty();
            state.called = !answer.tool_calls.is_empty();
            state.whole = Some(Whole {
                text: answer.text,
                finish_reason: finish_reason(finished.reason),
                spent: finished.spent,
                warnings: finished.trace.warnings.clone(),
                workflow,
            });
        }
        self.end(finished)?;
        let whole = self.prompts.iter().zip(0..).filter_map(|(state, index)| {
            let Whole { text, finish_reason, spent, warnings, workflow } = state.whole.as_ref()?;
            let record = Record { chorus: Some(spent), warnings, workflow: workflow.as_deref() };
            Some(Choice { index, text, logprobs: None, finish_reason: Some(finish_reason), record })
        });
        let mut choices: Vec<Choice<'_>> = whole.collect();
        object_bytes(&self.object(&mut choices, Some(Some(UsageObject::from(&self.usage)))))
    }
}

fn finish_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::ToolCalls => FinishReason::Stop.as_str(),
        reason => reason.as_str(),
    }
}

#[cfg(test)]
mod tests;
