//! Pooled HTTP clients: one for everything, unless a model needs another connect limit, trust or
//! proxy.

use std::{collections::HashMap, time::Duration};

use reqwest::{Certificate, Client, ClientBuilder, NoProxy, Proxy, redirect};

use crate::config::{CaCert, Proxies, Transport};

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
    transport: &'a Transport,
    /// Where building starts; a test puts a proxy in.
    base: &'a dyn Fn() -> ClientBuilder,
}

impl<'a> Clients<'a> {
    pub(super) fn new(transport: &'a Transport, base: &'a dyn Fn() -> ClientBuilder) -> Self {
        Self { built: HashMap::new(), transport, base }
    }

    /// The client for this key, shared by all models that have it.
    ///
    /// # Errors
    /// In words, when the CA is no certificate, a proxy has no address, or TLS cannot be set up.
    pub(super) fn get(&mut self, key: ClientKey) -> Result<Client, String> {
        if let Some(client) = self.built.get(&key) {
            return Ok(client.clone());
        }
        let client = build((self.base)(), &key, self.transport)?;
        self.built.insert(key, client.clone());
        Ok(client)
    }

    /// How many were built.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.built.len()
    }
}

fn build(base: ClientBuilder, key: &ClientKey, transport: &Transport) -> Result<Client, String> {
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
        .pool_max_idle_per_host(transport.max_idle_per_host)
        .pool_idle_timeout(transport.idle)
        .tcp_keepalive(Duration::from_secs(30))
        .http2_keep_alive_interval(Duration::from_secs(30))
        .http2_keep_alive_timeout(Duration::from_secs(15))
        .http2_adaptive_window(true);
    if key.loopback {
        builder = builder.no_proxy();
    } else {
        for proxy in proxies(&transport.proxies)? {
            builder = builder.proxy(proxy);
        }
    }
    builder.build().map_err(said)
}

/// The proxies in reqwest's terms. With none, reqwest asks the operating system for its own.
fn proxies(configured: &Proxies) -> Result<Vec<Proxy>, String> {
    let bypass = NoProxy::from_string(&configured.bypass);
    let Proxies { http, https, .. } = configured;
    let http = http.as_ref().map(|one| (one.variable, Proxy::http(one.url.clone())));
    let https = https.as_ref().map(|one| (one.variable, Proxy::https(one.url.clone())));
    let made = |(variable, proxy): (&str, reqwest::Result<Proxy>)| {
        // Its own words may quote the address, which may hold a password.
        let proxy = proxy.map_err(|_| format!("{variable} holds no proxy address"))?;
        Ok(proxy.no_proxy(bypass.clone()))
    };
    http.into_iter().chain(https).map(made).collect()
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
        let transport = Transport::default();
        let mut clients = Clients::new(&transport, &ClientBuilder::new);
        clients.get(key()).unwrap();
        clients.get(key()).unwrap();
        assert_eq!(clients.len(), 1);
        clients.get(ClientKey { loopback: false, ..key() }).unwrap();
        clients.get(ClientKey { connect: Duration::from_secs(1), ..key() }).unwrap();
        assert_eq!(clients.len(), 3);
    }

    #[test]
    fn a_bad_ca_is_an_error() {
        let transport = Transport::default();
        for pem in [
            "",
            "not a certificate",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "-----BEGIN CERTIFICATE-----\n???\n-----END CERTIFICATE-----\n",
        ] {
            let ca = CaCert { path: "ca.pem".into(), pem: Arc::from(pem.as_bytes()) };
            let mut clients = Clients::new(&transport, &ClientBuilder::new);
            let result = clients.get(ClientKey { ca: Some(ca), ..key() });
            assert!(result.is_err(), "{pem:?}");
        }
    }
}
