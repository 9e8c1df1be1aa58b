//! The `chorus` command.

use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
};

use chorus::{
    commands::{check, demo, find, init, logging, migrate, serve},
    config::{LogFormat, Overrides},
};
use clap::{Parser, Subcommand};
use tokio::runtime::Runtime;

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
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM or Ctrl-C (the default)
    Serve,
    /// Serve with built-in demonstration models: no key, no download, simulated answers
    Demo,
    /// Check the config and show its workflow and what a request costs in calls
    Check,
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
    let Cli { config, host, port, command } = cli;
    let env = |name: &str| std::env::var(name).ok();
    let mut err = io::stderr();
    let command = command.unwrap_or(Command::Serve);
    if let Command::Demo = command {
        if config.is_some() {
            writeln!(err, "chorus demo brings its own config; leave --config out")?;
            return Ok(USAGE);
        }
        logging::start(LogFormat::Pretty, &env);
        return Ok(Runtime::new()?.block_on(demo::run(host, port)));
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
        let runtime = Runtime::new()?;
        let code = runtime.block_on(init::run(config.as_deref(), options, &env, &mut terminal));
        // A name that is still being resolved is not waited for.
        runtime.shutdown_background();
        return code;
    }
    let Some(path) = find::config_file(config.as_deref(), &env, &mut err)? else {
        return Ok(USAGE);
    };
    let overrides = Overrides { host, port };
    match command {
        Command::Check => check::run(&path, &env, &overrides, &mut io::stdout(), &mut err),
        Command::Migrate { output, dry_run } => {
            let mut out = io::stdout();
            let terminal = out.is_terminal();
            let mut screen = migrate::Screen { out: &mut out, err: &mut err, terminal };
            migrate::run(&path, &migrate::Options { output, dry_run }, &env, &mut screen)
        }
        Command::Serve | Command::Demo | Command::Init { .. } => {
            Runtime::new()?.block_on(serve::run(&path, &env, &overrides, &mut err))
        }
    }
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
            ("chorus -V", ErrorKind::DisplayVersion, 0),
            ("chorus --help", ErrorKind::DisplayHelp, 0),
        ] {
            let error = Cli::try_parse_from(line.split(' ')).unwrap_err();
            assert_eq!((error.kind(), error.exit_code()), (kind, code), "{line}");
        }
    }
}
