//! What a model signed its tool calls with.
//!
//! Gemini signs its thoughts beside a tool call and wants the signature back with the call's result.
//! Neither OpenAI's nor Ollama's clients have a field for it, so it is kept here by the call's id.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Mutex, PoisonError},
};

/// Most calls remembered for a model.
const MOST_CALLS: usize = 4096;
/// Most bytes of signatures remembered for a model.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// The signatures of a model's latest tool calls; older ones are forgotten.
#[derive(Default)]
pub(super) struct Signatures {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    by_call: HashMap<String, String>,
    /// The calls' ids, oldest first.
    order: VecDeque<String>,
    bytes: usize,
}

impl Signatures {
    /// Remembers what a call was signed with; empty when it was not.
    pub(super) fn remember(&self, call: String, signature: String) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes = kept.bytes.saturating_add(signature.len());
        match kept.by_call.insert(call.clone(), signature) {
            Some(former) => kept.bytes = kept.bytes.saturating_sub(former.len()),
            None => kept.order.push_back(call),
        }
        while kept.order.len() > MOST_CALLS || kept.bytes > MOST_BYTES {
            let Some(oldest) = kept.order.pop_front() else { break };
            let forgotten = kept.by_call.remove(&oldest).unwrap_or_default();
            kept.bytes = kept.bytes.saturating_sub(forgotten.len());
        }
    }

    /// What the call of this id was signed with: empty when it came unsigned, `None` when it is not
    /// known (made by another model, before a restart, or long ago).
    pub(super) fn of(&self, call: &str) -> Option<String> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.by_call.get(call).cloned()
    }
}

impl fmt::Debug for Signatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signatures(<redacted>)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_kept_within_both_bounds() {
        let signatures = Signatures::default();
        for number in 0..=MOST_CALLS {
            signatures.remember(format!("call_{number}"), format!("s{number}"));
        }
        assert_eq!(signatures.of("call_0"), None, "the oldest is forgotten");
        assert_eq!(signatures.of("call_1").as_deref(), Some("s1"));
        signatures.remember("call_1".into(), String::new());
        assert_eq!(signatures.of("call_1").as_deref(), Some(""), "it came unsigned");
        signatures.remember("large".into(), "x".repeat(MOST_BYTES - 2));
        assert_eq!(signatures.of("call_2"), None);
        assert!(signatures.of("large").is_some());
        signatures.remember("too large".into(), "x".repeat(MOST_BYTES + 1));
        assert_eq!(signatures.of("too large"), None);
        let kept = signatures.kept.lock().unwrap();
        assert_eq!((kept.by_call.len(), kept.order.len(), kept.bytes), (0, 0, 0));
    }
}
