//! The synthesizer: a writer gets the conversation, behind it the drafts, and gives the answer. At
//! the top its output is streamed as it is born; in a nested workflow it is folded into a candidate.

use std::sync::Arc;

use async_stream::stream;

use super::{
    drafts::{self, DraftsCut},
    excerpt,
    fallback::{Reader, has_form, may_call, pieces, satisfies},
    hedge::{Turn, race},
    model_call::drain,
    output::{Output, Said},
    recorder::Tracker,
    system::with_system,
    temperature::{self, Chosen, Voices},
    worker::least,
    writers::{Attempt, Writers, to_report},
};
use crate::{
    config::{LimitKind, Stage},
    llm::{Call, Conversation, Delta, Limit, LlmError, LlmErrorKind, Model},
    types::{OutputFormat, Prompt, Sampling, ToolDefinition},
    workflow::{
        Event, StageKind, Successor,
        context::RunContext,
        step::{Advice, Answered, Candidate, Step, Steps},
        trace::{CallRecord, SynthesizerRecord},
    },
};

/// Kept free in the writer's context for its answer when nobody says how long it may be, in tokens.
const RESERVED_TOKENS: usize = 2048;

/// Everything a writer works from.
#[derive(Clone)]
pub(in crate::workflow) struct Assignment {
    pub(in crate::workflow) stage: Stage,
    /// The analyzer node in force here.
    pub(in crate::workflow) analyzer: Option<Stage>,
    pub(in crate::workflow) advice: Arc<Advice>,
    /// Best first.
    pub(in crate::workflow) drafts: Vec<Candidate>,
    /// What the judge said of the best one, if one was asked.
    pub(in crate::workflow) verdict: Option<String>,
    pub(in crate::workflow) reader: Reader,
    pub(in crate::workflow) tracker: Tracker,
}

/// Whether the writer's temperature would come from the analysis.
pub(in crate::workflow) fn depends_on_analysis(
    run: &RunContext,
    stage: &Stage,
    analyzer: Option<&Stage>,
) -> bool {
    analyzer.is_some()
        && stage.temperature.is_none()
        && run.request.prompt.sampling.temperature.is_none()
        && run.models(stage).iter().any(|m| temperature::wants_advice(stage, m.config(), analyzer))
}

/// Writes the answer: the stage's models in order until one speaks; then the models of the drafts,
/// if a tool may have to be called, else the best draft itself.
pub(in crate::workflow) fn write(run: Arc<RunContext>, task: Assignment) -> Steps {
    Box::pin(stream! {
        let tracker = task.tracker.clone();
        let attempt = |model| task.attempt(&run, model);
        let models = run.models(&task.stage);
        let mut writers = Writers::of(&run, task.reader, models, &task.drafts, attempt);
        while let Some(attempt) = writers.next(&tracker) {
            if let Some(fallback) = writers.successor(attempt.model_name()) {
                yield Step::Event(Event::Fallback(fallback));
            }
            if let Some(cut) = task.cut(&run, &attempt) {
                yield Step::Event(Event::DraftsCut(cut));
            }
            let turn = |attempt: &Attempt| task.turn(&run, attempt);
            let asked = race(attempt, writers.spare(), turn, &tracker).await;
            writers.failed(asked.failed, asked.hedged);
            let Some(heard) = asked.heard else { continue };
            let (attempt, mut call) = (heard.who, heard.stream);
            if let Some(fallback) = writers.successor(attempt.model_name()) {
                yield Step::Event(Event::Fallback(fallback));
            }
            let mut output = Output::new(task.reader, &attempt.model, &run);
            while let Some(item) = tracker.next(&mut call).await {
                match output.take(item) {
                    Said::Nothing => {}
                    Said::Delta(delta) => yield Step::Event(Event::Delta(delta)),
                    Said::End => break,
                }
            }
            for delta in output.release() {
                yield Step::Event(Event::Delta(delta));
            }
            let usage = tracker.answering();
            let spoke = output.spoke;
            match output.ending() {
                Ok((reason, text)) => {
                    let overcome = writers.overcome();
                    let record = SynthesizerRecord {
                        call: tracker.ok(),
                        fallback: !overcome.is_empty(),
                        fallback_reason: first_reason(&overcome, &task.stage.model),
                    };
                    let answered =
                        Answered { record, result: Ok(reason), text, usage, overcome };
                    yield Step::Answered(Box::new(answered));
                    drain(vec![call]).await;
                    return;
                }
                Err(error) if spoke => {
                    let (record, text) = (failed_record(tracker.failed(&error)), String::new());
                    let overcome = writers.overcome();
                    let answered = Answered { record, result: Err(error), text, usage, overcome };
                    yield Step::Answered(Box::new(answered));
                    return;
                }
                Err(error) => writers.failed(vec![(attempt, error)], asked.hedged),
            }
        }
        for await step in answer_with_draft(&run, &task, writers) {
            yield step;
        }
    })
}

/// Why another model answered: the failure of the one to be asked first, where it failed.
pub(super) fn first_reason(overcome: &[LlmError], own: &str) -> Option<String> {
    let own = overcome.iter().find(|error| error.model == own);
    own.or(overcome.first()).map(ToString::to_string)
}

/// Every writer failed before its first token: the best draft itself, if it satisfies the request.
fn answer_with_draft(
    run: &Arc<RunContext>,
    task: &Assignment,
    mut writers: Writers,
) -> impl futures::Stream<Item = Step> + use<> {
    let usage = task.tracker.answering();
    let best = task.drafts.first().filter(|_| satisfies(run, task.reader));
    let best = best.filter(|draft| has_form(run, task.reader, &draft.text)).cloned();
    let fallback =
        best.as_ref().and_then(|best| writers.falls_to(Successor::Draft(best.name.clone())));
    let mut overcome = writers.overcome();
    let at = to_report(&overcome);
    let error = at.and_then(|at| overcome.get(at).cloned());
    let error = error.unwrap_or_else(|| no_model(&task.stage));
    let call = task.tracker.failed(&error);
    let to_client = task.reader.is_client();
    stream! {
        let Some(best) = best else {
            if let Some(at) = at {
                overcome.remove(at);
            }
            let record = failed_record(call);
            let text = String::new();
            yield Step::Answered(Box::new(Answered {
                record, result: Err(error), text, usage, overcome,
            }));
            return;
        };
        if let Some(fallback) = fallback {
            yield Step::Event(Event::Fallback(fallback));
        }
        if to_client {
            for piece in pieces(&best.text) {
                yield Step::Event(Event::Delta(Delta::Text(piece)));
            }
        }
        let why = format!("the answer of {} stands in: {error}", best.name);
        let record = SynthesizerRecord { call, fallback: true, fallback_reason: Some(why) };
        yield Step::Answered(Box::new(Answered {
            record, result: Ok(best.reason), text: best.text, usage: best.usage, overcome,
        }));
    }
}

fn failed_record(call: CallRecord) -> SynthesizerRecord {
    SynthesizerRecord { call, fallback: false, fallback_reason: None }
}

fn no_model(stage: &Stage) -> LlmError {
    LlmError {
        kind: LlmErrorKind::Setup,
        model: stage.model.clone(),
        endpoint: None,
        message: "it is not configured".to_owned(),
    }
}

impl Assignment {
    /// A model as it is asked first.
    pub(super) fn attempt(&self, run: &RunContext, model: Arc<Model>) -> Attempt {
        let chosen = self.temperature(run, &model);
        Attempt { model, chosen, halved: false, hedged: false }
    }

    fn temperature(&self, run: &RunContext, model: &Model) -> Chosen {
        let wants = temperature::wants_advice(&self.stage, model.config(), self.analyzer.as_ref());
        temperature::synthesizer(Voices {
            node: self.stage.temperature,
            auto: self.advice.temperature.filter(|_| wants),
            request: run.request.prompt.sampling.temperature,
            model: model.config().temperature,
        })
    }

    fn turn(&self, run: &RunContext, attempt: &Attempt) -> Turn {
        let turn = Turn::new(&attempt.model, Some(attempt.chosen), self.call(run, attempt));
        Turn { hedge_after: turn.hedge_after.filter(|_| !attempt.hedged), ..turn }
    }

    fn call(&self, run: &RunContext, attempt: &Attempt) -> Call {
        let (request, answers) = (&run.request, self.reader.answers());
        let to_client = self.reader.is_client();
        let kind = LimitKind::Synthesizer;
        let limit = run.limit(kind, &attempt.model, &self.stage);
        let wanted = &request.prompt;
        let prompt = Prompt {
            sampling: Sampling {
                temperature: Some(attempt.chosen.value),
                ..wanted.sampling.clone()
            },
            max_tokens: least(self.stage.max_tokens, wanted.max_tokens.filter(|_| answers)),
            stop: if answers { wanted.stop.clone() } else { Vec::new() },
            format: if answers { wanted.format.clone() } else { OutputFormat::Text },
            effort: wanted.effort.filter(|_| to_client),
            tools: if to_client { Arc::clone(&wanted.tools) } else { Arc::default() },
            tool_choice: wanted.tool_choice.clone().filter(|_| to_client),
            parallel_tool_calls: wanted.parallel_tool_calls.filter(|_| to_client),
            ..Prompt::default()
        };
        let limit = if to_client { Limit::Gap(limit) } else { Limit::Total(limit) };
        let mut call = Call {
            appendix: Some(self.block(run, attempt)),
            folded: !(to_client && request.stream),
            turns_of: to_client.then_some(run.caller),
            ..run.call(StageKind::Synthesizer, self.prompt(run), prompt, limit)
        };
        call.purpose.retractable = to_client && !request.stream;
        call
    }

    /// The instruction and the conversation: nothing in it changes from turn to turn but its end.
    fn prompt(&self, run: &RunContext) -> Conversation {
        with_system(&run.conversation, Some(&self.instructions(run)))
    }

    fn instructions(&self, run: &RunContext) -> String {
        let mut text = drafts::INSTRUCTIONS.to_owned();
        if may_call(run, self.reader) {
            text.push_str(drafts::CALLING);
        }
        if let Some(added) = &self.stage.system {
            text.push('\n');
            text.push_str(added);
        }
        text
    }

    /// How much of each draft the model is shown.
    fn shares(&self, run: &RunContext, attempt: &Attempt) -> Vec<usize> {
        let used = excerpt::weight(&run.conversation)
            + self.instructions(run).len()
            + self.verdict.as_ref().map_or(0, String::len)
            + self.tools_weight(run);
        let asked_for = run.request.prompt.max_tokens.filter(|_| self.reader.answers());
        let answer = least(self.stage.max_tokens, asked_for)
            .map_or(RESERVED_TOKENS, |tokens| tokens as usize);
        let context = run.context_tokens(&attempt.model);
        let room = drafts::room(context, answer, used, self.drafts.len());
        let lengths: Vec<usize> = self.drafts.iter().map(|draft| draft.text.len()).collect();
        let shares = drafts::shares(&lengths, room);
        match attempt.halved {
            false => shares,
            true => drafts::shares(&lengths, shares.iter().sum::<usize>() / 2),
        }
    }

    /// The drafts, as they stand behind the conversation.
    fn block(&self, run: &RunContext, attempt: &Attempt) -> Arc<str> {
        if self.drafts.is_empty() {
            return drafts::NONE.into();
        }
        let shares = self.shares(run, attempt);
        let texts = self.drafts.iter().map(|draft| draft.text.as_str());
        let nonce = run.nonce(StageKind::Synthesizer, texts.chain(self.verdict.as_deref()));
        drafts::block(&self.drafts, &shares, self.verdict.as_deref(), &nonce).into()
    }

    /// What is reported when the model cannot be shown all of the drafts.
    fn cut(&self, run: &RunContext, attempt: &Attempt) -> Option<DraftsCut> {
        let shown = self.shares(run, attempt).iter().sum();
        let whole = self.drafts.iter().map(|draft| draft.text.len()).sum();
        let config = attempt.model.config();
        let context_tokens = run.context_tokens(&attempt.model);
        let cut = DraftsCut { model: config.name.clone(), context_tokens, shown, whole };
        (shown < whole).then(|| {
            run.warn_of_cut(StageKind::Synthesizer, &cut);
            cut
        })
    }

    /// About how many bytes of prompt the tools are that the writer is shown.
    fn tools_weight(&self, run: &RunContext) -> usize {
        let shown = run.request.prompt.tools.iter().filter(|_| self.reader.is_client());
        let schema = |tool: &ToolDefinition| {
            tool.parameters.as_ref().map_or(0, |schema| schema.to_string().len())
        };
        shown
            .map(|tool| {
                tool.name.len() + tool.description.as_ref().map_or(0, String::len) + schema(tool)
            })
            .sum()
    }
}
