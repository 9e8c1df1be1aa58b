//! A direct call: one model alone, through the same client, retries and limits as in a workflow.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_stream::stream;
use futures::StreamExt;
use tokio::sync::mpsc;

use super::{
    Event, StageKind,
    ask::{MAX_OUTPUT_BYTES, ended_early, too_large},
    context::RunContext,
    critical::timed,
    hedge::{Turn, race},
    step::{Candidate, Failure, LevelOutcome, Step, Steps, report},
    temperature,
    trace::{CallRecord, LevelRecord, RunStatus, SynthesizerRecord},
    tracker::{Tracker, Wait, size},
    window::Deadline,
};
use crate::{
    config::{LimitKind, Progress},
    llm::{Call, CallEvent, Limit, LlmError, Model},
    types::{FinishReason, OutputFormat, Sampling, Usage},
};

/// Pauses of a call that are still to be told; more are left out.
const MOST_WAITS: usize = 4;

/// What a call stands for, where a workflow was asked and one model answers.
#[derive(Clone, Debug, Default)]
pub(super) struct Instead {
    /// Why, for the trace.
    pub(super) note: Option<String>,
    /// The workflow's.
    pub(super) deadline: Option<Duration>,
}

/// Calls the model and streams what it says.
pub(super) fn call(run: Arc<RunContext>, model: Arc<Model>, instead: Instead) -> Steps {
    let until = instead.deadline.and_then(Deadline::after);
    let (to, mut waits) = mpsc::channel(MOST_WAITS);
    let tracker = Tracker::new(&run, until, &model.config().name).telling_of_waits(to);
    let stopwatch = tracker.stopwatch();
    let steps = Box::pin(stream! {
        let config = model.config();
        let chosen = temperature::direct(run.request.sampling.temperature, config.temperature);
        tracker.begin(None);
        let limit = run.engine.config.timeouts.of_model(LimitKind::Synthesizer, config, None);
        let temperature = chosen.map(|chosen| chosen.value);
        let turn =
            |(): &()| Turn::new(&model, chosen, whole(&run, &model, temperature, Limit::Gap(limit)));
        // Boxed, as it is over long before the answer is.
        let mut spare = VecDeque::new();
        let mut racing = Box::pin(race((), &mut spare, turn, &tracker));
        let mut asked = loop {
            let wait = tokio::select! {
                biased;
                asked = &mut racing => break asked,
                Some(wait) = waits.recv() => wait,
            };
            if run.engine.config.server.progress != Progress::Off {
                let (model, Wait { pause, code }) = (config.name.clone(), wait);
                yield Step::Event(Event::Waiting { model, pause, code });
            }
        };
        drop(racing);
        let mut ending: Result<FinishReason, LlmError> =
            Err(asked.failed.pop().map_or_else(|| ended_early(&model), |(_, error)| error));
        let mut stream =
            asked.heard.map_or_else(|| futures::stream::empty().boxed(), |heard| heard.stream);
        let mut bytes = 0;
        while let Some(item) = tracker.next(&mut stream).await {
            let event = match item {
                Ok(event) => event,
                Err(error) => {
                    ending = Err(error);
                    break;
                }
            };
            match event {
                CallEvent::Delta(delta) => {
                    bytes += size(&delta);
                    if bytes > MAX_OUTPUT_BYTES {
                        ending = Err(too_large(&model));
                        break;
                    }
                    yield Step::Event(delta.into());
                }
                CallEvent::Finished(completion) => {
                    ending = Ok(completion.reason);
                    break;
                }
                CallEvent::Started { .. }
                | CallEvent::Attempt(_)
                | CallEvent::Waiting { .. } => {}
            }
        }
        let (usage, finished) = (tracker.answering(), ending.is_ok());
        let call = match &ending {
            Ok(_) => tracker.ok(),
            Err(error) => tracker.failed(error),
        };
        let (status, ms) = (call.status, call.duration_ms);
        yield Step::Event(report(StageKind::Synthesizer, &config.name, status, ms, None, false));
        let chain = tracker.chain(StageKind::Synthesizer, &config.name, None);
        let outcome = outcome(&run, &model, call, ending, usage, instead.note);
        yield Step::Done(Box::new(LevelOutcome { chain, ..outcome }));
        if finished {
            while stream.next().await.is_some() {}
        }
    });
    timed(steps, stopwatch)
}

/// The request as it is, for one model.
fn whole(run: &RunContext, model: &Model, temperature: Option<f32>, limit: Limit) -> Call {
    let request = &run.request;
    // Its upstream is asked for the form in the client's own words.
    let said = request
        .extra
        .as_ref()
        .is_some_and(|extra| extra.protocol == model.config().protocol && extra.asks_for_form());
    let format = if said { OutputFormat::Text } else { request.format.clone() };
    Call {
        messages: run.conversation.clone(),
        appendix: None,
        context_tokens: None,
        sampling: Sampling { temperature, ..request.sampling.clone() },
        max_tokens: request.max_tokens,
        stop: request.stop.clone(),
        format,
        effort: request.effort,
        tools: Arc::clone(&request.tools),
        tool_choice: request.tool_choice.clone(),
        parallel_tool_calls: request.parallel_tool_calls,
        extra: request.extra.clone(),
        raw: request.raw,
        stream: true,
        folded: !request.stream,
        limit,
        permits: None,
        avoid: None,
        hops: run.request.hops,
        affinity: Some(run.affinity),
        purpose: run.purpose(),
        turns_of: Some(run.caller),
    }
}

fn outcome(
    run: &RunContext,
    model: &Model,
    call: CallRecord,
    ending: Result<FinishReason, LlmError>,
    answer_usage: Usage,
    note: Option<String>,
) -> LevelOutcome {
    let name = model.config().name.clone();
    let record = LevelRecord {
        name: name.clone(),
        status: if ending.is_ok() { RunStatus::Ok } else { RunStatus::Failed },
        total_ms: run.elapsed_ms(),
        first_token_ms: None,
        usage: call.usage,
        analyzer: None,
        workers: Vec::new(),
        reranker: None,
        selector: None,
        synthesizer: Some(SynthesizerRecord { call, fallback: false, fallback_reason: None }),
        note,
    };
    let result = match ending {
        Ok(reason) => {
            let usage = answer_usage;
            let (path, model, text) = (name.clone(), name.clone(), String::new());
            Ok(vec![Candidate { seat: 0, name, path, model, text, reason, usage }])
        }
        Err(error) => Err(Failure::of(&error)),
    };
    LevelOutcome { record, result, answer_usage, chain: None }
}
