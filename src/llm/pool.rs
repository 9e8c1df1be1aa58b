//! Which endpoint of a model a call goes to.

use std::sync::Arc;

use super::endpoint::Endpoint;

/// The endpoints of a model; at least one.
#[derive(Debug)]
pub(super) struct Pool {
    endpoints: Vec<Arc<Endpoint>>,
}

impl Pool {
    pub(super) fn new(endpoints: Vec<Endpoint>) -> Self {
        Self { endpoints: endpoints.into_iter().map(Arc::new).collect() }
    }

    /// An endpoint for an attempt, and its number; never the one to `avoid`.
    pub(super) fn choose(&self, avoid: Option<usize>) -> Option<(usize, Arc<Endpoint>)> {
        let mut all = self.endpoints.iter().enumerate();
        let (number, endpoint) = all.find(|(number, _)| Some(*number) != avoid)?;
        Some((number, Arc::clone(endpoint)))
    }

    /// All of them, in the order of the file.
    pub(super) fn all(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }
}
