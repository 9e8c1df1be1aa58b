//! What happened within the last minute, to the millisecond.

use std::collections::VecDeque;

/// How far back a window reaches, in milliseconds.
pub(super) const MINUTE_MS: u64 = 60_000;

/// Counts what happened within a minute. Whatever its amounts, it has an entry for each millisecond at
/// most; a bucket that refills (GCRA) would need less, and let through twice its limit in some minutes.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// The oldest first.
    entries: VecDeque<Entry>,
    sum: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// In milliseconds of some clock that never goes back.
    at: u64,
    amount: u64,
}

impl Window {
    /// What there was in the minute that ends `now`.
    pub(super) fn sum(&mut self, now: u64) -> u64 {
        while let Some(first) = self.entries.front()
            && first.at.saturating_add(MINUTE_MS) <= now
        {
            self.sum = self.sum.saturating_sub(first.amount);
            self.entries.pop_front();
        }
        if self.entries.is_empty() {
            self.sum = 0;
        }
        self.sum
    }

    /// Adds to it; `now` is not before any that was added.
    pub(super) fn add(&mut self, now: u64, amount: u64) {
        if amount == 0 {
            return;
        }
        self.sum = self.sum.saturating_add(amount);
        match self.entries.back_mut() {
            Some(last) if last.at == now => last.amount = last.amount.saturating_add(amount),
            _ => self.entries.push_back(Entry { at: now, amount }),
        }
    }

    /// Milliseconds until the sum is below `limit` if nothing is added; 0 when it is.
    pub(super) fn until_below(&mut self, limit: u64, now: u64) -> u64 {
        let mut left = self.sum(now);
        let mut until = 0;
        for entry in &self.entries {
            if left < limit {
                break;
            }
            left = left.saturating_sub(entry.amount);
            until = entry.at.saturating_add(MINUTE_MS).saturating_sub(now);
        }
        until
    }

    /// Milliseconds until there is nothing in it if nothing is added.
    pub(super) fn until_empty(&self, now: u64) -> u64 {
        let last = self.entries.back().map(|last| last.at.saturating_add(MINUTE_MS));
        last.map_or(0, |end| end.saturating_sub(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_later_nothing_is_left() {
        let mut window = Window::default();
        window.add(1000, 3);
        window.add(1000, 2);
        window.add(2500, 4);
        assert_eq!((window.sum(2500), window.entries.len()), (9, 2));
        assert_eq!(window.until_below(10, 2500), 0);
        assert_eq!(window.until_below(9, 2500), 58_500);
        assert_eq!(window.until_below(4, 2500), 60_000);
        assert_eq!(window.until_empty(2500), 60_000);
        assert_eq!(window.sum(60_999), 9);
        assert_eq!(window.sum(61_000), 4);
        assert_eq!((window.sum(62_500), window.until_empty(62_500)), (0, 0));
    }
}
