//! What outlives the process: a file of tables, written by a thread of its own.
//!
//! Nobody waits for a disk: whoever has something to keep is a [`Source`], says that it has by its
//! [`Waker`], and is asked for it at most every [`PAUSE`]. A process that is killed loses what came
//! after the last time.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle, Thread},
    time::{Duration, Instant},
};

use redb::{
    Builder, ConcurrencyMode, Database, DatabaseError, Error, ReadableDatabase, ReadableTable,
    TableDefinition, TableError,
};

/// How long changes are gathered before they are written.
pub const PAUSE: Duration = Duration::from_millis(500);
/// The name of the file in its folder.
const FILE: &str = "chorus.redb";
/// Bytes of it that are held in memory.
const CACHE: usize = 1024 * 1024;

/// A table of texts by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// What clients have used, by the client's name.
    Clients,
}

impl Table {
    fn definition(self) -> TableDefinition<'static, &'static str, &'static str> {
        TableDefinition::new(match self {
            Self::Clients => "clients",
        })
    }
}

/// Something to keep; it takes the place of what was there by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it belongs.
    pub table: Table,
    /// Its name there.
    pub name: String,
    /// The text.
    pub value: String,
}

/// Somebody who has things to keep.
pub trait Source: Send + Sync {
    /// What has changed since it was last asked for.
    fn changed(&self) -> Vec<Record>;
}

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process writes it.
    #[error("{} is in use by another Chorus; stop that one, or give this one a `[server] data_dir` of its own", .0.display())]
    InUse(PathBuf),
    /// The system, or the file, says no.
    #[error("{}: {cause}; check `[server] data_dir`", path.display())]
    Unusable {
        /// The file, or its folder.
        path: PathBuf,
        /// What was said.
        cause: Box<Error>,
    },
    /// There is no thread for it.
    #[error("the store's thread cannot be started: {0}")]
    Thread(io::Error),
}

/// An open store. When it is dropped, what has changed by then is written.
#[derive(Debug)]
pub struct Store {
    database: Arc<Database>,
    path: PathBuf,
    waker: Waker,
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

/// Says that there is something to keep. To say so again, before it was written, costs one look at a
/// number.
#[derive(Clone, Debug, Default)]
pub struct Waker(Arc<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    is_awake: AtomicBool,
    writer: OnceLock<Thread>,
}

#[derive(Default)]
struct Shared {
    sources: Mutex<Vec<Arc<dyn Source>>>,
    is_ending: AtomicBool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Waker {
    /// There is something.
    pub fn wake(&self) {
        if self.0.is_awake.load(Ordering::Relaxed) || self.0.is_awake.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(writer) = self.0.writer.get() {
            writer.unpark();
        }
    }
}

impl Store {
    /// Opens the store in a folder, which is made for its owner only where there is none. A file that
    /// was left by a killed process is repaired.
    ///
    /// # Errors
    /// When it cannot be used, or another process writes it.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let failed = |path: &Path, cause: Error| StoreError::Unusable {
            path: path.to_owned(),
            cause: Box::new(cause),
        };
        create_private(folder).map_err(|error| failed(folder, Error::Io(error)))?;
        let path = folder.join(FILE);
        let database = builder().create(&path).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => StoreError::InUse(path.clone()),
            error => failed(&path, error.into()),
        })?;
        let database = Arc::new(database);
        let (waker, shared) = (Waker::default(), Arc::new(Shared::default()));
        let writer = {
            let (database, waker, shared) =
                (Arc::clone(&database), waker.clone(), Arc::clone(&shared));
            let path = path.clone();
            let work =
                move || Writer { database, path, waker, shared, left: BTreeMap::new() }.run();
            thread::Builder::new()
                .name("store".to_owned())
                .spawn(work)
                .map_err(StoreError::Thread)?
        };
        Ok(Self { database, path, waker, shared, writer: Some(writer) })
    }

    /// Everything in a table.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, table: Table) -> Result<Vec<(String, String)>, StoreError> {
        all(&*self.database, table).map_err(|cause| StoreError::Unusable {
            path: self.path.clone(),
            cause: Box::new(cause),
        })
    }

    /// Everything in a table of the store in a folder, which another process may be writing; nothing
    /// where there is no store.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn look(folder: &Path, table: Table) -> Result<Vec<(String, String)>, StoreError> {
        let path = folder.join(FILE);
        if !path.exists() {
            return Ok(Vec::new());
        }
        let failed =
            |cause: Error| StoreError::Unusable { path: path.clone(), cause: Box::new(cause) };
        match builder().open_read_only(&path) {
            Ok(database) => all(&database, table).map_err(failed),
            // Left by a process that was killed, it has to be repaired first.
            Err(DatabaseError::RepairAborted) => {
                let database = builder().open(&path).map_err(|error| failed(error.into()))?;
                all(&database, table).map_err(failed)
            }
            Err(error) => Err(failed(error.into())),
        }
    }

    /// Keeps what a source has, from now on and whenever the waker is used.
    pub fn keep(&self, source: Arc<dyn Source>) -> Waker {
        self.shared.sources().push(source);
        self.waker.wake();
        self.waker.clone()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.shared.is_ending.store(true, Ordering::Release);
        if let Some(writer) = self.writer.take() {
            writer.thread().unpark();
            // A writer that panicked has said so itself.
            drop(writer.join());
        }
    }
}

impl Shared {
    fn sources(&self) -> MutexGuard<'_, Vec<Arc<dyn Source>>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Acquire)
    }
}

/// The thread that writes.
struct Writer {
    database: Arc<Database>,
    path: PathBuf,
    waker: Waker,
    shared: Arc<Shared>,
    /// What could not be written yet.
    left: BTreeMap<(Table, String), String>,
}

impl Writer {
    fn run(mut self) {
        drop(self.waker.0.writer.set(thread::current()));
        let mut in_trouble = false;
        loop {
            self.wait(in_trouble);
            let is_ending = self.shared.is_ending();
            self.waker.0.is_awake.store(false, Ordering::Release);
            for Record { table, name, value } in
                self.shared.sources().iter().flat_map(|source| source.changed())
            {
                self.left.insert((table, name), value);
            }
            match self.write() {
                Ok(()) => {
                    self.left.clear();
                    in_trouble = false;
                }
                Err(error) if !in_trouble => {
                    let path = self.path.display();
                    tracing::error!(%error, %path, "what was used cannot be kept; trying again");
                    in_trouble = true;
                }
                Err(_) => {}
            }
            if is_ending {
                return;
            }
        }
    }

    /// Until there is something to write, and a pause longer, in which more may come.
    fn wait(&self, in_trouble: bool) {
        while !(in_trouble
            || self.waker.0.is_awake.load(Ordering::Acquire)
            || self.shared.is_ending())
        {
            thread::park();
        }
        let until = Instant::now() + PAUSE;
        while let Some(left) = until.checked_duration_since(Instant::now())
            && !left.is_zero()
            && !self.shared.is_ending()
        {
            thread::park_timeout(left);
        }
    }

    /// All of it, or nothing.
    fn write(&self) -> Result<(), Error> {
        if self.left.is_empty() {
            return Ok(());
        }
        let transaction = self.database.begin_write()?;
        for ((table, name), value) in &self.left {
            transaction.open_table(table.definition())?.insert(name.as_str(), value.as_str())?;
        }
        Ok(transaction.commit()?)
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    // `chorus client list` looks into it beside the server.
    builder.set_cache_size(CACHE).set_concurrency_mode(ConcurrencyMode::SingleWriter);
    builder
}

fn all(database: &impl ReadableDatabase, table: Table) -> Result<Vec<(String, String)>, Error> {
    let transaction = database.begin_read()?;
    let table = match transaction.open_table(table.definition()) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let entry = |entry: Result<(redb::AccessGuard<'_, &str>, redb::AccessGuard<'_, &str>), _>| {
        let (name, value) = entry?;
        Ok((name.value().to_owned(), value.value().to_owned()))
    };
    table.iter()?.map(entry).collect()
}

#[cfg(unix)]
fn create_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn create_private(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}
