//! Makes the events of one run, its record and its ending of a route and a request.

use std::sync::Arc;

use futures::{StreamExt, future::ready, stream::BoxStream};

use super::{
    Engine, Event, Failed, Finished, Route, Run, RunStatus, RunSummary, RunWatch, Task,
    WorkflowError, WorkflowExecutionDetails,
    context::RunContext,
    critical_path::{Chain, stages_of},
    error::by_reason,
    level::{position::Position, run_level},
    stage::direct::{self, Instead},
    step::{Failure, FailureKind, LevelOutcome, Step, Steps},
    trace::{LevelRecord, Spent, UsageRecord, Warning, millis},
};
use crate::{
    config::{Plan, UsageScope, Workflow},
    llm::{Delta, LlmError, LlmErrorKind, Model},
    types::{FinishReason, OnlyThere, Request, RequestId, WorkflowId},
};

/// What a warning shows of a name that a client made up.
const SHOWN_CHARS: usize = 120;

/// How a request is answered, decided by the plan and the request together.
enum Way {
    Level(Arc<Plan>),
    Direct(Arc<Model>, Vec<Arc<Model>>, Instead),
    Refused(WorkflowError),
}

impl Engine {
    /// Starts a run; nothing happens before its events are polled.
    #[must_use]
    pub fn run(self: &Arc<Self>, route: Route, request: Request, id: RequestId) -> Run {
        let workflow_id = WorkflowId::fresh();
        let (name, mode) = match &route {
            Route::Workflow(workflow) => (workflow.plan.name.clone(), "workflow"),
            Route::Direct(model) | Route::Task(model, _) => (model.config().name.clone(), "direct"),
        };
        let (most, task) = match &route {
            Route::Workflow(workflow) => (workflow.max_concurrency, None),
            Route::Direct(_) => (None, None),
            Route::Task(_, task) => (None, Some(*task)),
        };
        let keeps_text = self.config.runs.keep_text;
        let watch = RunWatch::new(workflow_id, name.clone(), mode, task, keeps_text);
        let verbatim = request.prompt.raw;
        let way = self.way(route, &request);
        // A route that its name does not lead to stands in for it.
        let unknown = self.config.named(&request.model).is_none().then(|| Warning {
            stage: "request",
            name: request.model.chars().take(SHOWN_CHARS).collect(),
            code: "unknown_model",
        });
        let left_out = left_out(&request, &way);
        let context =
            RunContext::new(Arc::clone(self), request, id, watch.clone(), workflow_id, most);
        unknown.into_iter().chain(left_out).for_each(|warning| context.note(warning));
        let ending = Ending { run: Arc::new(context), name, mode, is_over: false };
        Run { id: workflow_id, watch, verbatim, events: events(ending, way) }
    }

    fn way(&self, route: Route, request: &Request) -> Way {
        if let Some(error) = elsewhere(&route, request) {
            return Way::Refused(error);
        }
        match route {
            Route::Direct(model) | Route::Task(model, _) => {
                Way::Direct(model, Vec::new(), Instead::default())
            }
            Route::Workflow(_) if request.prompt.raw => Way::Refused(WorkflowError::Invalid {
                message: "raw prompts need a model of their own: name a configured model"
                    .to_owned(),
                param: Some("raw".into()),
            }),
            Route::Workflow(Workflow { plan, .. })
                if plan.synthesizer.is_none() && !request.prompt.tools.is_empty() =>
            {
                let callers = plan.tool_callers();
                let mut models = callers.iter().filter_map(|(name, _)| self.llm.model(name));
                match models.next() {
                    Some(first) => {
                        let why = Some("tools in a plan without a synthesizer");
                        let instead = Instead { why, deadline: plan.policy.deadline };
                        Way::Direct(Arc::clone(first), models.cloned().collect(), instead)
                    }
                    None => Way::Level(plan),
                }
            }
            Route::Workflow(workflow) => Way::Level(workflow.plan),
        }
    }
}

/// What of a request its models are not shown, unless one of the client's own protocol is asked alone.
fn left_out(request: &Request, way: &Way) -> Vec<Warning> {
    let spelled = request.prompt.extra.as_ref().map(|extra| extra.protocol);
    let names = match way {
        Way::Direct(model, ..) if Some(model.config().protocol) == spelled => &[],
        _ => request.left_out.as_slice(),
    };
    let shown = |name: &String| name.chars().take(SHOWN_CHARS).collect();
    let warning = |name| Warning { stage: "request", name: shown(name), code: "not_supported" };
    names.iter().map(warning).collect()
}

/// What of a request only an upstream of the client's own protocol can take, when it goes to none.
fn elsewhere(route: &Route, request: &Request) -> Option<WorkflowError> {
    let extra = request.prompt.extra.as_ref()?;
    let OnlyThere { param, message } = extra.only_there.as_ref()?;
    match route {
        Route::Direct(model) | Route::Task(model, _)
            if model.config().protocol == extra.protocol =>
        {
            None
        }
        Route::Direct(_) | Route::Task(..) | Route::Workflow(_) => {
            let param = Some(param.clone().into());
            Some(WorkflowError::Invalid { message: message.clone(), param })
        }
    }
}

/// What every ending of a run needs.
struct Ending {
    run: Arc<RunContext>,
    name: String,
    mode: &'static str,
    is_over: bool,
}

/// Of a run that nobody waits for any more there is a record, too.
impl Drop for Ending {
    fn drop(&mut self) {
        if !self.is_over {
            let level = self.run.take_abandoned(None);
            let empty = || LevelRecord::empty(self.name.clone(), RunStatus::Cancelled);
            self.trace(level.unwrap_or_else(empty), &None);
        }
    }
}

fn events(mut ending: Ending, way: Way) -> BoxStream<'static, Event> {
    let run = Arc::clone(&ending.run);
    let (direct, steps): (bool, Steps) = match way {
        Way::Level(plan) => (false, run_level(run, plan, Position::top())),
        Way::Direct(first, others, instead) => (true, direct::call(run, first, others, instead)),
        Way::Refused(error) => {
            let failed = Event::Failed(Box::new(ending.refused(error)));
            return Box::pin(futures::stream::iter([failed]));
        }
    };
    let mut spoke = false;
    let event = move |step| match step {
        Step::Event(event) => {
            ending.run.watch.note(&event, || ending.run.elapsed_ms());
            if !spoke && matches!(event, Event::Delta(Delta::Text(_) | Delta::ToolCall(_))) {
                spoke = true;
                ending.run.watch.first_token(ending.run.elapsed_ms());
            }
            Some(event)
        }
        Step::Done(outcome) => Some(ending.ended(*outcome, direct)),
        Step::Analyzed(_)
        | Step::Member { .. }
        | Step::GraceOver
        | Step::DeadlineOver
        | Step::Cancelled
        | Step::Judge
        | Step::Reranked(_)
        | Step::Selected(_)
        | Step::Answered(_) => None,
    };
    steps.map(event).filter_map(ready).boxed()
}

impl Ending {
    fn ended(&mut self, outcome: LevelOutcome, direct: bool) -> Event {
        let LevelOutcome { record, result, answer_usage, chain } = outcome;
        self.is_over = true;
        let reason = match &result {
            Ok(candidates) => candidates.first().map_or(FinishReason::Stop, |one| one.reason),
            Err(_) => FinishReason::Stop,
        };
        let trace = self.trace(record, &chain);
        match result {
            Ok(_) => {
                let usage = match self.run.engine.config.server.usage {
                    UsageScope::Total => self.run.tally().usage,
                    UsageScope::Answer => answer_usage,
                };
                let spent = Spent {
                    usage: trace.level.usage,
                    calls: self.run.watch.summary().calls,
                    workflow_id: Some(trace.workflow_id),
                };
                Event::Finished(Box::new(Finished { reason, usage, spent, trace }))
            }
            Err(failure) => {
                let error = run_error(failure, direct);
                Event::Failed(Box::new(Failed { error, trace }))
            }
        }
    }

    fn refused(&mut self, error: WorkflowError) -> Failed {
        self.is_over = true;
        let level = LevelRecord::empty(self.name.clone(), RunStatus::Failed);
        Failed { error, trace: self.trace(level, &None) }
    }

    /// The record, which whoever watches the run gets, too.
    fn trace(&self, level: LevelRecord, chain: &Chain) -> Arc<WorkflowExecutionDetails> {
        let total = self.run.started.elapsed();
        let (critical_path, waited) = stages_of(chain);
        let tally = self.run.tally();
        let RunSummary { first_token_ms, task, .. } = self.run.watch.summary();
        let trace = Arc::new(WorkflowExecutionDetails {
            workflow_id: self.run.workflow_id,
            request_id: self.run.request_id,
            mode: self.mode,
            session: self.run.request.session.clone(),
            task: task.map(Task::as_str),
            level: LevelRecord {
                name: self.name.clone(),
                first_token_ms,
                total_ms: millis(total),
                usage: tally.usage_record(),
                ..level
            },
            overhead: total.saturating_sub(waited),
            critical_path,
            warnings: tally.warnings,
        });
        self.run.watch.ended(&trace);
        trace
    }
}

impl LevelRecord {
    /// The record of a run in which nothing was called.
    fn empty(name: String, status: RunStatus) -> Self {
        Self {
            name,
            status,
            total_ms: 0,
            first_token_ms: None,
            usage: UsageRecord::default(),
            analyzer: None,
            workers: Vec::new(),
            reranker: None,
            selector: None,
            synthesizer: None,
            note: None,
        }
    }
}

/// A failure of the top level in terms of the whole run.
fn run_error(failure: Failure, direct: bool) -> WorkflowError {
    match &failure.kind {
        FailureKind::Model(error) => model_error(error, direct),
        FailureKind::Members { members, needed, .. } => {
            members_error(&failure, members, *needed, direct)
        }
    }
}

fn model_error(error: &LlmError, direct: bool) -> WorkflowError {
    match error.kind {
        LlmErrorKind::Timeout => WorkflowError::Timeout { message: error.to_string() },
        LlmErrorKind::RateLimited { retry_after } if direct => {
            WorkflowError::RateLimited { retry_after }
        }
        LlmErrorKind::UnsupportedInput => {
            // It names the model and the part itself.
            WorkflowError::UnsupportedInput { message: error.message.clone() }
        }
        // Nothing shorter was left to be asked: the stage tried what it could leave out.
        LlmErrorKind::ContextLength => WorkflowError::TooLong { message: error.to_string() },
        LlmErrorKind::Rejected { .. } if direct => {
            WorkflowError::Invalid { message: error.to_string(), param: None }
        }
        _ => WorkflowError::Upstream(error.clone()),
    }
}

fn members_error(
    failure: &Failure,
    members: &[(String, Failure)],
    needed: usize,
    direct: bool,
) -> WorkflowError {
    let each = || members.iter().map(|(name, one)| (name.as_str(), one.message.as_str()));
    let listed = || by_reason(each());
    if failure.is_by_deadline() {
        let message = format!("too few workers answered before the deadline: {}", listed());
        return WorkflowError::Timeout { message };
    }
    if failure.is_wholly(|kind| kind == LlmErrorKind::Timeout) {
        return WorkflowError::Timeout { message: format!("every worker timed out: {}", listed()) };
    }
    if failure.is_wholly(|kind| matches!(kind, LlmErrorKind::RateLimited { .. })) {
        let waits = failure.leaves().into_iter().filter_map(|error| match error.kind {
            LlmErrorKind::RateLimited { retry_after } => retry_after,
            _ => None,
        });
        return WorkflowError::RateLimited { retry_after: waits.min() };
    }
    if failure.is_wholly(|kind| kind == LlmErrorKind::UnsupportedInput) {
        let message = format!("no worker can take this input: {}", listed());
        return WorkflowError::UnsupportedInput { message };
    }
    if failure.is_wholly(|kind| kind == LlmErrorKind::ContextLength) {
        let message = format!("the conversation is too long for every worker: {}", listed());
        return WorkflowError::TooLong { message };
    }
    // Chorus asks Chorus: whoever asked first has to know it, too. And a want of our own is no
    // failure of anybody else's.
    let is_passed_on = |kind| {
        matches!(kind, LlmErrorKind::Upstream { status: 508 } | LlmErrorKind::OutOfResources)
    };
    if failure.is_wholly(is_passed_on)
        && let Some(error) = failure.leaves().into_iter().next()
    {
        return WorkflowError::Upstream(error.clone());
    }
    // They got the request as it is: what all of them refuse is the caller's.
    if direct && failure.is_wholly(|kind| matches!(kind, LlmErrorKind::Rejected { .. })) {
        let message = format!("no worker takes this request: {}", listed());
        return WorkflowError::Invalid { message, param: None };
    }
    let workers = members.iter().map(|(name, one)| (name.clone(), one.message.clone())).collect();
    WorkflowError::AllWorkersFailed { workers, needed }
}
