//! What one client has taken, and what is kept of it.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::Instant;

use super::{
    periods::Periods,
    refusal::{Limit, Refusal},
    window::Window,
};
use crate::{
    config::{Budget, ClientLimits},
    store::{Record, Source, Store, StoreError, Table, Waker},
    types::Amount,
};

/// How soon it is worth asking again when that depends on requests that are running.
const SOON: Duration = Duration::from_secs(1);

/// Every client's account, by name: they outlive a config, and with a store the process.
#[derive(Debug, Default)]
pub(in crate::server) struct Accounts {
    known: Mutex<HashMap<String, Arc<Account>>>,
    /// What the store had of names that have no account yet.
    kept: Mutex<HashMap<String, Periods>>,
    waker: Arc<OnceLock<Waker>>,
}

impl Accounts {
    /// The account of a name; a new one has used nothing.
    pub(in crate::server) fn of(&self, name: &str) -> Arc<Account> {
        let mut accounts = self.lock();
        if let Some(account) = accounts.get(name) {
            return Arc::clone(account);
        }
        let kept = self.kept().remove(name).unwrap_or_default();
        let account = Arc::new(Account::new(kept, Arc::clone(&self.waker)));
        accounts.insert(name.to_owned(), Arc::clone(&account));
        account
    }

    /// Begins with what the store has, and keeps there what is used from now on.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(in crate::server) fn keep_in(self: &Arc<Self>, store: &Store) -> Result<(), StoreError> {
        for (name, text) in store.read(Table::Clients)? {
            let Some(periods) = Periods::of_text(&text) else {
                tracing::warn!(client = %name, "what the client had used is not understood; it begins anew");
                continue;
            };
            match self.lock().get(&name) {
                Some(account) => account.counters().periods = periods,
                None => drop(self.kept().insert(name, periods)),
            }
        }
        let source: Arc<dyn Source> = Arc::clone(self) as _;
        drop(self.waker.set(store.keep(source)));
        Ok(())
    }

    /// Whether a store has it.
    pub(in crate::server) fn are_kept(&self) -> bool {
        self.waker.get().is_some()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Account>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<String, Periods>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for Accounts {
    fn changed(&self) -> Vec<Record> {
        let accounts: Vec<(String, Arc<Account>)> =
            self.lock().iter().map(|(name, one)| (name.clone(), Arc::clone(one))).collect();
        let new = accounts
            .into_iter()
            .filter(|(_, account)| account.is_new.swap(false, Ordering::AcqRel));
        new.map(|(name, account)| {
            let value = account.counters().periods.text();
            Record { table: Table::Clients, name, value }
        })
        .collect()
    }
}

/// What one client has taken and what its running requests may take. Its lock is held for some additions
/// only: under it a limit is exact whichever workers the requests are on.
#[derive(Debug)]
pub(in crate::server) struct Account {
    began: Instant,
    counters: Mutex<Counters>,
    /// Something was used since it was last kept.
    is_new: AtomicBool,
    waker: Arc<OnceLock<Waker>>,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) requests: Window,
    pub(super) tokens: Window,
    pub(super) in_flight: u32,
    /// What the running ones may take at worst.
    pub(super) reserved: Amount,
    pub(super) periods: Periods,
}

/// Both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// Milliseconds of one that never goes back.
    pub(super) ms: u64,
    pub(super) date: Timestamp,
}

impl Counters {
    /// Lets a request in which may take so much at worst.
    ///
    /// # Errors
    /// The first limit that is used up; then nothing has changed.
    pub(super) fn reserve(
        &mut self,
        limits: &ClientLimits,
        worst: Amount,
        now: Now,
    ) -> Result<(), Refusal> {
        self.check(limits, now)?;
        if limits.requests_per_minute.is_some() {
            self.requests.add(now.ms, 1);
        }
        self.in_flight = self.in_flight.saturating_add(1);
        self.reserved += worst;
        Ok(())
    }

    /// Whether one more would be let in.
    ///
    /// # Errors
    /// The first limit that is used up.
    fn check(&mut self, limits: &ClientLimits, now: Now) -> Result<(), Refusal> {
        if let Some(most) = limits.max_in_flight
            && self.in_flight >= most
        {
            return Err(Refusal { limit: Limit::InFlight(most), wait: SOON });
        }
        if let Some(most) = limits.requests_per_minute {
            let wait = self.requests.until_below(most.into(), now.ms);
            if wait > 0 {
                let wait = Duration::from_millis(wait);
                return Err(Refusal { limit: Limit::Requests(most), wait });
            }
        }
        if let Some(most) = limits.tokens_per_minute {
            let taken = self.tokens.sum(now.ms).saturating_add(self.reserved.tokens);
            if taken >= most {
                let wait = Duration::from_millis(self.tokens.until_below(most, now.ms)).max(SOON);
                return Err(Refusal { limit: Limit::Tokens(most), wait });
            }
        }
        limits.budgets.iter().try_for_each(|budget| self.within(budget, now.date))
    }

    fn within(&mut self, budget: &Budget, now: Timestamp) -> Result<(), Refusal> {
        let (used, until) = self.periods.of(budget.per, now);
        let running = &self.reserved;
        for (what, most, used, running) in [
            ("dollars", budget.picodollars, used.picodollars, running.picodollars),
            ("tokens", budget.tokens, used.tokens, running.tokens),
            ("calls", budget.calls, used.calls, running.calls),
        ] {
            let Some(most) = most else { continue };
            if used >= most {
                let wait = until.duration_since(now).unsigned_abs();
                return Err(Refusal { limit: Limit::Budget(budget.per, what), wait });
            }
            if used.saturating_add(running) >= most {
                return Err(Refusal { limit: Limit::Rest(what), wait: SOON });
            }
        }
        Ok(())
    }

    /// Ends a request that was let in for `worst` and took `taken`.
    pub(super) fn settle(&mut self, limits: &ClientLimits, worst: Amount, taken: Amount, now: Now) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.reserved = self.reserved.without(worst);
        if limits.tokens_per_minute.is_some() {
            self.tokens.add(now.ms, taken.tokens);
        }
        if taken != Amount::default() {
            self.periods.add(taken, now.date);
        }
    }
}

impl Account {
    fn new(periods: Periods, waker: Arc<OnceLock<Waker>>) -> Self {
        let counters = Mutex::new(Counters { periods, ..Counters::default() });
        Self { began: Instant::now(), counters, is_new: AtomicBool::new(false), waker }
    }

    /// See [`Counters::reserve`].
    ///
    /// # Errors
    /// Likewise.
    pub(super) fn reserve(&self, limits: &ClientLimits, worst: Amount) -> Result<(), Refusal> {
        let mut counters = self.counters();
        counters.reserve(limits, worst, self.now())
    }

    /// Whether a request would be let in now.
    ///
    /// # Errors
    /// The limit that is used up.
    pub(in crate::server) fn check(&self, limits: &ClientLimits) -> Result<(), Refusal> {
        let mut counters = self.counters();
        counters.check(limits, self.now())
    }

    /// See [`Counters::settle`].
    pub(super) fn settle(&self, limits: &ClientLimits, worst: Amount, taken: Amount) {
        let mut counters = self.counters();
        counters.settle(limits, worst, taken, self.now());
        drop(counters);
        if taken != Amount::default() {
            self.is_new.store(true, Ordering::Release);
            if let Some(waker) = self.waker.get() {
                waker.wake();
            }
        }
    }

    pub(super) fn counters(&self) -> MutexGuard<'_, Counters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be asked for under the lock, so that it never goes back there.
    pub(super) fn now(&self) -> Now {
        let ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now { ms, date: Timestamp::now() }
    }
}
