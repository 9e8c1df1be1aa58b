//! Reading the files that a config is made of: whole, wiped from memory after use, and neither
//! without end nor waiting for somebody to write.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use zeroize::Zeroizing;

/// Larger ones are refused: no config, plan, key or certificate comes near.
const MOST_BYTES: u64 = 16 << 20;

/// A config, which may come from a pipe, as `--config <(...)` makes one.
pub(super) fn config(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path)?;
    // With room for all of it: a buffer that grows leaves pieces behind.
    let known = file.metadata()?.len().min(MOST_BYTES);
    let room = usize::try_from(known).unwrap_or_default().saturating_add(64);
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= MOST_BYTES) {
        return Ok(bytes);
    }
    Err(io::Error::other("it is larger than 16 MiB"))
}

/// A file that a config names. It is read again by a reload, which no pipe can be.
pub(super) fn named(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let it = path.metadata()?;
    if it.is_file() || it.is_dir() {
        return config(path); // of a folder the system says that it is one
    }
    Err(io::Error::other("it is no regular file"))
}

/// A text that a config names.
pub(super) fn named_text(path: &Path) -> io::Result<String> {
    let bytes = named(path)?;
    let text = str::from_utf8(&bytes).map_err(|_| io::Error::other("it is not UTF-8"))?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole_and_one_without_end_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for length in [0, 1, 100_000] {
            std::fs::write(&path, vec![b'x'; length]).unwrap();
            assert_eq!(named(&path).unwrap().len(), length);
        }
        // It takes no room on the disk.
        std::fs::File::create(&path).unwrap().set_len(MOST_BYTES + 1).unwrap();
        assert!(named(&path).unwrap_err().to_string().contains("16 MiB"));
        std::fs::write(&path, b"\xff").unwrap();
        assert!(named_text(&path).unwrap_err().to_string().contains("UTF-8"));
        assert!(named(folder.path()).unwrap_err().to_string().contains("directory"));
    }

    #[cfg(unix)]
    #[test]
    fn what_would_be_waited_for_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        for path in [pipe.as_path(), Path::new("/dev/zero")] {
            assert!(named(path).unwrap_err().to_string().contains("no regular file"));
        }
    }
}
