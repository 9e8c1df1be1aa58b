//! The address of a model and how it is spoken to: `api_base`, `[[model.endpoint]]`, `protocol`,
//! `api_version`.

use std::net::{IpAddr, Ipv4Addr};

use url::{Host, ParseError, Url};

use crate::{
    config::{
        Endpoint,
        check::secret::Secrets,
        file::{self, Secret, model::Model},
        fullwidth,
        model::is_loopback,
        report::FileSpan,
        section::Section,
    },
    types::{ApiKey, Protocol},
};

/// What an address is like that is none.
const SCHEME: &str = "does not begin with http:// or https://";

/// What the address of a model amounts to.
pub(super) struct Address {
    /// The endpoints in the order of the file, the model's own `api_base` first; empty after a problem.
    pub(super) endpoints: Vec<Endpoint>,
    /// The place of each one's address.
    pub(super) places: Vec<FileSpan>,
    /// `None` after a problem.
    pub(super) protocol: Option<Protocol>,
}

/// Reads `api_base` and `api_key`, `[[model.endpoint]]`, `protocol` and `api_version`.
pub(super) fn read(
    written: &mut Model,
    at: &Section<'_, '_>,
    secrets: &Secrets<'_, '_>,
) -> Address {
    let has_own = at.has("api_base");
    let mut found = Vec::with_capacity(written.endpoint.len().saturating_add(1));
    if let Some(base) = &written.api_base {
        // The model's own is an endpoint of weight 1 and priority 1.
        found.extend(endpoint((base, &written.api_key), (1, 1), at, secrets));
    } else if written.endpoint.is_empty() && !has_own {
        at.problem("", "`api_base` is missing", "add `api_base = \"...\"`");
    } else if at.has("api_key") && !has_own {
        let what = "`api_key` without `api_base` belongs to no endpoint";
        at.problem("", what, "write it in each [[model.endpoint]]");
    }
    for (index, own) in written.endpoint.iter().enumerate() {
        if let Some(base) = &own.api_base {
            let at = at.inner("endpoint", index);
            let parts = (own.weight, own.priority);
            found.extend(endpoint((base, &own.api_key), parts, &at, secrets));
        }
    }
    let protocol = protocol(written.protocol, &found, at);
    written.protocol = protocol;
    if protocol == Some(Protocol::Ollama) {
        found.iter_mut().for_each(|(_, endpoint)| without_api(&mut endpoint.api_base));
    }
    if let Some(version) = &written.api_version {
        api_version(version, at, protocol);
    }
    let (places, endpoints) = found.into_iter().unzip();
    Address { endpoints, places, protocol }
}

/// An endpoint, and where its address is written; `None` after a problem with that.
fn endpoint(
    (base, key): (&file::Address, &Secret),
    (weight, priority): (u32, u32),
    at: &Section<'_, '_>,
    secrets: &Secrets<'_, '_>,
) -> Option<(FileSpan, Endpoint)> {
    let url = base_url(&base.0, at);
    // Only a key that leaves this machine is worth a warning when others can read it.
    let guarded = url.as_ref().is_none_or(|url| !is_loopback(url));
    let what = format!("{}: `api_key`", at.label);
    let key = secrets.resolve(key, &at.place("api_key"), &what, guarded);
    let api_key = key.map(|key| ApiKey::new(key.as_str())).unwrap_or_default();
    Some((at.place("api_base"), Endpoint { api_base: url?, api_key, weight, priority }))
}

/// The protocol as written, else what every address suggests.
fn protocol(
    written: Option<Protocol>,
    found: &[(FileSpan, Endpoint)],
    at: &Section<'_, '_>,
) -> Option<Protocol> {
    if written.is_some() || at.has("protocol") {
        return written;
    }
    let mut guesses = found.iter().map(|(place, endpoint)| (place, inferred(&endpoint.api_base)));
    let (_, first) = guesses.next()?;
    if let Some((place, _)) = guesses.find(|(_, protocol)| *protocol != first) {
        let what = format!("{}: the endpoints seem to speak different protocols", at.label);
        let remedy = "write `protocol`, or make two models of it";
        at.report.problem_at(place.clone(), what, remedy);
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
fn api_version(text: &str, at: &Section<'_, '_>, protocol: Option<Protocol>) {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if text.is_empty() || text.len() > 64 || !text.bytes().all(allowed) || text.starts_with('.') {
        let remedy = "write letters, digits, dots and dashes, like \"2023-06-01\" or \"v1beta\"";
        at.problem("api_version", "`api_version` is no version", remedy);
    } else if let Some(protocol @ (Protocol::OpenAi | Protocol::Ollama)) = protocol {
        let what = format!("the protocol `{}` has no `api_version`", protocol.as_str());
        at.problem("api_version", what, "take it out");
    }
}

fn base_url(written: &str, at: &Section<'_, '_>) -> Option<Url> {
    // The text is not quoted: a URL may hold a password or a key.
    let wide = fullwidth::named(written);
    let bad = |what: &str, remedy: &str| {
        let remedy = wide.as_ref().map_or(remedy, |(_, remedy)| remedy);
        at.problem("api_base", format!("`api_base` {what}"), remedy);
        None
    };
    let example = "write it like \"http://127.0.0.1:11434\" or \"https://api.example.com/v1\"";
    let mut url = match Url::parse(written.trim()) {
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
pub(super) fn in_clear_text(url: &Url, place: &FileSpan, at: &Section<'_, '_>) {
    if url.scheme() == "http" && is_public(url) {
        let host = url.host_str().unwrap_or_default();
        let what = format!(
            "{}: the key goes to `{host}` in clear text, for everybody on the way to read",
            at.label
        );
        at.report.warn(place.clone(), what, "write https:// in `api_base`");
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
