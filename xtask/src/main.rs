//! What people who work on Chorus do every day: `cargo xtask` lists it. Each task is a few commands,
//! printed as they run, so that nobody depends on this program to do them by hand. `.ci/run` calls
//! the same tasks.

mod fuzz;
mod sbom;

use std::{
    env,
    path::Path,
    process::{Command, ExitCode},
};

/// A task: its name, what it takes, what it does, and how.
type Task = (&'static str, &'static str, &'static str, fn(&[String]) -> Result<(), String>);

const TASKS: [Task; 13] = [
    ("setup", "", "fetches the dependencies and names the tools that are missing", setup),
    ("test", "[FILTER]", "runs all tests, or those with FILTER in their name", test),
    (
        "layer",
        "NAME",
        "tests one layer's units: types, config, llm, workflow, server, commands",
        layer,
    ),
    ("real", "URL MODEL", "asks a real model through Chorus: an OpenAI-compatible base URL", real),
    ("lint", "", "format, clippy without warnings, shellcheck", lint),
    ("docs", "", "the documentation of the code, without warnings", docs),
    (
        "reference",
        "",
        "writes the schemas, the description of the API, and the tables of keys",
        reference,
    ),
    ("manual", "", "builds the manual in both languages, into target/manual", manual),
    ("coverage", "", "the share of product lines that tests run", coverage),
    ("bench", "[OPTIONS]", "what Chorus adds to its upstreams, see bench/README.md", bench),
    ("fuzz", "[TARGET [OPTIONS]]", "hostile bytes into whatever reads them, see fuzz/", fuzz::run),
    ("deny", "", "licences, sources and known faults of what Chorus is built of", deny),
    (
        "release",
        "",
        "builds and packs a release with its list of parts, and publishes nothing",
        release,
    ),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let Some(code) = fuzz::compiles(&arguments) {
        return code;
    }
    let (name, rest) = match arguments.split_first() {
        Some((name, rest)) => (name.as_str(), rest),
        None => ("help", &[][..]),
    };
    let Some((.., run)) = TASKS.iter().find(|(known, ..)| *known == name) else {
        println!("cargo xtask TASK\n");
        for (name, takes, what, _) in TASKS {
            println!("  {:<18} {what}", format!("{name} {takes}"));
        }
        return if matches!(name, "help" | "--help" | "-h") {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(2)
        };
    };
    match run(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask {name}: {why}");
            ExitCode::FAILURE
        }
    }
}

/// The folder of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Runs a command in it, its words separated by single spaces, with more words behind.
fn run(line: &str, more: &[String]) -> Result<(), String> {
    run_with(line, more, &[])
}

fn run_with(line: &str, more: &[String], variables: &[(&str, &str)]) -> Result<(), String> {
    let mut words = line.split(' ');
    let program = words.next().unwrap_or_default();
    println!("$ {line}{}", more.iter().map(|word| format!(" {word}")).collect::<String>());
    let mut command = Command::new(program);
    command.args(words).args(more).envs(variables.iter().copied()).current_dir(root());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{line}` failed ({status})")),
        Err(error) => Err(format!("`{program}` cannot be run: {error}")),
    }
}

fn setup(_: &[String]) -> Result<(), String> {
    run("cargo fetch --locked", &[])?;
    let tools = [
        ("shellcheck", "lint"),
        ("mdbook", "manual: `cargo install mdbook --version 0.5.4 --locked`"),
        ("cargo-tarpaulin", "coverage: `cargo install cargo-tarpaulin --version 0.37.5 --locked`"),
        ("cargo-deny", "deny: `cargo install cargo-deny --version 0.20.2 --locked`"),
        ("g++", "fuzz"),
        ("nginx", "bench: Debian's nginx-light"),
        ("node", "tests/clients/run.sh"),
        ("python3", "tests/clients/run.sh"),
    ];
    for (tool, used_by) in tools {
        let is_there = Command::new(tool).arg("--version").output().is_ok();
        println!("{} {tool} ({used_by})", if is_there { "there:  " } else { "missing:" });
    }
    Ok(())
}

fn test(filter: &[String]) -> Result<(), String> {
    run("cargo test --locked", filter)?;
    if filter.is_empty() { run("cargo test -p chorus-bench --locked", &[]) } else { Ok(()) }
}

fn layer(name: &[String]) -> Result<(), String> {
    match name {
        [name] => run("cargo test --locked --lib", &[format!("{name}::")]),
        _ => Err("name one layer".to_owned()),
    }
}

fn real(target: &[String]) -> Result<(), String> {
    run("scripts/test_real.sh", target)
}

fn lint(_: &[String]) -> Result<(), String> {
    run("cargo fmt --all --check", &[])?;
    run("cargo clippy --all-targets --locked -- -D warnings", &[])?;
    run("cargo clippy -p chorus-bench -p xtask --all-targets --locked -- -D warnings", &[])?;
    run(
        "sh -c",
        &["shellcheck .ci/run ./*.sh scripts/*.sh tests/clients/*.sh tests/ui/*.sh bench/*.sh"
            .to_owned()],
    )
}

fn docs(_: &[String]) -> Result<(), String> {
    run_with("cargo doc --no-deps --locked", &[], &[("RUSTDOCFLAGS", "-D warnings")])
}

fn reference(_: &[String]) -> Result<(), String> {
    let line = "cargo test --locked --lib -- config::tests::reference server::tests::openapi";
    run_with(line, &[], &[("CHORUS_WRITE_REFERENCE", "1")])
}

fn manual(_: &[String]) -> Result<(), String> {
    for language in ["en", "zh"] {
        let to = root().join("target/manual").join(language);
        let to = [format!("docs/{language}"), "--dest-dir".to_owned(), to.display().to_string()];
        run("mdbook build", &to)?;
    }
    Ok(())
}

fn coverage(_: &[String]) -> Result<(), String> {
    run("scripts/coverage.sh", &[])
}

fn bench(options: &[String]) -> Result<(), String> {
    run("bench/run.sh", options)
}

/// Known faults are looked up where their database can be had.
fn deny(_: &[String]) -> Result<(), String> {
    run("cargo deny --locked check bans licenses sources", &[])?;
    if run("cargo deny --locked fetch db", &[]).is_err() {
        println!("The database of known faults cannot be reached: nobody looked for any.");
        return Ok(());
    }
    run("cargo deny --locked check --disable-fetch advisories", &[])
}

fn release(_: &[String]) -> Result<(), String> {
    run("cargo build --release --locked", &[])?;
    run("cargo run --release --locked --quiet -- --version", &[])?;
    sbom::write(&root().join("target/chorus.cdx.json"))?;
    // Not `cargo publish --dry-run`: on crates.io the name belongs to another project.
    run("cargo package --locked --no-verify", &[])
}
