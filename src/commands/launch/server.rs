//! The server that an agent gets of its own where no Chorus answers.

use std::{io, sync::Arc};

use url::Url;

use crate::{
    commands::{
        screen,
        serve::{self, Opened, StartError},
    },
    config::Config,
    server,
};

/// A server that listens and does not answer yet.
pub(super) struct Own {
    /// Where clients reach it.
    pub(super) url: Url,
    opened: Opened,
}

impl Own {
    /// Listens as the config says. Nothing is logged: the terminal is the agent's.
    ///
    /// # Errors
    /// Those of any start.
    pub(super) async fn open(config: Arc<Config>) -> Result<Self, StartError> {
        let opened = serve::open(Arc::clone(&config)).await?;
        let address = opened.listeners.local_addr().map_err(StartError::Address)?;
        let url = screen::reachable(config.server.scheme(), address);
        let unknown = |_| StartError::Address(io::ErrorKind::AddrNotAvailable.into());
        Ok(Self { url: url.parse().map_err(unknown)?, opened })
    }

    /// Answers for as long as `agent` runs, and returns what that comes to; `None`: the server ended
    /// first.
    pub(super) async fn beside<T>(self, agent: impl Future<Output = T>) -> Option<T> {
        // What was used of budgets is written when the store goes.
        let Opened { listeners, workers, app, store: _store } = self.opened;
        let serving = server::serve(listeners, workers, app.clone(), std::future::pending());
        let ended = tokio::select! {
            ended = agent => Some(ended),
            () = serving => None,
        };
        app.flush();
        ended
    }
}
