//! A Unix socket to listen on, and the file that it is.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::UnixStream as Probe,
    },
    path::{Path, PathBuf},
};

use tokio::net::{UnixListener, UnixStream};

/// A Unix socket that is listened on. Its file goes with it.
#[derive(Debug)]
pub struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
    /// The file's own numbers: whoever took its place keeps theirs.
    file: Option<(u64, u64)>,
}

impl UnixSocket {
    /// Listens at a path, for whom these permissions let in. A socket that nobody answers any more is
    /// replaced.
    ///
    /// # Errors
    /// When somebody answers there, when something else is there, and the system's.
    pub fn bind(path: &Path, mode: u32) -> io::Result<Self> {
        remove_stale(path)?;
        let listener = UnixListener::bind(path)?;
        let socket = Self { listener, path: path.to_owned(), file: numbers(path) };
        fs::set_permissions(path, Permissions::from_mode(mode))?;
        Ok(socket)
    }

    pub(super) async fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        if self.file.is_some()
            && numbers(&self.path) == self.file
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "the Unix socket cannot be removed");
        }
    }
}

/// Takes away what a server that ended without a word left there.
fn remove_stale(path: &Path) -> io::Result<()> {
    let there = match fs::symlink_metadata(path) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !there.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is something else than a socket",
        ));
    }
    match Probe::connect(path) {
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another server answers there")),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
    }
}

fn numbers(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_is_private_replaces_a_stale_one_and_goes_with_its_server() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chorus.sock");
        let mode = || fs::metadata(&path).unwrap().mode() & 0o777;
        let first = UnixSocket::bind(&path, 0o600).unwrap();
        assert_eq!(mode(), 0o600);
        let taken = UnixSocket::bind(&path, 0o600).unwrap_err();
        assert!(taken.to_string().contains("another server answers"), "{taken}");
        drop(first);
        assert!(!path.exists());
        // As a server leaves it that was killed.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let second = UnixSocket::bind(&path, 0o660).unwrap();
        assert_eq!(mode(), 0o660);
        // Somebody else's by now.
        fs::remove_file(&path).unwrap();
        let third = UnixSocket::bind(&path, 0o600).unwrap();
        drop(second);
        assert!(path.exists());
        drop(third);
        fs::write(&path, "a text").unwrap();
        let other = UnixSocket::bind(&path, 0o600).unwrap_err();
        assert!(other.to_string().contains("something else"), "{other}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "a text");
    }
}
