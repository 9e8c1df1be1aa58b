//! Runs that outlive the process: a file with what lists show, the whole records, and the ids of their
//! requests. A thread of its own writes it, so that no answer waits for a disk.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use redb::{
    Database, Durability, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition,
};
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

use super::{
    entry::KeptRun,
    filter::{Filter, Found},
};
use crate::{config::RunsFile, types::process::Counter};

/// By the run's id, which begins with the time.
const ENTRIES: TableDefinition<'_, u128, &str> = TableDefinition::new("entries");
const RECORDS: TableDefinition<'_, u128, &str> = TableDefinition::new("records");
/// The run of a request.
const REQUESTS: TableDefinition<'_, &str, u128> = TableDefinition::new("requests");

/// Runs that wait to be written.
const QUEUE: usize = 1024;
/// Runs that are written at once.
const BATCH: usize = 256;
/// Runs that are deleted at once, so that a smaller `keep` does not stop the writing for long.
const MOST_DELETED: u64 = 4096;
/// What the file's pages may take of memory.
const CACHE: usize = 4 << 20;
/// How long the end of the process waits for the last ones.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A file of runs that is being written.
#[derive(Debug)]
pub(in crate::server) struct FileOfRuns {
    path: PathBuf,
    database: Option<Arc<Database>>,
    queue: SyncSender<Message>,
    state: Arc<State>,
}

#[derive(Debug)]
enum Message {
    Run(Arc<KeptRun>),
    /// A request to say so once everything before it was written.
    Flush(SyncSender<()>),
}

#[derive(Debug)]
struct State {
    /// How much is kept; a reload may change it.
    settings: Mutex<RunsFile>,
    /// Runs that were not written.
    lost: Counter,
    trouble: Mutex<Option<String>>,
}

impl FileOfRuns {
    /// Opens the file and starts its writer. A file that cannot be used is reported, and runs are then
    /// kept in memory only.
    pub(in crate::server) fn started(settings: &RunsFile) -> Arc<Self> {
        let state = Arc::new(State {
            settings: Mutex::new(settings.clone()),
            lost: Counter::default(),
            trouble: Mutex::default(),
        });
        let database = match open(&settings.path) {
            Ok(database) => Some(Arc::new(database)),
            Err(error) => {
                state.failed(&settings.path, &error.to_string());
                None
            }
        };
        let (queue, runs) = sync_channel(QUEUE);
        if let Some(database) = &database {
            let writer = Writer { database: Arc::clone(database), state: Arc::clone(&state) };
            let thread = thread::Builder::new().name("runs".to_owned());
            if let Err(error) = thread.spawn(move || writer.run(&runs)) {
                state.failed(&settings.path, &error.to_string());
            }
        }
        Arc::new(Self { path: settings.path.clone(), database, queue, state })
    }

    /// Keeps as much as these say from now on, if they are of this file: it cannot be opened twice.
    pub(in crate::server) fn follow(&self, settings: &RunsFile) -> bool {
        let is_same = self.path == settings.path;
        if is_same {
            self.state.settings().clone_from(settings);
        }
        is_same
    }

    /// Why runs cannot be kept there at present.
    pub(in crate::server) fn trouble(&self) -> Option<String> {
        self.state.trouble().clone()
    }

    /// Has a run written, or counted where there is no room for it.
    pub(in crate::server) fn write(&self, run: Arc<KeptRun>) {
        if self.database.is_some() && self.queue.try_send(Message::Run(run)).is_err() {
            self.state.lost.count();
        }
    }

    /// Waits a moment until what was handed in so far is written.
    pub(in crate::server) fn flush(&self) {
        let until = Instant::now() + LAST_WORDS;
        let (done, written) = sync_channel(1);
        let mut message = Message::Flush(done);
        while let Err(TrySendError::Full(back)) = self.queue.try_send(message) {
            if Instant::now() > until {
                return;
            }
            message = back;
            thread::sleep(Duration::from_millis(1));
        }
        // Without a writer there is nobody to answer, at once.
        let left = until.saturating_duration_since(Instant::now());
        let _ = written.recv_timeout(left);
    }

    /// Those that are wanted, the latest first; `is_known` are left out.
    pub(in crate::server) fn find(
        &self,
        filter: &Filter,
        is_known: impl Fn(Uuid) -> bool,
        found: &mut Found,
    ) {
        let mut read = || -> Result<(), redb::Error> {
            let Some(database) = &self.database else { return Ok(()) };
            let transaction = database.begin_read()?;
            let entries = match transaction.open_table(ENTRIES) {
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(()),
                entries => entries?,
            };
            for entry in entries.iter()?.rev() {
                let (id, entry) = entry?;
                let id = Uuid::from_u128(id.value());
                if started(id).is_some_and(|started| filter.ends_before(started)) {
                    break;
                }
                if !is_known(id)
                    && let Ok(entry) = RawValue::from_string(entry.value().to_owned())
                {
                    found.take(entry, filter);
                }
            }
            Ok(())
        };
        if let Err(error) = read() {
            self.state.failed(&self.path, &error.to_string());
        }
    }

    /// The whole record of a run, by its id or its request's.
    pub(in crate::server) fn record(&self, id: &str) -> Option<Box<RawValue>> {
        let read = || -> Result<Option<String>, redb::Error> {
            let Some(database) = &self.database else { return Ok(None) };
            let transaction = database.begin_read()?;
            let key = match transaction.open_table(REQUESTS) {
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
                requests => requests?.get(id)?.map(|key| key.value()),
            };
            let key = key.or_else(|| Uuid::parse_str(id).ok().map(|id| id.as_u128()));
            let Some(key) = key else { return Ok(None) };
            let records = transaction.open_table(RECORDS)?;
            Ok(records.get(key)?.map(|record| record.value().to_owned()))
        };
        match read() {
            Ok(record) => RawValue::from_string(record?).ok(),
            Err(error) => {
                self.state.failed(&self.path, &error.to_string());
                None
            }
        }
    }
}

impl State {
    fn settings(&self) -> MutexGuard<'_, RunsFile> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trouble(&self) -> MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says it once, until it works again.
    fn failed(&self, path: &Path, error: &str) {
        let before = self.trouble().replace(error.to_owned());
        if before.is_none() {
            let path = path.display();
            tracing::error!(%path, %error, "runs cannot be kept on disk; requests are answered without it");
        }
    }
}

struct Writer {
    database: Arc<Database>,
    state: Arc<State>,
}

impl Writer {
    /// Until nobody can hand in another run.
    fn run(self, queue: &Receiver<Message>) {
        while let Ok(first) = queue.recv() {
            let (mut runs, mut waiting) = (Vec::new(), Vec::new());
            let mut next = Some(first);
            while let Some(message) = next {
                match message {
                    Message::Run(run) => runs.push(run),
                    Message::Flush(done) => waiting.push(done),
                }
                next = if runs.len() < BATCH { queue.try_recv().ok() } else { None };
            }
            match self.write(&runs) {
                Ok(()) => drop(self.state.trouble().take()),
                Err(error) => {
                    self.state.lost.add(u64::try_from(runs.len()).unwrap_or_default());
                    self.state.failed(&self.state.settings().path.clone(), &error.to_string());
                }
            }
            for done in waiting {
                // Whoever waited may have given up.
                let _ = done.send(());
            }
        }
    }

    fn write(&self, runs: &[Arc<KeptRun>]) -> Result<(), redb::Error> {
        if runs.is_empty() {
            return Ok(());
        }
        let RunsFile { keep, keep_for, .. } = self.state.settings().clone();
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        {
            let mut entries = transaction.open_table(ENTRIES)?;
            let mut records = transaction.open_table(RECORDS)?;
            let mut requests = transaction.open_table(REQUESTS)?;
            for run in runs {
                let key = run.entry.workflow_id.as_uuid().as_u128();
                let (Ok(entry), Ok(record)) = (to_raw_value(&run.entry), to_raw_value(&**run))
                else {
                    self.state.lost.count();
                    continue;
                };
                entries.insert(key, entry.get())?;
                records.insert(key, record.get())?;
                requests.insert(run.entry.request_id.as_str(), key)?;
            }
            let keep = u64::try_from(keep).unwrap_or(u64::MAX);
            let oldest = Timestamp::now().checked_sub(keep_for).unwrap_or(Timestamp::MIN);
            for _ in 0..MOST_DELETED {
                let too_many = entries.len()? > keep;
                let first =
                    entries.first()?.map(|(key, entry)| (key.value(), entry.value().to_owned()));
                let Some((key, entry)) = first else { break };
                let too_old = started(Uuid::from_u128(key)).is_some_and(|at| at < oldest);
                if !too_many && !too_old {
                    break;
                }
                entries.remove(key)?;
                records.remove(key)?;
                if let Some(request) = request_of(&entry) {
                    requests.remove(request.as_str())?;
                }
            }
        }
        Ok(transaction.commit()?)
    }
}

fn request_of(entry: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Named {
        request_id: String,
    }
    serde_json::from_str::<Named>(entry).ok().map(|named| named.request_id)
}

/// When the run of an id began.
fn started(id: Uuid) -> Option<Timestamp> {
    let (seconds, nanoseconds) = id.get_timestamp()?.to_unix();
    Timestamp::new(i64::try_from(seconds).ok()?, i32::try_from(nanoseconds).ok()?).ok()
}

fn open(path: &Path) -> Result<Database, redb::DatabaseError> {
    private(path)?;
    Database::builder().set_cache_size(CACHE).create(path)
}

/// The file, which only its owner may read.
#[cfg(unix)]
fn private(path: &Path) -> Result<(), redb::StorageError> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map(drop).map_err(redb::StorageError::Io)
}

#[cfg(not(unix))]
fn private(_: &Path) -> Result<(), redb::StorageError> {
    Ok(())
}
