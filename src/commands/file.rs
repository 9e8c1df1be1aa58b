//! Config files written whole or not at all, readable by their owner only from the first byte.

use std::{
    fs::{self, File, Metadata},
    io::{self, Write},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;
use zeroize::Zeroizing;

/// Why a file was not written. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// Something stands where a new file was to go.
    #[error("{} is there already", .0.display())]
    Taken(PathBuf),
    /// The system refused.
    #[error("cannot write {}: {cause}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

/// The permissions of the file that takes the place of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Whoever could before.
    AsBefore,
    /// Its owner only.
    OwnerOnly,
}

/// Creates a file of mode 0600, and the folders above it; what is there already stays.
///
/// # Errors
/// [`FileError::Taken`] when something is there, a dangling link too.
pub(super) fn create(path: &Path, text: &str) -> Result<(), FileError> {
    create_like(path, text, None)
}

/// [`create`] with the mode of another file.
///
/// # Errors
/// Those of [`create`].
pub(super) fn create_like(path: &Path, text: &str, like: Option<&Path>) -> Result<(), FileError> {
    let refused = |cause| FileError::Refused { path: path.to_owned(), cause };
    if fs::symlink_metadata(path).is_ok() {
        return Err(FileError::Taken(path.to_owned()));
    }
    let folder = folder_of(path);
    create_folders(folder).map_err(refused)?;
    let file = temporary(folder, text.as_bytes()).map_err(refused)?;
    if let Some(like) = like {
        let mode = fs::metadata(like).map_err(refused)?.permissions();
        file.as_file().set_permissions(mode).map_err(refused)?;
    }
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
            Err(FileError::Taken(path.to_owned()))
        }
        Err(error) => Err(refused(error.error)),
    }
}

/// Puts `text` in the place of the file at `path` in one step, and keeps what was there as
/// `NAME.bak`, `NAME.bak.1` and so on beside it, whose path is returned. A link stays, and what it
/// leads to is replaced.
///
/// # Errors
/// When the file, its owner or the backup cannot be written as they should.
pub(super) fn replace(path: &Path, text: &str, access: Access) -> Result<PathBuf, FileError> {
    let swap = || {
        let target = fs::canonicalize(path)?;
        let before = fs::metadata(&target)?;
        let file = temporary(folder_of(&target), text.as_bytes())?;
        same_owner(file.as_file(), &before)?;
        if access == Access::AsBefore {
            file.as_file().set_permissions(before.permissions())?;
        }
        let backup = back_up(&target, &before)?;
        match file.persist(&target) {
            Ok(_) => Ok(backup),
            Err(refused) => {
                // A backup of what is still there would only puzzle.
                drop(fs::remove_file(backup));
                Err(refused.error)
            }
        }
    };
    swap().map_err(|cause| FileError::Refused { path: path.to_owned(), cause })
}

/// [`replace`] with nothing kept of what was there, for whoever could read that.
///
/// # Errors
/// When the file cannot be written as it should.
pub(super) fn swap(path: &Path, text: &str) -> Result<(), FileError> {
    let swap = || {
        let target = fs::canonicalize(path)?;
        let before = fs::metadata(&target)?;
        let file = temporary(folder_of(&target), text.as_bytes())?;
        same_owner(file.as_file(), &before)?;
        file.as_file().set_permissions(before.permissions())?;
        file.persist(&target).map_err(|refused| refused.error)?;
        Ok(())
    };
    swap().map_err(|cause| FileError::Refused { path: path.to_owned(), cause })
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// A file of mode 0600 with a random name, which is gone again unless it is persisted.
fn temporary(folder: &Path, content: &[u8]) -> io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new().prefix(".chorus-").tempfile_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// Never over an older backup: whoever migrates twice may want the first file back.
fn back_up(target: &Path, before: &Metadata) -> io::Result<PathBuf> {
    let mut copy = temporary(folder_of(target), &Zeroizing::new(fs::read(target)?))?;
    same_owner(copy.as_file(), before)?;
    copy.as_file().set_permissions(before.permissions())?;
    for number in 0_u32.. {
        let mut name = target.as_os_str().to_owned();
        name.push(".bak");
        if number > 0 {
            name.push(format!(".{number}"));
        }
        let path = PathBuf::from(name);
        match copy.persist_noclobber(&path) {
            Ok(_) => return Ok(path),
            Err(taken) if taken.error.kind() == io::ErrorKind::AlreadyExists => copy = taken.file,
            Err(refused) => return Err(refused.error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// A file written by root for a service must stay the service's.
#[cfg(unix)]
fn same_owner(file: &File, before: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};
    let now = file.metadata()?;
    if (now.uid(), now.gid()) == (before.uid(), before.gid()) {
        return Ok(());
    }
    fchown(file, Some(before.uid()), Some(before.gid())).map_err(|error| {
        let what = format!("its owner and group cannot be kept ({error}); run it as its owner");
        io::Error::new(error.kind(), what)
    })
}

#[cfg(not(unix))]
fn same_owner(_file: &File, _before: &Metadata) -> io::Result<()> {
    Ok(())
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

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_new_file_is_its_owners_and_never_takes_the_place_of_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/c.toml");
        create(&path, "one").unwrap();
        assert_eq!((mode(&path), fs::read_to_string(&path).unwrap().as_str()), (0o600, "one"));
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        assert!(matches!(create(&path, "two"), Err(FileError::Taken(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        let dangling = folder.path().join("link.toml");
        symlink("/nowhere/at/all", &dangling).unwrap();
        assert!(matches!(create(&dangling, "two"), Err(FileError::Taken(_))));
        assert_eq!(names(path.parent().unwrap()), ["c.toml"], "nothing is left lying about");
    }

    #[test]
    fn backups_are_numbered_and_the_mode_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        fs::write(&path, "0").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        for (text, backup) in [("1", "c.toml.bak"), ("2", "c.toml.bak.1"), ("3", "c.toml.bak.2")] {
            let old = fs::read_to_string(&path).unwrap();
            let kept = replace(&path, text, Access::AsBefore).unwrap();
            assert_eq!(kept, fs::canonicalize(folder.path()).unwrap().join(backup));
            assert_eq!(fs::read_to_string(&kept).unwrap(), old);
            assert_eq!((mode(&kept), mode(&path)), (0o640, 0o640));
        }
        replace(&path, "4", Access::OwnerOnly).unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(names(folder.path()).len(), 5);
    }

    #[test]
    fn what_a_link_leads_to_is_replaced_and_the_link_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real/c.toml"), folder.path().join("c.toml"));
        create(&real, "old").unwrap();
        symlink("real/c.toml", &link).unwrap();
        replace(&link, "new", Access::AsBefore).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&real).unwrap(), "new");
        assert_eq!(names(real.parent().unwrap()), ["c.toml", "c.toml.bak"]);
    }

    #[test]
    fn a_file_that_cannot_be_replaced_is_an_error_with_its_name() {
        let error = replace(Path::new("/nowhere/c.toml"), "x", Access::AsBefore).unwrap_err();
        assert!(error.to_string().starts_with("cannot write /nowhere/c.toml: "), "{error}");
    }
}
