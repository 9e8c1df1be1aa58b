//! How the time that something takes grows with what it is given, for tests.

use std::{hint::black_box, time::Duration};

use rustix::time::{ClockId, clock_gettime};

const SMALL: usize = 400;
const TIMES: usize = 16;
/// What is linear takes 16 times as long for 16 times as much, more where it outgrows a cache, and
/// what is quadratic 256 times.
const MOST: u32 = 48;
/// Less than this is not worth measuring; what is quadratic takes more.
const NOISE: Duration = Duration::from_millis(20);
/// The best of so many tries counts, since other tests run beside this one and share its caches.
const TRIES: usize = 6;

/// Asserts that `work` is not much worse than linear in the size of its input.
///
/// # Panics
/// If it is.
pub(crate) fn assert_linear<I, O>(what: &str, input: impl Fn(usize) -> I, work: impl Fn(I) -> O) {
    let time = |size| {
        let input = input(size);
        let begun = used();
        black_box(work(input));
        used().saturating_sub(begun)
    };
    let (mut small, mut large) = (Duration::MAX, Duration::MAX);
    for _ in 0..TRIES {
        small = small.min(time(SMALL));
        large = large.min(time(SMALL.saturating_mul(TIMES)));
        if large <= NOISE || large <= small.saturating_mul(MOST) {
            return;
        }
    }
    panic!("{what}: {small:?}, and {large:?} for {TIMES} times as much");
}

/// What this thread has used of a processor: waiting for one is nobody's growth.
fn used() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let whole = Duration::from_secs(time.tv_sec.try_into().unwrap_or_default());
    whole.saturating_add(Duration::from_nanos(time.tv_nsec.try_into().unwrap_or_default()))
}
