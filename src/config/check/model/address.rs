//! Where a model is and how it is spoken to: `api_base`, `[[model.endpoint]]`, `protocol`,
//! `api_version`.

use std::net::{IpAddr, Ipv4Addr};

use toml::Spanned;
use url::{Host, ParseError, Url};

use crate::{
    config::{
        Endpoint, check::secret::Secrets, fullwidth, model::is_loopback, raw::Table, report::Place,
    },
    types::{ApiKey, Protocol},
};

/// What an address is like that is none.
const SCHEME: &str = "does not begin with http:// or https://";
/// The largest `weight` and `priority`.
const MOST: i128 = 1_000_000;

/// What the address of a model amounts to.
pub(super) struct Address {
    /// In the order of the file, the model's own `api_base` first; empty after a problem.
    pub(super) endpoints: Vec<Endpoint>,
    /// Where the address of each is written.
    pub(super) places: Vec<Place>,
    /// `None` after a problem.
    pub(super) protocol: Option<Protocol>,
    pub(super) api_version: Option<String>,
}

/// Reads `api_base` and `api_key`, `[[model.endpoint]]`, `protocol` and `api_version`.
pub(super) fn read(table: &mut Table<'_, '_>, secrets: &Secrets<'_, '_>) -> Address {
    let more = table.tables("endpoint").0;
    let mut found = Vec::with_capacity(more.len().saturating_add(1));
    if more.is_empty() || table.has("api_base") {
        found.extend(own(table, secrets));
    } else if table.has("api_key") {
        let what = format!("{}: `api_key` without `api_base` belongs to no endpoint", table.label);
        table.report.problem(&table.span, what, "write it in each [[model.endpoint]]");
        table.secret("api_key");
    }
    for mut endpoint in more {
        endpoint.label = format!("{}: [[model.endpoint]]", table.label);
        found.extend(further(endpoint, secrets));
    }
    let protocol = protocol(table, &found);
    if protocol == Some(Protocol::Ollama) {
        found.iter_mut().for_each(|(_, endpoint)| without_api(&mut endpoint.api_base));
    }
    let api_version = api_version(table, protocol);
    let place = |text: &Spanned<String>| table.report.place(&text.span());
    let (places, endpoints) =
        found.into_iter().map(|(text, endpoint)| (place(&text), endpoint)).unzip();
    Address { endpoints, places, protocol, api_version }
}

/// An endpoint and the text of its address, for messages.
type Found = (Spanned<String>, Endpoint);

/// The model's own `api_base` is an endpoint of weight 1 and priority 1.
fn own(table: &mut Table<'_, '_>, secrets: &Secrets<'_, '_>) -> Option<Found> {
    let base = table.required("api_base");
    let url = base.as_ref().and_then(|base| base_url(base, table));
    let api_key = key(table, url.as_ref(), secrets);
    Some((base?, Endpoint { api_base: url?, api_key, weight: 1, priority: 1 }))
}

fn further(mut table: Table<'_, '_>, secrets: &Secrets<'_, '_>) -> Option<Found> {
    let base = table.required("api_base");
    let url = base.as_ref().and_then(|base| base_url(base, &table));
    let api_key = key(&mut table, url.as_ref(), secrets);
    let weight = table.whole("weight", 1..=MOST).map_or(1, Spanned::into_inner);
    let priority = table.whole("priority", 0..=MOST).map_or(1, Spanned::into_inner);
    table.finish();
    Some((base?, Endpoint { api_base: url?, api_key, weight, priority }))
}

/// As written, else what every address tells.
fn protocol(table: &mut Table<'_, '_>, found: &[Found]) -> Option<Protocol> {
    let options = Protocol::ALL.map(|protocol| (protocol.as_str(), protocol));
    if let Some(written) = table.string("protocol") {
        return table.pick("protocol", &written, &options).map(Spanned::into_inner);
    }
    let mut told = found.iter().map(|(text, endpoint)| (text, inferred(&endpoint.api_base)));
    let (_, first) = told.next()?;
    if let Some((text, _)) = told.find(|(_, protocol)| *protocol != first) {
        let what = format!("{}: the endpoints seem to speak different protocols", table.label);
        table.report.problem(&text.span(), what, "write `protocol`, or make two models of it");
        return None;
    }
    Some(first)
}

fn inferred(url: &Url) -> Protocol {
    let host = url.host_str().unwrap_or_default();
    let path = url.path().trim_end_matches('/');
    let named_ollama = host.split('.').next() == Some("ollama");
    if matches!(path, "" | "/api") && (url.port() == Some(11434) || named_ollama) {
        return Protocol::Ollama;
    }
    match host {
        "api.anthropic.com" => Protocol::Anthropic,
        "generativelanguage.googleapis.com" if !path.ends_with("/openai") => Protocol::Gemini,
        _ => Protocol::OpenAi,
    }
}

/// Goes into a header or a path, so its characters are few.
fn api_version(table: &mut Table<'_, '_>, protocol: Option<Protocol>) -> Option<String> {
    let written = table.string("api_version")?;
    let usual = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let text = written.get_ref();
    if text.is_empty() || text.len() > 64 || !text.bytes().all(usual) || text.starts_with('.') {
        let what = format!("{}: `api_version` is no version", table.label);
        let remedy = "write letters, digits, dots and dashes, like \"2023-06-01\" or \"v1beta\"";
        table.report.problem(&written.span(), what, remedy);
        return None;
    }
    if let Some(protocol @ (Protocol::OpenAi | Protocol::Ollama)) = protocol {
        let name = protocol.as_str();
        let what = format!("{}: the protocol `{name}` has no `api_version`", table.label);
        table.report.problem(&written.span(), what, "take it out");
    }
    Some(written.into_inner())
}

fn base_url(value: &Spanned<String>, table: &Table<'_, '_>) -> Option<Url> {
    // The text is not quoted: a URL may hold a password or a key.
    let wide = fullwidth::named(value.get_ref());
    let bad = |what: &str, remedy: &str| {
        let what = format!("{}: `api_base` {what}", table.label);
        let remedy = wide.as_ref().map_or(remedy, |(_, remedy)| remedy);
        table.report.problem(&value.span(), what, remedy);
        None
    };
    let example = "write it like \"http://127.0.0.1:11434\" or \"https://api.example.com/v1\"";
    let mut url = match Url::parse(value.get_ref().trim()) {
        Ok(url) => url,
        // The parser's own words for it, a relative URL, would help nobody.
        Err(ParseError::RelativeUrlWithoutBase) => return bad(SCHEME, example),
        Err(error) => return bad(&format!("is no URL ({error})"), example),
    };
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return bad(SCHEME, example);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return bad("holds a user name or password", "put the key in `api_key`");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return bad("has a query or fragment", "end it before the `?` or `#`");
    }
    let path = url.path().trim_end_matches('/').to_owned();
    for end in [
        "/chat/completions",
        "/completions",
        "/api/chat",
        "/api/generate",
        "/messages",
        ":generateContent",
        ":streamGenerateContent",
    ] {
        if path.ends_with(end) {
            let what = format!("ends with {end}, which Chorus adds itself");
            return bad(&what, "leave that ending out");
        }
    }
    url.set_path(&path);
    Some(url)
}

/// Warns of a key that everybody on the way can read.
pub(super) fn in_clear_text(url: &Url, place: &Place, table: &Table<'_, '_>) {
    if url.scheme() == "http" && is_public(url) {
        let host = url.host_str().unwrap_or_default();
        let what = format!(
            "{}: the key goes to `{host}` in clear text, for everybody on the way to read",
            table.label
        );
        table.report.warn(place.clone(), what, "write https:// in `api_base`");
    }
}

/// Whether a host is beyond this machine and its own networks.
fn is_public(url: &Url) -> bool {
    const PRIVATE: [&str; 12] = [
        "local",
        "localhost",
        "localdomain",
        "lan",
        "home",
        "internal",
        "intranet",
        "corp",
        "private",
        "test",
        "svc",
        "arpa",
    ];
    match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.').to_lowercase();
            let last = name.rsplit('.').next().unwrap_or_default();
            name.contains('.') && !PRIVATE.contains(&last) && !name.ends_with(".ts.net")
        }
        Some(Host::Ipv4(address)) => is_public_v4(address),
        Some(Host::Ipv6(address)) => match address.to_canonical() {
            IpAddr::V4(address) => is_public_v4(address),
            IpAddr::V6(address) => {
                let own = address.is_loopback() || address.is_unspecified();
                !(own || address.is_unique_local() || address.is_unicast_link_local())
            }
        },
        None => false,
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    // What providers (and VPNs) use among themselves.
    let shared = first == 100 && (64..128).contains(&second);
    let own = address.is_loopback() || address.is_unspecified();
    !(own || shared || address.is_private() || address.is_link_local())
}

/// Ollama's own API lives at `/api`, which some write into the base.
fn without_api(url: &mut Url) {
    if let Some(path) = url.path().strip_suffix("/api").map(ToOwned::to_owned) {
        url.set_path(&path);
    }
}

/// Only a key that leaves this machine is worth a warning when others can read it.
fn key(table: &mut Table<'_, '_>, url: Option<&Url>, secrets: &Secrets<'_, '_>) -> ApiKey {
    let what = format!("{}: `api_key`", table.label);
    let guarded = url.is_none_or(|url| !is_loopback(url));
    let key = table.secret("api_key").and_then(|key| secrets.resolve(&key, &what, guarded));
    key.map(|key| ApiKey::new(key.as_str())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_the_own_networks_is_public() {
        for (host, want) in [
            ("127.0.0.1:8080", false),
            ("[::1]", false),
            ("10.1.2.3", false),
            ("172.16.0.9", false),
            ("172.32.0.9", true),
            ("192.168.1.5:8000", false),
            ("169.254.1.1", false),
            ("100.100.1.2", false),
            ("100.128.1.2", true),
            ("[fd00::1]", false),
            ("[fe80::1]", false),
            ("[2001:db8::1]", true),
            ("[::ffff:10.0.0.1]", false),
            ("gpu", false),
            ("gpu.lan", false),
            ("nas.local.", false),
            ("ollama.default.svc", false),
            ("host.docker.internal", false),
            ("api.example.com", true),
            ("203.0.113.5", true),
        ] {
            assert_eq!(is_public(&format!("http://{host}").parse().unwrap()), want, "{host}");
        }
    }
}
