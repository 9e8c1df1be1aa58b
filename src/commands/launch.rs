//! `chorus launch`: starts a coding agent with everything set for Chorus, through its environment,
//! its command line and temporary files. The agent's own settings are never written.

mod agents;
mod ask;
mod child;
mod print;
mod server;
#[cfg(test)]
mod tests;

use std::{
    ffi::OsString,
    io::{self, Write},
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use url::Url;

use super::diagnostics::{self, Look};
use crate::config::{self, Config, DEFAULT_WORKFLOW, Location, Overrides, SecretStores};
use agents::{Agent, KEY, NO_KEY, Setup, Target};
use ask::Answer;
use child::Prepared;

/// Exit code of a list that was shown.
const FINE: u8 = 0;
/// Exit code of a failure at run time.
const FAILED: u8 = 1;
/// Exit code of a bad config or command line.
const USAGE: u8 = 2;

/// Where Chorus is without a config: the defaults of `[server]`.
const USUAL: (&str, u16) = ("127.0.0.1", 11435);
/// What Claude Code calls its small model: an alias for that says what is to answer.
const SMALL: &str = "claude-haiku-4-5";

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The agent's name; `None`: all are listed.
    pub agent: Option<String>,
    /// `--model`: the workflow or model that it asks; `None`: the default workflow.
    pub model: Option<String>,
    /// `--url`: a Chorus elsewhere; `None`: that of the config, on this machine.
    pub url: Option<Url>,
    /// `--print`: show what would be set, and start nothing.
    pub print: bool,
    /// `--host` and `--port`, in place of the config's.
    pub overrides: Overrides,
    /// What follows `--`: the agent's own arguments.
    pub arguments: Vec<OsString>,
}

/// Where what is said goes.
pub struct Screen<'a> {
    /// The list, and what `--print` shows.
    pub out: &'a mut dyn Write,
    /// Refusals.
    pub err: &'a mut dyn Write,
    /// How `err` looks.
    pub look: Look,
}

/// Why an agent could not be started.
#[derive(Debug, thiserror::Error)]
enum LaunchError {
    #[error("nobody answers at {0}; start Chorus there, or correct --url")]
    NobodyThere(String),
    #[error(
        "no Chorus answers at {0}, and there is no config to start one with: run `chorus demo` in \
         another terminal, or let `chorus init` write a config"
    )]
    Nobody(String),
    #[error("{0}")]
    Refused(String),
    #[error("{program} is not on the PATH; it is installed by: {install}")]
    NotInstalled { program: &'static str, install: &'static str },
    #[error("Chorus cannot be started: {0}")]
    Server(#[from] super::serve::StartError),
    #[error("the temporary files for {program} cannot be written: {cause}")]
    Files { program: &'static str, cause: io::Error },
    #[error("{program} cannot be started: {cause}")]
    Start { program: &'static str, cause: io::Error },
}

/// Starts the agent and waits for it, beside a server of its own where no Chorus answers. Returns the
/// agent's exit code (128 and the signal's number where a signal ended it), or that of a refusal.
///
/// # Errors
/// When the screen cannot be written to.
pub async fn run(
    file: Option<&Path>,
    options: Options,
    env: fn(&str) -> Option<String>,
    screen: &mut Screen<'_>,
) -> io::Result<u8> {
    let Some(name) = &options.agent else {
        print::list(screen.out)?;
        return Ok(FINE);
    };
    let Some(agent) = Agent::named(name) else {
        let names: Vec<&str> = agents::ALL.iter().map(|agent| agent.name).collect();
        writeln!(screen.err, "no agent is called '{name}'; there are: {}", names.join(", "))?;
        return Ok(USAGE);
    };
    // A Chorus that is elsewhere has a config of its own.
    let located = match &options.url {
        Some(_) => None,
        None => match config::locate(file, &env) {
            Ok(Location::File { path, .. }) => Some(path),
            Ok(Location::Nowhere { .. }) => None,
            Err(error) => {
                writeln!(screen.err, "{error}")?;
                return Ok(USAGE);
            }
        },
    };
    let stores = SecretStores::default();
    let load = |path: PathBuf| Config::load_asking(&path, &env, &options.overrides, &stores);
    let config = match located.map(load).transpose() {
        Ok(config) => config.map(Arc::new),
        Err(error) => {
            diagnostics::refused(&error, screen.look, screen.err)?;
            return Ok(USAGE);
        }
    };
    let launch = Launch { agent, options: &options, env, config };
    match launch.run(screen.out).await {
        Ok(code) => Ok(code),
        Err(error) => {
            writeln!(screen.err, "chorus launch: {error}")?;
            Ok(FAILED)
        }
    }
}

/// One agent, to be started.
struct Launch<'a> {
    agent: &'static Agent,
    options: &'a Options,
    env: fn(&str) -> Option<String>,
    config: Option<Arc<Config>>,
}

impl Launch<'_> {
    async fn run(&self, out: &mut dyn Write) -> Result<u8, LaunchError> {
        let base = self.base();
        let program = self.agent.name;
        let path = which::which(program);
        let answer = match &base {
            Some(base) => ask::about(base, &self.key(), self.model()).await,
            None => Answer::Nobody,
        };
        if self.options.print {
            let context = if let Answer::Ready { context } = answer { context } else { None };
            let base =
                base.as_ref().map_or_else(|| reached("http", USUAL.0, USUAL.1), Url::to_string);
            let setup = (self.agent.setup)(&self.target(&base, context));
            // With stdout gone nobody copies it.
            drop(print::setup(self.agent, &setup, &self.options.arguments, out));
            return Ok(FINE);
        }
        let install = self.agent.install;
        let path = path.map_err(|_| LaunchError::NotInstalled { program, install })?;
        match (answer, base, &self.config) {
            (Answer::Refused(why), ..) => Err(LaunchError::Refused(why)),
            (Answer::Ready { context }, Some(base), _) => {
                self.start(&path, base.as_str(), context).await
            }
            (_, Some(base), _) if self.options.url.is_some() => {
                Err(LaunchError::NobodyThere(base.to_string()))
            }
            (_, _, Some(config)) => self.beside_a_server(&path, config).await,
            (_, base, None) => {
                let base = base.map_or_else(|| "a port of its own".to_owned(), String::from);
                Err(LaunchError::Nobody(base))
            }
        }
    }

    /// Serves the config for as long as the agent runs.
    async fn beside_a_server(&self, path: &Path, config: &Arc<Config>) -> Result<u8, LaunchError> {
        let own = server::Own::open(Arc::clone(config)).await?;
        let base = own.url.clone();
        let asked = async {
            match ask::about(&base, &self.key(), self.model()).await {
                Answer::Ready { context } => self.start(path, base.as_str(), context).await,
                Answer::Refused(why) => Err(LaunchError::Refused(why)),
                Answer::Nobody => Err(LaunchError::Nobody(base.to_string())),
            }
        };
        let ended = || Err(LaunchError::Refused("the server ended before the agent".to_owned()));
        own.beside(asked).await.unwrap_or_else(ended)
    }

    async fn start(
        &self,
        path: &Path,
        base: &str,
        context: Option<u32>,
    ) -> Result<u8, LaunchError> {
        let program = self.agent.name;
        let mut target = self.target(base, context);
        target.home = (self.env)("HOME").map(PathBuf::from);
        let Setup { variables, without, arguments, files } = (self.agent.setup)(&target);
        let prepared = Prepared::new(&files, &self.key())
            .map_err(|cause| LaunchError::Files { program, cause })?;
        let mut command = tokio::process::Command::new(path);
        command.env(KEY, self.key());
        for name in without {
            command.env_remove(name);
        }
        for (name, text) in &variables {
            command.env(name, prepared.text(text));
        }
        command.args(arguments.iter().map(|text| prepared.text(text)));
        command.args(&self.options.arguments);
        if let Some((name, hosts)) = child::no_proxy(base, &self.env) {
            command.env(name, hosts);
        }
        child::run(command).await.map_err(|cause| LaunchError::Start { program, cause })
    }

    fn target(&self, base: &str, context: Option<u32>) -> Target {
        let config = self.config.as_deref();
        let task_model = config.and_then(|config| config.server.task_model.clone());
        let alias = || config.and_then(|config| config.named(SMALL)).map(|it| it.name().to_owned());
        Target {
            url: base.trim_end_matches('/').to_owned(),
            model: self.model().to_owned(),
            small: task_model.or_else(alias).unwrap_or_else(|| self.model().to_owned()),
            context,
            home: None,
        }
    }

    fn model(&self) -> &str {
        self.options.model.as_deref().unwrap_or(DEFAULT_WORKFLOW)
    }

    fn key(&self) -> String {
        let key = (self.env)(KEY).filter(|key| !key.trim().is_empty());
        key.unwrap_or_else(|| NO_KEY.to_owned())
    }

    /// Where Chorus is, or will be; `None`: at a free port, so that nobody is there yet.
    fn base(&self) -> Option<Url> {
        if let Some(url) = &self.options.url {
            return Some(url.clone());
        }
        let Overrides { host, port, .. } = &self.options.overrides;
        let (scheme, host, port) = match self.config.as_deref() {
            Some(Config { server, .. }) => (server.scheme(), server.host.as_str(), server.port),
            None => ("http", host.as_deref().unwrap_or(USUAL.0), port.unwrap_or(USUAL.1)),
        };
        (port != 0).then(|| reached(scheme, host, port).parse().ok()).flatten()
    }
}

/// The address at which clients on this machine reach such a server.
fn reached(scheme: &str, host: &str, port: u16) -> String {
    let host = match host.parse() {
        Ok(IpAddr::V4(address)) if address.is_unspecified() => "127.0.0.1".to_owned(),
        Ok(IpAddr::V6(address)) if address.is_unspecified() => "[::1]".to_owned(),
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        _ => host.to_owned(),
    };
    format!("{scheme}://{host}:{port}/")
}
