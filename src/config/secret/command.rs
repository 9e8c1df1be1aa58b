//! A program that prints a key, such as a password manager. No shell is involved, and nothing that it
//! prints is shown.

use std::{
    io::{self, Read},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use zeroize::Zeroizing;

use super::failure::Failure;
use crate::types::{escaped, without_keys};

/// How long it may take.
pub(super) const LIMIT: Duration = Duration::from_secs(5);
/// More is no key.
const MOST_BYTES: u64 = 64 << 10;
/// What is shown of its last words.
const MOST_WORDS: usize = 80;
/// How often it is looked whether it has ended, once its output has.
const GLANCE: Duration = Duration::from_millis(2);

/// What a program printed, and what it is called.
pub(super) struct Printed {
    pub(super) key: Zeroizing<String>,
    pub(super) program: String,
}

/// Runs `line` in `folder` and takes what it prints, without the line break at its end.
///
/// # Errors
/// When it cannot be started, fails, prints nothing or what is no key, or is not done after `limit`:
/// then it is ended, with all that it started.
pub(super) fn run(line: &str, folder: &Path, limit: Duration) -> Result<Printed, Failure> {
    let remedy = "write cmd:PROGRAM ARGUMENTS, with quotes around what has blanks";
    let words = shell_words::split(line)
        .map_err(|_| Failure::new("cmd: is followed by quotes that do not match", remedy))?;
    let Some((program, arguments)) = words.split_first() else {
        return Err(Failure::new("cmd: is followed by no program", remedy));
    };
    let path = if program.contains('/') { folder.join(program) } else { program.into() };
    let mut command = Command::new(&path);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if folder.is_dir() {
        command.current_dir(folder);
    }
    apart(&mut command);
    let mut child = command.spawn().map_err(|error| not_started(&error))?;
    let ended = Running::of(&mut child).and_then(|mut running| running.end(limit));
    let (printed, last_words, status) = match ended {
        Ok(ended) => ended,
        Err(failure) => {
            end(&mut child);
            return Err(failure);
        }
    };
    // One that is not read to its end ends for want of a reader.
    if is_too_long(&printed) {
        return Err(unfit("prints more than 64 KiB"));
    }
    if !status.success() {
        return Err(failed(status, &last_words, &printed));
    }
    let program = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Printed { key: key(&printed)?, program })
}

/// It and what it starts can be ended together then.
#[cfg(unix)]
fn apart(command: &mut Command) {
    std::os::unix::process::CommandExt::process_group(command, 0);
}

#[cfg(not(unix))]
fn apart(_command: &mut Command) {}

/// Ends it with all that it started.
fn end(child: &mut Child) {
    #[cfg(unix)]
    {
        use rustix::process::{Pid, Signal, kill_process_group};
        // One that is gone needs no end.
        let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

fn not_started(error: &io::Error) -> Failure {
    let remedy = match error.kind() {
        io::ErrorKind::NotFound => {
            "install it, or correct its name (no shell reads it, so that `~`, `$` and `|` mean nothing)"
        }
        io::ErrorKind::PermissionDenied => "make it executable, and its folder accessible",
        _ => "run it by hand as the user that Chorus runs as",
    };
    Failure::new(format!("the program behind cmd: cannot be started: {error}"), remedy)
}

/// A program at work.
struct Running<'c> {
    child: &'c mut Child,
    pieces: Receiver<(Pipe, Bytes)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pipe {
    Out,
    Err,
}

/// Wiped after use.
type Bytes = Zeroizing<Vec<u8>>;

impl<'c> Running<'c> {
    fn of(child: &'c mut Child) -> Result<Self, Failure> {
        let (sender, pieces) = mpsc::channel();
        let out = child.stdout.take().map(|it| (Pipe::Out, Box::new(it) as Box<dyn Read + Send>));
        let err = child.stderr.take().map(|it| (Pipe::Err, Box::new(it) as Box<dyn Read + Send>));
        for (pipe, source) in [out, err].into_iter().flatten() {
            let sender = sender.clone();
            let reader = thread::Builder::new().name("secret".to_owned());
            let started = reader.spawn(move || {
                // Nobody may want it any more.
                let _ = sender.send((pipe, read(source)));
            });
            started.map_err(|error| {
                let what = format!("the program behind cmd: cannot be read from: {error}");
                Failure::new(what, "try again with fewer processes on this machine")
            })?;
        }
        Ok(Self { child, pieces })
    }

    /// What it printed, its last words, and how it ended.
    fn end(&mut self, limit: Duration) -> Result<(Bytes, Bytes, ExitStatus), Failure> {
        let late = || {
            let what = format!(
                "the program behind cmd: was not done after {} s and was ended",
                limit.as_secs_f64()
            );
            Failure::new(what, "see that it asks nobody anything: it has no terminal")
        };
        let begun = Instant::now();
        let left = || limit.checked_sub(begun.elapsed()).ok_or_else(late);
        let (mut out, mut err) = (Bytes::default(), Bytes::default());
        for _ in [Pipe::Out, Pipe::Err] {
            match self.pieces.recv_timeout(left()?) {
                Ok((Pipe::Out, bytes)) => out = bytes,
                Ok((Pipe::Err, bytes)) => err = bytes,
                Err(_) => return Err(late()),
            }
        }
        loop {
            let ended = self.child.try_wait().map_err(|error| not_started(&error))?;
            if let Some(status) = ended {
                return Ok((out, err, status));
            }
            thread::sleep(left()?.min(GLANCE));
        }
    }
}

/// All that comes, as far as it can be a key.
fn read(source: impl Read) -> Bytes {
    // With room for all of it: a buffer that grows leaves pieces behind.
    let room = usize::try_from(MOST_BYTES).unwrap_or_default().saturating_add(64);
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    let _ = source.take(MOST_BYTES.saturating_add(1)).read_to_end(&mut bytes);
    bytes
}

fn is_too_long(printed: &[u8]) -> bool {
    u64::try_from(printed.len()).is_ok_and(|length| length > MOST_BYTES)
}

fn unfit(what: &str) -> Failure {
    let remedy = "run it by hand: it has to print the key and nothing else";
    Failure::new(format!("the program behind cmd: {what}"), remedy)
}

fn key(printed: &[u8]) -> Result<Zeroizing<String>, Failure> {
    let text = str::from_utf8(printed).map_err(|_| unfit("prints what is no text"))?.trim();
    if text.is_empty() {
        return Err(unfit("prints nothing"));
    }
    if text.contains('\n') {
        return Err(unfit("prints several lines"));
    }
    Ok(Zeroizing::new(text.to_owned()))
}

/// How it ended, and the end of what it complained of, unless the key is in that.
fn failed(status: ExitStatus, complaint: &[u8], printed: &[u8]) -> Failure {
    let complaint = String::from_utf8_lossy(complaint);
    let printed = String::from_utf8_lossy(printed);
    let line = complaint.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    let repeats = printed.split_whitespace().any(|word| line.contains(word));
    let short: String = without_keys(line).chars().take(MOST_WORDS).collect();
    let said = match short.is_empty() || repeats {
        true => String::new(),
        false => format!(", saying `{}`", escaped(&short)),
    };
    let what = format!("the program behind cmd: ended with {status}{said}");
    Failure::new(what, "run it by hand as the user that Chorus runs as")
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn here(line: &str) -> Result<String, Failure> {
        let limit = Duration::from_secs(60);
        run(line, Path::new("."), limit).map(|printed| printed.key.as_str().to_owned())
    }

    #[test]
    fn what_a_program_prints_is_the_key() {
        for (line, want) in [
            ("echo sk-1f9a", "sk-1f9a"),
            ("printf '%s %s\\n\\n' 'a  b' c", "a  b c"),
            ("echo $HOME '`id`' | cat", "$HOME `id` | cat"),
            ("sh -c 'echo noise >&2; echo key'", "key"),
        ] {
            assert_eq!(here(line).unwrap(), want, "{line}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused_without_showing_it() {
        for (line, want) in [
            ("", "followed by no program"),
            ("echo 'a", "quotes that do not match"),
            ("no-such-program-s3cret x", "cannot be started"),
            ("./no/such/s3cret", "cannot be started"),
            ("true", "prints nothing"),
            ("printf 's3cret\\nmore'", "prints several lines"),
            ("printf '\\377'", "prints what is no text"),
            ("head -c 70000 /dev/zero", "prints more than 64 KiB"),
            ("sh -c 'echo s3cret; exit 3'", "exit status: 3"),
            ("sh -c 'echo s3cret; echo of s3cret >&2; exit 3'", "exit status: 3"),
            ("sh -c 'kill -9 $$'", "signal: 9"),
            ("sh -c 'echo one >&2; echo locked >&2; exit 1'", "exit status: 1, saying `locked`"),
            ("sh -c 'echo sk-abcdefgh1 >&2; exit 1'", "saying `***`"),
        ] {
            let failure = here(line).unwrap_err();
            assert!(failure.what.ends_with(want) || failure.what.contains(want), "{failure:?}");
            assert!(!failure.what.contains("s3cret") && !failure.remedy.contains("s3cret"));
        }
        let long = here("sh -c 'head -c 500 /dev/zero | tr \"\\0\" x >&2; exit 1'").unwrap_err();
        assert!(long.what.len() < 200, "{long:?}");
    }

    #[test]
    fn a_program_that_is_late_is_ended_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let line = "sh -c 'sleep 600 & echo $$ $! >ids; wait'";
        let limit = Duration::from_millis(500);
        let failure = run(line, folder.path(), limit).err().unwrap();
        assert!(failure.what.contains("was not done after 0.5 s"), "{failure:?}");
        let ids = std::fs::read_to_string(folder.path().join("ids")).unwrap();
        for id in ids.split_whitespace() {
            // The child of the child is nobody's now, and may have to wait for its burial.
            let gone = || {
                let state = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
                state.is_empty() || state.contains(") Z ")
            };
            while !gone() {
                thread::yield_now();
            }
        }
        assert_eq!(ids.split_whitespace().count(), 2);
    }

    #[test]
    fn a_relative_path_begins_at_the_configs_folder() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("key.sh");
        std::fs::write(&script, "#!/bin/sh\necho key in $(basename \"$PWD\")\n").unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
        let printed = run("./key.sh", folder.path(), LIMIT).unwrap();
        let name = folder.path().file_name().unwrap().to_str().unwrap();
        assert_eq!(printed.key.as_str(), format!("key in {name}"));
        assert_eq!(printed.program, "key.sh");
    }
}
