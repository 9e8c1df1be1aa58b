//! The end of the certificate, said again every day: a server that runs for months reads no config.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;

use crate::config::Tls;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Logs that the certificate in use ends soon, or has ended. `ends` says when. Never ends.
pub(super) async fn remind(ends: impl Fn() -> Option<Timestamp>) {
    remind_by(ends, |about| {
        tracing::warn!("a certificate in `[server.tls] cert` {about}; renew it: a changed file is loaded within a second");
    })
    .await;
}

async fn remind_by(ends: impl Fn() -> Option<Timestamp>, say: impl Fn(&str)) {
    loop {
        // The day of the start has its own warning, as has that of a reload.
        sleep(DAY).await;
        if let Some(about) = ends().and_then(|end| Tls::about_end(end, Timestamp::now())) {
            say(&about);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use jiff::ToSpan;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_certificate_that_ends_soon_is_spoken_of_every_day() {
        for (hours, want) in [(48, "expires on"), (-48, "has expired on")] {
            let said = RefCell::new(Vec::new());
            let end = Some(Timestamp::now() + hours.hours());
            let reminding = remind_by(|| end, |about| said.borrow_mut().push(about.to_owned()));
            assert!(timeout(DAY * 3 + DAY / 2, reminding).await.is_err());
            let said = said.into_inner();
            assert_eq!(said.len(), 3, "{said:?}");
            assert!(said.iter().all(|about| about.starts_with(want)), "{said:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_said_of_one_that_is_good_for_long_or_that_nobody_can_read() {
        for end in [None, Some(Timestamp::now() + (24 * 60).hours())] {
            let reminding = remind_by(|| end, |about| panic!("{about}"));
            assert!(timeout(DAY * 3, reminding).await.is_err());
        }
    }
}
