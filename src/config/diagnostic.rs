//! What a config's reader has to say: one problem, warning or notice, with its place.

use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The config cannot be used.
    Error,
    /// It works, but is probably not meant.
    Warning,
    /// An old form that was read as what it means now.
    Notice,
}

impl Severity {
    /// Its word: `error`, `warning` or `notice`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
        }
    }
}

/// Something to be mended or known, on one line by `Display`: `file:line: what; remedy`. No part of
/// it ever holds a value of the file that could be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The config, or the file that its `json_file` names.
    pub file: String,
    /// The place in the file; `None`: it is about the file as a whole.
    pub spot: Option<Spot>,
    /// What is the matter, and with which key.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

/// A stretch of one line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The number of the line, from 1.
    pub line: usize,
    /// The column of its first character, in characters from 1.
    pub column: usize,
    /// Its length in characters, within the line; at least 1.
    pub length: usize,
    /// The line, masked.
    pub source: SourceLine,
}

/// A line of a file as it may be shown: what could be a secret stands there as `***`, so that the
/// stretch has columns of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLine {
    /// Without its line break.
    pub text: String,
    /// The column of the stretch's first character in `text`, in characters from 1.
    pub column: usize,
    /// The length of the stretch in `text`, in characters; at least 1.
    pub length: usize,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(spot) = &self.spot {
            write!(f, ":{}", spot.line)?;
        }
        write!(f, ": {}; {}", self.what, self.remedy)
    }
}
