//! The limiter held against one that remembers everything and adds it up anew for each request.

use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::{
    account::{Counters, Now},
    window::MINUTE_MS,
};
use crate::{
    config::{Budget, ClientLimits, Period},
    types::Amount,
};

/// A request: how long after the one before, what it may take at worst, which part of that it takes (in
/// percent), and how long it runs.
type Arrival = (u64, u64, u64, u64);

/// A request that was let in.
struct Admitted {
    at: u64,
    ends: u64,
    worst: Amount,
    taken: Amount,
}

/// Everything that happened.
struct Simulation {
    limits: ClientLimits,
    admitted: Vec<Admitted>,
}

fn amount(tokens: u64) -> Amount {
    Amount { calls: 1 + tokens % 3, tokens, picodollars: tokens * 7 }
}

/// It begins an hour before a new day, month and year.
fn date(ms: u64) -> Timestamp {
    // An hour before a new day, week, month and year.
    let before = Timestamp::from_second(1_798_758_000).unwrap();
    before.saturating_add(Duration::from_millis(ms)).unwrap()
}

impl Simulation {
    fn in_minute(&self, now: u64, of: impl Fn(&Admitted) -> (u64, u64)) -> u64 {
        let within = |at: u64| at <= now && at + MINUTE_MS > now;
        let counted = self.admitted.iter().map(of).filter(|(at, _)| within(*at));
        counted.map(|(_, amount)| amount).sum()
    }

    fn requests(&self, now: u64) -> u64 {
        self.in_minute(now, |one| (one.at, 1))
    }

    /// Settled ones only.
    fn tokens(&self, now: u64) -> u64 {
        self.in_minute(now, |one| (one.ends, one.taken.tokens))
    }

    fn running(&self, now: u64) -> impl Iterator<Item = &Admitted> {
        self.admitted.iter().filter(move |one| one.ends > now)
    }

    fn used(&self, per: Period, now: u64, of: impl Fn(&Amount) -> u64) -> u64 {
        let same = |ended: u64| {
            let (ended, now) = (date(ended).to_string(), date(now).to_string());
            match per {
                Period::Day => ended.get(..10) == now.get(..10),
                Period::Month => ended.get(..7) == now.get(..7),
                Period::Week => unreachable!("the simulation has none"),
            }
        };
        let counted = self.admitted.iter().filter(|one| one.ends <= now && same(one.ends));
        counted.map(|one| of(&one.taken)).sum()
    }

    /// Whether nothing that bounds a request is used up.
    fn has_room(&self, now: u64) -> bool {
        let reserved = |of: fn(&Amount) -> u64| self.running(now).map(|one| of(&one.worst)).sum();
        let limits = &self.limits;
        let below = |most: Option<u64>, taken: u64| most.is_none_or(|most| taken < most);
        let within = |budget: &Budget| {
            let left = |most: Option<u64>, of: fn(&Amount) -> u64| {
                let reserved: u64 = reserved(of);
                below(most, self.used(budget.per, now, of) + reserved)
            };
            left(budget.tokens, |amount| amount.tokens)
                && left(budget.calls, |amount| amount.calls)
                && left(budget.picodollars, |amount| amount.picodollars)
        };
        let tokens: u64 = reserved(|amount| amount.tokens);
        below(limits.requests_per_minute.map(u64::from), self.requests(now))
            && below(limits.tokens_per_minute, self.tokens(now) + tokens)
            && below(limits.max_in_flight.map(u64::from), self.running(now).count() as u64)
            && limits.budgets.iter().all(within)
    }
}

/// Ends what has ended by now, in the order of the ends, at their own times.
fn end(
    counters: &mut Counters,
    running: &mut Vec<(u64, Amount, Amount)>,
    limits: &ClientLimits,
    now: u64,
) {
    running.sort_by_key(|(ends, ..)| *ends);
    while running.first().is_some_and(|(ends, ..)| *ends <= now) {
        let (ends, worst, taken) = running.remove(0);
        counters.settle(limits, worst, taken, Now { ms: ends, date: date(ends) });
    }
}

fn limits() -> impl Strategy<Value = ClientLimits> {
    let budget = (
        prop_oneof![Just(Period::Day), Just(Period::Month)],
        proptest::option::of(1..20_000_u64),
        proptest::option::of(1..60_u64),
        proptest::option::of(1..140_000_u64),
    );
    let budget = budget.prop_map(|(per, tokens, calls, picodollars)| Budget {
        per,
        picodollars,
        tokens,
        calls,
    });
    (
        proptest::option::of(1..8_u32),
        proptest::option::of(1..4000_u64),
        proptest::option::of(1..5_u32),
        proptest::collection::vec(budget, 0..3),
    )
        .prop_map(|(requests_per_minute, tokens_per_minute, max_in_flight, budgets)| {
            ClientLimits { requests_per_minute, tokens_per_minute, max_in_flight, budgets }
        })
}

fn arrivals() -> impl Strategy<Value = Vec<Arrival>> {
    let gap = prop_oneof![
        4 => 0..50_u64,
        4 => 0..20_000_u64,
        1 => 55_000..65_000_u64,
        1 => 0..4_000_000_u64,
    ];
    let runs = prop_oneof![3 => 1..2000_u64, 1 => 1..120_000_u64];
    proptest::collection::vec((gap, 0..2000_u64, 0..=100_u64, runs), 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn nobody_is_refused_below_a_limit_and_no_window_passes_one_by_more_than_a_request(
        limits in limits(),
        arrivals in arrivals(),
    ) {
        let mut counters = Counters::default();
        let mut running = Vec::new();
        let mut all = Simulation { limits: limits.clone(), admitted: Vec::new() };
        let mut now = 1;
        for (gap, worst, percent, runs) in arrivals {
            now += gap;
            end(&mut counters, &mut running, &limits, now);
            let (worst, taken) = (amount(worst), amount(worst * percent / 100));
            let taken = Amount { calls: taken.calls.min(worst.calls), ..taken };
            let answer = counters.reserve(&limits, worst, Now { ms: now, date: date(now) });
            prop_assert_eq!(answer.is_ok(), all.has_room(now), "{:?}", answer);
            match answer {
                Ok(()) => {
                    running.push((now + runs, worst, taken));
                    all.admitted.push(Admitted { at: now, ends: now + runs, worst, taken });
                }
                Err(refusal) => prop_assert!(!refusal.wait.is_zero(), "{:?}", refusal),
            }
        }
        // A window is fullest when something has just been added to it.
        let largest = all.admitted.iter().map(|one| one.taken.tokens).max().unwrap_or_default();
        for one in &all.admitted {
            if let Some(most) = limits.requests_per_minute {
                prop_assert!(all.requests(one.at) <= most.into());
            }
            if let Some(most) = limits.tokens_per_minute {
                prop_assert!(all.tokens(one.ends) < most + largest.max(1));
            }
            for budget in &limits.budgets {
                let used = |of: fn(&Amount) -> u64| all.used(budget.per, one.ends, of);
                let most = |limit: Option<u64>| limit.unwrap_or(u64::MAX / 2);
                prop_assert!(used(|one| one.tokens) < most(budget.tokens) + largest.max(1));
                prop_assert!(used(|one| one.calls) < most(budget.calls) + 3);
            }
        }
    }

    /// Whoever waits as long as the answer to a refusal says, and alone, is let in.
    #[test]
    fn the_wait_that_is_said_is_long_enough(most in 1..20_u32, gaps in proptest::collection::vec(0..9000_u64, 1..60)) {
        let limits = ClientLimits { requests_per_minute: Some(most), ..ClientLimits::default() };
        let mut counters = Counters::default();
        let mut now = 1;
        for gap in gaps {
            now += gap;
            let asked = |counters: &mut Counters, ms| {
                counters.reserve(&limits, Amount::default(), Now { ms, date: date(ms) })
            };
            if let Err(refusal) = asked(&mut counters, now) {
                let wait = u64::try_from(refusal.wait.as_millis()).unwrap();
                prop_assert!(asked(&mut counters, now + wait - 1).is_err());
                now += wait;
                prop_assert!(asked(&mut counters, now).is_ok());
            }
        }
    }
}
