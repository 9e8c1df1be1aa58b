//! Loads the config and puts it into the server, or says why not.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    super::versions,
    stamps::{Seen, Stamps},
};
use crate::{
    config::{Config, Diagnostic, Overrides, SecretStores},
    server::AppState,
};

/// Looks up environment variables, on any thread.
pub type Variables = Box<dyn Fn(&str) -> Option<String> + Send>;

/// The source of a config, read anew each time.
pub struct Source {
    /// The file.
    pub path: PathBuf,
    /// The variables in which `env:NAME` and proxies are looked up.
    pub env: Variables,
    /// What the command line says instead of the file.
    pub overrides: Overrides,
    /// Who is asked for keys.
    pub stores: SecretStores,
    /// The file when the server's config was about to be read; `None`: it is read again at once.
    pub seen: Option<Seen>,
}

/// Loads the config and puts it into the server.
pub(super) struct Loader {
    pub(super) source: Source,
    pub(super) app: AppState,
    /// The file is a pipe, as `--config <(...)` makes one: it was read to its end.
    is_spent: bool,
    /// The further files that the file, when it was last good, was made of.
    named_files: Vec<PathBuf>,
    /// What was reported of the file as it is, so that it is reported once.
    pub(super) remarks: HashSet<String>,
    pub(super) refused: Option<Vec<String>>,
    waiting: Vec<&'static str>,
    /// The token for Vault could not be renewed the last time.
    is_token_failing: bool,
}

impl Loader {
    pub(super) fn new(source: Source, app: AppState) -> Self {
        let engine = app.engine();
        let config = engine.config();
        Self {
            is_spent: is_pipe(&source.path),
            named_files: config.files.clone(),
            remarks: remarks(config).map(gist).collect(),
            source,
            app,
            refused: None,
            waiting: Vec::new(),
            is_token_failing: false,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.source.path
    }

    /// Every file that decides about the config.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(self.path()).chain(self.named_files.iter().map(PathBuf::as_path))
    }

    /// Whether the files may have changed since the server's config was read.
    pub(super) fn may_be_outdated(&self, now: &Stamps) -> bool {
        self.source.seen.as_ref().is_none_or(|seen| !seen.still_holds(self.path(), now))
    }

    /// Whether the file, as it was last seen, cannot be used.
    pub(super) fn is_refused(&self) -> bool {
        self.refused.is_some()
    }

    /// Whether programs or Vault were asked for the config that was loaded last.
    pub(super) fn asks_others(&self) -> bool {
        self.source.stores.were_asked()
    }

    /// Keeps the token for Vault alive. A failure is said when it begins.
    pub(super) fn keep_stores(&mut self) {
        let kept = self.source.stores.keep();
        if let Err(error) = &kept
            && !self.is_token_failing
        {
            tracing::warn!(error, "the token for Vault is not renewed");
        }
        self.is_token_failing = kept.is_err();
    }

    /// Loads the file and takes it when it is good and means something else, or when somebody
    /// `asked` for it.
    pub(super) fn reload(&mut self, asked: bool) {
        if self.is_spent {
            if asked {
                let config = self.path().display();
                tracing::warn!(%config, "the config came from a pipe; another one needs a restart");
            }
            return;
        }
        match self.load() {
            Ok((next, waiting)) => self.take(next, waiting, asked),
            Err(problems) => self.refuse(problems, asked),
        }
    }

    /// The config as the file has it now, but for what only a restart can change, which is named.
    pub(super) fn load(&self) -> Result<(Config, Vec<&'static str>), Vec<String>> {
        let Source { path, env, overrides, stores, .. } = &self.source;
        // To open one would wait until somebody writes to it.
        if is_pipe(path) {
            return Err(vec![format!(
                "{}: it is no regular file any more; put the config back",
                path.display()
            )]);
        }
        let loaded = Config::load_asking(path, env, overrides, stores);
        let mut next = loaded
            .map_err(|error| error.to_string().lines().map(str::to_owned).collect::<Vec<_>>())?;
        let running = self.app.engine();
        let waiting = next.keep_fixed(running.config());
        if let Some(model) = next.asks_itself() {
            return Err(vec![format!(
                "{}: model `{}` is at Chorus' own address until Chorus is restarted; it would ask itself",
                path.display(),
                model.escape_debug()
            )]);
        }
        // The file was checked for the host it names, and the listener stays where it is.
        if next.server.is_exposed(next.clients.is_empty()) {
            return Err(vec![format!(
                "{}: there is no [[client]] any more, and the listener is reachable from other \
                 machines until Chorus is restarted; keep one, or restart",
                path.display()
            )]);
        }
        Ok((next, waiting))
    }

    pub(super) fn take(&mut self, next: Config, waiting: Vec<&'static str>, asked: bool) {
        let running = self.app.engine();
        let changes = running.config().changes_to(&next);
        let next = Arc::new(next);
        if asked || !changes.is_empty() {
            match running.successor(Arc::clone(&next)) {
                Ok(engine) => {
                    self.app.replace(engine);
                    versions::keep(&next, &changes);
                }
                Err(error) => return self.refuse(vec![error.to_string()], asked),
            }
            let changed =
                if changes.is_empty() { "nothing".to_owned() } else { changes.join("; ") };
            tracing::info!(config = %self.path().display(), changed, "config reloaded");
        } else {
            self.app.confirm();
            if self.is_refused() {
                let config = self.path().display();
                tracing::info!(%config, "the config is good again, and as it was");
            }
        }
        self.refused = None;
        // Also of a config that means the same: it may name other files by now.
        self.named_files.clone_from(&next.files);
        self.remark(&next);
        if !waiting.is_empty() && (asked || waiting != self.waiting) {
            let keys = waiting.join(", ");
            tracing::warn!(keys, "these changes of the config take effect after a restart");
        }
        self.waiting = waiting;
    }

    /// Warns of what nobody was warned of before.
    fn remark(&mut self, next: &Config) {
        for one in remarks(next).filter(|one| !self.remarks.contains(&gist(one))) {
            tracing::warn!("{one}");
        }
        self.remarks = remarks(next).map(gist).collect();
    }

    /// Says so once, and to whoever asked.
    fn refuse(&mut self, problems: Vec<String>, asked: bool) {
        self.app.refuse(problems.clone());
        if asked || self.refused.as_ref() != Some(&problems) {
            tracing::error!(
                config = %self.path().display(),
                problems = problems.join(" | "),
                "the config was not reloaded; the one in use stays"
            );
        }
        self.refused = Some(problems);
    }
}

pub(super) fn remarks(config: &Config) -> impl Iterator<Item = &Diagnostic> {
    config.notices.iter().chain(&config.warnings)
}

/// A remark wherever it stands: lines move.
fn gist(remark: &Diagnostic) -> String {
    format!("{}: {}; {}", remark.file, remark.what, remark.remedy)
}

/// Whether there is something at a path that is read once, or never ends.
fn is_pipe(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|it| !it.is_file() && !it.is_dir())
}
