//! How fast the models pretend to think.

/// How fast the models pretend to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// The pace that people expect of models: each character waits and types at its own speed.
    Natural,
    /// No pause at all, for tests.
    Instant,
}
