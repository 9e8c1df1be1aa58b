//! TLS of the listener: `[server.tls]`.

use std::{fmt, sync::Arc};

/// What the listener shows of itself, and whom it asks to do the same.
#[derive(Clone)]
pub struct Tls {
    /// For handshakes; offers HTTP/2 and HTTP/1.1.
    pub acceptor: Arc<rustls::ServerConfig>,
    /// SHA-256 over the files that it was made of.
    pub(super) digest: [u8; 32],
}

impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

/// Without the key.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}
