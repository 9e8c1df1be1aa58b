//! The audit log: who asked for what, whether it was let in, and what it took; a line a request.
//!
//! Lines go through a bounded queue to a thread of their own, for a file's writer waits for its disk
//! (standard error can be asked first whether it would wait, so the log needs neither). What the queue
//! or the disk does not take is counted, and the next line that is written comes after one that says
//! how many are missing.

mod file;
mod line;

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{config, types::process::Counter};
use file::{AuditFile, NotWritten};
pub(super) use line::{Decision, Line, Spending};

/// Lines that wait to be written: a second of a busy server, and a few megabytes.
const QUEUE: usize = 8192;
/// What is written at once, in bytes; a line more at most.
const BATCH: usize = 64 * 1024;
/// How long the end of the process waits for the last lines.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// An audit log that is being written.
#[derive(Debug)]
pub(super) struct Audit {
    settings: config::Audit,
    queue: SyncSender<Message>,
    state: Arc<State>,
}

/// What is handed to the writer.
#[derive(Debug)]
enum Message {
    Line(Vec<u8>),
    /// A request to say so once everything before it was written.
    Flush(SyncSender<()>),
}

/// How the writing goes, for whoever asks.
#[derive(Debug, Default)]
struct State {
    /// Lines that were not written.
    lost: Counter,
    trouble: Mutex<Option<Trouble>>,
}

/// Why nothing is written at present.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "AuditTrouble")]
pub(super) struct Trouble {
    since: Timestamp,
    error: String,
}

/// The audit log's part of `/health?verbose`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct AuditHealth {
    path: String,
    /// Lines that are missing in it since the start.
    lost_lines: u64,
    /// Absent while it is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<Trouble>,
}

/// The audit log that a config wants. Should there be no thread for it, that is said, and requests
/// are answered without it.
pub(super) fn started(settings: Option<&config::Audit>) -> Option<Arc<Audit>> {
    let settings = settings?;
    match Audit::start(settings.clone()) {
        Ok(audit) => Some(Arc::new(audit)),
        Err(error) => {
            tracing::error!(%error, "the audit log's thread cannot be started");
            None
        }
    }
}

impl Audit {
    /// Opens the file and starts its writer. A file that cannot be opened is tried again with every
    /// line.
    ///
    /// # Errors
    /// When there can be no further thread.
    pub(super) fn start(settings: config::Audit) -> io::Result<Self> {
        let state = Arc::new(State::default());
        let mut file = AuditFile::new(settings.clone());
        if let Err(error) = file.open(Timestamp::now()) {
            state.failed(&settings, &error, 0);
        }
        let (queue, lines) = sync_channel(QUEUE);
        let writer = Writer { file, state: Arc::clone(&state), reported: 0 };
        thread::Builder::new().name("audit".to_owned()).spawn(move || writer.run(&lines))?;
        Ok(Self { settings, queue, state })
    }

    /// What it was started with.
    pub(super) fn settings(&self) -> &config::Audit {
        &self.settings
    }

    /// Has a line written, or counted where there is no room for it.
    pub(super) fn write(&self, line: &Line<'_>) {
        if self.queue.try_send(Message::Line(line.json())).is_err() {
            self.state.lost.count();
        }
    }

    /// Waits a moment until what was handed in so far is written.
    pub(super) fn flush(&self) {
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
        let left = until.saturating_duration_since(Instant::now());
        if let Err(RecvTimeoutError::Timeout) = written.recv_timeout(left) {
            tracing::error!("the audit log's last lines were not written in time");
        }
    }

    /// Its state for `/health?verbose`.
    pub(super) fn health(&self) -> AuditHealth {
        AuditHealth {
            path: self.settings.path.display().to_string(),
            lost_lines: self.state.lost.get(),
            last_error: self.state.trouble().clone(),
        }
    }

    /// Why nothing can be written at present.
    pub(super) fn trouble(&self) -> Option<String> {
        self.state.trouble().as_ref().map(|trouble| trouble.error.clone())
    }
}

impl State {
    fn trouble(&self) -> MutexGuard<'_, Option<Trouble>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says it once, until it is written again.
    fn failed(&self, settings: &config::Audit, error: &io::Error, lost: u64) {
        self.lost.add(lost);
        let mut trouble = self.trouble();
        if trouble.is_none() {
            let path = settings.path.display();
            tracing::error!(
                %path,
                %error,
                "the audit log cannot be written; requests are answered without it"
            );
        }
        let since = trouble.as_ref().map_or_else(Timestamp::now, |trouble| trouble.since);
        *trouble = Some(Trouble { since, error: error.to_string() });
    }
}

/// The thread that writes.
struct Writer {
    file: AuditFile,
    state: Arc<State>,
    /// How many of the missing lines the file's reader knows of.
    reported: u64,
}

impl Writer {
    /// Until nobody can hand in another line.
    fn run(mut self, queue: &Receiver<Message>) {
        while let Ok(first) = queue.recv() {
            let (mut lines, mut waiting) = (Vec::new(), Vec::new());
            let mut next = Some(first);
            while let Some(message) = next {
                match message {
                    Message::Line(line) => lines.extend_from_slice(&line),
                    Message::Flush(done) => waiting.push(done),
                }
                next = if lines.len() < BATCH { queue.try_recv().ok() } else { None };
            }
            self.write(&lines);
            for done in waiting {
                // Whoever waited may have given up.
                let _ = done.send(());
            }
        }
    }

    fn write(&mut self, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        let now = Timestamp::now();
        let known = self.state.lost.get();
        let missing = known.saturating_sub(self.reported);
        let notice =
            if missing > 0 { self.file.write(&line::missing(missing, now), now) } else { Ok(()) };
        if let Err(NotWritten { cause, .. }) = notice {
            return self.state.failed(self.file.settings(), &cause, file::count(lines));
        }
        self.reported = known;
        match self.file.write(lines, now) {
            Ok(()) => self.went_well(missing),
            Err(NotWritten { cause, lost }) => {
                self.state.failed(self.file.settings(), &cause, lost);
            }
        }
    }

    fn went_well(&self, missing: u64) {
        let was_in_trouble = self.state.trouble().take().is_some();
        let path = self.file.settings().path.display();
        if was_in_trouble {
            tracing::warn!(%path, missing, "the audit log is written again");
        } else if missing > 0 {
            tracing::warn!(%path, missing, "lines are missing in the audit log: its disk is slow");
        }
    }
}

#[cfg(test)]
mod tests;
