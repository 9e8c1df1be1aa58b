//! Who notices that the config changed: a thread that sleeps until the folders of the files report
//! something, waits until they are quiet, and has the config loaded.
//!
//! Folders are watched and not files: an editor writes another file and renames it over the first,
//! and Kubernetes swaps a link two folders away. Not every change is reported: not that of a single
//! file mounted into a container, of a network share written elsewhere, or of a folder further up.
//! So the files' sizes and times are compared every now and then, too; nothing is read for that.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender},
    },
    time::{Duration, Instant, SystemTime},
};

use arc_swap::ArcSwap;
use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};

use super::loader::Loader;

/// Links followed from one path; more are a circle.
const MOST_LINKS: usize = 32;

/// How long is waited for what.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Files that have not changed for so long are loaded; default 200 ms.
    pub quiet: Duration,
    /// They are loaded after so long even if somebody writes all the time, and a file that is not
    /// there is missing only after that; default 2 s.
    pub longest: Duration,
    /// How often a file that cannot be used is loaded again, and the times of others are compared;
    /// default 2 s.
    pub retry: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            quiet: Duration::from_millis(200),
            longest: Duration::from_secs(2),
            retry: Duration::from_secs(2),
        }
    }
}

/// What the thread hears.
#[derive(Debug)]
pub(super) enum Message {
    /// Something happened to these.
    Touched(Vec<PathBuf>),
    /// Something happened that could not be followed.
    Lost,
    /// Somebody wants the config loaded.
    Requested,
    /// It is over.
    Over,
}

/// The thread's own.
pub(super) struct Watch {
    messages: Receiver<Message>,
    /// For the watcher.
    sender: Sender<Message>,
    pace: Pace,
    /// `None` where the system cannot watch.
    watcher: Option<RecommendedWatcher>,
    /// What is wanted, and what of its folders is really watched.
    places: Arc<ArcSwap<Places>>,
    watched: BTreeSet<PathBuf>,
    /// The files as they were when they were last loaded.
    seen: Stamps,
    /// That something cannot be watched was said.
    is_warned: bool,
}

/// Why it woke up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Look,
    Requested,
    Over,
}

impl Watch {
    pub(super) fn new(messages: Receiver<Message>, sender: Sender<Message>, pace: Pace) -> Self {
        Self {
            messages,
            sender,
            pace,
            watcher: None,
            places: Arc::default(),
            watched: BTreeSet::new(),
            seen: Stamps::new(),
            is_warned: false,
        }
    }

    /// Runs until it is over.
    pub(super) fn run(mut self, mut loader: Loader) {
        self.follow(&loader);
        // It may have changed since the server loaded it.
        let mut call = Call::Look;
        loop {
            self.seen = stamps(&loader);
            match call {
                Call::Over => return,
                Call::Look | Call::Requested => loader.reload(call == Call::Requested),
            }
            // What happened in a folder before it was watched was not reported.
            call = if self.follow(&loader) { Call::Look } else { self.wait(&loader) };
            if call == Call::Look {
                call = self.settle(loader.path());
            }
        }
    }

    /// Sleeps until there is something to do.
    fn wait(&mut self, loader: &Loader) -> Call {
        // Whatever else happens in the folders meanwhile: somebody may keep a log there.
        let mut next = Instant::now() + self.pace.retry;
        loop {
            let now = Instant::now();
            if now >= next {
                next = now + self.pace.retry;
                if stamps(loader) != self.seen {
                    // What is watched may be what was once there.
                    self.forget();
                    return Call::Look;
                }
                if loader.is_refused() {
                    return Call::Look;
                }
            }
            let call = match self.messages.recv_timeout(next.saturating_duration_since(now)) {
                Ok(message) => self.call(&message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => Some(Call::Over),
            };
            if let Some(call) = call {
                return call;
            }
        }
    }

    /// Waits until nobody writes any more.
    fn settle(&mut self, path: &Path) -> Call {
        let begun = Instant::now();
        let mut until = begun + self.pace.quiet;
        loop {
            let now = Instant::now();
            let end = begun + self.pace.longest;
            match self.messages.recv_timeout(until.min(end).saturating_duration_since(now)) {
                Ok(message) => match self.call(&message) {
                    Some(Call::Look) => until = Instant::now() + self.pace.quiet,
                    Some(call) => return call,
                    None => {}
                },
                // Between the deletion of the old file and the creation of the new one.
                Err(RecvTimeoutError::Timeout) if Instant::now() < end && !path.exists() => {
                    until = Instant::now() + self.pace.quiet;
                }
                Err(RecvTimeoutError::Timeout) => return Call::Look,
                Err(RecvTimeoutError::Disconnected) => return Call::Over,
            }
            if Instant::now() >= end {
                return Call::Look;
            }
        }
    }

    /// What it means; `None`: nothing.
    fn call(&mut self, message: &Message) -> Option<Call> {
        match message {
            Message::Requested => Some(Call::Requested),
            Message::Over => Some(Call::Over),
            Message::Lost => {
                self.forget();
                Some(Call::Look)
            }
            Message::Touched(paths) => {
                if paths.iter().any(|path| self.places.load().folders.contains(path)) {
                    // A folder that was removed or renamed is watched no more.
                    self.forget();
                    return Some(Call::Look);
                }
                self.places.load().concern(paths).then_some(Call::Look)
            }
        }
    }

    /// Watches the folders of all files as they are now; whether there is a new one.
    fn follow(&mut self, loader: &Loader) -> bool {
        let places = Arc::new(Places::of(loader));
        self.places.store(Arc::clone(&places));
        if self.watcher.is_none() {
            self.watcher = self.watcher();
        }
        let Some(watcher) = &mut self.watcher else { return false };
        let (wanted, watched) = (&places.folders, &mut self.watched);
        watched.retain(|folder| {
            let stays = wanted.contains(folder);
            if !stays {
                // One that is gone took its watch along.
                let _ = watcher.unwatch(folder);
            }
            stays
        });
        let (mut is_new, mut failed) = (false, None);
        for folder in wanted {
            if watched.contains(folder) {
                continue;
            }
            match watcher.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => is_new |= watched.insert(folder.clone()),
                Err(error) => failed = Some((folder.clone(), error)),
            }
        }
        if let Some((folder, error)) = failed {
            self.warn(&format!("{}: {error}", folder.display()));
        }
        is_new
    }

    /// Watches all anew the next time.
    fn forget(&mut self) {
        self.watcher = None;
        self.watched.clear();
    }

    fn watcher(&mut self) -> Option<RecommendedWatcher> {
        let (sender, places) = (self.sender.clone(), Arc::clone(&self.places));
        let sender = move |event: notify::Result<Event>| {
            let message = match event {
                Ok(event) if event.need_rescan() => Message::Lost,
                // A log in one of the folders must not wake the thread at each of its lines.
                Ok(event) if is_change(event.kind) && places.load().concern(&event.paths) => {
                    Message::Touched(event.paths)
                }
                Ok(_) => return,
                Err(_) => Message::Lost,
            };
            // The thread may have ended.
            let _ = sender.send(message);
        };
        match notify::recommended_watcher(sender) {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                self.warn(&error.to_string());
                None
            }
        }
    }

    /// Warns, but only once.
    fn warn(&mut self, error: &str) {
        if !self.is_warned {
            self.is_warned = true;
            tracing::warn!(
                error,
                "the folder of the config cannot be watched; the file is looked at now and then, \
                 and SIGHUP reloads it at once"
            );
        }
    }
}

/// Reading a file is none, or every reload would make the next.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    }
}

/// Files, and what shows without reading one that it is another or was written to; `None`: it is
/// not there.
type Stamps = BTreeMap<PathBuf, Option<(u64, Option<SystemTime>, u64)>>;

fn stamps(loader: &Loader) -> Stamps {
    let stamp = |file: &Path| {
        let it = fs::metadata(file).ok()?;
        Some((it.len(), it.modified().ok(), number(&it)))
    };
    loader.files().map(|file| (file.to_owned(), stamp(file))).collect()
}

/// The file's own number in its file system.
#[cfg(unix)]
fn number(file: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(file)
}

#[cfg(not(unix))]
fn number(_file: &fs::Metadata) -> u64 {
    0
}

/// What decides about the content of some files.
#[derive(Debug, Default, PartialEq, Eq)]
struct Places {
    /// The folders where something may happen to them. Each under one name, since the system knows
    /// a folder by one watch only.
    folders: BTreeSet<PathBuf>,
    /// The files, and the links on the way to them.
    names: BTreeSet<PathBuf>,
}

impl Places {
    fn of(loader: &Loader) -> Self {
        let mut places = Self::default();
        for file in loader.files() {
            places.add(file);
        }
        places
    }

    /// Whether what happens to these can change what is loaded.
    fn concern(&self, paths: &[PathBuf]) -> bool {
        paths.iter().any(|path| self.names.contains(path) || self.folders.contains(path))
    }

    fn add(&mut self, path: &Path) {
        let Ok(mut path) = std::path::absolute(path) else { return };
        for _ in 0..MOST_LINKS {
            self.name(&path);
            let Some(link) = path.ancestors().find(|part| part.is_symlink()) else { return };
            self.name(link);
            let Ok(target) = fs::read_link(link) else { return };
            let rest = path.strip_prefix(link).unwrap_or(Path::new(""));
            let folder = link.parent().unwrap_or(Path::new("/"));
            path = if rest.as_os_str().is_empty() {
                folder.join(target)
            } else {
                folder.join(target).join(rest)
            };
        }
    }

    /// What happens in a folder is reported with the name under which the folder is watched.
    fn name(&mut self, path: &Path) {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return };
        // One that is not there is wanted all the same, so that it is looked for.
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        self.names.insert(folder.join(name));
        self.folders.insert(folder);
    }
}
