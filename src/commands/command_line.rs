//! The command line: commands, their flags, and what is said of one that is wrong.

#[cfg(test)]
mod tests;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use clap::{
    Args, CommandFactory, Parser, Subcommand,
    builder::{PossibleValuesParser, StyledStr, TypedValueParser},
    error::{ContextKind, ContextValue, ErrorKind},
};

use url::Url;

use super::{check, client};
use crate::config::{LogFormat, Overrides};

const AFTER_HELP: &str = "\
Examples:
  chorus demo              try it without a key or a download
  chorus init              write a config for the servers and keys that are found here
  chorus check --probe     check it, and ask every endpoint
  chorus --port 8080       serve it on another port
  chorus launch claude     start a coding agent that asks Chorus

Environment:
  CHORUS_CONFIG            the config file, where --config is not given
  RUST_LOG                 what is logged, such as debug or chorus=debug
  NO_COLOR                 no colours

The manual is in docs/en and docs/zh; docs/en/src/reference/command-line.md has all of this page.";

/// One prompt, many language models, one streamed answer.
///
/// Serves an Ollama- and OpenAI-compatible API; without a command it does what `serve` does.
#[derive(Debug, Parser)]
#[command(name = "chorus", version, after_help = AFTER_HELP)]
struct Cli {
    /// The config file; default: CHORUS_CONFIG, then ~/.config/chorus/config.toml
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    serving: Serving,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Flags of what serves.
#[derive(Args, Clone, Debug, Default)]
pub struct Serving {
    #[command(flatten)]
    address: Address,
    /// Show no screen at the start, and log warnings and errors only
    #[arg(long, short)]
    pub quiet: bool,
    /// Log in this format instead of the one in the config
    #[arg(long, value_name = "FORMAT", value_parser = log_format())]
    pub log_format: Option<LogFormat>,
}

/// The address to listen on.
#[derive(Args, Clone, Debug, Default)]
pub struct Address {
    /// Listen on this host instead of [server] host
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Listen on this port instead of [server] port; 0 takes any free one
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
}

/// A command, with its flags.
#[derive(Clone, Debug, Subcommand)]
#[expect(missing_docs, reason = "a comment on flattened flags would be their help")]
pub enum Command {
    /// Serve until SIGTERM or Ctrl-C (the default)
    Serve(Serving),
    /// Serve with built-in demonstration models: no key, no download, simulated answers
    Demo {
        #[command(flatten)]
        no_config: NoConfig,
        #[command(flatten)]
        serving: Serving,
    },
    /// Start a coding agent that asks Chorus, beside a server of its own where none runs
    Launch {
        #[command(flatten)]
        address: Address,
        /// The agent; without it all are listed
        #[arg(value_name = "AGENT")]
        agent: Option<String>,
        /// The workflow or model that the agent asks
        #[arg(long, value_name = "NAME")]
        model: Option<String>,
        /// A Chorus that runs elsewhere, such as `https://chorus.example`
        #[arg(long, value_name = "URL", value_parser = base_url, conflicts_with_all = ["host", "port"])]
        url: Option<Url>,
        /// Show what the agent would be given, for a shell, and start nothing
        #[arg(long)]
        print: bool,
        /// Arguments of the agent itself
        #[arg(last = true, value_name = "ARGUMENTS")]
        arguments: Vec<OsString>,
    },
    /// Check the config and show its workflows and what a request costs at worst
    Check {
        #[command(flatten)]
        address: Address,
        /// Print the result in this form
        #[arg(long, value_enum, default_value_t)]
        format: check::Format,
        /// Ask every endpoint, without spending a token, whether it can be reached, accepts the key and
        /// knows the model; exit code 1 when one is not fine
        #[arg(long)]
        probe: bool,
        /// With --probe: also make one real call of each endpoint, for one token, which may cost something
        #[arg(long, requires = "probe")]
        spend: bool,
    },
    /// Write a first config of the model servers and keys that are found here
    Init {
        /// Replace a config that is there; a backup of it stays
        #[arg(long)]
        force: bool,
        /// Write without asking
        #[arg(long)]
        yes: bool,
    },
    /// Write an old config in its new form; it means the same, and a backup stays
    Migrate {
        /// Write to this new file instead
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Show the new form and write nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Offer asking and comparing models as tools to the agent that starts this (Model Context Protocol)
    Mcp,
    /// Give somebody a key, or show what everybody has used
    Client {
        #[command(subcommand)]
        about: ClientCommand,
    },
    /// About the config file itself
    Config {
        #[command(subcommand)]
        about: About,
    },
}

/// `--config` where no config is read: not shown, and refused in words of its own.
#[derive(Args, Clone, Debug, Default)]
pub struct NoConfig {
    #[arg(long, hide = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// A command about clients.
#[derive(Clone, Debug, Subcommand)]
pub enum ClientCommand {
    /// Write a [[client]] with a new key into the config, as a hash, and print the key
    New {
        /// Whom the key is for
        name: String,
    },
    /// Show the clients, and what they have used of their budgets
    List {
        /// Print the list in this form
        #[arg(long, value_enum, default_value_t)]
        format: client::Form,
    },
}

/// A command about the config file.
#[derive(Clone, Debug, Subcommand)]
#[expect(missing_docs, reason = "a comment on flattened flags would be their help")]
pub enum About {
    /// Print the JSON Schema of the config file, which editors complete and check with
    Schema {
        #[command(flatten)]
        no_config: NoConfig,
        /// Print the schema of a plan (json_file) instead
        #[arg(long)]
        plan: bool,
    },
    /// List the configs that were loaded: when, and what each changed
    History,
    /// Show what differs between two of them, or between one and the file
    Diff {
        /// A version by its number; default: the latest
        #[arg(value_name = "A")]
        first: Option<u64>,
        /// Another one; default: the file as it is
        #[arg(value_name = "B")]
        second: Option<u64>,
    },
    /// Write one of them in place of the file, with today's keys; a backup stays
    Rollback {
        /// The version by its number
        #[arg(value_name = "ID")]
        id: u64,
    },
}

/// The config file that the command line names, and the command, of the program's own arguments.
///
/// # Errors
/// What clap has against them, help and version included.
pub fn parse() -> Result<(Option<PathBuf>, Command), clap::Error> {
    Cli::try_parse().map_err(with_tip).and_then(Cli::settled)
}

fn log_format() -> impl TypedValueParser<Value = LogFormat> {
    PossibleValuesParser::new(["pretty", "json"]).map(|format| match format.as_str() {
        "json" => LogFormat::Json,
        _ => LogFormat::Pretty,
    })
}

/// An address as agents take it.
fn base_url(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("{error}"))?;
    let is_plain = url.username().is_empty() && url.password().is_none();
    match url.scheme() {
        "http" | "https" if is_plain && url.query().is_none() => Ok(url),
        "http" | "https" => Err("a key belongs into CHORUS_API_KEY".to_owned()),
        _ => Err("it begins with http:// or https://".to_owned()),
    }
}

impl Cli {
    /// The config file and the command, which gets the flags that stand before it.
    ///
    /// # Errors
    /// When it takes one of them no more than clap would behind it.
    fn settled(self) -> Result<(Option<PathBuf>, Command), clap::Error> {
        let Self { config, serving: before, command } = self;
        let command = match command {
            None => Command::Serve(before),
            Some(Command::Serve(own)) => Command::Serve(own.or(before)),
            Some(Command::Demo { no_config, .. }) if no_config.or(&config) => {
                return Err(refused("chorus demo brings its own config; leave --config out"));
            }
            Some(Command::Config { about: About::Schema { no_config, .. } })
                if no_config.or(&config) =>
            {
                return Err(refused("the schema is the same for every config; leave --config out"));
            }
            Some(Command::Demo { no_config, serving }) => {
                Command::Demo { no_config, serving: serving.or(before) }
            }
            Some(_) if before.quiet || before.log_format.is_some() => {
                return Err(refused(
                    "--quiet and --log-format are for what serves; leave them out",
                ));
            }
            Some(Command::Check { address, format, probe, spend }) => {
                Command::Check { address: address.or(before.address), format, probe, spend }
            }
            Some(Command::Launch { address, agent, model, url, print, arguments }) => {
                let address = address.or(before.address);
                Command::Launch { address, agent, model, url, print, arguments }
            }
            Some(_) if before.address.host.is_some() || before.address.port.is_some() => {
                return Err(refused("the command serves nothing; leave --host and --port out"));
            }
            Some(command) => command,
        };
        Ok((config, command))
    }
}

fn refused(why: &str) -> clap::Error {
    Cli::command().error(ErrorKind::ArgumentConflict, why)
}

/// Says how a config is named to whoever writes its file where a command or a flag belongs.
fn with_tip(mut error: clap::Error) -> clap::Error {
    let file = [ContextKind::InvalidSubcommand, ContextKind::InvalidArg]
        .into_iter()
        .find_map(|kind| match error.get(kind) {
            Some(ContextValue::String(word)) => Some(word.clone()),
            _ => None,
        })
        .filter(|word| {
            !word.starts_with('-') && (word.ends_with(".toml") || Path::new(word).is_file())
        });
    if let Some(file) = file {
        let tip = StyledStr::from(format!("'--config {file}' names the config file"));
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    }
    error
}

impl NoConfig {
    /// Whether it is there all the same, here or before the command.
    fn or(&self, before: &Option<PathBuf>) -> bool {
        self.config.is_some() || before.is_some()
    }
}

impl Serving {
    /// These flags, and where one is not given that of the others.
    fn or(self, others: Self) -> Self {
        Self {
            address: self.address.or(others.address),
            quiet: self.quiet || others.quiet,
            log_format: self.log_format.or(others.log_format),
        }
    }

    /// What of the config they replace.
    #[must_use]
    pub fn overrides(self) -> Overrides {
        Overrides { log_format: self.log_format, ..self.address.overrides() }
    }
}

impl Address {
    fn or(self, others: Self) -> Self {
        Self { host: self.host.or(others.host), port: self.port.or(others.port) }
    }

    /// What of the config they replace.
    #[must_use]
    pub fn overrides(self) -> Overrides {
        Overrides { host: self.host, port: self.port, log_format: None }
    }
}
