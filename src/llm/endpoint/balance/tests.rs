//! Choices over endpoints that are only numbers.

use std::{collections::HashMap, time::Duration};

use super::*;
use crate::llm::endpoint::breaker::Report;

const FAILED: Report = Report::Failed { code: "connect_error", rest: None };

/// A pool of these weights and priorities, where one failure is enough.
fn pool(places: &[(u32, u32)], balance: Balance) -> Pool<usize> {
    sticky_pool(places, balance, false)
}

fn sticky_pool(places: &[(u32, u32)], balance: Balance, is_sticky: bool) -> Pool<usize> {
    let rules = Health { failure_threshold: 1, ..Health::default() };
    let endpoint = |(number, (weight, priority)): (usize, &(u32, u32))| {
        let weighting = Weighting { weight: *weight, priority: *priority };
        (format!("e{number}.example"), weighting, number)
    };
    let endpoints = places.iter().enumerate().map(endpoint).collect();
    Pool::new("m", endpoints, balance, is_sticky, rules)
}

fn want<'a>(passed: &'a [usize], affinity: Option<u64>) -> Want<'a, usize> {
    Want { affinity, passed, or_resting: true, takes: &|_| true }
}

fn choose(pool: &Pool<usize>, passed: &[usize]) -> Option<Lease<usize>> {
    pool.choose(&want(passed, None), Instant::now())
}

/// A call that ends at once.
fn call(pool: &Pool<usize>, report: Report, first_token: Option<Duration>) -> usize {
    let mut lease = choose(pool, &[]).expect("one is in service");
    lease.report(report, first_token);
    lease.number()
}

/// Puts these out of service, or to rest.
fn fail(pool: &Pool<usize>, numbers: &[usize], report: Report) {
    for number in numbers {
        let others: Vec<usize> =
            (0..pool.members().len()).filter(|other| other != number).collect();
        choose(pool, &others).expect("it is in service").report(report, None);
    }
}

fn shares(numbers: impl Iterator<Item = usize>) -> HashMap<usize, usize> {
    numbers.fold(HashMap::new(), |mut shares, number| {
        *shares.entry(number).or_default() += 1;
        shares
    })
}

#[test]
fn weights_are_kept_in_every_stretch() {
    for places in [&[(3, 1), (1, 1)][..], &[(1, 1), (1, 1), (1, 1)], &[(5, 1), (1, 1), (2, 1)]] {
        let pool = pool(places, Balance::Weighted);
        let total: u32 = places.iter().map(|(weight, _)| weight).sum();
        for stretch in [40, 400, 4000] {
            let shares = shares((0..stretch).map(|_| call(&pool, Report::Answered, None)));
            for (number, (weight, _)) in places.iter().enumerate() {
                let fair = f64::from(stretch * weight) / f64::from(total);
                let off = (shares[&number] as f64 - fair).abs();
                assert!(off <= (fair * 0.05).max(3.0), "{places:?} {stretch}: {shares:?}");
            }
        }
    }
}

#[test]
fn the_next_priority_waits_for_all_of_the_lower_to_be_out() {
    let pool = pool(&[(1, 1), (1, 1), (1, 2), (1, 3)], Balance::Weighted);
    let used = || -> Vec<usize> {
        let shares = shares((0..20).map(|_| choose(&pool, &[]).unwrap().number()));
        let mut used: Vec<usize> = shares.into_keys().collect();
        used.sort_unstable();
        used
    };
    assert_eq!(used(), [0, 1]);
    fail(&pool, &[0], FAILED);
    assert_eq!(used(), [1]);
    fail(&pool, &[1], FAILED);
    assert_eq!(used(), [2]);
    assert_eq!(choose(&pool, &[2]).unwrap().number(), 3, "tried counts as out");
    fail(&pool, &[2, 3], FAILED);
    assert!(choose(&pool, &[]).is_none());
}

#[tokio::test(start_paused = true)]
async fn one_that_rests_is_the_last_choice() {
    let second = Duration::from_secs(1);
    let limited = |secs: u32| Report::Limited { rest: Some(second * secs) };
    let pool = pool(&[(9, 1), (1, 1), (1, 2)], Balance::Weighted);
    fail(&pool, &[0], limited(60));
    assert!((0..20).all(|_| choose(&pool, &[]).unwrap().number() == 1));
    fail(&pool, &[1], limited(30));
    assert!((0..20).all(|_| choose(&pool, &[]).unwrap().number() == 2), "even of a lower priority");
    fail(&pool, &[2], limited(90));
    assert!((0..20).all(|_| choose(&pool, &[]).unwrap().number() == 1), "whose rest ends first");
    let strict = Want { or_resting: false, ..want(&[], None) };
    assert!(!pool.can_serve(&strict, Instant::now()));
    tokio::time::advance(second * 31).await;
    assert!(pool.can_serve(&strict, Instant::now()));
    tokio::time::advance(second * 30).await;
    let shares = shares((0..20).map(|_| choose(&pool, &[]).unwrap().number()));
    assert_eq!(shares.len(), 2, "{shares:?}");
}

#[test]
fn least_busy_goes_by_calls_in_flight_per_weight() {
    let pool = pool(&[(1, 1), (3, 1)], Balance::LeastBusy);
    let held: Vec<Lease<usize>> = (0..40).map(|_| choose(&pool, &[]).unwrap()).collect();
    let shares = shares(held.iter().map(Lease::number));
    assert_eq!((shares[&0], shares[&1]), (10, 30));
    drop(held);
    let mut first: Vec<Lease<usize>> = (0..4).map(|_| choose(&pool, &[1]).unwrap()).collect();
    assert!((0..9).all(|_| choose(&pool, &[]).unwrap().number() == 1), "nobody else is busy");
    first.iter_mut().for_each(|lease| lease.report(Report::Answered, None));
    assert!(pool.members().iter().all(|member| member.in_flight() == 0), "a report ends the call");
}

#[test]
fn fastest_measures_uses_and_looks_again() {
    let ms = Duration::from_millis;
    let pool = pool(&[(1, 1), (1, 1), (1, 1)], Balance::Fastest);
    let mut times = [ms(90), ms(30), ms(60)];
    let round = |times: &[Duration; 3]| {
        shares((0..160).map(|_| {
            let mut lease = choose(&pool, &[]).unwrap();
            lease.report(Report::Answered, Some(times[lease.number()]));
            lease.number()
        }))
    };
    let shares = round(&times);
    assert_eq!(shares.len(), 3, "each is measured: {shares:?}");
    assert!(shares[&1] >= 140, "{shares:?}");
    times[0] = ms(5);
    round(&times);
    let shares = round(&times);
    assert!(shares[&0] >= 140, "one that has become faster is found: {shares:?}");
}

#[test]
fn one_that_nobody_knows_is_measured_by_one_call_at_a_time() {
    let pool = pool(&[(1, 1), (1, 1)], Balance::Fastest);
    let known = Some(Duration::from_millis(10));
    choose(&pool, &[1]).unwrap().report(Report::Answered, known);
    let slow = choose(&pool, &[]).unwrap();
    assert_eq!(slow.number(), 1);
    assert!((0..10).all(|_| call(&pool, Report::Answered, known) == 0), "the others do not wait");
}

#[test]
fn a_conversation_stays_moves_and_comes_back() {
    let pool = sticky_pool(&[(3, 1), (1, 1), (1, 1)], Balance::Weighted, true);
    let chosen = |affinity, passed: &[usize]| {
        pool.choose(&want(passed, Some(affinity)), Instant::now()).unwrap().number()
    };
    let all = || (0..2000_u64).map(|affinity| chosen(affinity, &[])).collect::<Vec<usize>>();
    let before = all();
    assert_eq!(before, all(), "it stays");
    let shares = shares(before.iter().copied());
    assert!((1100..1300).contains(&shares[&0]), "by weight: {shares:?}");
    let without: Vec<usize> = (0..2000).map(|affinity| chosen(affinity, &[1])).collect();
    for (before, without) in before.iter().zip(&without) {
        assert!(before == without || *before == 1, "only those of the one that is out move");
    }
    fail(&pool, &[1], FAILED);
    assert_eq!(all(), without);
    pool.members()[1].listed(true, Instant::now());
    assert_eq!(all(), before, "they come back");
}

#[tokio::test(start_paused = true)]
async fn a_probe_goes_first_and_alone_and_its_slot_comes_back() {
    for balance in [Balance::Weighted, Balance::LeastBusy, Balance::Fastest] {
        let pool = pool(&[(1, 1), (100, 1)], balance);
        fail(&pool, &[0], FAILED);
        tokio::time::advance(Health::default().open).await;
        let probe = choose(&pool, &[]).unwrap();
        assert!(probe.is_probe() && probe.number() == 0, "{balance:?}");
        assert!((0..9).all(|_| choose(&pool, &[]).unwrap().number() == 1), "{balance:?}");
        drop(probe);
        let mut probe = choose(&pool, &[]).unwrap();
        assert!(probe.is_probe(), "{balance:?}");
        probe.report(Report::Answered, None);
        probe.report(FAILED, None);
        drop(probe);
        assert_eq!(choose(&pool, &[1]).unwrap().number(), 0, "only the first report counts");
    }
}

#[test]
fn what_an_endpoint_cannot_take_goes_elsewhere() {
    let pool = pool(&[(1, 1), (1, 2)], Balance::Weighted);
    let picky = Want { takes: &|number| *number == 1, ..want(&[], None) };
    assert_eq!(pool.choose(&picky, Instant::now()).unwrap().number(), 1);
    let hopeless = Want { takes: &|_| false, ..want(&[], None) };
    assert!(pool.choose(&hopeless, Instant::now()).is_none());
}

#[test]
fn threads_share_it() {
    let pool = pool(&[(3, 1), (1, 1)], Balance::Weighted);
    let counts: Vec<HashMap<usize, usize>> = std::thread::scope(|scope| {
        let work = || shares((0..5000).map(|_| call(&pool, Report::Answered, None)));
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let first: usize = counts.iter().map(|shares| shares[&0]).sum();
    assert!((14_900..15_100).contains(&first), "{first}");
    assert!(pool.members().iter().all(|member| member.in_flight() == 0));
}
