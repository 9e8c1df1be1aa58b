//! TLS of the listener: `[server.tls]`.

use std::{fmt, sync::Arc};

use jiff::Timestamp;

/// How many days before its end a certificate is warned of.
const SOON_DAYS: i64 = 14;
const DAY_SECS: i64 = 24 * 60 * 60;

/// What the listener shows of itself, and whom it asks to do the same.
#[derive(Clone)]
pub struct Tls {
    /// For handshakes; offers HTTP/2 and HTTP/1.1.
    pub acceptor: Arc<rustls::ServerConfig>,
    /// When the first of its certificates ends; none: nobody can tell.
    pub ends: Option<Timestamp>,
    /// SHA-256 over the files that it was made of.
    pub(super) digest: [u8; 32],
}

impl Tls {
    /// What there is to say at `now` of a certificate that ends at `end`: nothing while that is far.
    #[must_use]
    pub fn about_end(end: Timestamp, now: Timestamp) -> Option<String> {
        let left = end.as_second().saturating_sub(now.as_second());
        let when = end.strftime("%Y-%m-%d");
        match left.div_euclid(DAY_SECS) {
            SOON_DAYS.. => None,
            _ if left <= 0 => Some(format!("has expired on {when}")),
            _ => Some(format!("expires on {when}")),
        }
    }
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
