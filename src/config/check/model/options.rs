//! What a `[[model]]` says beside its address: temperature, price, headers, trust.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use rustls::pki_types::{CertificateDer, pem::PemObject};

use crate::{
    config::{
        CaCert, Endpoint, Price,
        check::secret::Secrets,
        file::{Secret, model as file},
        read,
        section::Section,
    },
    types::Protocol,
};

/// Hosts whose models refuse more than this.
const MAX_TEMPERATURES: [(&str, f64); 9] = [
    ("api.anthropic.com", 1.0),
    ("api.moonshot.cn", 1.0),
    ("api.moonshot.ai", 1.0),
    ("open.bigmodel.cn", 1.0),
    ("api.z.ai", 1.0),
    ("api.minimax.io", 1.0),
    ("api.minimaxi.com", 1.0),
    ("qianfan.baidubce.com", 1.0),
    ("api.mistral.ai", 1.5),
];

/// The largest temperature that a model takes: as written, or as is known of where it is. Of several
/// endpoints the narrowest range holds.
pub(super) fn max_temperature(
    written: &mut file::Model,
    at: &Section<'_, '_>,
    protocol: Option<Protocol>,
    endpoints: &[Endpoint],
) -> f32 {
    let by_host = |endpoint: &Endpoint| {
        let host = endpoint.api_base.host_str().unwrap_or_default();
        MAX_TEMPERATURES.iter().find(|(name, _)| *name == host).map(|(_, max)| *max)
    };
    let by_protocol = (protocol == Some(Protocol::Anthropic)).then_some(1.0);
    let known = endpoints.iter().filter_map(by_host).chain(by_protocol).reduce(f64::min);
    let max = *written.max_temperature.get_or_insert(known.unwrap_or(2.0));
    if let Some(own) = written.temperature {
        if written.auto_temperature == Some(true) {
            let what = "both `temperature` and `auto_temperature = true`: the analyzer's value wins \
                        now, where earlier versions let `temperature` win";
            at.warn("temperature", what, "keep one of them");
        }
        if own > max {
            let what = format!("`temperature` is more than it takes, {max} is sent");
            let remedy = format!("write at most {max}, or correct `max_temperature`");
            at.warn("temperature", what, remedy);
        }
    }
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    let max = max as f32;
    max
}

/// The price as written; else a machine of one's own costs nothing, electricity aside.
pub(super) fn price(
    written: &mut file::Model,
    protocol: Option<Protocol>,
    endpoints: &[Endpoint],
) -> Option<Price> {
    let nearby = || endpoints.iter().all(Endpoint::is_nearby);
    if written.price.is_none() && (protocol == Some(Protocol::Ollama) || nearby()) {
        let nothing = Some(0.0);
        let nothing = file::Price { input_per_mtok: nothing, output_per_mtok: nothing };
        written.price = Some(nothing);
    }
    let file::Price { input_per_mtok, output_per_mtok } = written.price.as_ref()?;
    Some(Price { input_per_mtok: (*input_per_mtok)?, output_per_mtok: (*output_per_mtok)? })
}

/// Headers that the client sets itself; a second one would break the request.
const OWN_HEADERS: [&str; 5] =
    ["host", "content-type", "content-length", "transfer-encoding", "connection"];

/// Whether a header is usually there for a key.
pub(super) fn may_hold_a_key(name: &HeaderName) -> bool {
    let words = ["auth", "key", "token", "secret", "cookie"];
    words.iter().any(|word| name.as_str().contains(word))
}

pub(super) fn headers(
    written: &BTreeMap<String, Secret>,
    at: &Section<'_, '_>,
    secrets: &Secrets<'_, '_>,
    has_key: bool,
) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let at = at.within("headers");
    for (key, value) in written {
        let what = format!("{}: header `{}`", at.label, key.escape_debug());
        let bad = |why: &str, remedy: &str| {
            secrets.report.problem_at(at.place_of_key(key), format!("{what} {why}"), remedy);
        };
        let Ok(name) = HeaderName::from_bytes(key.as_bytes()) else {
            bad("has no name that HTTP allows", "write letters, digits and dashes");
            continue;
        };
        if OWN_HEADERS.contains(&name.as_str()) {
            bad("is set by Chorus itself", "take it out");
        } else if name == "authorization" && has_key {
            bad("is made of `api_key` already", "keep one of them");
        }
        let resolved = secrets.resolve(value, &at.place(key), &what, false);
        if let Some(Ok(mut value)) = resolved.map(|text| HeaderValue::from_str(&text)) {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
    headers
}

pub(super) fn ca_cert(written: &str, at: &Section<'_, '_>) -> Option<CaCert> {
    let path = at.report.resolve(written);
    let is_path = path.exists() || is_certificate(&path);
    let shown = if is_path { format!(" {}", path.display()) } else { String::new() };
    let bad = |what: &str, remedy: &str| {
        at.problem("ca_cert", format!("`ca_cert`{} {what}", shown.escape_debug()), remedy);
        None
    };
    let pem = match read::named(&path) {
        Ok(pem) => pem,
        Err(error) => {
            let remedy = "correct the path (relative ones start at the config's folder)";
            return bad(&format!("cannot be read: {error}"), remedy);
        }
    };
    let mut trusted = rustls::RootCertStore::empty();
    let mut each = CertificateDer::pem_slice_iter(&pem);
    let fine = each.all(|cert| cert.is_ok_and(|cert| trusted.add(cert).is_ok()));
    if !fine || trusted.is_empty() {
        return bad("holds no usable certificate", "name a PEM file of certificates");
    }
    Some(CaCert { path, pem: Arc::from(pem.as_slice()) })
}

/// Named like one. What is neither that nor the path of anything may be a misplaced key.
fn is_certificate(path: &Path) -> bool {
    let named = |ending: &str| path.extension().is_some_and(|own| own.eq_ignore_ascii_case(ending));
    ["pem", "crt", "cer"].into_iter().any(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_lists_every_host_with_a_smaller_range() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/en/src/temperature.md");
        let document = std::fs::read_to_string(page).unwrap();
        for (host, max) in MAX_TEMPERATURES {
            let is_listed = document.lines().any(|line| {
                line.contains(&format!("`{host}`")) && line.ends_with(&format!("| {max} |"))
            });
            assert!(is_listed, "{host} {max}");
        }
    }
}
