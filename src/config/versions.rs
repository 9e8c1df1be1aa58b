//! The configs that were loaded, kept as files: what a version was, when, and what it changed. No
//! version holds a key that was written out in the file, see `stored.rs`.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use toml::de::DeTable;

use super::{
    read,
    tree::{Node, Value},
};

/// Older ones are removed.
const MOST: usize = 100;

/// A config that was loaded.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[schemars(rename = "ConfigVersion")]
pub struct Version {
    /// From 1 on; a later one is larger.
    pub id: u64,
    /// When it was loaded.
    pub at: Timestamp,
    /// SHA-256 of its text without keys, in hexadecimal digits.
    pub sha256: String,
    /// Of Chorus, when it was loaded.
    pub chorus: String,
    /// What was different in the one before, a few words each and never a value; of the first one
    /// nothing is known.
    pub changes: Vec<String>,
}

/// The versions of the config at one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versions {
    folder: PathBuf,
}

/// Where a program keeps what is its own: for a service of systemd the folder it was given.
pub(super) fn state_folder(env: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let set = |name: &str| env(name).filter(|value| !value.is_empty());
    if let Some(given) = set("STATE_DIRECTORY") {
        return given.split(':').next().map(PathBuf::from);
    }
    let of_home = |below: &str| set("HOME").map(|home| PathBuf::from(home).join(below));
    let folder = if cfg!(target_os = "windows") {
        set("LOCALAPPDATA").map(PathBuf::from)
    } else if cfg!(target_os = "macos") {
        of_home("Library/Application Support")
    } else {
        // The specification wants relative ones ignored.
        let named = set("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        named.or_else(|| of_home(".local/state"))
    };
    folder.map(|folder| folder.join("chorus"))
}

impl Versions {
    /// Those of the config at `path`, below the folder of what outlives the process.
    #[must_use]
    pub fn within(data_dir: &Path, path: &Path) -> Option<Self> {
        // Links are not followed: where they lead may change with every version.
        let path = std::path::absolute(path).ok()?;
        let digest = hex(Sha256::digest(path.as_os_str().as_encoded_bytes()).as_slice());
        let name = digest.get(..16)?;
        Some(Self { folder: data_dir.join("configs").join(name) })
    }

    /// The same by the file alone, of which nothing has to be right but its `data_dir`: a rollback is for
    /// one that is not. `None`: nobody said where, and there is no home folder.
    #[must_use]
    pub fn of(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Option<Self> {
        let text = read::config(path).unwrap_or_default();
        let (table, _) = DeTable::parse_recoverable(str::from_utf8(&text).unwrap_or_default());
        let file = Node::of_toml(table);
        let named = file.get("server").and_then(|server| server.get("data_dir"));
        let data_dir = match named.map(|named| &named.value) {
            Some(Value::Text(named)) => path.parent()?.join(named.as_str()),
            _ => state_folder(env)?,
        };
        Self::within(&data_dir, path)
    }

    /// Where they are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All that are kept, the oldest first; none where there is no folder.
    ///
    /// # Errors
    /// When the folder cannot be read. A file in it that is no version is left out.
    pub fn list(&self) -> io::Result<Vec<Version>> {
        let mut found = Vec::new();
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|it| it == "json")
                && let Ok(version) = fs::read(&path)
                && let Ok(version) = serde_json::from_slice::<Version>(&version)
            {
                found.push(version);
            }
        }
        found.sort_by_key(|version| version.id);
        Ok(found)
    }

    /// The text of a version, without the keys that were written out in it.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn text(&self, id: u64) -> io::Result<String> {
        fs::read_to_string(self.file(id, "toml"))
    }

    /// Keeps a config that was loaded, unless it is the last one again and there are no `changes`. Where
    /// none are known, `since` says what is different in the text before.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(
        &self,
        text: &str,
        changes: &[String],
        since: impl FnOnce(&str) -> Vec<String>,
    ) -> io::Result<()> {
        let sha256 = hex(Sha256::digest(text.as_bytes()).as_slice());
        let known = self.list()?;
        let last = known.last();
        if changes.is_empty() && last.is_some_and(|last| last.sha256 == sha256) {
            return Ok(());
        }
        let id = last.map_or(0, |last| last.id).saturating_add(1);
        let mut changes = changes.to_vec();
        if let Some(last) = last.filter(|_| changes.is_empty()) {
            changes = self.text(last.id).map_or_else(|_| Vec::new(), |before| since(&before));
        }
        let chorus = env!("CARGO_PKG_VERSION").to_owned();
        let version = Version { id, at: Timestamp::now(), sha256, chorus, changes };
        create_folders(&self.folder)?;
        // The text first: a version without one would be none.
        self.write(&self.file(id, "toml"), text.as_bytes())?;
        self.write(&self.file(id, "json"), &serde_json::to_vec_pretty(&version)?)?;
        let surplus = known.len().saturating_add(1).saturating_sub(MOST);
        for old in known.iter().take(surplus) {
            fs::remove_file(self.file(old.id, "json"))?;
            // What is left of it is found by nobody.
            let _ = fs::remove_file(self.file(old.id, "toml"));
        }
        Ok(())
    }

    fn file(&self, id: u64, extension: &str) -> PathBuf {
        self.folder.join(format!("{id:06}.{extension}"))
    }

    /// Whole or not at all, and readable by its owner only.
    fn write(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(&self.folder)?;
        file.write_all(content)?;
        file.persist(path).map(drop).map_err(|error| error.error)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(unix)]
fn create_folders(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn create_folders(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(folder: &tempfile::TempDir) -> Versions {
        Versions::within(&folder.path().join("state"), &folder.path().join("c.toml")).unwrap()
    }

    #[test]
    fn each_text_is_kept_once_with_what_changed() {
        let folder = tempfile::tempdir().unwrap();
        let versions = versions(&folder);
        assert_eq!(versions.list().unwrap(), []);
        let since = |before: &str| vec![format!("not {before}")];
        let key = ["model a changed".to_owned()];
        for (text, changes) in [("one", &[][..]), ("one", &[]), ("two", &[]), ("two", &key)] {
            versions.keep(text, changes, since).unwrap();
        }
        let kept = versions.list().unwrap();
        let all: Vec<_> = kept.iter().map(|one| (one.id, one.changes.join("; "))).collect();
        let want = [(1, ""), (2, "not one"), (3, "model a changed")];
        assert_eq!(all, want.map(|(id, what)| (id, what.to_owned())));
        assert_eq!((kept[1].sha256 == kept[2].sha256, kept[0].sha256.len()), (true, 64));
        assert_eq!(versions.text(2).unwrap(), "two");
        #[cfg(unix)]
        for entry in fs::read_dir(versions.folder()).unwrap() {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn only_the_latest_are_kept_and_strange_files_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let versions = versions(&folder);
        for number in 0..MOST + 3 {
            versions.keep(&number.to_string(), &[], |_| Vec::new()).unwrap();
        }
        fs::write(versions.folder().join("x.json"), "{}").unwrap();
        let kept = versions.list().unwrap();
        assert_eq!((kept.len(), kept[0].id, kept[MOST - 1].id), (MOST, 4, MOST as u64 + 3));
        assert_eq!(fs::read_dir(versions.folder()).unwrap().count(), 2 * MOST + 1);
    }

    #[test]
    fn the_home_of_versions_is_found_in_a_file_that_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        let home = |name: &str| (name == "HOME").then(|| "/h".to_owned());
        let within = |data_dir: &Path| Versions::within(data_dir, &path).unwrap();
        for text in [
            "[server]\ndata_dir = \"kept\"\nport = 99999\n",
            "[server]\ndata_dir = \"kept\"\n[[model\n",
        ] {
            fs::write(&path, text).unwrap();
            let want = within(&folder.path().join("kept"));
            assert_eq!(Versions::of(&path, &home).unwrap(), want, "{text}");
        }
        fs::write(&path, "").unwrap();
        assert_eq!(Versions::of(&path, &home), state_folder(&home).map(|folder| within(&folder)));
        assert_eq!(Versions::of(&path, &|_| None), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_folder_of_what_outlives_the_process_is_found() {
        let of = |variables: &[(&str, &str)]| {
            let find = |name: &str| variables.iter().find(|(own, _)| *own == name);
            state_folder(&|name| find(name).map(|(_, value)| (*value).to_owned()))
        };
        let home = ("HOME", "/h");
        for (variables, want) in [
            (vec![home], Some("/h/.local/state/chorus")),
            (vec![home, ("XDG_STATE_HOME", "/s")], Some("/s/chorus")),
            (vec![home, ("XDG_STATE_HOME", "s")], Some("/h/.local/state/chorus")),
            (vec![home, ("STATE_DIRECTORY", "/var/lib/chorus:/x")], Some("/var/lib/chorus")),
            (vec![], None),
        ] {
            assert_eq!(of(&variables), want.map(PathBuf::from), "{variables:?}");
        }
    }
}
