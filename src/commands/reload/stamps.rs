//! What says without reading a file that it is another one, or was written to.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// How coarsely file systems count time, at worst.
const COARSE: Duration = Duration::from_secs(2);

/// Its length, when it was written to, and its own number.
type Stamp = (u64, Option<SystemTime>, u64);
/// Files; `None`: it is not there.
pub(super) type Stamps = BTreeMap<PathBuf, Option<Stamp>>;

/// The files as they are now.
pub(super) fn stamps<'p>(files: impl Iterator<Item = &'p Path>) -> Stamps {
    files.map(|file| (file.to_owned(), stamp(file))).collect()
}

fn stamp(file: &Path) -> Option<Stamp> {
    let it = fs::metadata(file).ok()?;
    Some((it.len(), it.modified().ok(), number(&it)))
}

/// The config's file at a moment. Which other files it names is known only once it is read.
#[derive(Debug)]
pub struct Seen {
    at: SystemTime,
    stamp: Option<Stamp>,
}

impl Seen {
    /// As it is now. What was written to in the last seconds counts as later: file systems count
    /// time more coarsely than clocks do.
    #[must_use]
    pub fn now(path: &Path) -> Self {
        let now = SystemTime::now();
        Self { at: now.checked_sub(COARSE).unwrap_or(now), stamp: stamp(path) }
    }

    /// Whether the config at `path` is the same still, and no other file was written to since.
    pub(super) fn still_holds(&self, path: &Path, files: &Stamps) -> bool {
        files.iter().all(|(file, stamp)| {
            let written = stamp.and_then(|(_, modified, _)| modified);
            if file == path { *stamp == self.stamp } else { written.is_some_and(|it| it < self.at) }
        })
    }
}

/// The file's own number in its file system.
#[cfg(unix)]
fn number(file: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(file)
}

#[cfg(not(unix))]
fn number(_file: &fs::Metadata) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_is_the_same_until_it_or_what_it_names_is_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let (config, key, late) = (path("config.toml"), path("key"), path("late"));
        fs::write(&config, "one").unwrap();
        fs::write(&key, "key").unwrap();
        let before = SystemTime::now().checked_sub(COARSE * 5).unwrap();
        fs::File::options().write(true).open(&key).unwrap().set_modified(before).unwrap();
        let seen = Seen::now(&config);
        let holds = |files: &[&PathBuf]| {
            seen.still_holds(&config, &stamps(files.iter().map(|file| file.as_path())))
        };
        assert!(holds(&[&config, &key]));
        assert!(!holds(&[&config, &late]), "it is gone");
        fs::write(&late, "new").unwrap();
        assert!(!holds(&[&config, &late]));
        fs::write(&config, "three").unwrap();
        assert!(!holds(&[&config, &key]));
    }
}
