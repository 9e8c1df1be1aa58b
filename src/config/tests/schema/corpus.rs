//! The broken files that the reader refuses, shown to the schema.

use super::{super::broken, Editor};

/// Broken in a way that no schema can say: it hangs on another key, on another place, on a file or
/// on the environment.
const BEYOND: [&str; 22] = [
    "open to the network",
    "client twice",
    "a short key",
    "name twice",
    "variable",
    "key behind env:",
    "key file",
    "line break in key",
    "no plain completion",
    "two protocols",
    "version of none",
    "ca",
    "domain twice",
    "no such file",
    "max_workers",
    "json key twice",
    "undefined",
    // In JSON Schema 1.0 is a whole number.
    "quorum 1.0",
    "quorum over all samples",
    "overrides without analyzer",
    "overrides below an analyzer",
    "same names",
];

#[test]
fn the_broken_corpus_is_refused_by_the_schema_too() {
    let editor = Editor::new();
    let corpus = broken::corpus();
    let taken: Vec<&str> = corpus
        .iter()
        .filter(|(_, text)| editor.check(text).is_ok())
        .map(|(title, _)| *title)
        .collect();
    assert_eq!(taken, BEYOND, "add a title only when no schema can say what is wrong with it");
}
