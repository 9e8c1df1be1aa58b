//! Time limits of the stages, and which one applies.

use std::{collections::HashMap, time::Duration};

use url::Url;

use super::Model;

/// The kind of call whose limit is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitKind {
    /// `analyzer_timeout_secs`, default 30.
    Analyzer,
    /// `worker_timeout_secs`, default 60.
    Worker,
    /// `selector_timeout_secs`, default: the synthesizer's; the reranker's too.
    Selector,
    /// `synthesizer_timeout_secs`, default 60; direct calls use it too.
    Synthesizer,
    /// `connect_timeout_secs`, default 10.
    Connect,
}

/// `[workflow.timeouts]` and `[workflow.domains]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimeLimits {
    /// The limits everywhere.
    pub base: Timeouts,
    /// Overrides by `host` or `host:port`, lower-cased.
    pub domains: HashMap<String, Domain>,
}

/// The limits everywhere, complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Limit of the analyzer, in all.
    pub analyzer: Duration,
    /// Limit of a worker, in all.
    pub worker: Duration,
    /// Limit of the selector, and of the reranker, in all.
    pub selector: Duration,
    /// Limit of the synthesizer: to its first delta, then for each gap.
    pub synthesizer: Duration,
    /// Limit of opening a connection.
    pub connect: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        Self {
            analyzer: Duration::from_secs(30),
            worker: minute,
            selector: minute,
            synthesizer: minute,
            connect: Duration::from_secs(10),
        }
    }
}

/// One `[workflow.domains."host"]`: any subset of the limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Domain {
    /// Overrides [`Timeouts::analyzer`].
    pub analyzer: Option<Duration>,
    /// Overrides [`Timeouts::worker`].
    pub worker: Option<Duration>,
    /// Overrides [`Timeouts::selector`].
    pub selector: Option<Duration>,
    /// Overrides [`Timeouts::synthesizer`].
    pub synthesizer: Option<Duration>,
    /// Overrides [`Timeouts::connect`].
    pub connect: Option<Duration>,
}

impl TimeLimits {
    /// A model's limit: the node's own, else the longest that applies to one of its endpoints, since
    /// the limit is set before it is known which of them answers.
    #[must_use]
    pub fn of_model(&self, kind: LimitKind, model: &Model, node: Option<Duration>) -> Duration {
        let longest =
            || model.endpoints.iter().map(|endpoint| self.of_host(kind, &endpoint.api_base)).max();
        node.or_else(longest).unwrap_or_else(|| self.base.get(kind))
    }

    /// First that applies: the domain `host:port`, the domain `host`, the base.
    #[must_use]
    pub fn of_host(&self, kind: LimitKind, url: &Url) -> Duration {
        if self.domains.is_empty() {
            return self.base.get(kind);
        }
        let host = url.host_str().unwrap_or_default();
        let by_host = |name: &str| self.domains.get(name).and_then(|domain| domain.get(kind));
        let with_port =
            || url.port_or_known_default().and_then(|port| by_host(&format!("{host}:{port}")));
        with_port().or_else(|| by_host(host)).unwrap_or_else(|| self.base.get(kind))
    }
}

impl Timeouts {
    /// The limit of one kind of call.
    #[must_use]
    pub fn get(&self, kind: LimitKind) -> Duration {
        match kind {
            LimitKind::Analyzer => self.analyzer,
            LimitKind::Worker => self.worker,
            LimitKind::Selector => self.selector,
            LimitKind::Synthesizer => self.synthesizer,
            LimitKind::Connect => self.connect,
        }
    }
}

impl Domain {
    fn get(&self, kind: LimitKind) -> Option<Duration> {
        match kind {
            LimitKind::Analyzer => self.analyzer,
            LimitKind::Worker => self.worker,
            LimitKind::Selector => self.selector,
            LimitKind::Synthesizer => self.synthesizer,
            LimitKind::Connect => self.connect,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Endpoint;

    #[test]
    fn the_first_that_applies_wins() {
        let secs = Duration::from_secs;
        let domain = |n| Domain { worker: Some(secs(n)), ..Domain::default() };
        let limits = TimeLimits {
            base: Timeouts::default(),
            domains: HashMap::from([
                ("api.example".to_owned(), domain(120)),
                ("api.example:8443".to_owned(), domain(150)),
                ("tls.example:443".to_owned(), domain(170)),
            ]),
        };
        for (url, kind, node, want) in [
            ("https://api.example/v1", LimitKind::Worker, Some(5), 5),
            ("https://api.example/v1", LimitKind::Worker, None, 120),
            ("https://api.example:8443/v1", LimitKind::Worker, None, 150),
            ("https://tls.example/v1", LimitKind::Worker, None, 170),
            ("https://api.example/v1", LimitKind::Analyzer, None, 30),
            ("https://other.example/v1", LimitKind::Worker, None, 60),
        ] {
            let model = Model::plain("m", url);
            let got = limits.of_model(kind, &model, node.map(secs));
            assert_eq!(got, secs(want), "{url} {kind:?} {node:?}");
        }
        let mut both = Model::plain("m", "https://api.example/v1");
        both.endpoints.push(Endpoint::plain("https://api.example:8443/v1"));
        let longest = limits.of_model(LimitKind::Worker, &both, None);
        assert_eq!(longest, secs(150), "the longest of its endpoints");
    }
}
