//! What `chorus launch` shows: the agents there are, and what one would be given. Pure but for looking
//! whether a program is there.

use std::{
    ffi::OsString,
    io::{self, Write},
};

use super::agents::{ALL, Agent, KEY, NO_KEY, Setup, Text};

/// The agents, each with its program or what installs it.
pub(super) fn list(out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "Agents that `chorus launch NAME` starts, set for Chorus:\n")?;
    for Agent { name, title, install, .. } in ALL {
        let found = match which::which(name) {
            Ok(path) => path.display().to_string(),
            Err(_) => format!("not installed: {install}"),
        };
        writeln!(out, "  {name:8}  {title:18}  {found}")?;
    }
    writeln!(
        out,
        "\nWhat follows `--` is the agent's own: chorus launch codex -- exec \"Say hello\""
    )
}

/// What an agent would be given, as lines for a shell. No key is in it.
pub(super) fn setup(
    agent: &Agent,
    setup: &Setup,
    arguments: &[OsString],
    out: &mut dyn Write,
) -> io::Result<()> {
    let Setup { variables, without, arguments: own, files } = setup;
    writeln!(out, "export {KEY}=\"${{{KEY}:-{NO_KEY}}}\"")?;
    if !files.is_empty() {
        writeln!(out, "folder=$(mktemp -d)")?;
    }
    for (name, text) in files {
        if let Some((parent, _)) = name.rsplit_once('/') {
            writeln!(out, "mkdir -p \"$folder/{parent}\"")?;
        }
        writeln!(out, "cat >\"$folder/{name}\" <<'END'\n{}\nEND", text.trim_end())?;
    }
    if !without.is_empty() {
        writeln!(out, "unset {}", without.join(" "))?;
    }
    for (name, text) in variables {
        writeln!(out, "export {name}={}", word(text))?;
    }
    let own = own.iter().map(word);
    let arguments = arguments.iter().map(|word| quoted(&word.to_string_lossy()));
    let line: Vec<String> =
        std::iter::once(agent.name.to_owned()).chain(own).chain(arguments).collect();
    writeln!(out, "{}", line.join(" "))
}

fn word(text: &Text) -> String {
    match text {
        Text::Plain(text) => quoted(text),
        Text::Key => format!("\"${KEY}\""),
        Text::Path("") => "\"$folder\"".to_owned(),
        Text::Path(name) => format!("\"$folder/{name}\""),
    }
}

fn quoted(text: &str) -> String {
    shell_words::quote(text).into_owned()
}
