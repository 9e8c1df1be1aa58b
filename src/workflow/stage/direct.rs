//! Models that get the request as it is, through the same client, retries and limits as in a
//! workflow: one alone, or one after the other until one answers.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_stream::stream;

use super::{
    callers::Callers,
    fallback::Reader,
    hedge::{Race, Turn, race},
    model_call::{drain, ended_early},
    output::{Output, Said},
    recorder::Tracker,
    temperature,
    waits::{Wait, Waits},
};
use crate::{
    config::{LimitKind, Progress},
    llm::{Call, Limit, Model},
    types::{OutputFormat, Prompt, Sampling},
    workflow::{
        Event, StageKind,
        context::RunContext,
        level::{cancel::timed, deadline::Deadline},
        step::{Step, Steps},
    },
};

/// What a call stands for, where a workflow was asked and its models answer alone.
#[derive(Clone, Debug, Default)]
pub(in crate::workflow) struct Instead {
    /// Why the models answer alone, for the trace.
    pub(in crate::workflow) why: Option<&'static str>,
    /// The workflow's.
    pub(in crate::workflow) deadline: Option<Duration>,
}

/// Calls the models in order until one speaks, and streams what it says.
pub(in crate::workflow) fn call(
    run: Arc<RunContext>,
    first: Arc<Model>,
    others: Vec<Arc<Model>>,
    instead: Instead,
) -> Steps {
    let until = instead.deadline.and_then(Deadline::after);
    let waits = Arc::new(Waits::default());
    let tracker = Tracker::new(&run, until, &first.config().name);
    let tracker = tracker.reporting_waits(Arc::clone(&waits));
    let stopwatch = tracker.stopwatch();
    let steps = Box::pin(stream! {
        tracker.begin(None);
        let mut callers =
            Callers::of(first, others, tracker.clone(), Arc::clone(&run), instead.why);
        let mut rest = Vec::new();
        let mut ending = None;
        while let Some(model) = callers.next() {
            if let Some(fallback) = callers.successor() {
                yield Step::Event(Event::Fallback(fallback));
            }
            // Boxed, as it is over long before the answer is.
            let mut asking = Box::pin(ask(&run, &model, &tracker));
            let mut asked = loop {
                let Wait { pause, code } = tokio::select! {
                    biased;
                    asked = &mut asking => break asked,
                    wait = waits.next() => wait,
                };
                if run.engine.config.server.progress != Progress::Off {
                    let model = model.config().name.clone();
                    yield Step::Event(Event::Waiting { model, pause, code });
                }
            };
            drop(asking);
            let Some(heard) = asked.heard else {
                let failed = asked.failed.pop();
                callers.failed(failed.map_or_else(|| ended_early(&model), |(_, error)| error));
                continue;
            };
            let mut output = Output::new(Reader::Client, &model, &run);
            let mut stream = heard.stream;
            while let Some(item) = tracker.next(&mut stream).await {
                match output.take(item) {
                    Said::Nothing => {}
                    Said::Delta(delta) => yield Step::Event(Event::Delta(delta)),
                    Said::End => break,
                }
            }
            for delta in output.release() {
                yield Step::Event(Event::Delta(delta));
            }
            rest.extend(output.ending.is_ok().then_some(stream));
            match callers.ended(output) {
                Ok(ended) => {
                    ending = Some(ended);
                    break;
                }
                Err(error) => callers.failed(error),
            }
        }
        let (event, outcome) = callers.outcome(ending);
        yield Step::Event(event);
        yield Step::Done(outcome);
        drain(rest).await;
    });
    timed(steps, stopwatch)
}

/// Asks one of them, as its config says a second time elsewhere when it is late.
async fn ask(run: &RunContext, model: &Arc<Model>, tracker: &Tracker) -> Race<()> {
    let config = model.config();
    let chosen = temperature::direct(run.request.prompt.sampling.temperature, config.temperature);
    let limit = run.engine.config.timeouts.of_model(LimitKind::Synthesizer, config, None);
    let temperature = chosen.map(|chosen| chosen.value);
    let turn =
        |(): &()| Turn::new(model, chosen, whole(run, model, temperature, Limit::Gap(limit)));
    race((), &mut VecDeque::new(), turn, tracker).await
}

/// The request as it is, for one model.
fn whole(run: &RunContext, model: &Model, temperature: Option<f32>, limit: Limit) -> Call {
    let (request, wanted) = (&run.request, &run.request.prompt);
    // Its upstream is asked for the form in the client's own words.
    let said = wanted
        .extra
        .as_ref()
        .is_some_and(|extra| extra.protocol == model.config().protocol && extra.asks_for_form());
    let prompt = Prompt {
        sampling: Sampling { temperature, ..wanted.sampling.clone() },
        stop: wanted.stop.clone(),
        format: if said { OutputFormat::Text } else { wanted.format.clone() },
        tools: Arc::clone(&wanted.tools),
        tool_choice: wanted.tool_choice.clone(),
        extra: wanted.extra.clone(),
        ..*wanted
    };
    let mut call = Call {
        folded: !request.stream,
        turns_of: Some(run.caller),
        ..run.call(StageKind::Synthesizer, run.conversation.clone(), prompt, limit)
    };
    call.purpose.retractable = !request.stream;
    call
}
