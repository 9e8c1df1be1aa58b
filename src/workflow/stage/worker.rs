//! A worker that is one model call: the conversation as the client sent it, at its own temperature.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

use super::{
    excerpt,
    model_call::{Reply, UncalledFor, listen_into, without_thoughts},
    recorder::Tracker,
    system::with_system,
    temperature::{self, Chosen, Voices},
    writers::to_report,
};
use crate::{
    config::{Leaf, LimitKind, Stage, WorkerTools},
    llm::{Call, CallStream, Completion, Limit, LlmError, LlmErrorKind, Model},
    types::{FinishReason, OutputFormat, Prompt, Sampling, ToolChoice, Usage},
    workflow::{
        StageKind,
        context::RunContext,
        step::Advice,
        trace::{CallRecord, WorkerRecord},
    },
};

/// What a leaf needs to know of the level it works in.
#[derive(Clone)]
pub(in crate::workflow) struct Assignment {
    pub(in crate::workflow) leaf: Leaf,
    /// The analyzer node in force here, for its word on `auto_temperature`.
    pub(in crate::workflow) analyzer: Option<Stage>,
    /// No synthesizer follows: the request's form, stop and length are this worker's to keep.
    pub(in crate::workflow) answers: bool,
    /// What it is shown of the request's tools.
    pub(in crate::workflow) tools: WorkerTools,
    /// Turn true when this level, or one above, has drafts enough.
    pub(in crate::workflow) spare: Vec<watch::Receiver<bool>>,
}

/// Bytes of text that are a draft even if the server then had no more room for it.
const USEFUL_BYTES: usize = 400;

/// What became of a worker.
pub(in crate::workflow) struct Draft {
    pub(in crate::workflow) result: Result<Reply, LlmError>,
    pub(in crate::workflow) record: WorkerRecord,
    /// Failures of models whose fallback then answered.
    pub(in crate::workflow) overcome: Vec<LlmError>,
    pub(in crate::workflow) rest: Vec<CallStream>,
}

impl Assignment {
    /// Whether its temperature would come from the analysis, so that it has to wait for it.
    pub(in crate::workflow) fn depends_on_analysis(&self, run: &RunContext) -> bool {
        self.analyzer.is_some()
            && self.leaf.stage.temperature.is_none()
            && run.models(&self.leaf.stage).iter().any(|model| self.wants_advice(model))
    }

    fn wants_advice(&self, model: &Model) -> bool {
        temperature::wants_advice(&self.leaf.stage, model.config(), self.analyzer.as_ref())
    }

    fn temperature(&self, run: &RunContext, model: &Model, advice: &Advice) -> Chosen {
        temperature::worker(Voices {
            node: self.leaf.stage.temperature,
            auto: advice.temperature.filter(|_| self.wants_advice(model)),
            request: run.request.prompt.sampling.temperature,
            model: model.config().temperature,
        })
    }

    /// Asks the leaf's models in order until one drafts an answer.
    pub(in crate::workflow) async fn draft(
        &self,
        run: &Arc<RunContext>,
        advice: &Advice,
        tracker: &Tracker,
    ) -> Draft {
        let (mut rest, mut failures) = (Vec::new(), Vec::new());
        for model in run.models(&self.leaf.stage) {
            let chosen = self.temperature(run, &model, advice);
            tracker.asks(&model, Some(chosen));
            let (drafted, dropped) = self.ask_roomy(run, &model, chosen, tracker, &mut rest).await;
            failures.extend(dropped);
            match drafted {
                Ok(reply) => {
                    let record = self.record(tracker.ok(), Some(reply.text.clone()));
                    return Draft { result: Ok(reply), record, overcome: failures, rest };
                }
                Err(error) => failures.push(error),
            }
        }
        // A checked plan has at least one model, so there is a last failure.
        let error =
            to_report(&failures).map_or_else(|| no_model(&self.leaf), |at| failures.remove(at));
        let record = self.record(tracker.failed(&error), None);
        Draft { result: Err(error), record, overcome: failures, rest }
    }

    /// Asks a model for a draft. One that the server had no room for is kept as far as it came, if
    /// that is worth something; else it is asked for again when the run's other workers have ended.
    /// Whatever came of a draft is better than none. Gives the failure that it got over.
    async fn ask_roomy(
        &self,
        run: &Arc<RunContext>,
        model: &Arc<Model>,
        chosen: Chosen,
        tracker: &Tracker,
        rest: &mut Vec<CallStream>,
    ) -> (Result<Reply, LlmError>, Option<LlmError>) {
        let mut text = String::new();
        let drafted = {
            let _drafting = run.crowd.joins();
            self.ask(run, model, chosen, tracker, rest, &mut text).await
        };
        let full = match drafted {
            Err(error) if error.kind == LlmErrorKind::Capacity => error,
            drafted => return (drafted, None),
        };
        if text.trim().len() < USEFUL_BYTES {
            let _alone = run.crowd.alone().await;
            let mut again = String::new();
            let drafted = self.ask(run, model, chosen, tracker, rest, &mut again).await;
            if drafted.is_ok() {
                return (drafted, Some(full));
            }
            if again.len() > text.len() {
                text = again;
            }
        }
        let text = without_thoughts(text);
        if text.trim().is_empty() {
            return (Err(full), None);
        }
        // What broke off has no counts: about four bytes a token.
        let usage = Usage {
            prompt_tokens: (excerpt::weight(&run.conversation) / 4) as u64,
            completion_tokens: text.len().div_ceil(4) as u64,
            estimated: true,
            ..Usage::default()
        };
        let completion = Completion { reason: FinishReason::Length, usage };
        (Ok(Reply { text, completion }), Some(full))
    }

    /// Asks a model; once more without tools when it called one though it was asked not to. What
    /// came of an answer that failed is left in `text`.
    async fn ask(
        &self,
        run: &Arc<RunContext>,
        model: &Arc<Model>,
        chosen: Chosen,
        tracker: &Tracker,
        rest: &mut Vec<CallStream>,
        text: &mut String,
    ) -> Result<Reply, LlmError> {
        let limit = run.limit(LimitKind::Worker, model, &self.leaf.stage);
        let (begun, queued) = (Instant::now(), tracker.queued());
        let call = self.call(run, model, chosen, limit);
        let was_shown = !call.prompt.tools.is_empty();
        // A call that is made without tools to call is what the writer is shown of it.
        let words = match run.request.prompt.tools.is_empty() || self.answers {
            true => UncalledFor::Nothing,
            false => UncalledFor::Words,
        };
        let first = match words {
            UncalledFor::Words if was_shown => UncalledFor::Beside,
            words => words,
        };
        let reply = listen_into(text, model, tracker.call(model, call), tracker, rest, first).await;
        let is_empty = |error: &LlmError| error.kind == LlmErrorKind::Empty;
        // Some servers strip a call that was not to be made, and say nothing at all.
        let is_empty = reply.as_ref().is_err_and(is_empty);
        let called = was_shown && tracker.called_tool();
        if called {
            model.called_unasked();
        }
        if !(was_shown && is_empty) {
            return reply;
        }
        let waited = tracker.queued().saturating_sub(queued);
        let left = limit.saturating_sub(begun.elapsed().saturating_sub(waited));
        text.clear();
        let call = self.call(run, model, chosen, left);
        let again = listen_into(text, model, tracker.call(model, call), tracker, rest, words).await;
        if again.is_ok() {
            model.called_unasked();
        }
        again
    }

    fn record(&self, call: CallRecord, response: Option<String>) -> WorkerRecord {
        WorkerRecord { name: self.leaf.name.clone(), call, response, nested: None }
    }

    fn call(&self, run: &RunContext, model: &Model, chosen: Chosen, limit: Duration) -> Call {
        let (request, stage) = (&run.request, &self.leaf.stage);
        let are_shown = self.tools == WorkerTools::Schemas
            && !request.prompt.tools.is_empty()
            && !model.calls_unasked();
        let conversation = if are_shown { &run.conversation } else { run.without_tools() };
        let seed =
            request.prompt.sampling.seed.map(|seed| seed.wrapping_add(i64::from(self.leaf.copy)));
        let prompt = Prompt {
            sampling: Sampling {
                temperature: Some(chosen.value),
                seed,
                ..request.prompt.sampling.clone()
            },
            max_tokens: least(stage.max_tokens, request.prompt.max_tokens.filter(|_| self.answers)),
            stop: if self.answers { request.prompt.stop.clone() } else { Vec::new() },
            format: if self.answers { request.prompt.format.clone() } else { OutputFormat::Text },
            // Not to be called; a model without tools or tool choice gets plain text turns.
            tools: if are_shown { Arc::clone(&request.prompt.tools) } else { Arc::default() },
            tool_choice: are_shown.then_some(ToolChoice::None),
            ..Prompt::default()
        };
        let messages = with_system(conversation, stage.system.as_deref());
        let mut call = run.call(StageKind::Worker, messages, prompt, Limit::Total(limit));
        call.permits.clone_from(&run.permits);
        call.purpose.spare.clone_from(&self.spare);
        call
    }
}

fn no_model(leaf: &Leaf) -> LlmError {
    LlmError {
        kind: LlmErrorKind::Setup,
        model: leaf.stage.model.clone(),
        endpoint: None,
        message: "it is not configured".to_owned(),
    }
}

/// The smaller of two limits, either of which may be absent.
pub(super) fn least(one: Option<u32>, other: Option<u32>) -> Option<u32> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
