//! Which endpoint of a model a call goes to: among those in service of the lowest priority number,
//! by the model's `balance`.

#[cfg(test)]
mod tests;

use std::{
    cmp::Ordering,
    sync::{
        Arc,
        atomic::{self, AtomicU64},
    },
};

use tokio::time::Instant;

pub use super::slot::{Lease, Weighting};
use super::{
    breaker::Offer,
    slot::{Member, Name, Record},
};
use crate::{
    config::{Balance, Health},
    llm::protocol::hash::hash,
};

/// One in so many calls looks whether another endpoint has become the fastest.
const EXPLORE: u64 = 16;
/// The fraction of the golden ratio, in 2^64ths: steps of it fill a circle evenly from the start.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The endpoints of a model.
#[derive(Debug)]
pub struct Pool<E> {
    members: Vec<Arc<Member<E>>>,
    balance: Balance,
    is_sticky: bool,
    /// The place on the circle on which the last weighted choice fell.
    turn: AtomicU64,
    calls: AtomicU64,
}

/// What a call wants of its endpoint.
pub struct Want<'a, E> {
    /// What stays the same over a conversation, for models that are sticky.
    pub affinity: Option<u64>,
    /// The numbers of those that are not wanted.
    pub passed: &'a [usize],
    /// Whether one that asked to be left alone will do, where there is no other.
    pub or_resting: bool,
    /// Whether it can take the call's input.
    pub takes: &'a (dyn Fn(&E) -> bool + Sync),
}

impl<E> Pool<E> {
    /// A model's endpoints with their hosts and places, in the order of the file.
    #[must_use]
    pub fn new(
        model: &str,
        endpoints: Vec<(String, Weighting, E)>,
        balance: Balance,
        is_sticky: bool,
        rules: Health,
    ) -> Self {
        let fresh = endpoints.into_iter().map(|(host, weighting, it)| (host, weighting, it, None));
        Self::keeping(model, fresh, balance, is_sticky, rules)
    }

    /// [`Pool::new`] where something may be known of an endpoint already.
    pub(super) fn keeping(
        model: &str,
        endpoints: impl IntoIterator<Item = (String, Weighting, E, Option<Arc<Record>>)>,
        balance: Balance,
        is_sticky: bool,
        rules: Health,
    ) -> Self {
        let member = |(number, (endpoint, weighting, it, record)): (usize, (_, _, _, _))| {
            let name = Name { model: model.to_owned(), endpoint };
            Arc::new(Member::new(number, name, weighting, it, (rules, record)))
        };
        Self {
            members: endpoints.into_iter().enumerate().map(member).collect(),
            balance,
            is_sticky,
            turn: AtomicU64::new(0),
            calls: AtomicU64::new(0),
        }
    }

    /// An endpoint for a call; `None` when none that is wanted can be used.
    #[must_use]
    pub fn choose(&self, want: &Want<'_, E>, now: Instant) -> Option<Lease<E>> {
        let mut candidates = self.candidates(want, now);
        loop {
            let at = self.pick(&candidates, want)?;
            // A probe's place may be gone since.
            if let Some(lease) = candidates.get(at).and_then(|one| one.member.admit(now)) {
                return Some(lease);
            }
            candidates.remove(at);
            if candidates.is_empty() {
                candidates = self.candidates(want, now);
            }
        }
    }

    /// An endpoint for a call that [`Pool::choose`] has none for: one that failed too often, of the
    /// lowest priority number and with the fewest calls in flight. `None` when all that are wanted
    /// refuse the key or do not know the model, or others are trying those that are slow to fail.
    #[must_use]
    pub fn choose_last(&self, want: &Want<'_, E>, now: Instant) -> Option<Lease<E>> {
        let wanted = |member: &&Arc<Member<E>>| {
            !want.passed.contains(&member.number) && (want.takes)(&member.endpoint)
        };
        let mut last: Vec<_> =
            self.members.iter().filter(wanted).filter(|member| member.can_be_last()).collect();
        last.sort_by_key(|member| (member.weighting.priority, member.in_flight()));
        last.into_iter().find_map(|member| member.admit_last(now))
    }

    /// Whether [`Pool::choose`] would find one.
    #[must_use]
    pub fn can_serve(&self, want: &Want<'_, E>, now: Instant) -> bool {
        self.usable(want, now).next().is_some()
    }

    /// All endpoints, in the order of the file.
    pub(in crate::llm) fn members(&self) -> &[Arc<Member<E>>] {
        &self.members
    }

    fn usable<'a>(
        &'a self,
        want: &'a Want<'_, E>,
        now: Instant,
    ) -> impl Iterator<Item = Candidate<'a, E>> {
        let wanted = self.members.iter().filter(|member| {
            !want.passed.contains(&member.number) && (want.takes)(&member.endpoint)
        });
        wanted.filter_map(move |member| {
            let offer = member.offer(now);
            let fits = match offer {
                Offer::Free | Offer::Probe => true,
                Offer::Resting(_) => want.or_resting,
                Offer::Nothing => false,
            };
            fits.then_some(Candidate { member, offer })
        })
    }

    /// Those that the choice is among: the best priority of those that can be used.
    fn candidates<'a>(&'a self, want: &'a Want<'_, E>, now: Instant) -> Vec<Candidate<'a, E>> {
        let mut found: Vec<_> = self.usable(want, now).collect();
        if let Some(best) = found.iter().map(Candidate::rank).min() {
            found.retain(|one| one.rank() == best);
        }
        found
    }

    fn pick(&self, candidates: &[Candidate<'_, E>], want: &Want<'_, E>) -> Option<usize> {
        if candidates.len() < 2 {
            return (!candidates.is_empty()).then_some(0);
        }
        if let Some(affinity) = want.affinity.filter(|_| self.is_sticky) {
            return best(candidates, |one, other| {
                one.pull(affinity).total_cmp(&other.pull(affinity))
            });
        }
        // The sooner a call tries whether it is back, the sooner it takes its share again.
        if let Some(probe) = candidates.iter().position(|one| one.offer == Offer::Probe) {
            return Some(probe);
        }
        match self.balance {
            Balance::Weighted => self.by_weight(candidates, |_| true),
            Balance::LeastBusy => {
                let least = candidates.iter().min_by(|one, other| one.busier_than(other))?;
                self.by_weight(candidates, |one| one.busier_than(least) == Ordering::Equal)
            }
            Balance::Fastest => self.fastest(candidates),
        }
    }

    /// Each gets its share of every stretch of calls, not only in the long run, and nobody waits
    /// for a lock: the choices are steps of the golden ratio around a circle of all weights.
    fn by_weight(
        &self,
        candidates: &[Candidate<'_, E>],
        among: impl Fn(&Candidate<'_, E>) -> bool,
    ) -> Option<usize> {
        let all = || candidates.iter().enumerate().filter(|(_, one)| among(one));
        let total: u64 = all().map(|(_, one)| one.weight()).sum();
        let turn = self.turn.fetch_add(GOLDEN, atomic::Ordering::Relaxed);
        let mut point = (u128::from(turn) * u128::from(total)) >> 64;
        for (at, one) in all() {
            let weight = u128::from(one.weight());
            if point < weight {
                return Some(at);
            }
            point -= weight;
        }
        None
    }

    /// One that nobody knows is tried first, by one call at a time; and now and then one of the
    /// others, so that one that has become faster is found.
    fn fastest(&self, candidates: &[Candidate<'_, E>]) -> Option<usize> {
        let is_known = |one: &Candidate<'_, E>| one.member.first_token().is_some();
        let idle = candidates.iter().position(|one| !is_known(one) && one.member.in_flight() == 0);
        if idle.is_some() {
            return idle;
        }
        let known = candidates.iter().enumerate().filter(|(_, one)| is_known(one));
        let Some((at, best)) = known.min_by_key(|(_, one)| one.member.first_token()) else {
            return self.by_weight(candidates, |_| true);
        };
        let turn = self.calls.fetch_add(1, atomic::Ordering::Relaxed);
        if turn % EXPLORE == EXPLORE - 1 {
            return self.by_weight(candidates, |one| one.member.number != best.member.number);
        }
        Some(at)
    }
}

/// An endpoint that can be used.
struct Candidate<'a, E> {
    member: &'a Arc<Member<E>>,
    offer: Offer,
}

impl<E> Candidate<'_, E> {
    /// The lowest is used: one that rests only after all others, and the sooner its rest ends the
    /// better.
    fn rank(&self) -> (Option<Instant>, u32) {
        let resting = match self.offer {
            Offer::Resting(until) => Some(until),
            Offer::Free | Offer::Probe | Offer::Nothing => None,
        };
        (resting, self.member.weighting.priority)
    }

    fn weight(&self) -> u64 {
        u64::from(self.member.weighting.weight)
    }

    /// Compares the calls in flight per weight.
    fn busier_than(&self, other: &Self) -> Ordering {
        let load = |one: &Self, by: &Self| {
            u128::try_from(one.member.in_flight())
                .unwrap_or(u128::MAX)
                .saturating_mul(by.weight().into())
        };
        load(self, other).cmp(&load(other, self))
    }

    /// How strongly it draws a conversation: the highest takes it, with a probability as its
    /// weight, and one that leaves or comes back moves no conversation but its own.
    fn pull(&self, affinity: u64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a fraction of 53 bits is fine enough")]
        let point =
            ((hash(&(affinity, self.member.hash)) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        -f64::from(self.member.weighting.weight) / point.ln()
    }
}

fn best<T>(candidates: &[T], order: impl Fn(&T, &T) -> Ordering) -> Option<usize> {
    candidates.iter().enumerate().max_by(|(_, one), (_, other)| order(one, other)).map(|(at, _)| at)
}
