//! One upstream model: `[[model]]`.

use std::{net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use reqwest::header::HeaderMap;
use url::{Host, Url};

use super::file::model::{Balance, Gateway, Mode, StructuredOutput};
use crate::types::{ApiKey, PICODOLLARS, Protocol};

/// `[[model]]`: a name, an upstream and its defaults.
#[derive(Debug, PartialEq)]
pub struct Model {
    /// The name workflows and clients use.
    pub name: String,
    /// Its endpoints, at least one, in the order of the file.
    pub endpoints: Vec<Endpoint>,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// Sent as `anthropic-version`, or the version in Gemini's paths; `None`: the protocol's own
    /// default.
    pub api_version: Option<String>,
    /// Chat or plain completion.
    pub mode: Mode,
    /// The name the upstream knows it by.
    pub upstream_model: String,
    /// Whether the analyzer's temperature is wanted; `None` leaves it to the plan's analyzer node.
    pub auto_temperature: Option<bool>,
    /// Its own default temperature.
    pub temperature: Option<f32>,
    /// Larger values are clamped to this.
    pub max_temperature: f32,
    /// Whether the field is sent at all.
    pub send_temperature: bool,
    /// The strictest structured output it understands.
    pub structured_output: StructuredOutput,
    /// Whether it takes images; `None`: try, and remember a refusal.
    pub vision: Option<bool>,
    /// Whether it takes tools; `None`: try, and remember a refusal.
    pub tools: Option<bool>,
    /// Its context window (8192 for Ollama, sent as `num_ctx`; else 32768).
    pub context_tokens: u32,
    /// Calls in flight over all requests; `None` = no limit.
    pub max_concurrency: Option<usize>,
    /// The price, for the cost in traces; nothing for a local model that has none written.
    pub price: Option<Price>,
    /// Extra headers, already marked sensitive.
    pub headers: HeaderMap,
    /// Extra trust for this model: the PEM file's path and content.
    pub ca_cert: Option<CaCert>,
    /// How calls are shared among the healthy endpoints of the best priority.
    pub balance: Balance,
    /// A conversation stays with its endpoint while that is healthy.
    pub sticky: bool,
    /// When a stage that waits for this model starts a second call; `None` = never.
    pub hedge_after: Option<Duration>,
    /// Open connections at start-up and after idle times, and load the model where that is known.
    pub warm_up: bool,
    /// Whether clients see its name in lists; they can call it all the same.
    pub listed: bool,
    /// What is known of a gateway before it; `None`: what its answers show.
    pub gateway: Option<Gateway>,
    /// Its chat template opens the thought, so that its streams begin inside one.
    pub thinking_forced_open: bool,
}

impl Model {
    /// Whether a late call may be made a second time on another endpoint of its own.
    #[must_use]
    pub fn hedges_elsewhere(&self) -> bool {
        self.hedge_after.is_some() && self.endpoints.len() > 1
    }
}

#[cfg(test)]
impl Model {
    /// A model with nothing special, for the tests of every layer.
    pub(crate) fn plain(name: &str, api_base: &str) -> Self {
        Self {
            name: name.to_owned(),
            endpoints: vec![Endpoint::plain(api_base)],
            protocol: Protocol::OpenAi,
            api_version: None,
            mode: Mode::Chat,
            upstream_model: name.to_owned(),
            auto_temperature: None,
            temperature: None,
            max_temperature: 2.0,
            send_temperature: true,
            structured_output: StructuredOutput::Schema,
            vision: None,
            tools: None,
            context_tokens: 32768,
            max_concurrency: None,
            price: None,
            headers: HeaderMap::new(),
            ca_cert: None,
            balance: Balance::Weighted,
            sticky: false,
            hedge_after: None,
            warm_up: false,
            listed: true,
            gateway: None,
            thinking_forced_open: false,
        }
    }
}

/// One base URL and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The base as given, without a trailing slash.
    pub api_base: Url,
    /// May be empty.
    pub api_key: ApiKey,
    /// Its share of the calls among the healthy endpoints of its priority; at least 1.
    pub weight: u32,
    /// Endpoints of a higher number are used only when all of the lower ones are down.
    pub priority: u32,
}

#[cfg(test)]
impl Endpoint {
    /// Without a key, of weight and priority 1.
    pub(crate) fn plain(api_base: &str) -> Self {
        let api_base = api_base.parse().unwrap();
        Self { api_base, api_key: ApiKey::default(), weight: 1, priority: 1 }
    }
}

impl Endpoint {
    /// Whether it is on this very machine: reached without a proxy.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.api_base)
    }

    /// Whether it is on this machine or at a private address: what is asked there is asked of a
    /// machine of one's own.
    #[must_use]
    pub fn is_nearby(&self) -> bool {
        self.is_loopback() || is_private(&self.api_base)
    }

    /// `host` or `host:port` as the trace shows it (no port when it is the scheme's own).
    #[must_use]
    pub fn authority(&self) -> String {
        let host = self.api_base.host_str().unwrap_or_default();
        match self.api_base.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
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
            let address = IpAddr::V6(address).to_canonical();
            address.is_loopback() || address.is_unspecified()
        }
        None => false,
    }
}

/// Whether a URL's host is an address that no public network has.
fn is_private(url: &Url) -> bool {
    let canonical = match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).to_canonical(),
        Some(Host::Domain(_)) | None => return false,
    };
    match canonical {
        IpAddr::V4(address) => address.is_private() || address.is_link_local(),
        IpAddr::V6(address) => address.is_unique_local() || address.is_unicast_link_local(),
    }
}

/// `price`, US dollars per million tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Price {
    /// The price of prompt tokens.
    pub input_per_mtok: f64,
    /// The price of completion tokens.
    pub output_per_mtok: f64,
}

impl Price {
    /// The price of a model on a machine of one's own.
    pub const NOTHING: Self = Self { input_per_mtok: 0.0, output_per_mtok: 0.0 };

    /// What so many tokens cost, in [`PICODOLLARS`]; the price of a token is rounded to one of them.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
    pub fn picodollars(&self, prompt_tokens: u64, completion_tokens: u64) -> u64 {
        let a_token = |per_mtok: f64| (per_mtok * PICODOLLARS / 1e6).round() as u64;
        let prompt = prompt_tokens.saturating_mul(a_token(self.input_per_mtok));
        prompt.saturating_add(completion_tokens.saturating_mul(a_token(self.output_per_mtok)))
    }
}

/// A certificate authority of a model's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CaCert {
    /// The file it was read from, for messages.
    pub path: PathBuf,
    /// PEM, checked to hold at least one certificate.
    pub pem: Arc<[u8]>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_known() {
        for (url, want) in [
            ("http://127.0.0.1:11434", true),
            ("http://llm.localhost", true),
            ("http://10.1.2.3:8000/v1", true),
            ("http://172.16.0.1", true),
            ("http://192.168.1.5:8080", true),
            ("http://169.254.1.1", true),
            ("http://[fd00::1]", true),
            ("http://[fe80::1]:80", true),
            ("http://[::ffff:10.0.0.1]", true),
            ("http://172.32.0.1", false),
            ("http://8.8.8.8", false),
            ("http://[2001:db8::1]", false),
            ("https://api.example/v1", false),
        ] {
            assert_eq!(Endpoint::plain(url).is_nearby(), want, "{url}");
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
