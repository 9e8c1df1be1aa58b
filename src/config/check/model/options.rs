//! What a `[[model]]` says beside its address: temperature, price, headers, trust.

use std::{path::Path, sync::Arc};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use toml::Spanned;

use crate::{
    config::{CaCert, Endpoint, Price, check::secret::Secrets, raw::Table, read, report::Report},
    types::Protocol,
};

/// Hosts whose models refuse more than this.
const MAX_TEMPERATURES: [(&str, f32); 9] = [
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

/// What a model says of temperature.
pub(super) struct Temperature {
    pub(super) own: Option<f32>,
    pub(super) auto: Option<bool>,
    pub(super) max: f32,
}

/// Of several endpoints the narrowest range holds.
pub(super) fn temperature(
    table: &mut Table<'_, '_>,
    protocol: Option<Protocol>,
    endpoints: &[Endpoint],
) -> Temperature {
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    let narrow = |value: Spanned<f64>| Spanned::new(value.span(), value.into_inner() as f32);
    let own = table.bounded("temperature", 0.0..=2.0).map(narrow);
    let auto = table.boolean("auto_temperature");
    let by_host = |endpoint: &Endpoint| {
        let host = endpoint.api_base.host_str().unwrap_or_default();
        MAX_TEMPERATURES.iter().find(|(name, _)| *name == host).map(|(_, max)| *max)
    };
    let by_protocol = (protocol == Some(Protocol::Anthropic)).then_some(1.0);
    let known = endpoints.iter().filter_map(by_host).chain(by_protocol).reduce(f32::min);
    let max = table.bounded("max_temperature", 0.0..=2.0).map(narrow);
    let max = max.map_or_else(|| known.unwrap_or(2.0), Spanned::into_inner);
    if let Some(own) = &own {
        let place = table.report.place(&own.span());
        if auto == Some(true) {
            let what = format!(
                "{}: both `temperature` and `auto_temperature = true`: the analyzer's value wins \
                 now, where earlier versions let `temperature` win",
                table.label
            );
            table.report.warn(place.clone(), what, "keep one of them");
        }
        if *own.get_ref() > max {
            let what =
                format!("{}: `temperature` is more than it takes, {max} is sent", table.label);
            let remedy = format!("write at most {max}, or correct `max_temperature`");
            table.report.warn(place, what, remedy);
        }
    }
    Temperature { own: own.map(Spanned::into_inner), auto, max }
}

pub(super) fn price(mut table: Table<'_, '_>) -> Option<Price> {
    let mut dollars = |key: &'static str| {
        if !table.has(key) {
            let what = format!("{}: `{key}` is missing", table.label);
            table.report.problem(&table.span, what, "write both prices, in dollars a million");
        }
        table.bounded(key, 0.0..=1_000_000.0).map(Spanned::into_inner)
    };
    let (input, output) = (dollars("input_per_mtok"), dollars("output_per_mtok"));
    table.finish();
    Some(Price { input_per_mtok: input?, output_per_mtok: output? })
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
    table: &mut Table<'_, '_>,
    secrets: &Secrets<'_, '_>,
    has_key: bool,
) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let label = table.label.clone();
    let Some(written) = table.table("headers", &format!("{label}: `headers`")) else {
        return headers;
    };
    for (key, value) in written.named_secrets() {
        let shown = key.get_ref().escape_debug().to_string();
        let bad = |what: &str, remedy: &str| {
            let what = format!("{label}: header `{shown}` {what}");
            secrets.report.problem(&key.span(), what, remedy);
        };
        let Ok(name) = HeaderName::from_bytes(key.get_ref().as_bytes()) else {
            bad("has no name that HTTP allows", "write letters, digits and dashes");
            continue;
        };
        if OWN_HEADERS.contains(&name.as_str()) {
            bad("is set by Chorus itself", "take it out");
        } else if name == "authorization" && has_key {
            bad("is made of `api_key` already", "keep one of them");
        }
        let what = format!("{label}: header `{shown}`");
        let resolved = secrets.resolve(&value, &what, false);
        if let Some(Ok(mut value)) = resolved.map(|text| HeaderValue::from_str(&text)) {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
    headers
}

pub(super) fn ca_cert(table: &mut Table<'_, '_>) -> Option<CaCert> {
    let written = table.string("ca_cert")?;
    let report: &Report<'_> = table.report;
    let path = report.resolve(written.get_ref());
    let is_path = path.exists() || is_certificate(&path);
    let shown = if is_path { format!(" {}", path.display()) } else { String::new() };
    let bad = |what: String, remedy: &str| {
        let what = format!("{}: `ca_cert`{} {what}", table.label, shown.escape_debug());
        report.problem(&written.span(), what, remedy);
        None
    };
    let pem = match read::named(&path) {
        Ok(pem) => pem,
        Err(error) => {
            let remedy = "correct the path (relative ones start at the config's folder)";
            return bad(format!("cannot be read: {error}"), remedy);
        }
    };
    let mut trusted = rustls::RootCertStore::empty();
    let mut each = CertificateDer::pem_slice_iter(&pem);
    let fine = each.all(|cert| cert.is_ok_and(|cert| trusted.add(cert).is_ok()));
    if !fine || trusted.is_empty() {
        return bad("holds no usable certificate".to_owned(), "name a PEM file of certificates");
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
            let told = document.lines().any(|line| {
                line.contains(&format!("`{host}`")) && line.ends_with(&format!("| {max} |"))
            });
            assert!(told, "{host} {max}");
        }
    }
}
