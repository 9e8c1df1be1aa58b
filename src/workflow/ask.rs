//! One model call as the engine sees it: its record for the trace, and its output folded.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use tokio::time::Instant;

use super::{
    context::{Cost, RunContext, failure_status},
    excerpt,
    temperature::Chosen,
    trace::{AttemptRecord, CallRecord, ErrorRecord, StageStatus, UsageRecord, millis},
};
use crate::{
    config::{Endpoint, LimitKind, Stage},
    llm::{Call, CallEvent, CallStream, Completion, Delta, Limit, LlmError, LlmErrorKind, Model},
    types::{Effort, FinishReason, Message, OutputFormat, Sampling, Usage},
};

/// An output may be this large; a model that floods is cut off there.
pub(super) const MAX_OUTPUT_BYTES: usize = 8 * 1024 * 1024;

/// Fills a [`CallRecord`] while calls are made for a stage.
pub(super) struct Tracker {
    run: Arc<RunContext>,
    record: CallRecord,
    began: Instant,
    usage: Usage,
    /// What calls cost whose answers nobody waited for, estimated.
    lost: Usage,
    cost: Cost,
}

impl Tracker {
    pub(super) fn begin(run: &Arc<RunContext>) -> Self {
        let record = CallRecord { started_ms: run.elapsed_ms(), ..CallRecord::default() };
        Self {
            run: Arc::clone(run),
            record,
            began: Instant::now(),
            usage: Usage::default(),
            lost: Usage::default(),
            cost: Cost::default(),
        }
    }

    /// A (further) model is asked.
    pub(super) fn asks(&mut self, model: &Model, chosen: Option<Chosen>) {
        if self.record.model != model.config().name {
            self.record.model.clone_from(&model.config().name);
            self.record.first_token_ms = None;
        }
        self.record.temperature = chosen.map(|chosen| chosen.value);
        self.record.temperature_source = chosen.map(|chosen| chosen.source);
    }

    /// Notes what the call tells of itself.
    pub(super) fn note(&mut self, event: &CallEvent, model: &Model) {
        match event {
            CallEvent::Started { queued, .. } => {
                self.record.queued_ms += millis(*queued);
                self.run.watch.attempt_began();
            }
            CallEvent::Attempt(attempt) => {
                self.record.attempts += 1;
                self.record.temperature = attempt.temperature;
                if attempt.temperature.is_none() {
                    self.record.temperature_source = None;
                }
                self.record.calls.push(AttemptRecord::from(attempt));
            }
            CallEvent::Delta(Delta::Reasoning(_)) => {}
            CallEvent::Delta(Delta::Text(_) | Delta::ToolCall(_)) => {
                if self.record.first_token_ms.is_none() {
                    self.record.first_token_ms = Some(millis(self.began.elapsed()));
                }
            }
            CallEvent::Finished(Completion { reason, usage }) => {
                let price = model.config().price;
                self.usage += *usage;
                self.cost.add(Cost::of(usage, price));
                self.run.spend(usage, price);
                self.record.finish_reason = Some(reason.as_str());
            }
        }
    }

    /// A second call is made, because the first one is late.
    pub(super) fn hedges(&mut self) {
        self.record.hedged = true;
    }

    /// Notes what the second call tells of itself before anybody speaks: the record is still about
    /// the first one.
    pub(super) fn note_second(&mut self, event: &CallEvent) {
        match event {
            CallEvent::Started { .. } => self.run.watch.attempt_began(),
            CallEvent::Attempt(attempt) => {
                self.record.attempts += 1;
                self.record.calls.push(AttemptRecord::from(attempt));
            }
            CallEvent::Delta(_) | CallEvent::Finished(_) => {}
        }
    }

    /// Notes a call that was hung up on, because the other one spoke first. Its prompt was read, or
    /// is being read, and is paid for.
    pub(super) fn outrun(
        &mut self,
        model: &Model,
        prompt: &[Message],
        endpoint: usize,
        took: Duration,
    ) {
        let (config, usage) = (model.config(), prompt_usage(prompt));
        let name = config.endpoints.get(endpoint).map(Endpoint::authority);
        self.record.attempts += 1;
        self.record.calls.push(AttemptRecord {
            endpoint: name.unwrap_or_default(),
            outcome: "cancelled",
            ms: millis(took),
        });
        self.lost += usage;
        self.cost.add(Cost::of(&usage, config.price));
        self.run.spend(&usage, config.price);
    }

    /// How long the calls waited for permits so far.
    pub(super) fn queued(&self) -> Duration {
        Duration::from_millis(self.record.queued_ms)
    }

    /// What the calls that were answered cost so far.
    pub(super) fn usage(&self) -> Usage {
        self.usage
    }

    /// The record of a stage that did its work.
    pub(super) fn ok(self) -> CallRecord {
        self.end(StageStatus::Ok, None)
    }

    /// The record of one that did not.
    pub(super) fn failed(self, error: &LlmError) -> CallRecord {
        let status = match error.kind {
            LlmErrorKind::UnsupportedInput => StageStatus::Skipped,
            kind => failure_status(kind == LlmErrorKind::Timeout),
        };
        self.end(status, Some(ErrorRecord::from(error)))
    }

    pub(super) fn end(self, status: StageStatus, error: Option<ErrorRecord>) -> CallRecord {
        let mut usage = self.usage;
        usage += self.lost;
        CallRecord {
            status,
            success: status == StageStatus::Ok,
            error,
            duration_ms: millis(self.began.elapsed()),
            usage: UsageRecord::new(&usage, self.cost.known()),
            ..self.record
        }
    }
}

/// A whole output.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) text: String,
    pub(super) completion: Completion,
}

/// Makes a call and folds its text, as [`listen`] does.
pub(super) async fn fold(
    model: &Arc<Model>,
    call: Call,
    tracker: &mut Tracker,
    rest: &mut Vec<CallStream>,
) -> Result<Reply, LlmError> {
    listen(model, model.call(call), tracker, rest).await
}

/// Folds the text of a call. Its stream is given back through `rest`: it has to be polled to its
/// end, so that the upstream's connection is read to its end and kept.
pub(super) async fn listen(
    model: &Model,
    mut stream: CallStream,
    tracker: &mut Tracker,
    rest: &mut Vec<CallStream>,
) -> Result<Reply, LlmError> {
    let mut text = String::new();
    while let Some(item) = stream.next().await {
        let event = item?;
        tracker.note(&event, model);
        match event {
            CallEvent::Delta(Delta::Text(piece)) if text.len() + piece.len() > MAX_OUTPUT_BYTES => {
                return Err(too_large(model));
            }
            CallEvent::Delta(Delta::Text(piece)) => text.push_str(&piece),
            CallEvent::Finished(completion) => {
                rest.push(stream);
                if completion.reason == FinishReason::ContentFilter {
                    let what = "the upstream withheld the answer";
                    return Err(error(model, LlmErrorKind::ContentFilter, what));
                }
                if text.trim().is_empty() {
                    return Err(error(model, LlmErrorKind::Empty, "it answered without any text"));
                }
                // Of a folded output only the text counts, so no tool waits for anybody.
                let reason = plain(completion.reason);
                return Ok(Reply { text, completion: Completion { reason, ..completion } });
            }
            CallEvent::Started { .. } | CallEvent::Attempt(_) | CallEvent::Delta(_) => {}
        }
    }
    Err(ended_early(model))
}

/// What a call cost whose answer nobody waited for: its prompt, estimated.
pub(super) fn prompt_usage(prompt: &[Message]) -> Usage {
    let prompt_tokens = u64::try_from(excerpt::weight(prompt) / 4).unwrap_or(u64::MAX);
    Usage { prompt_tokens, estimated: true, ..Usage::default() }
}

/// How a text ended whose tool calls, if any, were left out.
pub(super) fn plain(reason: FinishReason) -> FinishReason {
    match reason {
        FinishReason::ToolCalls => FinishReason::Stop,
        FinishReason::Stop | FinishReason::Length | FinishReason::ContentFilter => reason,
    }
}

/// Bytes of a piece of output.
pub(super) fn size(delta: &Delta) -> usize {
    match delta {
        Delta::Text(text) | Delta::Reasoning(text) => text.len(),
        Delta::ToolCall(call) => call.arguments.len(),
    }
}

/// The output reached [`MAX_OUTPUT_BYTES`].
pub(super) fn too_large(model: &Model) -> LlmError {
    error(model, LlmErrorKind::Garbled, "the answer is larger than 8 MiB")
}

/// Polls finished calls to their end.
pub(super) async fn drain(rest: Vec<CallStream>) {
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
    pub(super) fn models(&self, stage: &Stage) -> Vec<Arc<Model>> {
        // The config was checked: every name exists.
        std::iter::once(&stage.model)
            .chain(&stage.fallback)
            .filter_map(|name| self.engine.llm.model(name).map(Arc::clone))
            .collect()
    }

    /// A stage's time limit for a model.
    pub(super) fn limit(&self, kind: LimitKind, model: &Model, stage: &Stage) -> Duration {
        self.engine.config.timeouts.of_model(kind, model.config(), stage.timeout)
    }

    /// A question of the engine's own (analyzer, selector): steady, without reasoning, not streamed.
    pub(super) fn question(
        &self,
        messages: Vec<Message>,
        temperature: f32,
        max_tokens: u32,
        format: OutputFormat,
        limit: Duration,
    ) -> Call {
        Call {
            messages: messages.into(),
            sampling: Sampling { temperature: Some(temperature), ..Sampling::default() },
            max_tokens: Some(max_tokens),
            stop: Vec::new(),
            format,
            effort: Some(Effort::None),
            tools: Arc::from([]),
            tool_choice: None,
            parallel_tool_calls: None,
            extra: None,
            raw: false,
            stream: false,
            limit: Limit::Total(limit),
            permits: None,
            avoid: None,
        }
    }
}
