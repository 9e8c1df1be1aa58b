//! A timer that is always due soon while requests are being answered, which makes all others cheap.
//!
//! tokio wakes its I/O driver whenever a timer is set that is due before every other: a write to an
//! eventfd, and as a rule a second thread that wakes up for nothing. A request sets half a dozen
//! (its headers, silences, limits, the end of a body), and on a quiet server each is the earliest.
//! Beside this one none is. It rests a beat after the last request has ended, so that an idle
//! server sleeps.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::sleep};

/// Sooner than any timer that a request sets, and rare enough to cost nothing.
const BEAT: Duration = Duration::from_millis(100);

/// Beats while somebody holds a [`KeepaliveGuard`], and a little longer.
#[derive(Debug, Default)]
pub(in crate::server) struct TimerKeepalive {
    /// Each holder has a clone.
    held: Arc<()>,
    awake: AtomicBool,
    wanted: Notify,
}

/// Keeps it beating while it lives.
#[derive(Debug)]
pub(in crate::server) struct KeepaliveGuard(
    #[expect(dead_code, reason = "its being there counts")] Arc<()>,
);

impl TimerKeepalive {
    /// Makes it beat for as long as the guard lives.
    pub(in crate::server) fn hold(&self) -> KeepaliveGuard {
        let held = Arc::clone(&self.held);
        if !self.awake.swap(true, Ordering::Relaxed) {
            self.wanted.notify_one();
        }
        KeepaliveGuard(held)
    }

    /// Beats when it is wanted. Never ends; without it everything works, only slower.
    pub(in crate::server) async fn beat(&self) {
        loop {
            self.wanted.notified().await;
            // A beat in which nobody came and at whose end nobody is there is the last one.
            while self.awake.swap(false, Ordering::Relaxed) || Arc::strong_count(&self.held) > 1 {
                sleep(BEAT).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::poll_fn,
        pin::{Pin, pin},
    };

    use tokio::time::timeout;

    use super::*;

    /// How often it woke up in ten seconds of a paused clock.
    async fn wakes(mut beat: Pin<&mut impl Future<Output = ()>>) -> usize {
        let mut polls = 0_usize;
        let counted = poll_fn(|context| {
            polls += 1;
            beat.as_mut().poll(context)
        });
        assert!(timeout(BEAT * 100, counted).await.is_err(), "it never ends");
        // It was begun, and looked at when the time was over.
        polls - 2
    }

    #[tokio::test(start_paused = true)]
    async fn it_beats_while_somebody_holds_it_and_a_little_longer() {
        let timer_keepalive = TimerKeepalive::default();
        let mut beat = pin!(timer_keepalive.beat());
        assert_eq!(wakes(beat.as_mut()).await, 0, "nobody wants it");
        let (one, other) = (timer_keepalive.hold(), timer_keepalive.hold());
        drop(one);
        assert!(wakes(beat.as_mut()).await >= 99);
        drop(other);
        assert!(wakes(beat.as_mut()).await <= 2);
        assert_eq!(wakes(beat.as_mut()).await, 0, "it rests");
        for _ in 0..5 {
            drop(timer_keepalive.hold());
        }
        assert!((1..=3).contains(&wakes(beat.as_mut()).await), "once for all of them");
    }
}
