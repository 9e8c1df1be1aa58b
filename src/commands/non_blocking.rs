//! Standard error and output for a server: what they do not take at once is dropped, for whoever reads
//! them may have stopped, and no answer waits for that.
//!
//! There is no thread that writes: waking one up costs more than writing the line, and a queue would
//! only be longer than the pipe that is there.

use std::io::{self, Write};

/// What a pipe that has room takes without waiting, in one piece and unmixed with what others write.
#[cfg(unix)]
const PIECE: usize = rustix::pipe::PIPE_BUF;
#[cfg(not(unix))]
const PIECE: usize = 4096;

/// Bytes go there at once or not at all.
pub(super) struct NonBlocking {
    sink: Box<dyn Write + Send>,
    /// The last line was begun and not finished.
    is_torn: bool,
}

impl NonBlocking {
    /// Standard error.
    pub(super) fn stderr() -> Self {
        Self::over(unblocked(io::stderr()))
    }

    /// Standard output; nothing else should write there.
    pub(super) fn stdout() -> Self {
        Self::over(unblocked(io::stdout()))
    }

    /// Around what fails with `WouldBlock` instead of waiting.
    pub(super) fn over(sink: Box<dyn Write + Send>) -> Self {
        Self { sink, is_torn: false }
    }

    /// Whether all of these lines was taken. Up to 4 KiB (512 bytes on some systems) are taken by a pipe
    /// whole or not at all; of more, a part may be written.
    pub(super) fn offer(&mut self, lines: &[u8]) -> bool {
        if self.is_torn && self.take(b"\n") != 1 {
            return false;
        }
        let taken = self.take(lines);
        self.is_torn = taken != 0 && taken != lines.len();
        taken == lines.len()
    }

    /// How many of the bytes were taken.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        for piece in bytes.chunks(PIECE) {
            let mut rest = piece;
            while !rest.is_empty() {
                match self.sink.write(rest) {
                    Ok(count) if count > 0 => {
                        taken += count;
                        rest = rest.get(count..).unwrap_or_default();
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Ok(_) | Err(_) => return taken,
                }
            }
        }
        taken
    }
}

impl Write for NonBlocking {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.offer(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A write may wait on systems that have no way to ask, or to say it.
#[cfg(not(unix))]
fn unblocked(stream: impl Write + Send + 'static) -> Box<dyn Write + Send> {
    Box::new(stream)
}

#[cfg(unix)]
use unix::unblocked;

#[cfg(unix)]
mod unix {
    use std::{
        fs::{File, OpenOptions},
        io::{self, IsTerminal, Write},
        os::{
            fd::{AsFd, AsRawFd},
            unix::fs::{FileTypeExt, OpenOptionsExt},
        },
    };

    use rustix::{
        event::{PollFd, PollFlags, Timespec, poll},
        fs::OFlags,
    };

    /// A stream that was opened anew may be told not to block. To set that on the one that was
    /// inherited would set it for the shell and everybody else who has it.
    pub(super) fn unblocked(stream: impl AsFd + Write + Send + 'static) -> Box<dyn Write + Send> {
        if let Some(own) = opened_anew(&stream) {
            return Box::new(own);
        }
        match stream.as_fd().try_clone_to_owned() {
            Ok(same) => Box::new(Polled(File::from(same))),
            Err(_) => Box::new(stream),
        }
    }

    /// A pipe or terminal by itself. A file opened anew would be written from its beginning, a socket
    /// cannot be; nor can anything where `/proc` is not what it is on Linux.
    fn opened_anew(stream: &impl AsFd) -> Option<File> {
        let is_own = cfg!(any(target_os = "linux", target_os = "android"));
        let fd = stream.as_fd();
        let kind = File::from(fd.try_clone_to_owned().ok()?).metadata().ok()?.file_type();
        if !is_own || !(kind.is_fifo() || fd.is_terminal()) {
            return None;
        }
        let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).ok()?;
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        OpenOptions::new().write(true).custom_flags(flags).open(path).ok()
    }

    /// Asks before it writes. A file is always ready; what a socket has room for when it is ready is more
    /// than a piece.
    struct Polled(File);

    impl Write for Polled {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut asked = [PollFd::new(&self.0, PollFlags::OUT)];
            let ready = poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
            if ready == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.0.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[cfg(test)]
    mod tests {
        use std::io::Read;

        use super::{super::NonBlocking, *};

        /// Writes lines until one is refused; returns how many were taken, and what came of it.
        fn filled(mut out: NonBlocking, line: &[u8]) -> usize {
            let taken = (0..100_000).take_while(|_| out.offer(line)).count();
            assert!(taken > 0 && taken < 100_000, "{taken}");
            // Neither does the next one wait.
            assert!(!out.offer(line));
            taken
        }

        #[test]
        fn a_full_pipe_refuses_whole_lines() {
            let line = format!("{}\n", "x".repeat(300));
            for polled in [false, true] {
                let (mut reader, writer) = io::pipe().unwrap();
                let sink: Box<dyn Write + Send> = match polled {
                    false => unblocked(writer),
                    true => Box::new(Polled(File::from(std::os::fd::OwnedFd::from(writer)))),
                };
                let taken = filled(NonBlocking::over(sink), line.as_bytes());
                let mut all = String::new();
                reader.read_to_string(&mut all).unwrap();
                assert_eq!(all, line.repeat(taken), "{polled}");
            }
        }

        #[test]
        fn a_full_socket_refuses_too() {
            let (reader, writer) = std::os::unix::net::UnixStream::pair().unwrap();
            let writer = File::from(std::os::fd::OwnedFd::from(writer));
            filled(NonBlocking::over(unblocked(writer)), &[b'x'; 300]);
            drop(reader);
        }

        #[test]
        fn a_file_is_written_where_it_is() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("log");
            std::fs::write(&path, "before\n").unwrap();
            let file = OpenOptions::new().append(true).open(&path).unwrap();
            assert!(NonBlocking::over(unblocked(file)).offer(b"after\n"));
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "before\nafter\n");
        }

        #[test]
        fn a_reader_that_is_gone_is_no_error() {
            let (reader, writer) = io::pipe().unwrap();
            drop(reader);
            assert!(!NonBlocking::over(unblocked(writer)).offer(b"line\n"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Has room for so many bytes.
    struct Narrow {
        room: Arc<Mutex<usize>>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut room = self.room.lock().unwrap();
            let taken = bytes.len().min(*room);
            if taken == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            *room -= taken;
            self.written.lock().unwrap().extend(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_torn_line_does_not_run_into_the_next() {
        let room = Arc::new(Mutex::new(3));
        let written = Arc::default();
        let narrow = Narrow { room: Arc::clone(&room), written: Arc::clone(&written) };
        let mut out = NonBlocking::over(Box::new(narrow));
        for (more, line, want) in [
            (0, "first\n", false),
            (0, "second\n", false),
            (100, "third\n", true),
            (0, "4\n", true),
        ] {
            *room.lock().unwrap() += more;
            assert_eq!(out.offer(line.as_bytes()), want, "{line}");
        }
        assert_eq!(*written.lock().unwrap(), b"fir\nthird\n4\n");
    }
}
