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

    /// An endpoint for an attempt.
    pub(super) fn choose(&self) -> Option<Arc<Endpoint>> {
        self.endpoints.first().map(Arc::clone)
    }

    /// All of them, in the order of the file.
    pub(super) fn all(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }
}
