//! A server-side socket that can be cut after any byte, which no HTTP library would do by itself.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// How many more bytes a connection may write before it breaks.
#[derive(Clone, Debug)]
pub struct Fuse(Arc<AtomicUsize>);

impl Fuse {
    /// The next write stops after so many bytes, and the connection closes.
    pub fn blow_after(&self, bytes: usize) {
        self.0.store(bytes, Ordering::SeqCst);
    }
}

/// A connection with a fuse.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    fuse: Fuse,
}

impl Socket {
    pub fn new(stream: TcpStream) -> (Self, Fuse) {
        let fuse = Fuse(Arc::new(AtomicUsize::new(usize::MAX)));
        (Self { stream, fuse: fuse.clone() }, fuse)
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let left = self.fuse.0.load(Ordering::SeqCst);
        if left == 0 {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let written =
            Pin::new(&mut self.stream).poll_write(context, &bytes[..left.min(bytes.len())]);
        if let Poll::Ready(Ok(count)) = written
            && left != usize::MAX
        {
            self.fuse.0.store(left - count, Ordering::SeqCst);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
