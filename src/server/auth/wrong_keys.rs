//! Wrong keys slow their address down, so that nobody tries many. A right key is never kept waiting,
//! not even one from the same address: behind a proxy, all callers have that one.
//!
//! Loopback is no exception: any program of any user of the machine reaches it, and whoever has a key
//! does not notice.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Wrong keys within [`FORGIVEN_IN`] that cost nothing: a client that was set up with an old one.
const FREE: f64 = 10.0;
/// How long it takes until so many are forgotten.
const FORGIVEN_IN: Duration = Duration::from_secs(60);
/// What each further one adds to the wait.
const STEP: Duration = Duration::from_millis(100);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(1);
/// How many addresses are remembered.
const MOST: usize = 4096;

/// The addresses that sent wrong keys of late.
#[derive(Debug, Default)]
pub(in crate::server) struct WrongKeys(Mutex<HashMap<IpAddr, Count>>);

#[derive(Clone, Copy, Debug)]
struct Count {
    /// The number of wrong keys that are not forgotten.
    keys: f64,
    at: Instant,
}

impl WrongKeys {
    /// Counts a wrong key, and says how long its answer has to wait.
    pub(in crate::server) fn count(&self, from: IpAddr, now: Instant) -> Duration {
        let from = network(from);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !counts.contains_key(&from) && counts.len() >= MOST {
            let oldest = counts.iter().min_by_key(|(_, count)| count.at).map(|(from, _)| *from);
            oldest.and_then(|oldest| counts.remove(&oldest));
        }
        let count = counts.entry(from).or_insert(Count { keys: 0.0, at: now });
        let passed = now.saturating_duration_since(count.at).as_secs_f64();
        let left = (count.keys - passed * FREE / FORGIVEN_IN.as_secs_f64()).max(0.0);
        let most = FREE + LONGEST.as_secs_f64() / STEP.as_secs_f64();
        *count = Count { keys: (left + 1.0).min(most), at: now };
        STEP.mul_f64((count.keys - FREE).max(0.0)).min(LONGEST)
    }
}

/// What one caller has of addresses: with IPv6, a whole network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        short => short,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_wait_grows_to_a_second_and_is_forgotten() {
        let (keys, start) = (WrongKeys::default(), Instant::now());
        let from = ip("127.0.0.1");
        for number in 1..=40_u32 {
            let want = Duration::from_millis(100) * number.saturating_sub(10).min(10);
            assert_eq!(keys.count(from, start), want, "{number}");
        }
        assert_eq!(keys.count(ip("127.0.0.2"), start), Duration::ZERO, "another address");
        let later = start + Duration::from_secs(60);
        assert_eq!(keys.count(from, later), STEP, "half of it is forgotten");
        assert_eq!(keys.count(from, later + Duration::from_secs(120)), Duration::ZERO);
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_and_a_mapped_address_as_itself() {
        for (one, other, want) in [
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("::ffff:192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
        ] {
            assert_eq!(network(ip(one)) == network(ip(other)), want, "{one} {other}");
        }
    }

    #[test]
    fn no_more_addresses_than_that_are_remembered() {
        let (keys, start) = (WrongKeys::default(), Instant::now());
        for number in 0..=MOST as u32 {
            let from = IpAddr::V4(number.into());
            keys.count(from, start + Duration::from_millis(number.into()));
        }
        let counts = keys.0.lock().unwrap();
        assert_eq!(counts.len(), MOST);
        assert!(!counts.contains_key(&ip("0.0.0.0")) && counts.contains_key(&ip("0.0.0.1")));
    }
}
