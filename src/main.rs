//! The `chorus` command: its command line, and what each command is run with.

use std::{
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use chorus::{
    commands::{
        check, demo,
        diagnostics::Look,
        find::{self, Found},
        init, logging, migrate,
        output::{Escaped, UntilClosed},
        schema,
        screen::Opening,
        serve,
    },
    config::{self, Env, LogFormat, Overrides},
    llm::endpoint::probe::Spend,
};
use clap::{
    Args, CommandFactory, Parser, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
    error::ErrorKind,
};
use console::Term;
use tokio::runtime::{Builder, Runtime};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit code of a failure at run time.
const FAILED: u8 = 1;
/// Exit code of a bad config or command line; clap's own too.
const USAGE: u8 = 2;

const AFTER_HELP: &str = "\
Examples:
  chorus demo              try it without a key or a download
  chorus init              write a config for the servers and keys that are found here
  chorus check --probe     check it, and ask every endpoint
  chorus --port 8080       serve it on another port

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
struct Serving {
    #[command(flatten)]
    address: Address,
    /// Show no screen at the start, and log warnings and errors only
    #[arg(long, short)]
    quiet: bool,
    /// Log in this format instead of [log] format
    #[arg(long, value_name = "FORMAT", value_parser = log_format())]
    log_format: Option<LogFormat>,
}

#[derive(Args, Clone, Debug, Default)]
struct Address {
    /// Listen on this host instead of [server] host
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Listen on this port instead of [server] port; 0 takes any free one
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM or Ctrl-C (the default)
    Serve(Serving),
    /// Serve with built-in demonstration models: no key, no download, simulated answers
    Demo(Serving),
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
    /// About the config file itself
    Config {
        #[command(subcommand)]
        about: About,
    },
}

#[derive(Clone, Debug, Subcommand)]
enum About {
    /// Print the JSON Schema of the config file, which editors complete and check with
    Schema {
        /// Print the schema of a plan (json_file) instead
        #[arg(long)]
        plan: bool,
    },
}

fn log_format() -> impl TypedValueParser<Value = LogFormat> {
    PossibleValuesParser::new(["pretty", "json"]).map(|format| match format.as_str() {
        "json" => LogFormat::Json,
        _ => LogFormat::Pretty,
    })
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
            Some(Command::Demo(_)) if config.is_some() => {
                return Err(refused("chorus demo brings its own config; leave --config out"));
            }
            Some(Command::Demo(own)) => Command::Demo(own.or(before)),
            Some(_) if before.quiet || before.log_format.is_some() => {
                return Err(refused(
                    "--quiet and --log-format are for what serves; leave them out",
                ));
            }
            Some(Command::Check { address, format, probe, spend }) => {
                Command::Check { address: address.or(before.address), format, probe, spend }
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

impl Serving {
    /// These flags, and where one is not given that of the others.
    fn or(self, others: Self) -> Self {
        Self {
            address: self.address.or(others.address),
            quiet: self.quiet || others.quiet,
            log_format: self.log_format.or(others.log_format),
        }
    }

    fn overrides(self) -> Overrides {
        Overrides { log_format: self.log_format, ..self.address.overrides() }
    }
}

impl Address {
    fn or(self, others: Self) -> Self {
        Self { host: self.host.or(others.host), port: self.port.or(others.port) }
    }

    fn overrides(self) -> Overrides {
        Overrides { host: self.host, port: self.port, log_format: None }
    }
}

fn main() -> ExitCode {
    let (file, command) = Cli::parse().settled().unwrap_or_else(|refused| refused.exit());
    match run(file.as_deref(), command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // With stderr gone nobody reads it; the exit code still says it.
            drop(writeln!(io::stderr(), "chorus: {error}"));
            ExitCode::from(FAILED)
        }
    }
}

fn run(file: Option<&Path>, command: Command) -> io::Result<u8> {
    let env = |name: &str| std::env::var(name).ok();
    let mut err = Escaped(UntilClosed::new(io::stderr()));
    let err_look = look(&Term::stderr(), &env);
    let mut out = io::stdout();
    match command {
        Command::Serve(serving) => {
            let Some(found) = find::config_file(file, &env, &mut err)? else { return Ok(USAGE) };
            let Found { path, named_by } = found;
            let opening = Opening { quiet: serving.quiet, named_by };
            let overrides = serving.overrides();
            main_runtime()?
                .block_on(serve::run(&path, env, &overrides, opening, err_look, &mut err))
        }
        Command::Demo(serving) => {
            let quiet = serving.quiet;
            logging::start(serving.log_format.unwrap_or(LogFormat::Pretty), quiet, &env);
            Ok(main_runtime()?.block_on(demo::run(serving.overrides(), quiet)))
        }
        Command::Check { address, format, probe, spend } => {
            if format == check::Format::Json
                && let Err(error) = config::existing(file, &env)
            {
                return check::missing(&error, &mut out);
            }
            let Some(found) = find::config_file(file, &env, &mut err)? else { return Ok(USAGE) };
            let spend = if spend { Spend::OneToken } else { Spend::Nothing };
            let out_look = look(&Term::stdout(), &env);
            let options = check::Options { format, probe, spend, out: out_look, err: err_look };
            check::run(&found.path, &env, &address.overrides(), options, &mut out, &mut err)
        }
        Command::Init { force, yes } => {
            let input = io::stdin();
            let attended = input.is_terminal() && out.is_terminal();
            let mut input = input.lock();
            let mut out = Escaped(out);
            let mut terminal =
                init::Terminal { out: &mut out, err: &mut err, input: &mut input, attended };
            let runtime = main_runtime()?;
            let options = init::Options { force, yes };
            let code = runtime.block_on(init::run(file, options, &env, &mut terminal));
            // A name that is still being resolved is not waited for.
            runtime.shutdown_background();
            code
        }
        Command::Migrate { output, dry_run } => {
            let Some(found) = find::config_file(file, &env, &mut err)? else { return Ok(USAGE) };
            let terminal = out.is_terminal();
            let mut screen = migrate::Screen { out: &mut out, err: &mut err, terminal };
            migrate::run(&found.path, &migrate::Options { output, dry_run }, &env, &mut screen)
        }
        Command::Config { about: About::Schema { plan } } => schema::run(plan, &mut out),
    }
}

/// For what the main thread waits for; connections are answered by workers.
fn main_runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

fn look(terminal: &Term, env: Env<'_>) -> Look {
    let columns = terminal.size_checked().map(|(_, columns)| columns);
    Look::of(terminal.is_term(), columns, env)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(line: &str) -> Result<(Option<PathBuf>, Command), clap::Error> {
        Cli::try_parse_from(line.split(' '))?.settled()
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_stand_before_or_after_the_command() {
        for line in [
            "chorus --port 1 --host ::1 --config a.toml serve",
            "chorus serve --port 1 --host ::1 --config a.toml",
            "chorus --port 2 --host ::1 --config a.toml serve --port 1",
            "chorus --port 1 --host ::1 --config a.toml",
        ] {
            let (config, command) = settled(line).unwrap();
            let Command::Serve(Serving { address, .. }) = command else { panic!("{command:?}") };
            assert_eq!((address.port, address.host.as_deref()), (Some(1), Some("::1")), "{line}");
            assert_eq!(config, Some(PathBuf::from("a.toml")), "{line}");
        }
        let (_, command) = settled("chorus --host ::1 check --port 1").unwrap();
        let Command::Check { address, .. } = command else { panic!("{command:?}") };
        assert_eq!((address.port, address.host.as_deref()), (Some(1), Some("::1")));
    }

    #[test]
    fn what_is_not_offered_is_a_usage_error() {
        for (line, kind, code) in [
            ("chorus initialise", ErrorKind::InvalidSubcommand, 2),
            ("chorus --port many", ErrorKind::ValueValidation, 2),
            ("chorus --colour", ErrorKind::UnknownArgument, 2),
            ("chorus --log-format yaml", ErrorKind::InvalidValue, 2),
            ("chorus check --quiet", ErrorKind::UnknownArgument, 2),
            ("chorus --quiet check", ErrorKind::ArgumentConflict, 2),
            ("chorus --log-format json init", ErrorKind::ArgumentConflict, 2),
            ("chorus migrate --host ::1", ErrorKind::UnknownArgument, 2),
            ("chorus --host ::1 migrate", ErrorKind::ArgumentConflict, 2),
            ("chorus --port 1 config schema", ErrorKind::ArgumentConflict, 2),
            ("chorus demo --config a.toml", ErrorKind::ArgumentConflict, 2),
            ("chorus -V", ErrorKind::DisplayVersion, 0),
            ("chorus --help", ErrorKind::DisplayHelp, 0),
        ] {
            let error = settled(line).unwrap_err();
            assert_eq!((error.kind(), error.exit_code()), (kind, code), "{line}");
        }
    }
}
