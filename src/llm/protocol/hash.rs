//! Numbers that stand for values.

use std::hash::{DefaultHasher, Hash, Hasher};

/// A hash that is the same in every run of one build.
pub(in crate::llm) fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
