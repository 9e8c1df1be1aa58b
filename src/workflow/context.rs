//! What every stage of one run shares, and what the run has added up so far.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use tokio::{sync::Semaphore, time::Instant};

use super::{
    Engine, RunWatch, StageKind,
    stage::{crowd::Crowd, drafts::DraftsCut, system::with_system, tool_list::listed},
    trace::{LevelRecord, StageStatus, UsageRecord, Warning, millis},
};
use crate::{
    config::Price,
    llm::Conversation,
    types::{NoMemory, Request, RequestId, Share, Usage, WorkflowId},
};

/// One run: its request, its clock, its permits, its sums.
pub(super) struct RunContext {
    pub(super) engine: Arc<Engine>,
    pub(super) request: Request,
    /// The request's messages, which its calls share.
    pub(super) conversation: Conversation,
    pub(super) request_id: RequestId,
    pub(super) workflow_id: WorkflowId,
    pub(super) started: Instant,
    /// Worker calls in flight for this request; `None` = no limit.
    pub(super) permits: Option<Arc<Semaphore>>,
    pub(super) watch: RunWatch,
    /// The same without any tools, for those that have none.
    toolless: OnceLock<Conversation>,
    /// The context in tokens that the request asks for (Ollama's `num_ctx`).
    pub(super) context_wanted: Option<u32>,
    /// A number of the session or conversation, for models that are sticky.
    pub(super) affinity: u64,
    /// A number of the conversation.
    pub(super) conversation_number: u64,
    /// The workers of the run that are drafting.
    pub(super) crowd: Crowd,
    /// A number of who asks.
    pub(super) caller: u64,
    /// What its answers take that are gathered.
    memory: Share,
    tally: Mutex<Tally>,
    /// Levels that nobody waited for any more, by the nested workflows they were in.
    abandoned: Mutex<Vec<(Option<Arc<str>>, LevelRecord)>>,
}

/// Sums over the run.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) usage: Usage,
    pub(super) cost: Cost,
    pub(super) warnings: Vec<Warning>,
}

/// Dollars, known only while every call's price was.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    usd: f64,
    picodollars: u64,
    calls: u32,
    unpriced: bool,
}

impl Cost {
    /// The cost of one call.
    pub(super) fn of(usage: &Usage, price: Option<Price>) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "token counts are far below 2^52")]
        let usd = price.map_or(0.0, |price| {
            (usage.prompt_tokens as f64 * price.input_per_mtok
                + usage.completion_tokens as f64 * price.output_per_mtok)
                / 1e6
        });
        let (prompt, completion) = (usage.prompt_tokens, usage.completion_tokens);
        let picodollars = price.map_or(0, |price| price.picodollars(prompt, completion));
        Self { usd, picodollars, calls: 1, unpriced: price.is_none() }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.usd += other.usd;
        self.picodollars = self.picodollars.saturating_add(other.picodollars);
        self.calls = self.calls.saturating_add(other.calls);
        self.unpriced |= other.unpriced;
    }

    /// The sum, where every part of it is known and there is one.
    pub(super) fn known(self) -> Option<f64> {
        (self.calls > 0 && !self.unpriced).then_some(self.usd)
    }
}

impl RunContext {
    pub(super) fn new(
        engine: Arc<Engine>,
        request: Request,
        request_id: RequestId,
        watch: RunWatch,
        workflow_id: WorkflowId,
        max_concurrency: Option<usize>,
    ) -> Self {
        let permits = max_concurrency.map(|most| Arc::new(Semaphore::new(most)));
        let memory = engine.memory().share();
        Self {
            engine,
            affinity: request.affinity(),
            conversation_number: request.conversation_number(),
            context_wanted: request.context_wanted(),
            caller: request.caller_number(),
            conversation: Arc::clone(&request.messages).into(),
            toolless: OnceLock::new(),
            request,
            request_id,
            workflow_id,
            started: Instant::now(),
            permits,
            watch,
            crowd: Crowd::default(),
            memory,
            tally: Mutex::default(),
            abandoned: Mutex::default(),
        }
    }

    /// What marks the fences around these texts in a prompt of this stage. Whoever wrote one of them
    /// cannot know it: it is another one for every stage of every level, and the same when a stage is
    /// asked again.
    pub(super) fn nonce<'a>(
        &self,
        kind: StageKind,
        texts: impl Iterator<Item = &'a str>,
    ) -> String {
        let mut hasher = DefaultHasher::new();
        (self.workflow_id.seed(), kind.as_str()).hash(&mut hasher);
        texts.for_each(|text| text.hash(&mut hasher));
        format!("{:08x}", hasher.finish() & 0xffff_ffff)
    }

    /// The conversation for a worker that has no tools: earlier calls and results as text, and in the
    /// system message a list of what there is. Shared by all such workers.
    pub(super) fn without_tools(&self) -> &Conversation {
        self.toolless.get_or_init(|| {
            with_system(
                &self.conversation.flattened(),
                listed(&self.request.prompt.tools).as_deref(),
            )
        })
    }

    /// Takes memory for so many bytes of an answer that is kept until the run is over.
    ///
    /// # Errors
    /// When there is none left.
    pub(super) fn keep(&self, bytes: usize) -> Result<(), NoMemory> {
        self.memory.take(bytes)
    }

    /// Milliseconds since the run began.
    pub(super) fn elapsed_ms(&self) -> u64 {
        millis(self.started.elapsed())
    }

    /// Adds a finished call to the run's sums.
    pub(super) fn spend(&self, usage: &Usage, price: Option<Price>) {
        let (sum, picodollars) = self.with_tally(|tally| {
            tally.usage += *usage;
            tally.cost.add(Cost::of(usage, price));
            (tally.usage_record(), tally.cost.picodollars)
        });
        self.watch.spent(sum, picodollars);
    }

    /// Records that something failed which the answer may yet survive. The line of the request names
    /// it; its words are logged for whoever looks for them.
    pub(super) fn warn(&self, warning: Warning, message: &str) {
        self.watch.stage_failed(&warning);
        tracing::debug!(
            workflow.id = %self.workflow_id,
            request.id = %self.request_id,
            stage = warning.stage,
            name = %warning.name,
            code = warning.code,
            reason = %message,
            "a stage failed"
        );
        self.note(warning);
    }

    /// Adds a warning beside the answer which is no failure.
    pub(super) fn note(&self, warning: Warning) {
        self.with_tally(|tally| tally.warnings.push(warning));
    }

    /// Records, once for a stage and a model, that the drafts are not shown whole.
    pub(super) fn warn_of_cut(&self, stage: StageKind, cut: &DraftsCut) {
        let DraftsCut { model, context_tokens, shown, whole } = cut;
        let warning = Warning { stage: stage.as_str(), name: model.clone(), code: "drafts_cut" };
        let is_new = self.with_tally(|tally| {
            let is_new = !tally.warnings.contains(&warning);
            tally.warnings.extend(is_new.then_some(warning));
            is_new
        });
        if is_new {
            tracing::debug!(
                workflow.id = %self.workflow_id,
                request.id = %self.request_id,
                stage = stage.as_str(),
                model,
                context_tokens,
                shown_bytes = shown,
                whole_bytes = whole,
                "the drafts were cut to fit a context"
            );
        }
    }

    /// The sums so far.
    pub(super) fn tally(&self) -> Tally {
        self.with_tally(|tally| tally.clone())
    }

    /// A level was dropped before its end.
    pub(super) fn abandon(&self, path: Option<Arc<str>>, record: LevelRecord) {
        self.abandoned.lock().unwrap_or_else(PoisonError::into_inner).push((path, record));
    }

    /// The record of such a level.
    pub(super) fn take_abandoned(&self, path: Option<&str>) -> Option<LevelRecord> {
        let mut abandoned = self.abandoned.lock().unwrap_or_else(PoisonError::into_inner);
        let index = abandoned.iter().position(|(one, _)| one.as_deref() == path)?;
        Some(abandoned.swap_remove(index).1)
    }

    fn with_tally<T>(&self, change: impl FnOnce(&mut Tally) -> T) -> T {
        change(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Tally {
    /// The sums as the trace shows them.
    pub(super) fn usage_record(&self) -> UsageRecord {
        UsageRecord::new(&self.usage, self.cost.known())
    }
}

/// The status of a failure.
pub(super) fn failure_status(timed_out: bool) -> StageStatus {
    if timed_out { StageStatus::Timeout } else { StageStatus::Failed }
}
