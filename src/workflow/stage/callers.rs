//! The models of a direct call, in the order in which they are tried, and what became of them.

use std::{collections::VecDeque, sync::Arc};

use super::{
    model_call::ended_early, output::Output, recorder::Tracker, synthesizer::first_reason,
    writers::Overcome,
};
use crate::{
    llm::{LlmError, LlmErrorKind, Model},
    types::FinishReason,
    workflow::{
        Event, Fallback, StageKind, Successor,
        context::RunContext,
        error::by_reason,
        step::{Candidate, Failure, FailureKind, LevelOutcome, report},
        trace::{CallRecord, LevelRecord, RunStatus, StageStatus, SynthesizerRecord, Warning},
    },
};

/// The models that are asked, one after the other, until one speaks.
pub(super) struct Callers {
    run: Arc<RunContext>,
    /// Why they are asked alone, for the trace.
    why: Option<&'static str>,
    is_over: bool,
    tracker: Tracker,
    left: VecDeque<Arc<Model>>,
    /// The one that is to be asked first.
    first: Arc<Model>,
    /// The one that was asked last.
    asked: Arc<Model>,
    overcome: Overcome,
    /// Those that cannot take the request were left out, which is no failure.
    unable: Vec<LlmError>,
}

impl Callers {
    pub(super) fn of(
        first: Arc<Model>,
        others: Vec<Arc<Model>>,
        tracker: Tracker,
        run: Arc<RunContext>,
        why: Option<&'static str>,
    ) -> Self {
        let mut left = VecDeque::from(others);
        left.push_front(Arc::clone(&first));
        let asked = Arc::clone(&first);
        Self {
            run,
            why,
            is_over: false,
            tracker,
            left,
            first,
            asked,
            overcome: Overcome::default(),
            unable: Vec::new(),
        }
    }

    /// The model that is asked next, unless none is left or the deadline came.
    pub(super) fn next(&mut self) -> Option<Arc<Model>> {
        let is_first = self.overcome.errors.is_empty() && self.unable.is_empty();
        if !is_first && self.tracker.is_over() {
            return None;
        }
        self.asked = self.left.pop_front()?;
        Some(Arc::clone(&self.asked))
    }

    pub(super) fn failed(&mut self, error: LlmError) {
        match error.kind {
            LlmErrorKind::UnsupportedInput => self.unable.push(error),
            _ => self.overcome.errors.push(error),
        }
    }

    /// What is reported once, when the one whose turn it is follows on others that failed.
    pub(super) fn successor(&mut self) -> Option<Fallback> {
        self.overcome.falls_to(Successor::Model(self.asked.config().name.clone()))
    }

    /// How the call ended with this output; else why the next one has to be asked. Nothing is an
    /// answer only of the last one.
    pub(super) fn ended(&self, output: Output) -> Result<Result<FinishReason, LlmError>, LlmError> {
        if output.spoke {
            return Ok(output.ending);
        }
        match self.left.is_empty() || self.tracker.is_over() {
            true => output.ending.map(Ok),
            false => output.ending().map(|(reason, _)| Ok(reason)),
        }
    }

    /// The end of the call, for the client's progress and for the run. Without an `ending` nobody
    /// has answered. Boxed: a stream that emits both keeps room for the second from its beginning.
    pub(super) fn outcome(
        mut self,
        ending: Option<Result<FinishReason, LlmError>>,
    ) -> (Event, Box<LevelOutcome>) {
        self.is_over = true;
        let (call, ending) = match ending {
            Some(Ok(reason)) => (self.tracker.ok(), Ok(reason)),
            Some(Err(error)) => (self.tracker.failed(&error), Err(Failure::of(&error))),
            None => {
                let (call, failure) = self.nobody();
                (call, Err(failure))
            }
        };
        for error in &self.overcome.errors {
            let (stage, code) = (StageKind::Synthesizer.as_str(), error.kind.code());
            self.run.warn(Warning { stage, name: error.model.clone(), code }, &error.message);
        }
        let degrades = !self.overcome.errors.is_empty();
        let name = self.asked.config().name.clone();
        let (status, ms) = (call.status, call.duration_ms);
        let event = report(StageKind::Synthesizer, &name, status, ms, None, degrades);
        let status = match &ending {
            Err(_) => RunStatus::Failed,
            Ok(_) if degrades => RunStatus::Degraded,
            Ok(_) => RunStatus::Ok,
        };
        let record = self.record(call, status);
        let answer_usage = self.tracker.answering();
        let chain = self.tracker.chain(StageKind::Synthesizer, &name, None);
        let result = ending.map(|reason| {
            let (path, model, text) = (name.clone(), name.clone(), String::new());
            vec![Candidate { index: 0, name, path, model, text, reason, usage: answer_usage }]
        });
        (event, Box::new(LevelOutcome { record, result, answer_usage, chain }))
    }

    /// Nobody has answered. The failure of the only one is that of the call, and no warning.
    fn nobody(&mut self) -> (CallRecord, Failure) {
        let failures = &mut self.overcome.errors;
        let last = failures.last().or(self.unable.last()).cloned();
        let last = last.unwrap_or_else(|| ended_early(&self.asked));
        let call = self.tracker.failed(&last);
        if failures.len() + self.unable.len() < 2 {
            failures.clear();
            return (call, Failure::of(&last));
        }
        let all = failures.iter().chain(&self.unable);
        let members: Vec<(String, Failure)> =
            all.map(|error| (error.model.clone(), Failure::of(error))).collect();
        let each = members.iter().map(|(name, failure)| (name.as_str(), failure.message.as_str()));
        let message = by_reason(each);
        let by_deadline = self.tracker.is_over();
        let kind = FailureKind::Members { members, succeeded: 0, needed: 1, by_deadline };
        (call, Failure { kind, code: "all_workers_failed", message })
    }

    fn record(&self, call: CallRecord, status: RunStatus) -> LevelRecord {
        let (first, asked) = (&self.first.config().name, &self.asked.config().name);
        let answered = status != RunStatus::Failed;
        let note = self.why.map(|why| match answered {
            true if first == asked => format!("{why}: the first worker's model answered alone"),
            true => format!("{why}: {asked} answered alone, instead of the first worker's model"),
            false => format!("{why}: the workers' models were asked alone"),
        });
        let passed: Vec<LlmError> =
            self.overcome.errors.iter().chain(&self.unable).filter(|_| answered).cloned().collect();
        let fallback_reason = first_reason(&passed, first);
        let fallback = fallback_reason.is_some();
        LevelRecord {
            name: asked.clone(),
            status,
            total_ms: self.run.elapsed_ms(),
            first_token_ms: None,
            usage: call.usage,
            analyzer: None,
            workers: Vec::new(),
            reranker: None,
            selector: None,
            synthesizer: Some(SynthesizerRecord { call, fallback, fallback_reason }),
            note,
        }
    }
}

/// Nobody waits for the answer any more.
impl Drop for Callers {
    fn drop(&mut self) {
        if !self.is_over {
            let call = self.tracker.end(StageStatus::Cancelled, None);
            self.run.abandon(None, self.record(call, RunStatus::Cancelled));
        }
    }
}
