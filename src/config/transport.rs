//! How upstreams are reached: the connection pool and the proxies of the environment.

use std::{fmt, time::Duration};

use url::Url;

/// What every upstream client has in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transport {
    /// Idle connections kept per host; 0 keeps none. Default 1024: a burst of workers leaves as
    /// many, and the next burst wants them all.
    pub max_idle_per_host: usize,
    /// How long an idle connection is kept; default 90 s.
    pub idle: Duration,
    /// The proxies of the environment.
    pub proxies: Proxies,
}

impl Default for Transport {
    fn default() -> Self {
        Self { max_idle_per_host: 1024, idle: Duration::from_secs(90), proxies: Proxies::default() }
    }
}

/// The proxies that upstreams beyond this machine are reached through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// The proxy for `http://` upstreams: `HTTP_PROXY`, else `ALL_PROXY`.
    pub http: Option<Proxy>,
    /// The proxy for `https://` upstreams: `HTTPS_PROXY`, else `ALL_PROXY`.
    pub https: Option<Proxy>,
    /// Hosts that are reached without one: `NO_PROXY`.
    pub bypass: String,
}

/// A proxy. Its address may hold a password, so that `Debug` shows where it was found only.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// The environment variable it was found in.
    pub variable: &'static str,
    /// `http`, `https`, `socks4`, `socks4a`, `socks5` or `socks5h`, with a host.
    pub url: Url,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy(of {})", self.variable)
    }
}
