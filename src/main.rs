//! The `chorus` command: what each command is run with.

use std::{
    io::{self, IsTerminal, Write},
    path::Path,
    process::ExitCode,
};

use chorus::{
    commands::{
        check, client,
        command_line::{self, About, ClientCommand, Command},
        demo,
        diagnostics::Look,
        find::{self, Found},
        init, launch, logging, mcp, migrate,
        output::{Escaped, UntilClosed},
        schema,
        screen::Opening,
        serve,
        versions::{self, Ask},
    },
    config::{self, Env, LogFormat},
    llm::endpoint::probe::Spend,
};
use console::Term;
use tokio::runtime::{Builder, Runtime};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit code of a failure at run time.
const FAILED: u8 = 1;
/// Exit code of a bad config or command line; clap's own too.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let (file, command) = command_line::parse().unwrap_or_else(|refused| refused.exit());
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
        Command::Demo { serving, .. } => {
            let quiet = serving.quiet;
            logging::start(serving.log_format.unwrap_or(LogFormat::Pretty), quiet, &env);
            Ok(main_runtime()?.block_on(demo::run(serving.overrides(), quiet)))
        }
        Command::Launch { address, agent, model, url, print, arguments } => {
            let overrides = address.overrides();
            let options = launch::Options { agent, model, url, print, overrides, arguments };
            let mut out = Escaped(UntilClosed::new(out));
            let mut screen = launch::Screen { out: &mut out, err: &mut err, look: err_look };
            main_runtime()?.block_on(launch::run(file, options, env, &mut screen))
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
            write_first_config(file, init::Options { force, yes }, &env, &mut err)
        }
        Command::Migrate { output, dry_run } => {
            let Some(found) = find::config_file(file, &env, &mut err)? else { return Ok(USAGE) };
            let terminal = out.is_terminal();
            let mut screen = migrate::Screen { out: &mut out, err: &mut err, terminal };
            migrate::run(&found.path, &migrate::Options { output, dry_run }, &env, &mut screen)
        }
        Command::Mcp => serve_tools(file, &env, err_look, &mut err),
        Command::Client { about } => {
            let Some(found) = find::config_file(file, &env, &mut err)? else { return Ok(USAGE) };
            let mut screen = client::Screen { out: &mut out, err: &mut err, look: err_look };
            match about {
                ClientCommand::New { name } => {
                    client::create(&found.path, &name, &env, &mut screen)
                }
                ClientCommand::List { format } => {
                    client::list(&found.path, format, &env, &mut screen)
                }
            }
        }
        Command::Config { about } => about_config(about, file, &env, &mut err),
    }
}

fn write_first_config(
    file: Option<&Path>,
    options: init::Options,
    env: Env<'_>,
    err: &mut dyn Write,
) -> io::Result<u8> {
    let (input, out) = (io::stdin(), io::stdout());
    let attended = input.is_terminal() && out.is_terminal();
    let mut input = input.lock();
    let mut out = Escaped(out);
    let mut terminal = init::Terminal { out: &mut out, err, input: &mut input, attended };
    let runtime = main_runtime()?;
    let code = runtime.block_on(init::run(file, options, env, &mut terminal));
    // A name that is still being resolved is not waited for.
    runtime.shutdown_background();
    code
}

fn serve_tools(
    file: Option<&Path>,
    env: Env<'_>,
    look: Look,
    err: &mut dyn Write,
) -> io::Result<u8> {
    let Some(found) = find::config_file(file, env, err)? else { return Ok(USAGE) };
    let runtime = main_runtime()?;
    let code = runtime.block_on(mcp::run(&found.path, env, look, err));
    // Nobody can interrupt the thread that waits for standard input.
    runtime.shutdown_background();
    code
}

fn about_config(
    about: About,
    file: Option<&Path>,
    env: Env<'_>,
    err: &mut dyn Write,
) -> io::Result<u8> {
    let mut out = io::stdout();
    let ask = match about {
        About::Schema { plan, .. } => return schema::run(plan, &mut out),
        About::History => Ask::History,
        About::Diff { first, second } => Ask::Diff(first, second),
        About::Rollback { id } => Ask::Rollback(id),
    };
    let Some(found) = find::config_file(file, env, err)? else { return Ok(USAGE) };
    versions::run(&found.path, ask, env, &mut Escaped(out), err)
}

/// Runs what the main thread waits for; connections are answered by workers.
fn main_runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

fn look(terminal: &Term, env: Env<'_>) -> Look {
    let columns = terminal.size_checked().map(|(_, columns)| columns);
    Look::of(terminal.is_term(), columns, env)
}
