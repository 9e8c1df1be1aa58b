//! Pooled HTTP clients: one for everything, unless a model needs another connect limit, trust or
//! proxy.

use std::{collections::HashMap, sync::Arc, time::Duration};

use reqwest::{Certificate, Client, ClientBuilder, NoProxy, Proxy, redirect, retry};

use super::connections::{Connections, History, Pooled};
use crate::config::{CaCert, Proxies, Transport};

/// Most headers of an answer: the HTTP library's default.
pub(in crate::llm) const MOST_HEADERS: usize = 100;

/// The product's name in every request.
pub(super) const USER_AGENT: &str = concat!("chorus/", env!("CARGO_PKG_VERSION"));

/// What clients are built from.
pub(super) type Base = fn() -> ClientBuilder;

/// What clients are built from outside tests.
pub(super) const STANDARD: Base = ClientBuilder::new;

/// What makes two models need different clients.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ClientKey {
    /// Limit for opening a connection, TLS included.
    pub(super) connect: Duration,
    /// A certificate authority of the model's own.
    pub(super) ca: Option<CaCert>,
    /// Loopback upstreams never use a proxy.
    pub(super) loopback: bool,
    /// Without TLS, and so without HTTP/2.
    pub(super) plain: bool,
}

/// The clients in use. Each is the pool of its connections.
#[derive(Debug)]
pub(in crate::llm) struct Clients {
    used: HashMap<ClientKey, Arc<Connections>>,
    transport: Transport,
}

impl Clients {
    pub(super) fn new(transport: &Transport) -> Self {
        Self { used: HashMap::new(), transport: transport.clone() }
    }

    /// The client for this key, shared by all models that have it: the one in use, else that of
    /// `previous` clients with the same transport, whose connections are open, else a new one that
    /// starts from `base`.
    ///
    /// # Errors
    /// A text, when the CA is no certificate, a proxy has no address, or TLS cannot be set up.
    pub(super) fn get(
        &mut self,
        key: ClientKey,
        previous: Option<&Self>,
        base: Base,
    ) -> Result<Arc<Connections>, String> {
        if let Some(client) = self.used.get(&key) {
            return Ok(Arc::clone(client));
        }
        let previous = previous.filter(|previous| previous.transport == self.transport);
        let client = match previous.and_then(|previous| previous.used.get(&key)) {
            Some(client) => Arc::clone(client),
            None => Arc::new(pool(base, &key, &self.transport)?),
        };
        self.used.insert(key, Arc::clone(&client));
        Ok(client)
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.used.len()
    }
}

/// A pool of connections, and the way to open one outside it.
fn pool(base: Base, key: &ClientKey, transport: &Transport) -> Result<Connections, String> {
    let pooled = move |key: &ClientKey, transport: &Transport| {
        let history = Arc::new(History::default());
        let client = build(base().connector_layer(history.layer()), key, transport)?;
        Ok::<_, String>(Pooled { client, history })
    };
    let first = pooled(key, transport)?;
    // They were built before with all the same, so they do not fail.
    let again = (key.clone(), transport.clone());
    let more = move || pooled(&again.0, &again.1).ok();
    let (key, transport) = (key.clone(), Transport { max_idle_per_host: 0, ..transport.clone() });
    let fresh = move || build(base(), &key, &transport).ok();
    Ok(Connections::new(first, more, Box::new(fresh)))
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
        .user_agent(USER_AGENT)
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
    if key.plain {
        // Only HTTP/2 can say that a request was not looked at; for that a copy of each is kept.
        builder = builder.retry(retry::never().max_retries_per_request(0));
    }
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
pub(in crate::llm) fn said(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> ClientKey {
        ClientKey { connect: Duration::from_secs(10), ca: None, loopback: true, plain: true }
    }

    #[test]
    fn models_share_a_client_unless_they_differ() {
        let transport = Transport::default();
        let mut clients = Clients::new(&transport);
        let mut get = |key| {
            clients.get(key, None, ClientBuilder::new).unwrap();
            clients.len()
        };
        assert_eq!((get(key()), get(key())), (1, 1));
        assert_eq!(get(ClientKey { loopback: false, ..key() }), 2);
        assert_eq!(get(ClientKey { connect: Duration::from_secs(1), ..key() }), 3);
        assert_eq!(get(ClientKey { plain: false, ..key() }), 4);
    }

    #[test]
    fn clients_outlive_a_reload_unless_the_transport_changes() {
        let transport = Transport::default();
        let mut previous = Clients::new(&transport);
        let open = previous.get(key(), None, ClientBuilder::new).unwrap();
        let other = Transport { idle: Duration::from_secs(1), ..transport.clone() };
        for (transport, want) in [(&transport, true), (&other, false)] {
            let mut clients = Clients::new(transport);
            let got = clients.get(key(), Some(&previous), ClientBuilder::new).unwrap();
            assert_eq!(Arc::ptr_eq(&got, &open), want, "{transport:?}");
        }
    }

    #[test]
    fn each_thread_has_a_pool_and_the_first_one_that_of_the_start() {
        let mut clients = Clients::new(&Transport::default());
        let connections = clients.get(key(), None, ClientBuilder::new).unwrap();
        let histories = || Arc::as_ptr(connections.history()) as usize;
        let here = histories();
        let there = std::thread::scope(|scope| scope.spawn(histories).join().unwrap());
        assert_eq!(here, histories());
        assert_ne!(here, there);
        assert_eq!(here, Arc::as_ptr(connections.first_history()) as usize);
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
            let mut clients = Clients::new(&transport);
            let key = ClientKey { ca: Some(ca), ..key() };
            let result = clients.get(key, None, ClientBuilder::new);
            assert!(result.is_err(), "{pem:?}");
        }
    }
}
