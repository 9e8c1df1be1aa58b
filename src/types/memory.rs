//! Memory for what comes from outside and has to be held whole: requests, and answers that nobody reads
//! piece by piece. It is counted, so that many large ones are refused instead of ending the process.

mod machine;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// So many bytes of each share are not counted: a share of nothing is what most have.
const FREE: usize = 64 * 1024;

/// How much is taken, and how much may be. Clones count together.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    most: AtomicUsize,
    taken: AtomicUsize,
}

/// There is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory;

/// What one request has taken; given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    memory: Memory,
    used: AtomicUsize,
    /// What of it is counted.
    counted: AtomicUsize,
}

impl Memory {
    /// With so many bytes to take; `None`: half of what the machine or the control group has, where that
    /// can be told.
    #[must_use]
    pub fn new(most: Option<usize>) -> Self {
        let most = AtomicUsize::new(limit(most));
        Self(Arc::new(Counts { most, taken: AtomicUsize::new(0) }))
    }

    /// From now on there are so many; what is taken stays.
    pub fn set_most(&self, most: Option<usize>) {
        self.0.most.store(limit(most), Ordering::Relaxed);
    }

    /// How many bytes there may be.
    #[must_use]
    pub fn most(&self) -> usize {
        self.0.most.load(Ordering::Relaxed)
    }

    /// How many are taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.0.taken.load(Ordering::Relaxed)
    }

    /// A share with nothing in it.
    #[must_use]
    pub fn share(&self) -> Share {
        let memory = self.clone();
        Share { memory, used: AtomicUsize::new(0), counted: AtomicUsize::new(0) }
    }

    fn take(&self, bytes: usize) -> Result<(), NoMemory> {
        let most = self.most();
        let more = |taken: usize| taken.checked_add(bytes).filter(|sum| *sum <= most);
        let taken = self.0.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.map(drop).map_err(|_| NoMemory)
    }
}

impl Share {
    /// Takes so many bytes more.
    ///
    /// # Errors
    /// When there are not as many; then nothing is taken.
    pub fn take(&self, bytes: usize) -> Result<(), NoMemory> {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let counted = self.counted.load(Ordering::Relaxed);
        if used <= FREE.saturating_add(counted) {
            return Ok(());
        }
        // With some to spare, so that few pieces have to ask.
        let missing = (used - FREE - counted).max(FREE);
        self.memory.take(missing).inspect_err(|_| {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
        })?;
        self.counted.fetch_add(missing, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let counted = *self.counted.get_mut();
        self.memory.0.taken.fetch_sub(counted, Ordering::Relaxed);
    }
}

fn limit(most: Option<usize>) -> usize {
    most.or_else(|| machine::memory().map(|all| all / 2)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_given_back_and_no_more_is_taken_than_there_is() {
        let memory = Memory::new(Some(1_000_000));
        let (one, other) = (memory.share(), memory.share());
        assert_eq!(one.take(FREE), Ok(()));
        assert_eq!(memory.taken(), 0, "little is not counted");
        assert_eq!(one.take(600_000), Ok(()));
        assert_eq!(other.take(600_000), Err(NoMemory));
        assert_eq!(other.take(300_000), Ok(()), "what was refused is not taken");
        assert!(memory.taken() <= 1_000_000);
        drop(one);
        assert_eq!(other.take(600_000), Ok(()));
        memory.set_most(Some(1000));
        assert_eq!(other.take(FREE + 1), Err(NoMemory));
        drop(other);
        assert_eq!(memory.taken(), 0);
    }

    #[test]
    fn many_small_pieces_are_all_counted() {
        let memory = Memory::new(Some(10 * FREE));
        let share = memory.share();
        let taken = (0..).take_while(|_| share.take(100).is_ok()).count() * 100;
        assert!((10 * FREE..=11 * FREE).contains(&taken), "{taken}");
    }
}
