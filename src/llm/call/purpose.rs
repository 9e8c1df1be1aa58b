//! What a call is a part of, as far as it has to know.

use std::time::Duration;

use futures::future::select_all;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::llm::Conversation;

/// A pause up to this is worth a second try of a call whose answer nobody waits for.
pub(super) const SHORT_PAUSE: Duration = Duration::from_secs(2);

/// What a call is a part of. By default: nothing.
#[derive(Clone, Debug, Default)]
pub struct Purpose {
    /// The client's conversation that it serves, where its own is made of that: an endpoint's
    /// failures over one conversation count once.
    pub origin: Option<Conversation>,
    /// When any of these turns true there is enough without its answer: from then on it makes no
    /// pause above two seconds, and gives one up that it is in.
    pub spare: Vec<watch::Receiver<bool>>,
    /// What it says is shown to nobody before its end, so that it can be tried again even after its
    /// first words.
    pub retractable: bool,
}

impl Purpose {
    /// Waits for so long; `false` when nobody waits for the call any more, and the rest of the pause
    /// is not worth it.
    pub(super) async fn pause(&self, pause: Duration) -> bool {
        let now = Instant::now();
        let until = now.checked_add(pause).unwrap_or(now);
        if self.spare.is_empty() {
            sleep_until(until).await;
            return true;
        }
        let enough = self.spare.iter().cloned().map(|one| Box::pin(is_true(one)));
        tokio::select! {
            biased;
            (true, ..) = select_all(enough) => {
                if until.saturating_duration_since(Instant::now()) > SHORT_PAUSE {
                    return false;
                }
                sleep_until(until).await;
                true
            }
            () = sleep_until(until) => true,
        }
    }
}

/// Whether it became true, and not just went away.
async fn is_true(mut one: watch::Receiver<bool>) -> bool {
    one.wait_for(|enough| *enough).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_pause_ends_when_there_is_enough_without_the_call() {
        let second = Duration::from_secs(1);
        for (pause, enough_after, waits, took) in [
            (30, None, true, 30),
            (30, Some(0), false, 0),
            (30, Some(5), false, 5),
            (30, Some(29), true, 30),
            (2, Some(0), true, 2),
        ] {
            let (enough, spare) = watch::channel(false);
            let (_above, never) = watch::channel(false);
            let purpose = Purpose { spare: vec![never, spare], ..Purpose::default() };
            let begun = Instant::now();
            let signal = async {
                if let Some(after) = enough_after {
                    tokio::time::sleep(second * after).await;
                    enough.send_replace(true);
                }
            };
            let (waited, ()) = tokio::join!(purpose.pause(second * pause), signal);
            assert_eq!(
                (waited, begun.elapsed()),
                (waits, second * took),
                "{pause} {enough_after:?}"
            );
        }
        assert!(Purpose::default().pause(second).await);
    }
}
