//! One model call as the engine sees it: what it is asked, and its output folded.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;

use super::recorder::Tracker;
use crate::{
    config::{LimitKind, Stage},
    llm::{
        Call, CallEvent, CallStream, Completion, Conversation, Delta, Limit, LlmError,
        LlmErrorKind, Model, Purpose, split_folded,
    },
    types::{Effort, FinishReason, Message, OutputFormat, Prompt, Protocol, Sampling},
    workflow::{StageKind, context::RunContext},
};

/// An output may be this large; a model that floods is cut off there.
pub(super) const MAX_OUTPUT_BYTES: usize = 8 * 1024 * 1024;

/// A whole output.
#[derive(Clone, Debug)]
pub(in crate::workflow) struct Reply {
    pub(in crate::workflow) text: String,
    pub(in crate::workflow) completion: Completion,
}

/// Makes a call and folds its text, as [`listen`] does.
pub(super) async fn fold(
    model: &Arc<Model>,
    call: Call,
    tracker: &Tracker,
    rest: &mut Vec<CallStream>,
) -> Result<Reply, LlmError> {
    listen(model, tracker.call(model, call), tracker, rest).await
}

/// Folds the text of a call. Its stream is given back through `rest`: it has to be polled to its
/// end, so that the upstream's connection is read to its end and kept.
pub(super) async fn listen(
    model: &Model,
    stream: CallStream,
    tracker: &Tracker,
    rest: &mut Vec<CallStream>,
) -> Result<Reply, LlmError> {
    listen_into(&mut String::new(), model, stream, tracker, rest, UncalledFor::Nothing).await
}

/// What a call of a tool counts as that a stage was not to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UncalledFor {
    /// No output.
    Nothing,
    /// What the model would do, said in words behind whatever else it says.
    Words,
    /// The same, but nothing where it says nothing else.
    Beside,
}

/// The same, leaving what was heard in `text` when it fails.
pub(super) async fn listen_into(
    text: &mut String,
    model: &Model,
    mut stream: CallStream,
    tracker: &Tracker,
    rest: &mut Vec<CallStream>,
    uncalled_for: UncalledFor,
) -> Result<Reply, LlmError> {
    let mut calls = String::new();
    while let Some(item) = tracker.next(&mut stream).await {
        match item? {
            CallEvent::Delta(Delta::Text(piece)) if text.len() + piece.len() > MAX_OUTPUT_BYTES => {
                return Err(too_large(model));
            }
            CallEvent::Delta(Delta::Text(piece)) => {
                tracker.stage.run.keep(piece.len()).map_err(|_| no_memory(model))?;
                text.push_str(&piece);
            }
            CallEvent::Finished(completion) => {
                rest.push(stream);
                if completion.reason == FinishReason::ContentFilter {
                    let what = "the upstream withheld the answer";
                    return Err(error(model, LlmErrorKind::ContentFilter, what));
                }
                // No stage is shown another one's thoughts.
                let mut text = without_thoughts(std::mem::take(text));
                let is_empty = text.trim().is_empty();
                if uncalled_for == UncalledFor::Words
                    || (uncalled_for == UncalledFor::Beside && !is_empty)
                {
                    text.push_str(&calls);
                }
                if text.trim().is_empty() {
                    return Err(error(model, LlmErrorKind::Empty, "it answered without any text"));
                }
                // Of a folded output only the text counts, so no tool waits for anybody.
                let reason = plain(completion.reason);
                return Ok(Reply { text, completion: Completion { reason, ..completion } });
            }
            CallEvent::Delta(Delta::ToolCall(call)) => {
                if calls.len() + call.name.as_ref().map_or(0, String::len) + call.arguments.len()
                    > MAX_OUTPUT_BYTES
                {
                    return Err(too_large(model));
                }
                if let Some(name) = &call.name {
                    calls.push_str(&format!("\nThe tool {name} should be called with "));
                }
                calls.push_str(&call.arguments);
            }
            // What an attempt said that was broken off is taken back.
            CallEvent::Started { .. } => {
                text.clear();
                calls.clear();
            }
            CallEvent::Attempt(_) | CallEvent::Waiting { .. } | CallEvent::Delta(_) => {}
        }
    }
    Err(ended_early(model))
}

/// A whole text without the thoughts before a closing tag whose opening one stood in the prompt.
pub(super) fn without_thoughts(text: String) -> String {
    split_folded(&text).map_or(text, |(_, answer)| answer)
}

/// How a text ended whose tool calls, if any, were left out.
pub(super) fn plain(reason: FinishReason) -> FinishReason {
    match reason {
        FinishReason::ToolCalls => FinishReason::Stop,
        FinishReason::Stop
        | FinishReason::StopSequence(_)
        | FinishReason::Length
        | FinishReason::ContentFilter => reason,
    }
}

/// The output reached [`MAX_OUTPUT_BYTES`].
pub(super) fn too_large(model: &Model) -> LlmError {
    error(model, LlmErrorKind::Garbled, "the answer is larger than 8 MiB")
}

/// `[limits] memory` is used up.
pub(super) fn no_memory(model: &Model) -> LlmError {
    let what = "the requests and answers in flight take all the memory there may be";
    error(model, LlmErrorKind::OutOfResources, what)
}

/// Polls finished calls to their end.
pub(in crate::workflow) async fn drain(mut rest: Vec<CallStream>) {
    // As a rule it is one, and no set of them is needed.
    if let [one] = rest.as_mut_slice() {
        while one.next().await.is_some() {}
        return;
    }
    futures::stream::select_all(rest).for_each(|_| std::future::ready(())).await;
}

/// A stream that ended without saying how.
pub(super) fn ended_early(model: &Model) -> LlmError {
    error(model, LlmErrorKind::Truncated, "the call ended without an answer")
}

/// An error of the engine's own about a model.
pub(super) fn error(model: &Model, kind: LlmErrorKind, message: &str) -> LlmError {
    LlmError {
        kind,
        model: model.config().name.clone(),
        endpoint: None,
        message: message.to_owned(),
    }
}

impl RunContext {
    /// The models of a stage in the order they are tried.
    pub(in crate::workflow) fn models(&self, stage: &Stage) -> Vec<Arc<Model>> {
        // The config was checked: every name exists.
        std::iter::once(&stage.model)
            .chain(&stage.fallback)
            .filter_map(|name| self.engine.llm.model(name).map(Arc::clone))
            .collect()
    }

    /// How many tokens a model's context has in this run: where the request says how many the
    /// upstream may use, as many as the request asks for, if that is more.
    pub(super) fn context_tokens(&self, model: &Model) -> u32 {
        let own = model.context_tokens();
        match model.config().protocol {
            Protocol::Ollama => own.max(self.context_wanted.unwrap_or(0)),
            Protocol::OpenAi | Protocol::Anthropic | Protocol::Gemini => own,
        }
    }

    /// A stage's time limit for a model.
    pub(in crate::workflow) fn limit(
        &self,
        kind: LimitKind,
        model: &Model,
        stage: &Stage,
    ) -> Duration {
        self.engine.config.timeouts.of_model(kind, model.config(), stage.timeout)
    }

    /// A call of the run.
    pub(super) fn call(
        &self,
        stage: StageKind,
        messages: Conversation,
        prompt: Prompt,
        limit: Limit,
    ) -> Call {
        // One key for all would send calls to one place that have nothing in common.
        let session = self.request.session.as_ref();
        let key = |_| format!("chorus-{:016x}-{}", self.affinity, stage.as_str()).into();
        Call {
            cache_key: session.map(key),
            context_tokens: self.context_wanted,
            hops: self.request.hops,
            affinity: Some(self.affinity),
            conversation: Some(self.conversation_number),
            purpose: Purpose { origin: Some(self.conversation.clone()), ..Purpose::default() },
            ..Call::new(messages, prompt, limit)
        }
    }

    /// A question of the engine's own (analyzer, reranker, selector): steady, without
    /// reasoning. It is asked as a stream, so that the upstream stops when nobody waits any more, and
    /// read whole, so that it can be tried again however far it came.
    pub(super) fn question(
        &self,
        stage: StageKind,
        messages: Vec<Message>,
        temperature: f32,
        max_tokens: u32,
        format: OutputFormat,
        limit: Duration,
    ) -> Call {
        let prompt = Prompt {
            sampling: Sampling { temperature: Some(temperature), ..Sampling::default() },
            max_tokens: Some(max_tokens),
            format,
            effort: Some(Effort::None),
            ..Prompt::default()
        };
        let mut call = self.call(stage, messages.into(), prompt, Limit::Total(limit));
        call.purpose.retractable = true;
        call
    }
}
