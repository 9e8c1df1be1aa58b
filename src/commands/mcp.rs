//! `chorus mcp`: the tools of the Model Context Protocol, over standard input and output.

use std::{
    io::{self, Write},
    path::Path,
    sync::Arc,
};

use super::{
    diagnostics::{self, Look},
    logging,
};
use crate::{
    config::{Config, Env, Overrides, SecretStores},
    server::{self, AppState},
    workflow::Engine,
};

/// Exit code of a client that has left.
const FINE: u8 = 0;
/// Exit code of a failure at run time.
const FAILED: u8 = 1;
/// Exit code of a config that cannot be used.
const BAD_CONFIG: u8 = 2;

/// Serves the agent at the other end of standard input and output until that closes them, and returns
/// the exit code. A bad config's problems go to `err`, as the log does: only the protocol goes to
/// standard output.
///
/// # Errors
/// When `err` cannot be written to.
pub async fn run(path: &Path, env: Env<'_>, look: Look, err: &mut dyn Write) -> io::Result<u8> {
    let (overrides, stores) = (Overrides::default(), SecretStores::default());
    let config = match Config::load_asking(path, env, &overrides, &stores) {
        Ok(config) => config,
        Err(error) => {
            diagnostics::refused(&error, look, err)?;
            return Ok(BAD_CONFIG);
        }
    };
    logging::start(config.log_format, true, env);
    let served = match Engine::new(Arc::new(config)) {
        Ok(engine) => {
            let state = AppState::new(Arc::new(engine));
            server::serve_tools(&state, tokio::io::stdin(), tokio::io::stdout()).await
        }
        Err(error) => {
            Err(io::Error::other(format!("the upstream clients cannot be built: {error}")))
        }
    };
    match served {
        Ok(()) => Ok(FINE),
        Err(error) => {
            writeln!(err, "chorus: {error}")?;
            Ok(FAILED)
        }
    }
}
