//! Values that must never be printed.

use std::{fmt, sync::Arc};

use zeroize::Zeroizing;

/// A key for an upstream, or one a caller must present. `expose` is the only way out: there is no
/// `Display`, `Serialize` or `Deref`, so that a log line, a trace or a round trip cannot leak it.
///
/// It is wiped from memory when the last of its clones, which share one buffer, is dropped. What
/// cannot be wiped is the copy inside a header that is sent with each request (`HeaderValue` has no
/// such thing; it is marked sensitive), and the process's own environment where the key came from
/// there.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ApiKey(Arc<Zeroizing<Box<str>>>);

impl ApiKey {
    /// Wraps a key that has been resolved already. A `String` that is handed over is wiped.
    pub fn new(key: impl Into<String>) -> Self {
        let key = Zeroizing::new(key.into());
        // Not `into_boxed_str`: it may move the text and leave the old place as it is.
        Self(Arc::new(Zeroizing::new(Box::from(key.as_str()))))
    }

    /// The key itself, for the one header it belongs in.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is none; then no `Authorization` header is sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.expose().is_empty()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(<redacted>)")
    }
}

#[cfg(test)]
mod tests {
    use zeroize::{Zeroize, ZeroizeOnDrop};

    use super::*;

    #[test]
    fn a_key_is_wiped_with_its_last_clone() {
        fn wiped_when_dropped(_: &impl ZeroizeOnDrop) {}
        let mut key = ApiKey::new("sk-secret");
        wiped_when_dropped(&*key.0);
        let clone = key.clone();
        assert!(std::ptr::eq(key.expose(), clone.expose()), "a clone is no second copy");
        assert!(Arc::get_mut(&mut key.0).is_none(), "and keeps it alive");
        drop(clone);
        // What dropping does, on a buffer that is still ours to look at.
        Arc::get_mut(&mut key.0).unwrap().zeroize();
        assert_eq!(key.expose(), "\0".repeat("sk-secret".len()));
    }

    #[test]
    fn a_key_is_never_shown() {
        let key = ApiKey::new("sk-secret");
        assert_eq!(
            format!("{key:?} {:?}", Some(&key)),
            "ApiKey(<redacted>) Some(ApiKey(<redacted>))"
        );
        assert!(!key.is_empty() && ApiKey::default().is_empty());
    }
}
