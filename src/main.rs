//! The `chorus` command.

use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
};

use chorus::{
    commands::{
        check, demo,
        diagnostics::Look,
        find::{self, Found},
        init, logging, migrate,
        output::UntilClosed,
        schema,
        screen::Opening,
        serve,
    },
    config::{self, Env, LogFormat, Overrides},
    llm::endpoint::probe::Spend,
};
use clap::{
    Parser, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};
use console::Term;
use tokio::runtime::{Builder, Runtime};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit code of a failure at run time.
const FAILED: u8 = 1;
/// Exit code of a bad config or command line; clap's own too.
const USAGE: u8 = 2;

/// One prompt, many language models, one streamed answer.
///
/// Serves an Ollama- and OpenAI-compatible API; without a command it does what `serve` does.
#[derive(Debug, Parser)]
#[command(name = "chorus", version)]
struct Cli {
    /// The config file; default: CHORUS_CONFIG, then ~/.config/chorus/config.toml
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Listen here instead of [server] host
    #[arg(long, global = true, value_name = "HOST")]
    host: Option<String>,
    /// Listen here instead of [server] port; 0 takes any free one
    #[arg(long, global = true, value_name = "PORT")]
    port: Option<u16>,
    /// No screen at the start, and of the log only warnings and errors
    #[arg(long, short, global = true)]
    quiet: bool,
    /// Log like this instead of [log] format: pretty or json
    #[arg(long, global = true, value_name = "FORMAT", value_parser = log_format())]
    log_format: Option<LogFormat>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM or Ctrl-C (the default)
    Serve,
    /// Serve with built-in demonstration models: no key, no download, simulated answers
    Demo,
    /// Check the config and show its workflow and what a request costs at worst
    Check {
        /// Who reads it
        #[arg(long, value_enum, default_value_t)]
        format: check::Format,
        /// Ask every endpoint, side by side and without spending a token, whether it can be reached,
        /// accepts the key and knows the model; exit code 1 when one is not fine
        #[arg(long)]
        probe: bool,
        /// With --probe: make one real call of each endpoint too, for one token, which may cost something
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

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // With stderr gone there is nobody left to tell; the exit code still does.
            drop(writeln!(io::stderr(), "chorus: {error}"));
            ExitCode::from(FAILED)
        }
    }
}

fn run(cli: Cli) -> io::Result<u8> {
    let Cli { config: file, host, port, quiet, log_format, command } = cli;
    let env = |name: &str| std::env::var(name).ok();
    let mut err = UntilClosed::new(io::stderr());
    let command = command.unwrap_or(Command::Serve);
    if let Command::Config { about: About::Schema { plan } } = command {
        return schema::run(plan, &mut io::stdout());
    }
    let serves = matches!(command, Command::Serve | Command::Demo);
    if !serves && (quiet || log_format.is_some()) {
        writeln!(err, "--quiet and --log-format are for what serves; leave them out")?;
        return Ok(USAGE);
    }
    if let Command::Demo = command {
        if file.is_some() {
            writeln!(err, "chorus demo brings its own config; leave --config out")?;
            return Ok(USAGE);
        }
        logging::start(log_format.unwrap_or(LogFormat::Pretty), quiet, &env);
        let overrides = Overrides { host, port, log_format };
        return Ok(main_runtime()?.block_on(demo::run(overrides, quiet)));
    }
    let writes = matches!(command, Command::Init { .. } | Command::Migrate { .. });
    if writes && (host.is_some() || port.is_some()) {
        writeln!(err, "it writes a config and serves nothing; leave --host and --port out")?;
        return Ok(USAGE);
    }
    if let Command::Init { force, yes } = command {
        let (input, mut out) = (io::stdin(), io::stdout());
        let attended = input.is_terminal() && out.is_terminal();
        let mut input = input.lock();
        let mut terminal =
            init::Terminal { out: &mut out, err: &mut err, input: &mut input, attended };
        let options = init::Options { force, yes };
        let runtime = main_runtime()?;
        let code = runtime.block_on(init::run(file.as_deref(), options, &env, &mut terminal));
        // A name that is still being resolved is not waited for.
        runtime.shutdown_background();
        return code;
    }
    if let Command::Check { format: check::Format::Json, .. } = command
        && let Err(error) = config::existing(file.as_deref(), &env)
    {
        return check::missing(&error, &mut io::stdout());
    }
    let Some(Found { path, named_by }) = find::config_file(file.as_deref(), &env, &mut err)? else {
        return Ok(USAGE);
    };
    let overrides = Overrides { host, port, log_format };
    let err_look = look(&Term::stderr(), &env);
    match command {
        Command::Check { format, probe, spend } => {
            let spend = if spend { Spend::OneToken } else { Spend::Nothing };
            let mut out = io::stdout();
            let out_look = look(&Term::stdout(), &env);
            let options = check::Options { format, probe, spend, out: out_look, err: err_look };
            check::run(&path, &env, &overrides, options, &mut out, &mut err)
        }
        Command::Migrate { output, dry_run } => {
            let mut out = io::stdout();
            let terminal = out.is_terminal();
            let mut screen = migrate::Screen { out: &mut out, err: &mut err, terminal };
            migrate::run(&path, &migrate::Options { output, dry_run }, &env, &mut screen)
        }
        Command::Serve | Command::Demo | Command::Init { .. } | Command::Config { .. } => {
            let opening = Opening { quiet, named_by };
            main_runtime()?
                .block_on(serve::run(&path, env, &overrides, opening, err_look, &mut err))
        }
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
    use clap::{CommandFactory, error::ErrorKind};

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_stand_before_or_after_the_command() {
        for line in [
            "chorus --port 1 --host ::1 --config a.toml serve",
            "chorus serve --port 1 --host ::1 --config a.toml",
            "chorus --port 1 --host ::1 --config a.toml",
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert_eq!((cli.port, cli.host.as_deref()), (Some(1), Some("::1")), "{line}");
            assert_eq!(cli.config, Some(PathBuf::from("a.toml")), "{line}");
        }
    }

    #[test]
    fn what_is_not_offered_is_a_usage_error() {
        for (line, kind, code) in [
            ("chorus initialise", ErrorKind::InvalidSubcommand, 2),
            ("chorus --port many", ErrorKind::ValueValidation, 2),
            ("chorus --colour", ErrorKind::UnknownArgument, 2),
            ("chorus --log-format yaml", ErrorKind::InvalidValue, 2),
            ("chorus -V", ErrorKind::DisplayVersion, 0),
            ("chorus --help", ErrorKind::DisplayHelp, 0),
        ] {
            let error = Cli::try_parse_from(line.split(' ')).unwrap_err();
            assert_eq!((error.kind(), error.exit_code()), (kind, code), "{line}");
        }
    }
}
