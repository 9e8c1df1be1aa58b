//! `chorus serve`, which is also what `chorus` alone does.

use std::{
    future::Future,
    io::{self, Write},
    net::SocketAddr,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use tokio::{
    net::{TcpListener, lookup_host},
    sync::oneshot,
};

use super::{
    core_dumps,
    diagnostics::{self, Look},
    logging,
    non_blocking::NonBlocking,
    reload::{Pace, Reload, Seen, Source},
    screen::{self, Opening},
    service_manager::ServiceManager,
    versions,
};
use crate::{
    config::{Config, Overrides, SecretStores, Server},
    llm::LlmError,
    server::{self, AppState, Listeners, Workers},
    store::{Store, StoreError},
    workflow::Engine,
};

/// Exit code of a server that was told to end and did.
const FINE: u8 = 0;
/// Exit code of a failure at run time.
const FAILED: u8 = 1;
/// Exit code of a config that cannot be used.
const BAD_CONFIG: u8 = 2;

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error("the upstream clients cannot be built: {0}")]
    Client(#[from] LlmError),
    #[error("cannot resolve '{host}': {cause}; try --host 127.0.0.1")]
    Host { host: String, cause: io::Error },
    #[error("cannot listen on {address}: {cause}; is Chorus running already? Try another --port")]
    Listen { address: SocketAddr, cause: io::Error },
    #[error("cannot listen on {path}: {cause}; see [server] unix_socket")]
    #[cfg(unix)]
    Socket { path: std::path::PathBuf, cause: io::Error },
    #[error("cannot start the worker threads: {0}")]
    Workers(io::Error),
    #[error("cannot keep what clients use of their budgets: {0}")]
    Store(#[from] StoreError),
    #[error(
        "cannot keep what clients use of their budgets: there is no home folder; set `[server] data_dir`"
    )]
    Homeless,
    #[error("cannot listen for signals: {0}")]
    Signals(io::Error),
    #[error(
        "cannot write the audit log, [audit] path = {path:?}: {cause}; correct it, or take it out"
    )]
    Audit { path: PathBuf, cause: String },
    #[error("cannot keep runs in [runs] path = {path:?}: {cause}; correct it, or take it out")]
    Runs { path: PathBuf, cause: String },
    #[error("cannot start the thread that follows the config: {0}")]
    Reload(io::Error),
    #[error("the address that it listens on is not known: {0}")]
    Address(io::Error),
}

/// A server that listens and does not answer yet.
pub(super) struct Opened {
    pub(super) listeners: Listeners,
    pub(super) workers: Workers,
    pub(super) app: AppState,
    /// What was used is written to the end as long as this is there.
    pub(super) store: Option<Store>,
}

/// Serves the config at `path` until SIGTERM or Ctrl-C, and returns the exit code. A bad config is
/// refused before a port opens; its problems go to `err`, which looks like `look`. The screen of a good
/// one goes to stderr, as far as that takes it. Later changes of the file are followed.
///
/// # Errors
/// When `err` cannot be written to.
pub async fn run(
    path: &Path,
    env: fn(&str) -> Option<String>,
    overrides: &Overrides,
    opening: Opening,
    look: Look,
    err: &mut dyn Write,
) -> io::Result<u8> {
    // Before anything that takes time: a SIGHUP that nobody waits for ends a process.
    let hangups = match Hangups::new() {
        Ok(hangups) => hangups,
        Err(error) => {
            writeln!(err, "chorus: {}", StartError::Signals(error))?;
            return Ok(FAILED);
        }
    };
    let stores = SecretStores::default();
    // Before it is read, so that a change on the way is seen.
    let seen = Seen::now(path);
    let config = match Config::load_asking(path, &env, overrides, &stores) {
        Ok(config) => config,
        Err(error) => {
            diagnostics::refused(&error, look, err)?;
            return Ok(BAD_CONFIG);
        }
    };
    logging::start(config.log_format, opening.quiet, &env);
    core_dumps::forbid(&env);
    let (path, overrides) = (path.to_owned(), overrides.clone());
    let source = Source { path, env: Box::new(env), overrides, stores, seen: Some(seen) };
    let mut err = NonBlocking::stderr();
    match serve(config, source, hangups, opening, &mut err).await {
        Ok(code) => Ok(code),
        Err(error) => {
            writeln!(err, "chorus: {error}")?;
            Ok(FAILED)
        }
    }
}

async fn serve(
    config: Config,
    source: Source,
    mut hangups: Hangups,
    opening: Opening,
    err: &mut dyn Write,
) -> Result<u8, StartError> {
    let signals = Signals::new().map_err(StartError::Signals)?;
    let manager = ServiceManager::of(&source.env);
    let config = Arc::new(config);
    let Opened { listeners, workers, app, store } = open(Arc::clone(&config)).await?;
    if let Ok(address) = listeners.local_addr() {
        screen::announce(&config, address, opening, err);
    }
    let reload = Reload::start(source, app.clone(), Pace::default()).map_err(StartError::Reload)?;
    let reloads = async {
        loop {
            hangups.next().await;
            manager.reloading();
            reload.finished().await;
            manager.ready();
        }
    };
    manager.ready();
    let stopping = || manager.stopping();
    let ended = tokio::select! {
        code = until_signalled(listeners, workers, app.clone(), signals, stopping) => Ok(code),
        // Neither ever ends.
        () = reloads => Ok(FAILED),
        () = manager.keep_alive() => Ok(FAILED),
    };
    app.flush();
    // What was used to the end is written, too.
    drop(store);
    ended
}

/// Listens as the config says, and makes ready who answers there.
pub(super) async fn open(config: Arc<Config>) -> Result<Opened, StartError> {
    if let Err(error) = server::raise_open_files() {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    let listeners = all_listeners(listen(&config.server).await?, &config.server)?;
    let workers = Workers::start(worker_count(&config.server)).map_err(StartError::Workers)?;
    versions::keep(&config, &[]);
    let app = AppState::new(Arc::new(Engine::new(Arc::clone(&config))?));
    let store = store(&config)?;
    store.as_ref().map_or(Ok(()), |store| app.keep_in(store))?;
    if let (Some(cause), Some(audit)) = (app.audit_trouble(), &config.audit) {
        return Err(StartError::Audit { path: audit.path.clone(), cause });
    }
    if let (Some(cause), Some(file)) = (app.runs_trouble(), &config.runs.file) {
        return Err(StartError::Runs { path: file.path.clone(), cause });
    }
    Ok(Opened { listeners, workers, app, store })
}

/// The store, where there is something to keep.
fn store(config: &Config) -> Result<Option<Store>, StartError> {
    if !config.has_budgets() {
        return Ok(None);
    }
    let folder = config.server.data_dir.as_deref().ok_or(StartError::Homeless)?;
    Ok(Some(Store::open(folder)?))
}

/// The number of workers: what the config wants, else as many as there are cores to run them.
pub(super) fn worker_count(server: &Server) -> NonZeroUsize {
    let available = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    server.workers.unwrap_or_else(available)
}

/// Serves until a signal and through the drain; a second signal ends it at once. Returns the exit
/// code.
pub(super) async fn until_signalled(
    listeners: impl Into<Listeners>,
    workers: Workers,
    app: AppState,
    mut signals: Signals,
    stopping: impl Fn(),
) -> u8 {
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async {
        // A sender that is gone means the same.
        let _ = stopped.await;
    };
    let signalled = async {
        signals.next().await;
        stopping();
        drop(stop);
        signals.next().await;
    };
    unless(server::serve(listeners, workers, app, shutdown), signalled).await
}

/// Serving to its end, unless a second signal says that there is no time for that.
async fn unless(serving: impl Future<Output = ()>, impatient: impl Future<Output = ()>) -> u8 {
    tokio::select! {
        () = serving => FINE,
        () = impatient => {
            tracing::warn!("a second signal: leaving at once");
            FAILED
        }
    }
}

/// Listens on the first address of the host that can be had. A host that the config check took for
/// this machine alone must not turn out to be another address.
async fn listen(server: &Server) -> Result<TcpListener, StartError> {
    let failed = |cause| StartError::Host { host: server.host.clone(), cause };
    let found = lookup_host((server.host.as_str(), server.port)).await.map_err(failed)?;
    let local_only = server.is_loopback();
    let mut refused = failed(io::Error::other("it has no address that can be used"));
    for address in found.filter(|address| !local_only || address.ip().is_loopback()) {
        match server::bind(address) {
            Ok(listener) => return Ok(listener),
            Err(cause) => refused = StartError::Listen { address, cause },
        }
    }
    Err(refused)
}

/// The port, and the Unix socket that the config may name.
#[cfg(unix)]
fn all_listeners(listener: TcpListener, server: &Server) -> Result<Listeners, StartError> {
    let listeners = Listeners::from(listener);
    let Some(path) = &server.unix_socket else { return Ok(listeners) };
    let socket = server::UnixSocket::bind(path, server.unix_socket_mode);
    let socket = socket.map_err(|cause| StartError::Socket { path: path.clone(), cause })?;
    tracing::info!(path = %path.display(), "listening on a Unix socket too");
    Ok(listeners.and_unix(socket))
}

/// The port alone: the config check refuses a Unix socket here.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere it may fail")]
fn all_listeners(listener: TcpListener, _: &Server) -> Result<Listeners, StartError> {
    Ok(listener.into())
}

/// SIGTERM and Ctrl-C.
#[cfg(unix)]
pub(super) struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Ctrl-C.
#[cfg(not(unix))]
pub(super) struct Signals;

#[cfg(not(unix))]
impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// SIGHUP. A file that may not grow further is an error of its writer, and does not end the process,
/// as the signal for it (SIGXFSZ) would.
#[cfg(unix)]
struct Hangups {
    hangups: tokio::signal::unix::Signal,
    _files_too_large: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Hangups {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let too_large = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
        Ok(Self { hangups: signal(SignalKind::hangup())?, _files_too_large: signal(too_large)? })
    }

    async fn next(&mut self) {
        if self.hangups.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

/// There is no such signal here.
#[cfg(not(unix))]
struct Hangups;

#[cfg(not(unix))]
impl Hangups {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_bad_config_is_refused_with_its_problems() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, "[server]\nport = \"many\"\n").unwrap();
        let mut err = Vec::new();
        let (overrides, opening) = (Overrides::default(), Opening::default());
        let code = run(&path, |_| None, &overrides, opening, Look::PLAIN, &mut err).await.unwrap();
        let words = String::from_utf8(err).unwrap();
        assert_eq!(code, BAD_CONFIG, "{words}");
        assert!(words.contains("config.toml:2:8"), "{words}");
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_said_with_a_remedy() {
        let taken = server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = taken.local_addr().unwrap().port();
        let server = Server { port, ..Server::default() };
        let words = listen(&server).await.unwrap_err().to_string();
        assert!(words.contains(&port.to_string()) && words.contains("--port"), "{words}");
        let free = Server { host: "localhost".to_owned(), port: 0, ..Server::default() };
        assert!(listen(&free).await.unwrap().local_addr().unwrap().ip().is_loopback());
    }

    #[tokio::test]
    async fn a_second_signal_does_not_wait() {
        assert_eq!(unless(async {}, std::future::pending()).await, FINE);
        assert_eq!(unless(std::future::pending(), async {}).await, FAILED);
    }
}
