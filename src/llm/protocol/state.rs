//! What models leave on their turns for themselves: chains of thought, OpenRouter's details, signed
//! blocks and signatures of tool calls. Some refuse a conversation without them, many clients drop
//! them, and no other model may see them. So what an answer left is kept here, by its tool calls,
//! together with who wrote it.

mod key;
mod recorder;
mod resolve;

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

pub(in crate::llm) use key::Keys;
pub(in crate::llm) use recorder::{Kept, Recorder};
pub(in crate::llm) use resolve::resolve;

use crate::types::TurnState;

/// Most keys remembered.
const MOST_KEYS: usize = 32 * 1024;
/// Most bytes remembered.
const MOST_BYTES: usize = 32 * 1024 * 1024;

/// Identifies a model, as distinct from every other one and from itself at another address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::llm) struct Writer(u64);

impl Writer {
    /// The identity of a model that never was one before.
    pub(in crate::llm) fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A turn that was written here.
#[derive(Clone)]
pub(in crate::llm) struct Written {
    pub(in crate::llm) writer: Writer,
    /// What it left; nothing but its field where the client holds the rest.
    pub(in crate::llm) state: Arc<TurnState>,
}

/// The latest turns of all models; older ones are forgotten.
#[derive(Default)]
pub(in crate::llm) struct TurnStates {
    kept: Mutex<Shelf>,
}

#[derive(Default)]
struct Shelf {
    by_key: HashMap<u64, (Written, usize)>,
    /// The keys, oldest first.
    order: VecDeque<u64>,
    bytes: usize,
}

impl TurnStates {
    /// Remembers a turn under these keys.
    pub(in crate::llm) fn remember(&self, keys: impl IntoIterator<Item = u64>, written: &Written) {
        let bytes = size(&written.state);
        if bytes > MOST_BYTES {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            kept.bytes = kept.bytes.saturating_add(bytes);
            match kept.by_key.insert(key, (written.clone(), bytes)) {
                Some((_, former)) => kept.bytes = kept.bytes.saturating_sub(former),
                None => kept.order.push_back(key),
            }
        }
        while kept.order.len() > MOST_KEYS || kept.bytes > MOST_BYTES {
            let Some(oldest) = kept.order.pop_front() else { break };
            let forgotten = kept.by_key.remove(&oldest).map_or(0, |(_, bytes)| bytes);
            kept.bytes = kept.bytes.saturating_sub(forgotten);
        }
    }

    /// The turn of a key, when it is remembered.
    pub(in crate::llm) fn of(&self, key: u64) -> Option<Written> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.by_key.get(&key).map(|(written, _)| written.clone())
    }
}

impl fmt::Debug for TurnStates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TurnStates(<redacted>)")
    }
}

/// Bytes of a state, about.
fn size(state: &TurnState) -> usize {
    let values = state.details.iter().chain(&state.blocks).chain(state.fields.values());
    let values = values.map(|value| value.to_string().len());
    let calls = state.calls.iter().map(|(id, fields)| {
        id.len().saturating_add(fields.values().map(|value| value.to_string().len()).sum())
    });
    values.chain(calls).fold(state.thoughts.len(), usize::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thought(bytes: usize) -> Written {
        let state = TurnState { thoughts: "x".repeat(bytes), ..TurnState::default() };
        Written { writer: Writer::fresh(), state: Arc::new(state) }
    }

    #[test]
    fn the_latest_are_kept_within_both_bounds() {
        let states = TurnStates::default();
        for key in 0..=MOST_KEYS as u64 {
            states.remember([key], &thought(1));
        }
        assert!(states.of(0).is_none(), "the oldest is forgotten");
        assert!(states.of(1).is_some());
        let large = thought(MOST_BYTES - 2);
        states.remember([u64::MAX], &large);
        assert_eq!(states.of(u64::MAX).map(|written| written.writer), Some(large.writer));
        assert!(states.of(9).is_none());
        states.remember([8], &thought(MOST_BYTES + 1));
        assert!(states.of(8).is_none(), "it is too large");
        let kept = states.kept.lock().unwrap();
        assert_eq!(kept.by_key.len(), kept.order.len());
        assert!(kept.bytes <= MOST_BYTES);
    }
}
