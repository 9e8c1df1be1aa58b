//! What a client may take: requests and tokens within a minute, requests at once, and budgets.
//!
//! A request is let in as long as nothing it is bounded by is used up. From then on it counts with what
//! it may take at worst ([`Reservation`]), and once it is over with what it took, however it ended. So
//! no window passes its limit by more than one request, and nobody is refused below it
//! (docs/decisions/0047).

mod account;
mod headers;
mod periods;
mod refusal;
mod report;
mod reservation;
#[cfg(test)]
mod simulation;
mod window;

pub(super) use account::{Account, Accounts};
pub(super) use headers::describe;
pub(super) use refusal::Refusal;
pub use report::{Bounds, ClientReport, Measure, PeriodReport, Taken, kept_reports};
pub(super) use reservation::Reservation;
