//! What the reader asks a table for, noted while tests run: the schema is held against it.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

/// What was asked of one table or object.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Every key that is known, whether it was there or not.
    pub(super) keys: BTreeSet<&'static str>,
    /// Those of them that are refused as not supported yet.
    pub(super) refused: BTreeSet<&'static str>,
    /// The bounds of numbers.
    pub(super) ranges: BTreeMap<&'static str, (f64, f64)>,
    /// The words of choices.
    pub(super) words: BTreeMap<String, Vec<&'static str>>,
}

thread_local! {
    static ASKED: RefCell<BTreeMap<String, Asked>> = RefCell::default();
}

/// Notes something asked of a table, by the label or path that messages call it.
pub(super) fn note(table: &str, what: impl FnOnce(&mut Asked)) {
    ASKED.with_borrow_mut(|asked| what(asked.entry(table.to_owned()).or_default()));
}

/// What was asked on this thread since the last time.
pub(super) fn take() -> BTreeMap<String, Asked> {
    ASKED.take()
}
