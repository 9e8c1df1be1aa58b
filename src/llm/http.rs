//! Pooled HTTP clients: one for everything, unless a model needs another connect limit, trust or
//! proxy.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use reqwest::{Certificate, Client, ClientBuilder, redirect};
use url::{Host, Url};

use crate::config::CaCert;

/// What makes two models need different clients.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ClientKey {
    /// Limit for opening a connection, TLS included.
    pub(super) connect: Duration,
    /// A certificate authority of the model's own.
    pub(super) ca: Option<CaCert>,
    /// Loopback upstreams never use a proxy.
    pub(super) loopback: bool,
}

/// The clients built so far.
pub(super) struct Clients<'a> {
    built: HashMap<ClientKey, Client>,
    /// Where building starts; a test puts a proxy in.
    base: &'a dyn Fn() -> ClientBuilder,
}

impl<'a> Clients<'a> {
    pub(super) fn new(base: &'a dyn Fn() -> ClientBuilder) -> Self {
        Self { built: HashMap::new(), base }
    }

    /// The client for this key, shared by all models that have it.
    ///
    /// # Errors
    /// In words, when the CA is no certificate or TLS cannot be set up.
    pub(super) fn get(&mut self, key: ClientKey) -> Result<Client, String> {
        if let Some(client) = self.built.get(&key) {
            return Ok(client.clone());
        }
        let client = build((self.base)(), &key)?;
        self.built.insert(key, client.clone());
        Ok(client)
    }

    /// How many were built.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.built.len()
    }
}

/// Whether a URL leads to this very machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name.eq_ignore_ascii_case("localhost") || name.to_lowercase().ends_with(".localhost")
        }
        Some(Host::Ipv4(address)) => address.is_loopback() || address.is_unspecified(),
        Some(Host::Ipv6(address)) => {
            IpAddr::V6(address).to_canonical().is_loopback() || address.is_unspecified()
        }
        None => false,
    }
}

fn build(base: ClientBuilder, key: &ClientKey) -> Result<Client, String> {
    // Without a provider reqwest panics. Another one that is installed already serves as well.
    let _already = rustls::crypto::ring::default_provider().install_default();
    let mut trust = Vec::with_capacity(webpki_root_certs::TLS_SERVER_ROOT_CERTS.len());
    for root in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        trust.push(Certificate::from_der(root).map_err(said)?);
    }
    if let Some(ca) = &key.ca {
        let own = Certificate::from_pem_bundle(&ca.pem).map_err(|error| {
            format!("{}: no PEM certificate: {}", ca.path.display(), said(error))
        })?;
        if own.is_empty() {
            return Err(format!("{}: holds no PEM certificate", ca.path.display()));
        }
        trust.extend(own);
    }
    let mut builder = base
        .user_agent(concat!("chorus/", env!("CARGO_PKG_VERSION")))
        .tls_certs_merge(trust) // the system's roots stay
        .connect_timeout(key.connect)
        .redirect(redirect::Policy::none())
        .referer(false)
        .tcp_nodelay(true)
        // A burst of workers leaves as many idle connections, and the next burst wants them all.
        .pool_max_idle_per_host(1024)
        .pool_idle_timeout(Duration::from_secs(90))
        .tcp_keepalive(Duration::from_secs(30))
        .http2_keep_alive_interval(Duration::from_secs(30))
        .http2_keep_alive_timeout(Duration::from_secs(15))
        .http2_adaptive_window(true);
    if key.loopback {
        builder = builder.no_proxy();
    }
    builder.build().map_err(said)
}

/// The innermost cause, which says most, without any URL.
pub(super) fn said(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn key() -> ClientKey {
        ClientKey { connect: Duration::from_secs(10), ca: None, loopback: true }
    }

    #[test]
    fn models_share_a_client_unless_they_differ() {
        let mut clients = Clients::new(&ClientBuilder::new);
        clients.get(key()).unwrap();
        clients.get(key()).unwrap();
        assert_eq!(clients.len(), 1);
        clients.get(ClientKey { loopback: false, ..key() }).unwrap();
        clients.get(ClientKey { connect: Duration::from_secs(1), ..key() }).unwrap();
        assert_eq!(clients.len(), 3);
    }

    #[test]
    fn a_bad_ca_is_an_error() {
        for pem in [
            "",
            "not a certificate",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "-----BEGIN CERTIFICATE-----\n???\n-----END CERTIFICATE-----\n",
        ] {
            let ca = CaCert { path: "ca.pem".into(), pem: Arc::from(pem.as_bytes()) };
            let mut clients = Clients::new(&ClientBuilder::new);
            let result = clients.get(ClientKey { ca: Some(ca), ..key() });
            assert!(result.is_err(), "{pem:?}");
        }
    }

    #[test]
    fn loopback_is_known() {
        for (url, want) in [
            ("http://127.0.0.1:11434", true),
            ("http://127.8.9.1/v1", true),
            ("http://localhost:8080", true),
            ("http://LOCALHOST./v1", true),
            ("http://llm.localhost", true),
            ("http://[::1]:80", true),
            ("http://[::ffff:127.0.0.1]", true),
            ("http://0.0.0.0:8080", true),
            ("http://10.0.0.1", false),
            ("https://api.example/v1", false),
            ("https://localhost.example", false),
        ] {
            assert_eq!(is_loopback(&url.parse().unwrap()), want, "{url}");
        }
    }
}
