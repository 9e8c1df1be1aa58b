//! The agent's process: its temporary files, its signals, its exit code.

use std::{ffi::OsString, fs, io, path::PathBuf, process::ExitStatus};

use tempfile::TempDir;
use tokio::process::Command;

use super::{agents::Text, ask::is_here};
use crate::config::Env;

/// Exit code where the system says neither a code nor a signal.
const UNKNOWN: u8 = 1;

/// What texts are made of for one run. The files go with it.
pub(super) struct Prepared {
    folder: Option<TempDir>,
    key: String,
}

impl Prepared {
    /// Writes the files, if there are any, where only the user can read them.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn new(files: &[(&'static str, String)], key: &str) -> io::Result<Self> {
        if files.is_empty() {
            return Ok(Self { folder: None, key: key.to_owned() });
        }
        let mut builder = tempfile::Builder::new();
        builder.prefix("chorus-launch-");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
        let folder = builder.tempdir()?;
        for (name, text) in files {
            let path = folder.path().join(name);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(path, text)?;
        }
        Ok(Self { folder: Some(folder), key: key.to_owned() })
    }

    /// A text as the agent gets it.
    pub(super) fn text(&self, text: &Text) -> OsString {
        match text {
            Text::Plain(text) => text.into(),
            Text::Key => self.key.clone().into(),
            Text::Path(name) => {
                let folder = self.folder.as_ref().map(|folder| folder.path().join(name));
                folder.unwrap_or_else(|| PathBuf::from(name)).into_os_string()
            }
        }
    }
}

/// What has to be said to a program that would ask even this machine through a proxy: the variable and
/// its value.
pub(super) fn no_proxy(base: &str, env: Env<'_>) -> Option<(&'static str, String)> {
    let url = base.parse().ok()?;
    let proxied =
        ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
            .into_iter()
            .any(|name| env(name).is_some_and(|value| !value.is_empty()));
    if !proxied || !is_here(&url) {
        return None;
    }
    // Whoever knows both reads the one in lower case first.
    let name = if env("no_proxy").is_some() { "no_proxy" } else { "NO_PROXY" };
    let before = env(name).filter(|hosts| !hosts.is_empty());
    let hosts = before.into_iter().chain(url.host_str().map(str::to_owned));
    Some((name, hosts.collect::<Vec<_>>().join(",")))
}

/// Runs a program at this terminal and waits for it. Returns its exit code.
///
/// Ctrl-C reaches both and is the program's to answer; who asks this process to end (SIGTERM, SIGHUP)
/// means the program.
///
/// # Errors
/// When it cannot be started.
#[cfg(unix)]
pub(super) async fn run(mut command: Command) -> io::Result<u8> {
    use rustix::process::Signal;
    use tokio::signal::unix::{SignalKind, signal};

    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut quits = signal(SignalKind::quit())?;
    let mut ends = signal(SignalKind::terminate())?;
    let mut hangups = signal(SignalKind::hangup())?;
    let mut child = command.spawn()?;
    let process = child.id().and_then(|id| rustix::process::Pid::from_raw(id.try_into().ok()?));
    loop {
        let passed = tokio::select! {
            status = child.wait() => return status.map(code),
            _ = interrupts.recv() => None,
            _ = quits.recv() => None,
            _ = ends.recv() => Some(Signal::TERM),
            _ = hangups.recv() => Some(Signal::HUP),
        };
        if let (Some(signal), Some(process)) = (passed, process) {
            // It may have ended this moment; then there is nothing to pass.
            let _ended = rustix::process::kill_process(process, signal);
        }
    }
}

/// Runs a program at this terminal and waits for it. Returns its exit code. Ctrl-C is the program's.
///
/// # Errors
/// When it cannot be started.
#[cfg(not(unix))]
pub(super) async fn run(mut command: Command) -> io::Result<u8> {
    let mut child = command.spawn()?;
    loop {
        tokio::select! {
            status = child.wait() => return status.map(code),
            heard = tokio::signal::ctrl_c() => heard?,
        }
    }
}

/// The exit code of a shell for the same: 128 and the signal's number where one ended it.
fn code(status: ExitStatus) -> u8 {
    #[cfg(unix)]
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    #[cfg(not(unix))]
    let signal: Option<i32> = None;
    let code = status.code().or(signal.map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(UNKNOWN)
}
