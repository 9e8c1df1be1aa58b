//! The breaker against tables, and against a simpler one that forgets nothing.

use proptest::{prelude::*, sample::Index};

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const FAILED: Report = Report::Failed { code: "connect_error", rest: None };

fn rules() -> Health {
    Health { failure_threshold: 3, open: SECOND * 30, ..Health::default() }
}

fn call(breaker: &mut Breaker, report: Report, now: Instant) {
    let ticket = breaker.admit(now).expect("it lets calls through");
    breaker.report(&ticket, report, now);
}

fn opened(now: Instant) -> Breaker {
    let mut breaker = Breaker::new(rules(), now);
    (0..3).for_each(|_| call(&mut breaker, FAILED, now));
    breaker
}

#[test]
fn failures_in_a_row_open_it_and_others_do_not() {
    let now = Instant::now();
    let limited = Report::Limited { rest: None };
    for (reports, want) in [
        (vec![FAILED, FAILED], Phase::Closed),
        (vec![FAILED, FAILED, FAILED], Phase::Open),
        (vec![FAILED, FAILED, Report::Answered, FAILED, FAILED], Phase::Closed),
        (vec![FAILED, FAILED, limited, FAILED, FAILED], Phase::Closed),
        (vec![limited; 30], Phase::Closed),
        (vec![Report::Exhausted; 30], Phase::Closed),
        (vec![Report::Unusable { code: "upstream_not_found" }], Phase::Down),
    ] {
        let mut breaker = Breaker::new(rules(), now);
        reports.iter().for_each(|report| call(&mut breaker, *report, now));
        assert_eq!(breaker.standing(now).phase, want, "{reports:?}");
    }
}

#[test]
fn new_rules_count_from_what_was() {
    let now = Instant::now();
    for (open, later, want) in [(5, 10, Offer::Probe), (50, 40, Offer::Nothing)] {
        let mut breaker = opened(now);
        let (rules, later) = (Health { open: SECOND * open, ..rules() }, now + SECOND * later);
        breaker.set_rules(rules, now + SECOND);
        assert_eq!(breaker.standing(later).since, now);
        assert_eq!(breaker.offer(later), want, "{open}");
    }
    let mut breaker = Breaker::new(rules(), now);
    (0..2).for_each(|_| call(&mut breaker, FAILED, now));
    breaker.set_rules(Health { failure_threshold: 2, ..rules() }, now);
    assert_eq!(breaker.offer(now), Offer::Free, "it is no failure that the rules change");
    call(&mut breaker, FAILED, now);
    assert!(breaker.is_out());
}

#[test]
fn the_ratio_of_the_latest_calls_opens_it() {
    let now = Instant::now();
    let rules = Health { failure_threshold: 1000, failure_ratio: 0.5, ..Health::default() };
    let after = |failures: u32, successes: u32| {
        let mut breaker = Breaker::new(rules, now);
        (0..successes).for_each(|_| call(&mut breaker, Report::Answered, now));
        let mut made = 0;
        while made < failures && breaker.standing(now).phase == Phase::Closed {
            call(&mut breaker, FAILED, now);
            made += 1;
        }
        made
    };
    assert_eq!(after(20, 0), 10, "not before ten calls");
    assert_eq!(after(20, 5), 5, "five of ten");
    assert_eq!(after(20, 20), 10, "the oldest are forgotten");
}

#[test]
fn half_open_lets_one_through_and_its_end_decides() {
    let now = Instant::now();
    let later = now + SECOND * 30;
    for (report, want) in [
        (Report::Answered, Phase::Closed),
        (Report::Limited { rest: Some(SECOND) }, Phase::Closed),
        (FAILED, Phase::Open),
        (Report::Unusable { code: "upstream_unauthorized" }, Phase::Down),
    ] {
        let mut breaker = opened(now);
        assert_eq!(breaker.admit(later - SECOND), None);
        let probe = breaker.admit(later).expect("its time is up");
        assert!(probe.is_probe());
        assert_eq!(breaker.standing(later).phase, Phase::HalfOpen);
        assert_eq!(breaker.admit(later), None, "only one");
        breaker.report(&probe, report, later);
        assert_eq!(breaker.standing(later).phase, want, "{report:?}");
        if want == Phase::Closed {
            assert_eq!(breaker.standing(later).consecutive, 0);
        } else {
            assert_eq!(breaker.admit(later + SECOND * 29), None, "its time begins anew");
        }
    }
}

#[test]
fn the_first_words_of_a_probe_let_others_through_on_probation() {
    let start = Instant::now();
    let later = start + SECOND * 30;
    for (end, want) in [(Report::Answered, Phase::Closed), (FAILED, Phase::Open)] {
        let mut breaker = opened(start);
        let mut probe = breaker.admit(later).expect("its time is up");
        assert_eq!(breaker.offer(later), Offer::Nothing);
        breaker.spoke(&mut probe, later);
        assert_eq!(breaker.offer(later), Offer::Free);
        breaker.report(&probe, end, later);
        assert_eq!(breaker.standing(later).phase, want, "{end:?}");
    }
    // Words that come too late change nothing.
    let mut breaker = opened(start);
    let mut probe = breaker.admit(later).expect("its time is up");
    breaker.listed(true, later);
    call(&mut breaker, FAILED, later);
    breaker.spoke(&mut probe, later);
    assert_eq!(breaker.standing(later).phase, Phase::Open);
}

#[test]
fn a_probe_that_is_dropped_gives_its_slot_back() {
    let now = Instant::now();
    let later = now + SECOND * 31;
    let mut breaker = opened(now);
    for _ in 0..3 {
        let probe = breaker.admit(later).expect("the place is free");
        breaker.release(&probe);
    }
    assert_eq!(breaker.standing(later).phase, Phase::Open);
}

#[test]
fn calls_from_before_say_nothing_of_now() {
    let now = Instant::now();
    let mut breaker = Breaker::new(rules(), now);
    let early: Vec<Ticket> = (0..9).filter_map(|_| breaker.admit(now)).collect();
    early[..3].iter().for_each(|ticket| breaker.report(ticket, FAILED, now));
    breaker.report(&early[3], Report::Answered, now);
    assert_eq!(breaker.standing(now).phase, Phase::Open, "a late answer does not close it");
    let later = now + SECOND * 30;
    let probe = breaker.admit(later).unwrap();
    breaker.release(&early[4]);
    breaker.report(&early[5], FAILED, later);
    assert_eq!(breaker.standing(later).phase, Phase::HalfOpen);
    breaker.report(&probe, Report::Answered, later);
    early[6..].iter().for_each(|ticket| breaker.report(ticket, FAILED, later));
    assert_eq!(breaker.standing(later).phase, Phase::Closed, "nor do late failures open it");
}

#[test]
fn a_model_list_closes_it_on_probation() {
    let now = Instant::now();
    let mut breaker = opened(now);
    assert!(breaker.is_out());
    breaker.listed(false, now + SECOND);
    assert_eq!(breaker.standing(now).phase, Phase::Open);
    breaker.listed(true, now + SECOND * 2);
    assert_eq!(breaker.standing(now).phase, Phase::Closed);
    call(&mut breaker, FAILED, now + SECOND * 3);
    assert_eq!(breaker.standing(now).phase, Phase::Open, "one more failure is enough");
}

#[test]
fn what_is_down_waits_for_its_list_and_not_for_ever() {
    let now = Instant::now();
    let down = |is_watched, every: Option<Duration>| {
        let rules = Health { probe_interval: every, ..rules() };
        let mut breaker = Breaker::new(rules, now);
        breaker.set_watched(is_watched, now);
        call(&mut breaker, Report::Unusable { code: "upstream_unauthorized" }, now);
        breaker
    };
    for (is_watched, every, secs) in [
        (true, Some(SECOND * 15), 300),
        (true, None, 30),
        (false, Some(SECOND * 15), 30),
        (false, None, 30),
    ] {
        let mut breaker = down(is_watched, every);
        assert_eq!(breaker.admit(now + SECOND * (secs - 1)), None, "{is_watched} {every:?}");
        assert!(breaker.admit(now + SECOND * secs).is_some(), "{is_watched} {every:?}");
    }
    let next = |breaker: &Breaker| breaker.standing(now).next_try.map(|at| at - now);
    let mut breaker = down(true, Some(SECOND * 15));
    assert_eq!(next(&breaker), Some(SECOND * 15));
    breaker.listed(false, now + SECOND * 16);
    assert_eq!(next(&breaker), Some(SECOND * 31));
    breaker.set_watched(false, now);
    assert_eq!(next(&breaker), Some(SECOND * 30), "nobody asks any more, so a call may");
}

#[test]
fn resting_is_offered_last_and_ends() {
    let now = Instant::now();
    for (report, secs) in [
        (Report::Limited { rest: Some(SECOND * 7) }, 7),
        (Report::Failed { code: "upstream_error", rest: Some(SECOND * 5) }, 5),
        (Report::Limited { rest: Some(SECOND * 1_000_000) }, 3600),
        (Report::Exhausted, 30),
    ] {
        let mut breaker = Breaker::new(rules(), now);
        call(&mut breaker, report, now);
        let until = now + SECOND * secs;
        assert_eq!(breaker.offer(until - SECOND), Offer::Resting(until), "{report:?}");
        assert!(breaker.admit(now).is_some(), "it can be used where there is no other");
        assert_eq!(breaker.offer(until), Offer::Free, "{report:?}");
    }
}

/// The same rules said with a list of everything that happened since it was last closed.
struct Simple {
    rules: Health,
    history: Vec<bool>,
    /// Failures from before that a model list did not forgive.
    carried: usize,
    out_until: Option<Duration>,
    /// The number of the ticket that decides.
    probe: Option<usize>,
    /// Tickets below this number do not count, but for one that has spoken.
    first_valid: usize,
    spoken: Option<usize>,
}

impl Simple {
    fn consecutive(&self) -> usize {
        let row = self.history.iter().rev().take_while(|success| !**success).count();
        if row == self.history.len() { row + self.carried } else { row }
    }

    fn admits(&self, now: Duration) -> bool {
        match self.out_until {
            None => true,
            Some(until) => self.probe.is_none() && until <= now,
        }
    }

    fn leave(&mut self, now: Duration, tickets: usize) {
        self.carried = self.consecutive();
        self.history.clear();
        self.out_until = Some(now + self.rules.open);
        (self.probe, self.spoken) = (None, None);
        self.first_valid = tickets;
    }

    fn come_back(&mut self, carried: usize, tickets: usize) {
        (self.carried, self.out_until, self.probe) = (carried, None, None);
        self.history.clear();
        (self.first_valid, self.spoken) = (tickets, None);
    }

    fn report(&mut self, ticket: usize, report: Report, now: Duration, tickets: usize) {
        let decides = self.probe == Some(ticket);
        let is_old = ticket < self.first_valid && self.spoken != Some(ticket);
        if self.out_until.is_some() && !decides || is_old {
            return;
        }
        match report {
            Report::Unusable { .. } => self.leave(now, tickets),
            Report::Failed { .. } => {
                self.history.push(false);
                let latest: Vec<bool> = self.history.iter().rev().take(20).copied().collect();
                let failed = latest.iter().filter(|success| !**success).count();
                let many = latest.len() >= 10
                    && failed as f64 >= self.rules.failure_ratio * latest.len() as f64;
                if decides || self.consecutive() >= self.rules.failure_threshold as usize || many {
                    self.leave(now, tickets);
                }
            }
            _ if decides => self.come_back(0, tickets),
            _ => self.history.push(true),
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Call,
    Speak(Index),
    End(Index, Report),
    Leave(Index),
    Wait(u64),
    List(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let report = prop_oneof![
        5 => Just(FAILED),
        4 => Just(Report::Answered),
        1 => Just(Report::Limited { rest: None }),
        1 => Just(Report::Unusable { code: "upstream_not_found" }),
    ];
    prop_oneof![
        6 => Just(Step::Call),
        6 => (any::<Index>(), report).prop_map(|(which, report)| Step::End(which, report)),
        2 => any::<Index>().prop_map(Step::Speak),
        1 => any::<Index>().prop_map(Step::Leave),
        2 => (0..40_u64).prop_map(Step::Wait),
        1 => any::<bool>().prop_map(Step::List),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn it_does_as_the_simple_one(
        steps in prop::collection::vec(step(), 0..300),
        threshold in 1..8_u32,
        ratio in 0.2..1.0_f64,
    ) {
        let start = Instant::now();
        let rules = Health { failure_threshold: threshold, failure_ratio: ratio, ..rules() };
        let mut breaker = Breaker::new(rules, start);
        let mut simple = Simple {
            rules, history: vec![], carried: 0, out_until: None, probe: None, first_valid: 0,
            spoken: None,
        };
        let (mut now, mut given, mut held) = (Duration::ZERO, 0, Vec::new());
        for step in steps {
            let at = start + now;
            match step {
                Step::Call => {
                    let ticket = breaker.admit(at);
                    prop_assert_eq!(ticket.is_some(), simple.admits(now));
                    if let Some(ticket) = ticket {
                        prop_assert_eq!(ticket.is_probe(), simple.out_until.is_some());
                        if ticket.is_probe() {
                            simple.probe = Some(given);
                        }
                        held.push((given, ticket));
                        given += 1;
                    }
                }
                Step::Speak(which) if !held.is_empty() => {
                    let which = which.index(held.len());
                    let (number, ticket) = &mut held[which];
                    breaker.spoke(ticket, at);
                    if simple.probe == Some(*number) {
                        let carried = simple.consecutive().min(threshold as usize - 1);
                        simple.come_back(carried, given);
                        simple.spoken = Some(*number);
                    }
                }
                Step::End(which, report) if !held.is_empty() => {
                    let (number, ticket) = held.swap_remove(which.index(held.len()));
                    breaker.report(&ticket, report, at);
                    simple.report(number, report, now, given);
                }
                Step::Leave(which) if !held.is_empty() => {
                    let (number, ticket) = held.swap_remove(which.index(held.len()));
                    breaker.release(&ticket);
                    if simple.probe == Some(number) {
                        simple.probe = None;
                    }
                }
                Step::Wait(secs) => now += SECOND * u32::try_from(secs).unwrap(),
                Step::List(is_well) => {
                    breaker.listed(is_well, at);
                    if is_well && simple.out_until.is_some() {
                        let carried = simple.consecutive().min(threshold as usize - 1);
                        simple.come_back(carried, given);
                    }
                }
                Step::Speak(_) | Step::End(..) | Step::Leave(_) => {}
            }
            let at = start + now;
            let standing = breaker.standing(at);
            prop_assert_eq!(standing.phase == Phase::Closed, simple.out_until.is_none());
            prop_assert_eq!(standing.phase == Phase::HalfOpen, simple.probe.is_some());
            prop_assert_eq!(standing.consecutive as usize, simple.consecutive());
            prop_assert_eq!(breaker.offer(at) == Offer::Nothing, !simple.admits(now));
        }
    }
}
