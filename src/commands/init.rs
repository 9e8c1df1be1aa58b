//! `chorus init`: writes a first config of what is on this machine and in the environment.

mod local;
mod propose;
mod providers;
mod render;
#[cfg(test)]
mod tests;

use std::{
    fs,
    io::{self, BufRead, Write},
    path::Path,
};

use super::{
    file::{self, Access, FileError},
    output::UntilClosed,
};
use crate::config::{self, Config, Diagnostic, Env};
use local::Server;
use propose::{Model, Worker, Workflow};
use providers::Known;

/// Exit code when the file is written, or was declined.
const FINE: u8 = 0;
/// Exit code of a failure at run time.
const FAILED: u8 = 1;
/// Exit code when nothing may be written.
const REFUSED: u8 = 2;

/// What the command line allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `--force`: a config that is there may be replaced (a backup stays).
    pub force: bool,
    /// `--yes`: write without asking.
    pub yes: bool,
}

/// The terminal of the person who is asked.
pub struct Terminal<'a> {
    /// What was found, and the question.
    pub out: &'a mut dyn Write,
    /// Refusals.
    pub err: &'a mut dyn Write,
    /// The answer.
    pub input: &'a mut dyn BufRead,
    /// Somebody is there to be asked.
    pub attended: bool,
}

/// Looks for local model servers and keys, proposes a workflow, and writes it to where the config
/// is looked for: `flag`, `CHORUS_CONFIG` or the usual place. Returns the exit code.
///
/// # Errors
/// When the terminal cannot be read or written.
pub async fn run(
    flag: Option<&Path>,
    options: Options,
    env: Env<'_>,
    terminal: &mut Terminal<'_>,
) -> io::Result<u8> {
    let (mut out, mut err) =
        (UntilClosed::new(&mut *terminal.out), UntilClosed::new(&mut *terminal.err));
    let terminal = &mut Terminal {
        out: &mut out,
        err: &mut err,
        input: &mut *terminal.input,
        attended: terminal.attended,
    };
    let Some(path) = config::place(flag, env) else {
        writeln!(terminal.err, "there is no home folder; name a file with --config FILE")?;
        return Ok(REFUSED);
    };
    if let Some(refusal) = refusal(&path, options, terminal.attended) {
        writeln!(terminal.err, "{refusal}")?;
        return Ok(REFUSED);
    }
    let (servers, mut remarks) = local::find(local::addresses(env)).await;
    let (known, unusable) = providers::known(env);
    remarks.extend(unusable);
    let Some(proposal) = Proposal::of(&servers, &known) else {
        writeln!(terminal.err, "no workflow can be made of what was found")?;
        return Ok(FAILED);
    };
    let warnings = match Config::parse(&proposal.text, Some(&path), env) {
        Ok(config) => config.warnings,
        Err(error) => {
            proposal.show(&remarks, terminal.out)?;
            writeln!(terminal.err, "this would not load, so nothing was written:\n{error}")?;
            return Ok(FAILED);
        }
    };
    if !options.yes {
        proposal.show(&remarks, terminal.out)?;
        if !agreed(&path, terminal)? {
            writeln!(terminal.out, "Nothing was written.")?;
            return Ok(FINE);
        }
    }
    match write(&path, &proposal.text, options.force) {
        Ok(backup) => {
            // Nobody who is not asked has to read on for the file to be there.
            if options.yes {
                proposal.show(&remarks, terminal.out)?;
            }
            if let Some(backup) = backup {
                writeln!(terminal.out, "The config before is kept as {}.", backup.display())?;
            }
            show_next_steps(&path, flag.is_some(), &proposal, &warnings, terminal.out)?;
            Ok(FINE)
        }
        Err(error @ FileError::Taken(_)) => {
            writeln!(terminal.err, "{error}; {FORCE}")?;
            Ok(REFUSED)
        }
        Err(error) => {
            writeln!(terminal.err, "{error}")?;
            Ok(FAILED)
        }
    }
}

const FORCE: &str = "`chorus check` shows it, and --force replaces it (a backup stays)";

/// Why nothing is even looked for.
fn refusal(path: &Path, options: Options, attended: bool) -> Option<String> {
    let shown = path.display();
    if !options.force && fs::symlink_metadata(path).is_ok() {
        return Some(format!("{shown} is there already; {FORCE}"));
    }
    (!options.yes && !attended).then(|| {
        "chorus init asks before it writes, and nobody is at the terminal; add --yes to write \
         without asking"
            .to_owned()
    })
}

/// What was found, and the file that comes of it.
struct Proposal {
    found: Vec<String>,
    workflow: Workflow,
    text: String,
}

impl Proposal {
    fn of(servers: &[Server], known: &[Known]) -> Option<Self> {
        let models = propose::models(servers, known);
        if models.is_empty() {
            let models = [Model::placeholder()];
            let workflow = propose::workflow(&models)?;
            let text = render::config(&models, &workflow, &[]);
            return Some(Self { found: Vec::new(), workflow, text });
        }
        let workflow = propose::workflow(&models)?;
        let found = found(servers, known);
        let text = render::config(&models, &workflow, &found);
        Some(Self { found, workflow, text })
    }

    fn show(&self, remarks: &[String], out: &mut dyn Write) -> io::Result<()> {
        if self.found.is_empty() {
            writeln!(
                out,
                "Found no model server (Ollama on port 11434, llama.cpp on 8080, LM Studio on \
                 1234)\nand no key in the environment. The config will be one to fill in."
            )?;
            for remark in remarks {
                writeln!(out, "  {remark}")?;
            }
            let variables: Vec<&str> = providers::key_variables().collect();
            let lines: Vec<String> = variables.chunks(5).map(|line| line.join(", ")).collect();
            return writeln!(out, "Keys looked for:\n  {}", lines.join(",\n  "));
        }
        writeln!(out, "Found")?;
        for line in self.found.iter().chain(remarks) {
            writeln!(out, "  {line}")?;
        }
        let Workflow { analyzer, workers, strongest, second, smallest: _ } = &self.workflow;
        let workers: Vec<String> = workers
            .iter()
            .map(|worker| match worker {
                Worker::Model(name) => name.clone(),
                Worker::Sample { model, temperature, .. } => format!("{model} at {temperature}"),
            })
            .collect();
        let then = second.as_ref().map_or_else(String::new, |name| format!(", then {name}"));
        writeln!(
            out,
            "\nWorkflow\n  analyzer     {analyzer}\n  workers      {}\n  selector     \
             {strongest}{then}\n  synthesizer  {strongest}{then}",
            workers.join(", ")
        )
    }
}

fn found(servers: &[Server], known: &[Known]) -> Vec<String> {
    let server = |server: &Server| {
        let url = server.address.url.as_str().trim_end_matches('/');
        let address = format!("{} at {url}", server.address.name);
        let names: Vec<&str> = server.models.iter().map(|model| model.id.as_str()).collect();
        match names.len() {
            0 => format!("{address} has no chat model yet"),
            1..=8 => format!("{address}: {}", names.join(", ")),
            many => format!("{address}: {many} models"),
        }
    };
    let key = |known: &Known| format!("{}: a key for {}", known.key, known.provider.name);
    servers.iter().map(server).chain(known.iter().map(key)).collect()
}

/// Yes is the default: whoever calls this wants a config.
fn agreed(path: &Path, terminal: &mut Terminal<'_>) -> io::Result<bool> {
    write!(terminal.out, "\nWrite {}? [Y/n] ", path.display())?;
    terminal.out.flush()?;
    let mut answer = String::new();
    let read = terminal.input.read_line(&mut answer)?;
    let answer = answer.trim().to_lowercase();
    Ok(read > 0 && matches!(answer.as_str(), "" | "y" | "yes" | "是"))
}

fn write(path: &Path, text: &str, force: bool) -> Result<Option<std::path::PathBuf>, FileError> {
    if force && path.exists() {
        return file::replace(path, text, Access::OwnerOnly).map(Some);
    }
    file::create(path, text).map(|()| None)
}

/// What to do next.
fn show_next_steps(
    path: &Path,
    named: bool,
    proposal: &Proposal,
    warnings: &[Diagnostic],
    out: &mut dyn Write,
) -> io::Result<()> {
    let shown = path.display();
    writeln!(out, "\nWrote {shown}; only you can read it.")?;
    for warning in warnings {
        writeln!(out, "  {warning}")?;
    }
    let config = if named { format!(" --config {shown}") } else { String::new() };
    if proposal.found.is_empty() {
        writeln!(out, "\nNext:\n  edit it                put your models in; it says where")?;
        writeln!(
            out,
            "  chorus demo            shows Chorus at work meanwhile, without any model"
        )?;
    } else {
        writeln!(out, "\nNext:")?;
    }
    writeln!(
        out,
        "  chorus check{config}           shows the workflow and what a request costs in calls\n  \
         chorus check --probe{config}   asks every endpoint whether it would answer"
    )?;
    writeln!(out, "  chorus{config}                 serves it on http://127.0.0.1:11435")
}
