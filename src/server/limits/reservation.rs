//! What a request counts with while it runs.

use std::sync::Arc;

use super::{Account, Refusal};
use crate::{config::ClientLimits, types::Amount};

/// A request that was let in. Until it is dropped it counts with what it may take at worst, and from
/// then on with what it took.
#[derive(Debug)]
pub(in crate::server) struct Reservation {
    account: Arc<Account>,
    limits: Arc<ClientLimits>,
    worst: Amount,
    taken: Amount,
}

impl Reservation {
    /// Lets a request in, by its client's limits.
    ///
    /// # Errors
    /// The limit that is used up.
    pub(in crate::server) fn of(
        account: &Arc<Account>,
        limits: &Arc<ClientLimits>,
        worst: Amount,
    ) -> Result<Self, Refusal> {
        account.reserve(limits, worst)?;
        let (account, limits) = (Arc::clone(account), Arc::clone(limits));
        Ok(Self { account, limits, worst, taken: Amount::default() })
    }

    /// The request took so much besides.
    pub(in crate::server) fn add(&mut self, taken: Amount) {
        self.taken += taken;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.account.settle(&self.limits, self.worst, self.taken);
    }
}
