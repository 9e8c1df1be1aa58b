//! Time limits of the stages, and which one applies.

use std::{collections::HashMap, time::Duration};

use url::Url;

use super::Model;
pub use super::file::workflow::Timeouts;

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
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TimeLimits {
    /// The limits everywhere; what is left out has its default.
    pub base: Timeouts,
    /// Overrides by `host` or `host:port`, lower-cased.
    pub domains: HashMap<String, Timeouts>,
}

impl TimeLimits {
    /// A model's limit: the node's own, else the longest that applies to one of its endpoints, since
    /// the limit is set before it is known which of them answers.
    #[must_use]
    pub fn of_model(&self, kind: LimitKind, model: &Model, node: Option<Duration>) -> Duration {
        let longest =
            || model.endpoints.iter().map(|endpoint| self.of_host(kind, &endpoint.api_base)).max();
        node.or_else(longest).unwrap_or_else(|| self.base(kind))
    }

    /// The limit of hosts that have none of their own.
    #[must_use]
    pub fn base(&self, kind: LimitKind) -> Duration {
        self.base.get(kind).unwrap_or_else(|| match kind {
            LimitKind::Analyzer => Duration::from_secs(30),
            LimitKind::Selector => self.base(LimitKind::Synthesizer),
            LimitKind::Worker | LimitKind::Synthesizer => Duration::from_secs(60),
            LimitKind::Connect => Duration::from_secs(10),
        })
    }

    /// First that applies: the domain `host:port`, the domain `host`, the base.
    #[must_use]
    pub fn of_host(&self, kind: LimitKind, url: &Url) -> Duration {
        if self.domains.is_empty() {
            return self.base(kind);
        }
        let host = url.host_str().unwrap_or_default();
        let by_host = |name: &str| self.domains.get(name).and_then(|domain| domain.get(kind));
        let with_port =
            || url.port_or_known_default().and_then(|port| by_host(&format!("{host}:{port}")));
        with_port().or_else(|| by_host(host)).unwrap_or_else(|| self.base(kind))
    }
}

impl Timeouts {
    fn get(&self, kind: LimitKind) -> Option<Duration> {
        let secs = match kind {
            LimitKind::Analyzer => self.analyzer_timeout_secs,
            LimitKind::Worker => self.worker_timeout_secs,
            LimitKind::Selector => self.selector_timeout_secs,
            LimitKind::Synthesizer => self.synthesizer_timeout_secs,
            LimitKind::Connect => self.connect_timeout_secs,
        };
        secs.map(Duration::from_secs_f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Endpoint;

    #[test]
    fn the_first_that_applies_wins() {
        let secs = Duration::from_secs;
        let domain = |n| Timeouts { worker_timeout_secs: Some(n), ..Timeouts::default() };
        let limits = TimeLimits {
            base: Timeouts::default(),
            domains: HashMap::from([
                ("api.example".to_owned(), domain(120.0)),
                ("api.example:8443".to_owned(), domain(150.0)),
                ("tls.example:443".to_owned(), domain(170.0)),
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
