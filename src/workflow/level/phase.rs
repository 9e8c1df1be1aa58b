//! The phases of a level.

/// How far a level is. It only goes forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The members are at work.
    Drafting,
    /// The quorum has answered, and the other members have their grace.
    Grace,
    /// Every member has ended: the answer is chosen, or written.
    Deciding,
    /// The level above can do without this one, whose members have yet to end.
    Stopping,
    /// The level above can do without this one, and every member has ended.
    Stopped,
    /// The level has ended.
    Over,
}
