//! The fuzzer on a stable toolchain: libFuzzer and the compiler's own counters, without a sanitizer,
//! which would need a nightly one; there is no unsafe code to look into. `cargo fuzz` runs the same targets.
//!
//! Only Chorus itself is watched, by a wrapper of the compiler that is this program again: with counters in
//! every crate, to look through them costs more than most cases.

use std::{
    env, fs,
    path::Path,
    process::{Command, ExitCode},
};

/// What cargo-fuzz passes, less what only a nightly compiler has, and less the traces of comparisons,
/// for which the dictionary does better and which take two thirds of the time.
const FLAGS: [&str; 6] = [
    "--cfg",
    "fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
];
/// Set where this program is run as the compiler's wrapper.
const WRAPPING: &str = "CHORUS_FUZZ_COMPILES";
/// How long each target runs where nothing else is said.
const SHORTLY: &str = "-max_total_time=20";
/// Longer inputs find little and cost much.
const LENGTH: &str = "-max_len=512";

/// Compiles as cargo says, and Chorus so that it is watched; `None` where nobody asks for that.
pub fn compiles(arguments: &[String]) -> Option<ExitCode> {
    env::var_os(WRAPPING)?;
    let (compiler, rest) = arguments.split_first()?;
    let is_chorus = rest
        .windows(2)
        .any(|pair| matches!(pair, [flag, name] if flag == "--crate-name" && name == "chorus"));
    let flags = if is_chorus { &FLAGS[..] } else { &[] };
    let status = Command::new(compiler).args(rest).args(flags).status();
    let code = status.ok().and_then(|status| status.code());
    Some(ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

/// Builds all targets and runs one with these options of libFuzzer, or each for a short time.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let folder = super::root().join("fuzz");
    let host = host()?;
    // With a target of its own, what runs at build time is not watched.
    let line =
        format!("cargo build --release --locked --manifest-path fuzz/Cargo.toml --target {host}");
    let own = env::current_exe().map_err(|error| error.to_string())?;
    let own = own.display().to_string();
    super::run_with(&line, &[], &[("RUSTC_WRAPPER", own.as_str()), (WRAPPING, "1")])?;
    let built = match env::var_os("CARGO_TARGET_DIR") {
        Some(shared) => Path::new(&shared).to_owned(),
        None => folder.join("target"),
    };
    let built = built.join(host).join("release");
    match arguments.split_first() {
        Some((target, options)) => one(&folder, &built, target, options),
        None => {
            let mut targets = names(&folder.join("fuzz_targets"))?;
            targets.sort();
            targets
                .iter()
                .try_for_each(|target| one(&folder, &built, target, &[SHORTLY.to_owned()]))
        }
    }
}

/// New cases go to a folder of their own: what is worth keeping is merged into the corpus by hand, with
/// `-merge=1`.
fn one(folder: &Path, built: &Path, target: &str, options: &[String]) -> Result<(), String> {
    let found = built.join("corpus").join(target);
    fs::create_dir_all(&found).map_err(|error| error.to_string())?;
    let artifacts = format!("-artifact_prefix={}/", built.display());
    let words = format!("-dict={}", folder.join("words.dict").display());
    let program = built.join(target).display().to_string();
    let kept = folder.join("corpus").join(target);
    let mut line = vec![words, artifacts, LENGTH.to_owned(), "-verbosity=0".to_owned()];
    line.extend(["-print_final_stats=1".to_owned(), "-timeout=10".to_owned()]);
    line.extend_from_slice(options);
    line.extend([found.display().to_string(), kept.display().to_string()]);
    super::run(&program, &line)
}

fn names(folder: &Path) -> Result<Vec<String>, String> {
    let entries = fs::read_dir(folder).map_err(|error| error.to_string())?;
    let stem = |path: &Path| path.file_stem().map(|name| name.to_string_lossy().into_owned());
    Ok(entries.filter_map(|entry| stem(&entry.ok()?.path())).collect())
}

fn host() -> Result<String, String> {
    let about = Command::new("rustc").arg("-vV").output().map_err(|error| error.to_string())?;
    let about = String::from_utf8_lossy(&about.stdout).into_owned();
    let host = about.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc does not say what it runs on".to_owned())
}
