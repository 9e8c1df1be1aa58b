//! The position of a level in its plan.

use std::sync::Arc;

use tokio::sync::watch;

use super::deadline::Deadline;
use crate::{
    config::Stage,
    workflow::{critical_path::Chain, stage::fallback::Reader, step::Known},
};

/// The position of a level in the plan.
#[derive(Clone)]
pub(in crate::workflow) struct Position {
    /// The reader of its answer.
    pub(super) reader: Reader,
    /// The analyzer node in force above, for a level without its own.
    pub(super) analyzer: Option<Stage>,
    /// The analysis made above.
    pub(super) analysis: watch::Receiver<Option<Known>>,
    /// How long the level above waits.
    pub(super) end: Option<Deadline>,
    /// Turns true when the level above can do without this one.
    pub(super) stopped: Option<watch::Receiver<bool>>,
    /// The nested workflows it is in, itself included; none at the top.
    pub(super) path: Option<Arc<str>>,
    /// The chain of stages that it began after.
    pub(super) before: Chain,
    /// Turn true when a level above has drafts enough.
    pub(super) spare: Vec<watch::Receiver<bool>>,
}

impl Position {
    pub(in crate::workflow) fn top() -> Self {
        let (_, analysis) = watch::channel(Some(Known::default()));
        Self {
            reader: Reader::Client,
            analyzer: None,
            analysis,
            end: None,
            stopped: None,
            path: None,
            before: None,
            spare: Vec::new(),
        }
    }
}
