//! Why a key was not had.

/// What went wrong, and what to do about it. Neither has any part of a secret, nor of what the file
/// says behind the prefix: a key pasted there is still a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct Failure {
    /// Goes on where the key was named: `the program behind cmd: ...`.
    pub(in crate::config) what: String,
    pub(in crate::config) remedy: String,
}

impl Failure {
    pub(in crate::config) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }
}
