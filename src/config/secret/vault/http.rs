//! Requests to Vault. They are few and waited for: each has a thread of its own, so that it makes no
//! difference whether the caller is inside a runtime.

use std::{thread, time::Duration};

use reqwest::{Certificate, Client, Method, StatusCode, Url, header::HeaderValue, redirect};
use serde::de::DeserializeOwned;
use serde_json::Value;
use zeroize::Zeroizing;

use super::settings::Settings;
use crate::{config::model::is_loopback, config::secret::failure::Failure, types::ApiKey};

/// How long a request may take in all.
const LIMIT: Duration = Duration::from_secs(5);
/// A larger answer is none.
const MOST_BYTES: usize = 1 << 20;

const TOKEN: &str = "x-vault-token";
const NAMESPACE: &str = "x-vault-namespace";
/// Vault can be told to answer only those who send it, so that no other program can be made to ask.
const REQUEST: &str = "x-vault-request";

/// How Vault is asked.
#[derive(Debug)]
pub(super) struct Http {
    client: Client,
    address: Url,
    namespace: Option<HeaderValue>,
}

/// What Vault answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    body: Zeroizing<Vec<u8>>,
}

impl Http {
    pub(super) fn new(settings: &Settings) -> Result<Self, Failure> {
        let failed = |why: String| {
            Failure::new(format!("no client can be built for Vault: {why}"), "see VAULT_CACERT")
        };
        // Without a provider reqwest panics. Another one that is installed already serves as well.
        let _already = rustls::crypto::ring::default_provider().install_default();
        let mut trust = Vec::with_capacity(webpki_root_certs::TLS_SERVER_ROOT_CERTS.len());
        for root in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
            trust.push(Certificate::from_der(root).map_err(|error| failed(cause(error)))?);
        }
        if let Some(ca) = &settings.ca {
            let own = Certificate::from_pem_bundle(&ca.pem).ok().filter(|own| !own.is_empty());
            trust.extend(own.ok_or_else(|| failed("there is no certificate".to_owned()))?);
        }
        let mut builder = Client::builder()
            .user_agent(concat!("chorus/", env!("CARGO_PKG_VERSION")))
            .tls_certs_merge(trust) // the system's roots stay
            .timeout(LIMIT)
            // The token would go wherever the answer says.
            .redirect(redirect::Policy::none())
            // A connection ends with the runtime of its request.
            .pool_max_idle_per_host(0)
            .referer(false);
        if is_loopback(&settings.address) {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| failed(cause(error)))?;
        let namespace = settings.namespace.as_deref().map(HeaderValue::from_str).transpose();
        let namespace = namespace.map_err(|_| {
            Failure::new("VAULT_NAMESPACE is no name", "write it as Vault's command line has it")
        })?;
        Ok(Self { client, address: settings.address.clone(), namespace })
    }

    /// Asks, and waits for the answer whatever its status is.
    ///
    /// # Errors
    /// When none comes.
    pub(super) fn call(
        &self,
        method: Method,
        path: &str,
        token: Option<&ApiKey>,
        body: Option<Value>,
    ) -> Result<Answer, Failure> {
        let mut url = self.address.clone();
        {
            let mut parts = url.path_segments_mut().map_err(|()| {
                Failure::new("VAULT_ADDR is no address", "write https:// and a host")
            })?;
            parts.pop_if_empty().push("v1").extend(path.split('/'));
        }
        let mut request = self.client.request(method, url).header(REQUEST, "true");
        if let Some(token) = token {
            let value = HeaderValue::from_str(token.expose()).map(|mut value| {
                value.set_sensitive(true);
                value
            });
            let value = value.map_err(|_| {
                Failure::new("VAULT_TOKEN holds what no header can carry", "export it again")
            })?;
            request = request.header(TOKEN, value);
        }
        if let Some(namespace) = &self.namespace {
            request = request.header(NAMESPACE, namespace.clone());
        }
        if let Some(body) = body {
            let text = Zeroizing::new(body.to_string());
            request = request.header("content-type", "application/json").body(text.to_string());
        }
        let asked = thread::scope(|scope| {
            let thread = thread::Builder::new().name("vault".to_owned());
            let asking = thread.spawn_scoped(scope, || answer(request));
            asking
                .map_err(|error| error.to_string())
                .and_then(|asking| asking.join().map_err(|_| "it ended unexpectedly".to_owned())?)
        });
        asked.map_err(|why| {
            let remedy = "see that VAULT_ADDR is right and Vault answers there";
            Failure::new(format!("Vault does not answer: {why}"), remedy)
        })
    }
}

/// Sends a request in a runtime of its own.
fn answer(request: reqwest::RequestBuilder) -> Result<Answer, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(async {
        let mut response = request.send().await.map_err(cause)?;
        let status = response.status();
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(cause)? {
            if body.len().saturating_add(chunk.len()) > MOST_BYTES {
                return Err("the answer is larger than 1 MiB".to_owned());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, body })
    })
}

impl Answer {
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        // A parser's own words may quote the text.
        serde_json::from_slice(&self.body).map_err(|_| Self::unreadable())
    }

    /// That the answer is none of Vault's.
    pub(super) fn unreadable() -> Failure {
        let remedy = "see that VAULT_ADDR leads to Vault, and not to something in front of it";
        Failure::new("Vault answers what it should not", remedy)
    }

    /// A refusal: what it means here, and what Vault's status says in general.
    pub(super) fn failure(&self, what: &str, remedy: &str) -> Failure {
        let status = self.status.as_u16();
        let (what, remedy) = match status {
            503 => ("it is sealed", "unseal it"),
            429 | 472 | 473 => ("it is a standby", "let VAULT_ADDR lead to the active one"),
            300..=399 => ("it leads elsewhere", "let VAULT_ADDR lead to the active one"),
            _ => (what, remedy),
        };
        Failure::new(format!("Vault: {what} (status {status})"), remedy)
    }
}

/// The innermost cause, which says most, without any URL.
fn cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
