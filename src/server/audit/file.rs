//! The file of the audit log: begun anew with each period, and wherever another program moved it.
//!
//! `tracing-appender` rotates too, but creates files that all may read, goes on writing to one that was
//! moved away, keeps errors to itself, and deletes by the beginning and the end of a name alone.

use std::{
    ffi::OsString,
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use crate::config::{Audit, Rotate};

/// More files of one period than this are no longer told apart.
const MOST_OF_A_PERIOD: u32 = 10_000;

/// The file that lines are appended to.
pub(super) struct AuditFile {
    settings: Audit,
    open: Option<Open>,
    /// The last line was begun and not finished.
    is_torn: bool,
}

/// A file that is open.
struct Open {
    file: File,
    identity: Option<Identity>,
    /// When its first lines came; a device has no time.
    period: Option<String>,
}

/// Lines that did not get into the file.
#[derive(Debug)]
pub(super) struct NotWritten {
    pub(super) cause: io::Error,
    /// How many.
    pub(super) lost: u64,
}

impl AuditFile {
    pub(super) fn new(settings: Audit) -> Self {
        Self { settings, open: None, is_torn: false }
    }

    pub(super) fn settings(&self) -> &Audit {
        &self.settings
    }

    /// Opens the file unless it is open and still where it was.
    pub(super) fn open(&mut self, now: Timestamp) -> io::Result<()> {
        let path = &self.settings.path;
        let is_there = self.open.as_ref().is_some_and(|open| {
            fs::metadata(path).is_ok_and(|found| identity(&found) == open.identity)
        });
        if is_there {
            return Ok(());
        }
        self.open = None;
        self.open = Some(opened(&self.settings, now)?);
        self.is_torn = false;
        Ok(())
    }

    /// Appends whole lines.
    ///
    /// # Errors
    /// The number of lines that are not, or not whole, in the file.
    pub(super) fn write(&mut self, lines: &[u8], now: Timestamp) -> Result<(), NotWritten> {
        let all_lost = |cause| NotWritten { cause, lost: count(lines) };
        self.open(now).map_err(all_lost)?;
        self.rotate(now).map_err(all_lost)?;
        let Some(Open { file, .. }) = &mut self.open else {
            return Err(all_lost(io::ErrorKind::NotFound.into()));
        };
        if self.is_torn {
            file.write_all(b"\n").map_err(all_lost)?;
            self.is_torn = false;
        }
        let mut rest = lines;
        while !rest.is_empty() {
            let cause = match file.write(rest) {
                Ok(0) => io::ErrorKind::WriteZero.into(),
                Ok(taken) => {
                    rest = rest.get(taken..).unwrap_or_default();
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            let taken = lines.get(..lines.len() - rest.len()).unwrap_or_default();
            self.is_torn = taken.last().is_some_and(|byte| *byte != b'\n');
            return Err(NotWritten { cause, lost: count(rest) });
        }
        Ok(())
    }

    /// Moves a file aside whose period is over, and begins another.
    fn rotate(&mut self, now: Timestamp) -> io::Result<()> {
        let Some(next) = period(self.settings.rotate, now) else { return Ok(()) };
        let Some(open) = &mut self.open else { return Ok(()) };
        // A clock that was set back begins none.
        let Some(over) = open.period.take_if(|period| *period < next) else { return Ok(()) };
        open.period = Some(next);
        match aside(&self.settings.path, &over) {
            Ok(()) => {
                self.open = None;
                self.open(now)?;
                prune(&self.settings);
            }
            Err(error) => {
                let path = self.settings.path.display();
                tracing::warn!(%path, %error, "the audit log cannot be moved aside; it goes on in the same file");
            }
        }
        Ok(())
    }
}

/// How many lines end in it.
pub(super) fn count(lines: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', lines).count() as u64
}

fn opened(settings: &Audit, now: Timestamp) -> io::Result<Open> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // A pipe that nobody reads is an error, as a full disk is, and nothing to wait for.
        let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
        options.mode(0o600).custom_flags(i32::try_from(flags.bits()).unwrap_or_default());
    }
    let file = options.open(&settings.path)?;
    let about = file.metadata()?;
    let first = match about.modified() {
        // Its lines are from before this start.
        Ok(modified) if about.len() > 0 => Timestamp::try_from(modified).unwrap_or(now),
        _ => now,
    };
    let period = if about.is_file() { period(settings.rotate, first) } else { None };
    Ok(Open { file, identity: identity(&about), period })
}

/// The day or hour of a time, in UTC; sorts by time.
fn period(rotate: Rotate, time: Timestamp) -> Option<String> {
    let form = match rotate {
        Rotate::Daily => "%Y-%m-%d",
        Rotate::Hourly => "%Y-%m-%dT%H",
        Rotate::Never => return None,
    };
    Some(time.strftime(form).to_string())
}

/// Gives a file the name of its period, and a number where that is taken.
fn aside(path: &Path, period: &str) -> io::Result<()> {
    let named = |end: String| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let further = (1..MOST_OF_A_PERIOD).map(|number| format!(".{period}.{number}"));
    let mut names = std::iter::once(format!(".{period}")).chain(further).map(named);
    let free = names.find(|name| fs::symlink_metadata(name).is_err());
    fs::rename(path, free.ok_or(io::ErrorKind::AlreadyExists)?)
}

/// Deletes the oldest of the files that were moved aside, as far as they are too many.
fn prune(settings: &Audit) {
    if settings.keep == 0 {
        return;
    }
    let mut found = moved_aside(&settings.path);
    found.sort();
    found.truncate(found.len().saturating_sub(settings.keep));
    for (.., path) in found {
        if let Err(error) = fs::remove_file(&path) {
            let path = path.display();
            tracing::warn!(%path, %error, "an old file of the audit log cannot be deleted");
        }
    }
}

/// What [`aside`] made of the file in the past: period, number, path.
fn moved_aside(path: &Path) -> Vec<(String, u32, PathBuf)> {
    let (Some(name), Some(folder)) = (path.file_name(), path.parent()) else { return Vec::new() };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut start = OsString::from(name);
    start.push(".");
    let Some(start) = start.to_str() else { return Vec::new() };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let ours = entries.filter_map(|entry| {
        let end = entry.file_name().to_str()?.strip_prefix(start)?.to_owned();
        let (period, number) = end.split_once('.').unwrap_or((&end, "0"));
        let is_period = matches!(period.len(), 10 | 13)
            && period.bytes().zip("0000-00-00T00".bytes()).all(|(byte, form)| match form {
                b'0' => byte.is_ascii_digit(),
                mark => byte == mark,
            });
        let number = number.parse().ok()?;
        is_period.then(|| (period.to_owned(), number, entry.path()))
    });
    ours.collect()
}

/// What tells a file from another of the same name.
#[cfg(unix)]
type Identity = (u64, u64);
#[cfg(not(unix))]
type Identity = ();

#[cfg(unix)]
fn identity(about: &Metadata) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    Some((about.dev(), about.ino()))
}

/// A file that is open cannot be moved there.
#[cfg(not(unix))]
fn identity(_: &Metadata) -> Option<Identity> {
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    fn settings(folder: &Path, rotate: Rotate, keep: usize) -> Audit {
        Audit { path: folder.join("audit.jsonl"), rotate, keep }
    }

    /// What is in a folder, by name.
    fn texts(folder: &Path) -> BTreeMap<String, String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        entries
            .map(|entry| {
                let name = entry.file_name().to_str().unwrap().to_owned();
                (name, fs::read_to_string(entry.path()).unwrap())
            })
            .collect()
    }

    #[test]
    fn a_period_has_a_file_and_only_the_latest_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        // Others' files, which are nobody's to delete.
        for other in ["audit.jsonl.2020-01-01.gz", "audit.jsonl.old", "audit.jsonl.2020-01-0x"] {
            fs::write(folder.join(other), "other").unwrap();
        }
        // Of a former start.
        fs::write(folder.join("audit.jsonl.2026-12-01"), "former\n").unwrap();
        let mut file = AuditFile::new(settings(folder, Rotate::Daily, 2));
        for (time, line) in [
            ("2026-12-01T00:00:00Z", "a\n"),
            ("2026-12-01T23:59:59Z", "b\n"),
            ("2026-12-02T00:00:00Z", "c\n"),
            // Set back.
            ("2026-12-01T12:00:00Z", "d\n"),
            ("2026-12-05T12:00:00Z", "e\n"),
        ] {
            file.write(line.as_bytes(), at(time)).unwrap();
        }
        let mut found = texts(folder);
        found.retain(|_, text| text != "other");
        let found: Vec<_> = found.iter().map(|(name, text)| (&**name, &**text)).collect();
        assert_eq!(
            found,
            [
                ("audit.jsonl", "e\n"),
                ("audit.jsonl.2026-12-01.1", "a\nb\n"),
                ("audit.jsonl.2026-12-02", "c\nd\n"),
            ]
        );
        assert_eq!(texts(folder).len(), found.len() + 3);
    }

    #[test]
    fn hours_and_one_file_for_ever() {
        for (rotate, want) in [
            (Rotate::Hourly, vec!["audit.jsonl", "audit.jsonl.2026-12-01T09"]),
            (Rotate::Daily, vec!["audit.jsonl"]),
            (Rotate::Never, vec!["audit.jsonl"]),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let mut file = AuditFile::new(settings(folder.path(), rotate, 0));
            for time in ["2026-12-01T09:59:59Z", "2026-12-01T10:00:00Z"] {
                file.write(b"line\n", at(time)).unwrap();
            }
            let names: Vec<String> = texts(folder.path()).into_keys().collect();
            assert_eq!(names, want, "{rotate:?}");
        }
    }

    #[test]
    fn the_lines_of_a_former_start_keep_their_day() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path(), Rotate::Daily, 0);
        fs::write(&settings.path, "former\n").unwrap();
        let today = period(Rotate::Daily, Timestamp::now()).unwrap();
        let mut file = AuditFile::new(settings);
        file.write(b"new\n", at("2999-01-01T00:00:00Z")).unwrap();
        let found = texts(folder.path());
        assert_eq!(found["audit.jsonl"], "new\n");
        assert_eq!(found[&format!("audit.jsonl.{today}")], "former\n");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_was_moved_away_is_begun_anew_and_only_its_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path(), Rotate::Never, 0);
        let path = settings.path.clone();
        let mut file = AuditFile::new(settings);
        let now = Timestamp::now();
        file.write(b"one\n", now).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::rename(&path, folder.path().join("moved")).unwrap();
        file.write(b"two\n", now).unwrap();
        // As `copytruncate` does.
        File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        file.write(b"three\n", now).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
        assert_eq!(fs::read_to_string(folder.path().join("moved")).unwrap(), "one\n");
        fs::remove_file(&path).unwrap();
        file.write(b"four\n", now).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "four\n");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_an_error_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path(), Rotate::Daily, 0);
        let path = settings.path.clone();
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let mut file = AuditFile::new(settings);
        let now = Timestamp::now();
        for _ in 0..2 {
            let error = file.write(b"one\ntwo\n", now).unwrap_err();
            assert_eq!((error.cause.kind(), error.lost), (io::ErrorKind::StorageFull, 2));
        }
        fs::remove_file(&path).unwrap();
        file.write(b"three\n", now).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
    }

    #[test]
    fn without_its_folder_every_line_is_lost_until_it_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        let mut file = AuditFile::new(settings(&inner, Rotate::Daily, 0));
        let now = Timestamp::now();
        assert_eq!(file.write(b"one\ntwo\n", now).unwrap_err().lost, 2);
        fs::create_dir(&inner).unwrap();
        file.write(b"three\n", now).unwrap();
        assert_eq!(texts(&inner)["audit.jsonl"], "three\n");
    }
}
