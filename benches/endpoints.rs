//! What it costs to choose an endpoint for a call and to report how the call went, alone and with
//! several threads at the same pool. `cargo bench --bench endpoints`.

use std::{
    hint::black_box,
    thread,
    time::{Duration, Instant as Clock},
};

use chorus::{
    config::{Balance, Health},
    llm::endpoint::{
        balance::{Pool, Want, Weighting},
        breaker::{Breaker, Report},
    },
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tokio::time::Instant;

const FIRST_TOKEN: Option<Duration> = Some(Duration::from_millis(300));
/// With this rule a mixture of answers and failures keeps its circuits closed.
const PATIENT: fn() -> Health =
    || Health { failure_threshold: u32::MAX, failure_ratio: 1.0, ..Health::default() };

fn pool(endpoints: usize, balance: Balance, is_sticky: bool, rules: Health) -> Pool<usize> {
    let endpoint = |number: usize| {
        let weighting =
            Weighting { weight: 1 + u32::try_from(number % 3).unwrap_or(0), priority: 1 };
        (format!("e{number}.example"), weighting, number)
    };
    Pool::new("m", (0..endpoints).map(endpoint).collect(), balance, is_sticky, rules)
}

/// One call: an endpoint, and how it went there.
fn call(pool: &Pool<usize>, affinity: Option<u64>, report: Report) {
    let want = Want { affinity, passed: &[], or_resting: true, takes: &|_| true };
    if let Some(mut lease) = pool.choose(black_box(&want), Instant::now()) {
        lease.report(report, FIRST_TOKEN);
    }
}

fn choice(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("choice");
    for endpoints in [1, 2, 8, 64] {
        let pool = pool(endpoints, Balance::Weighted, false, Health::default());
        group.bench_function(BenchmarkId::new("weighted", endpoints), |bencher| {
            bencher.iter(|| call(&pool, None, Report::Answered));
        });
    }
    for (name, balance, is_sticky) in [
        ("least-busy", Balance::LeastBusy, false),
        ("fastest", Balance::Fastest, false),
        ("sticky", Balance::Weighted, true),
    ] {
        let pool = pool(8, balance, is_sticky, Health::default());
        let mut affinity = 0_u64;
        group.bench_function(BenchmarkId::new(name, 8), |bencher| {
            bencher.iter(|| {
                affinity = affinity.wrapping_add(1);
                call(&pool, Some(affinity), Report::Answered);
            });
        });
    }
    // Every endpoint but one is out: the others are looked at and passed over.
    let pool = pool(8, Balance::Weighted, false, Health::default());
    for number in 0..7 {
        let others: Vec<usize> = (0..8).filter(|other| *other != number).collect();
        let want = Want { affinity: None, passed: &others, or_resting: true, takes: &|_| true };
        if let Some(mut lease) = pool.choose(&want, Instant::now()) {
            lease.report(Report::Unusable { code: "upstream_unauthorized" }, None);
        }
    }
    group.bench_function(BenchmarkId::new("seven out of", 8), |bencher| {
        bencher.iter(|| call(&pool, None, Report::Answered));
    });
}

fn breaker(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("breaker");
    let now = Instant::now();
    let mut breaker = Breaker::new(Health::default(), now);
    group.bench_function("admit and report", |bencher| {
        bencher.iter(|| {
            if let Some(ticket) = breaker.admit(black_box(now)) {
                breaker.report(&ticket, Report::Answered, now);
            }
        });
    });
}

/// Makes `calls` calls in each of `threads` threads at the same time.
fn together(pool: &Pool<usize>, threads: u64, calls: u64, reports: [Report; 2]) -> Duration {
    let each = calls.div_ceil(threads);
    let begun = Clock::now();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for turn in 0..each {
                    call(pool, None, if turn % 3 == 0 { reports[1] } else { reports[0] });
                }
            });
        }
    });
    begun.elapsed()
}

fn contention(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("contention");
    group.throughput(Throughput::Elements(1));
    let failed = Report::Failed { code: "upstream_error", rest: None };
    for (name, endpoints, reports) in [
        ("one endpoint", 1, [Report::Answered; 2]),
        ("four endpoints", 4, [Report::Answered; 2]),
        ("four endpoints, a third of the calls fail", 4, [Report::Answered, failed]),
    ] {
        for threads in [1, 2, 4, 8] {
            let pool = pool(endpoints, Balance::Weighted, false, PATIENT());
            group.bench_function(BenchmarkId::new(name, threads), |bencher| {
                bencher.iter_custom(|calls| together(&pool, threads, calls, reports));
            });
        }
    }
}

criterion_group!(benches, choice, breaker, contention);
criterion_main!(benches);
