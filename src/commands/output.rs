//! Output whose reader may have seen enough, as `head` has: what is written after that is dropped,
//! and the command goes on. A file that it is to write does not depend on who reads its words.

use std::io::{self, Write};

use crate::types::escaped_screen;

/// A writer that ends the printing, and nothing else, when its reader closes it.
pub struct UntilClosed<W> {
    inner: W,
    is_closed: bool,
}

impl<W> UntilClosed<W> {
    /// Around a writer.
    pub fn new(inner: W) -> Self {
        Self { inner, is_closed: false }
    }

    /// What a write came to, or `instead` once nobody reads any more.
    fn unless_closed<T>(&mut self, written: io::Result<T>, instead: T) -> io::Result<T> {
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.is_closed = true;
                Ok(instead)
            }
            written => written,
        }
    }
}

impl<W: Write> Write for UntilClosed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_closed {
            return Ok(bytes.len());
        }
        let written = self.inner.write(bytes);
        self.unless_closed(written, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.is_closed {
            return Ok(());
        }
        let flushed = self.inner.flush();
        self.unless_closed(flushed, ())
    }
}

/// A screen that shows foreign text only escaped: see [`escaped_screen`].
pub struct Escaped<W>(pub W);

/// Each piece is whole characters and whole colours.
impl<W: Write> Write for Escaped<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        self.0.write_all(escaped_screen(&text).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Takes so many bytes, and then fails.
    pub(in crate::commands) struct Closing {
        pub(in crate::commands) room: usize,
        pub(in crate::commands) kind: io::ErrorKind,
    }

    impl Write for Closing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.room {
                0 => Err(self.kind.into()),
                room => {
                    let taken = bytes.len().min(room);
                    self.room -= taken;
                    Ok(taken)
                }
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_reader_ends_the_printing_only() {
        let mut out = UntilClosed::new(Closing { room: 5, kind: io::ErrorKind::BrokenPipe });
        for _ in 0..3 {
            writeln!(out, "four").unwrap();
            out.flush().unwrap();
        }
        let mut full = UntilClosed::new(Closing { room: 5, kind: io::ErrorKind::StorageFull });
        writeln!(full, "four").unwrap();
        assert_eq!(writeln!(full, "four").unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
