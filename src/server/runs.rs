//! Runs: those in flight, and what is kept of those that are over.
//!
//! A run is registered when its request begins it, and leaves with its request's log line, however it
//! ended. Its record is kept without the words of clients and models, unless `[runs] keep_text` wants
//! them.

mod entry;
mod file;
mod filter;

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use tokio_util::sync::CancellationToken;

pub(super) use entry::{Began, Ended, Entry, InFlight, KeptRun, LiveRun, RunError};
pub(super) use filter::{Filter, Found, Totals};

use crate::{config, types::WorkflowId, workflow::RunWatch};
use file::FileOfRuns;

/// The runs of the process; they outlive a config.
#[derive(Debug, Default)]
pub(super) struct Runs {
    in_flight: Mutex<HashMap<WorkflowId, InFlight>>,
    recent: Mutex<Recent>,
    /// How many have begun, and how many have ended.
    changes: AtomicU64,
    file: Mutex<Option<Arc<FileOfRuns>>>,
}

/// The last runs that ended.
#[derive(Debug, Default)]
struct Recent {
    most: usize,
    /// The latest last.
    list: VecDeque<Arc<KeptRun>>,
    /// How many there were before those of the list.
    before: u64,
}

impl Runs {
    /// As a config wants them kept.
    pub(super) fn of(config: &config::Runs) -> Self {
        let runs = Self::default();
        runs.follow(config);
        runs
    }

    /// Keeps runs as another config wants it from now on.
    pub(super) fn follow(&self, config: &config::Runs) {
        {
            let mut recent = self.recent();
            recent.most = config.recent;
            recent.trim();
        }
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let follows = match (&*file, &config.file) {
            (Some(file), Some(settings)) => file.follow(settings),
            (None, None) => true,
            _ => false,
        };
        if !follows {
            *file = config.file.as_ref().map(FileOfRuns::started);
        }
    }

    /// Why runs cannot be kept on disk at present.
    pub(super) fn trouble(&self) -> Option<String> {
        self.file()?.trouble()
    }

    /// Waits, a moment at most, until what ended is on disk.
    pub(super) fn flush(&self) {
        if let Some(file) = self.file() {
            file.flush();
        }
    }

    /// A run of a request begins; `cancel` ends the request.
    pub(super) fn began(&self, began: &Arc<Began>, watch: &RunWatch, cancel: &CancellationToken) {
        let one = InFlight {
            began: Arc::clone(began),
            watch: watch.clone(),
            since: Instant::now(),
            cancel: cancel.clone(),
        };
        self.in_flight().insert(watch.workflow_id(), one);
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// Its request is over.
    pub(super) fn ended(&self, watch: &RunWatch, ended: &Ended) {
        let summary = watch.summary();
        let one = self.in_flight().remove(&summary.workflow_id);
        self.changes.fetch_add(1, Ordering::Relaxed);
        let (Some(one), Some(trace)) = (one, watch.take_trace()) else { return };
        let file = self.file();
        let is_kept = self.recent().most > 0 || file.is_some();
        if !is_kept {
            return;
        }
        let run = Arc::new(KeptRun::new(&one.began, &summary, ended, trace, watch.take_text()));
        if let Some(file) = file {
            file.write(Arc::clone(&run));
        }
        let mut recent = self.recent();
        recent.list.push_back(run);
        recent.trim();
    }

    /// How many are in flight.
    pub(super) fn count_in_flight(&self) -> usize {
        self.in_flight().len()
    }

    /// Those in flight, the oldest first.
    pub(super) fn in_flight_now(&self) -> Vec<LiveRun> {
        let all: Vec<InFlight> = self.in_flight().values().cloned().collect();
        let mut all: Vec<LiveRun> = all.iter().map(LiveRun::of).collect();
        all.sort_by_key(LiveRun::age);
        all
    }

    /// The one of an id, of those whose client `may_see` it: two clients may have sent the same
    /// `x-request-id`.
    pub(super) fn find_in_flight(
        &self,
        id: &str,
        may_see: impl Fn(Option<&str>) -> bool,
    ) -> Option<InFlight> {
        let matches = |one: &&InFlight| {
            (one.began.request_id.as_str() == id || one.watch.workflow_id().to_string() == id)
                && may_see(one.began.client.as_deref())
        };
        self.in_flight().values().find(matches).cloned()
    }

    /// Likewise, of those that are over.
    pub(super) fn find_recent(
        &self,
        id: &str,
        may_see: impl Fn(Option<&str>) -> bool,
    ) -> Option<Arc<KeptRun>> {
        let matches = |run: &&Arc<KeptRun>| run.is(id) && may_see(run.entry.client.as_deref());
        self.recent().list.iter().rev().find(matches).cloned()
    }

    /// The last runs, the latest first.
    pub(super) fn latest(&self) -> Vec<Arc<KeptRun>> {
        self.recent().list.iter().rev().cloned().collect()
    }

    /// The runs that ended since so many had, and how many have by now.
    pub(super) fn since(&self, known: u64) -> (Vec<Arc<KeptRun>>, u64) {
        let recent = self.recent();
        let skipped = usize::try_from(known.saturating_sub(recent.before)).unwrap_or(usize::MAX);
        let new = recent.list.iter().skip(skipped).cloned().collect();
        (new, recent.ended())
    }

    pub(super) fn ended_by_now(&self) -> u64 {
        self.recent().ended()
    }

    /// Another number whenever something of the runs in flight has changed.
    pub(super) fn steps(&self) -> u64 {
        let steps: u64 = self.in_flight().values().map(|one| one.watch.steps()).sum();
        // A run that leaves takes its steps with it.
        self.changes.load(Ordering::Relaxed).wrapping_mul(1 << 32).wrapping_add(steps)
    }

    fn in_flight(&self) -> MutexGuard<'_, HashMap<WorkflowId, InFlight>> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn file(&self) -> Option<Arc<FileOfRuns>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Recent {
    fn trim(&mut self) {
        while self.list.len() > self.most {
            self.list.pop_front();
            self.before += 1;
        }
    }

    fn ended(&self) -> u64 {
        self.before + u64::try_from(self.list.len()).unwrap_or_default()
    }
}
