//! `[[model]]`.

use std::{
    collections::HashMap,
    fs,
    net::{Ipv4Addr, Ipv6Addr},
    ops::Range,
    sync::Arc,
};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use toml::Spanned;
use url::{Host, Url};

use super::secret::Secrets;
use crate::{
    config::{
        CaCert, Endpoint, Mode, Model, Price, StructuredOutput,
        error::{Place, Report},
        raw::Table,
    },
    types::{ApiKey, Protocol},
};

/// Every `[[model]]`: also the names of those that have problems, so that a workflow naming one is
/// not reported on top.
#[derive(Default)]
pub(in crate::config) struct Models {
    names: HashMap<String, Place>,
    models: Vec<Model>,
}

impl Models {
    pub(super) fn contains(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Model> {
        self.models.iter().find(|model| model.name == name)
    }

    /// Whether `host` or `host:port` is where one of them is.
    pub(super) fn has_host(&self, name: &str) -> bool {
        self.models.iter().any(|model| {
            let url = &model.endpoint.api_base;
            let host = url.host_str().unwrap_or_default();
            let port = url.port_or_known_default().unwrap_or_default();
            name == host || name == format!("{host}:{port}")
        })
    }

    /// Whether none says anything of temperature.
    pub(in crate::config) fn without_temperature(&self) -> bool {
        self.models
            .iter()
            .all(|model| model.temperature.is_none() && model.auto_temperature.is_none())
    }

    pub(super) fn into_models(self) -> Vec<Model> {
        self.models
    }
}

pub(super) fn read(tables: Vec<Table<'_, '_>>, secrets: &Secrets<'_, '_>) -> Models {
    let mut models = Models::default();
    if tables.is_empty() {
        let remedy = "add a [[model]] with `name` and `api_base`, or try `chorus demo`";
        secrets.report.problem_at(secrets.report.whole_file(), "there is no [[model]]", remedy);
    }
    for mut table in tables {
        let span = table.span.clone();
        let name = table.required("name");
        if let Some(name) = &name {
            table.label = format!("model `{}`", name.get_ref().escape_debug());
            check_name(name, &table);
            let place = secrets.report.place(&span);
            if let Some(first) = models.names.insert(name.get_ref().clone(), place) {
                let what = format!("{}: the name is taken, see {first}", table.label);
                secrets.report.problem(&name.span(), what, "give every [[model]] its own name");
            }
        }
        let model = one(table, name.map(Spanned::into_inner), secrets);
        models.models.extend(model);
    }
    models
}

fn check_name(name: &Spanned<String>, table: &Table<'_, '_>) {
    let text = name.get_ref();
    if matches!(text.as_str(), "chorus" | "chorus:latest") {
        let what = format!("{}: the name is reserved for the default workflow", table.label);
        table.report.problem(&name.span(), what, "give the model another name");
    }
    if text.trim() != text || text.chars().any(char::is_control) {
        let what = format!("{}: the name has blanks around it, or control characters", table.label);
        table.report.problem(&name.span(), what, "write a plain name");
    }
}

fn one(mut table: Table<'_, '_>, name: Option<String>, secrets: &Secrets<'_, '_>) -> Option<Model> {
    let several = table.has("endpoint") && !table.has("api_base");
    let base = if several { None } else { table.required("api_base") };
    let url = base.as_ref().and_then(|base| base_url(base, &table));
    let api_key = key(&mut table, url.as_ref(), secrets);
    let protocol = protocol(&mut table, base.as_ref().zip(url.as_ref()));
    let ollama = protocol == Some(Protocol::Ollama);
    let url = url.map(|url| if ollama { without_api(url) } else { url });
    let modes = [("chat", Mode::Chat), ("completion", Mode::Completion)];
    let mode = table.choice("mode", &modes).map_or(Mode::Chat, Spanned::into_inner);
    let upstream_model = table.string("upstream_model").map(Spanned::into_inner);
    let temperature = temperature(&mut table, url.as_ref());
    let send_temperature = table.boolean("send_temperature").unwrap_or(true);
    let outputs = [
        ("schema", StructuredOutput::Schema),
        ("json", StructuredOutput::Json),
        ("none", StructuredOutput::None),
    ];
    let structured_output = table.choice("structured_output", &outputs);
    let (vision, tools) = (table.boolean("vision"), table.boolean("tools"));
    let context_tokens = table.whole("context_tokens", 256..=i128::from(u32::MAX));
    let default_context = if ollama { 8_192 } else { 32_768 };
    let max_concurrency = table.whole("max_concurrency", 0..=1_000_000).map(Spanned::into_inner);
    let price = table.table("price", &format!("{}: `price`", table.label)).and_then(price);
    let headers = headers(&mut table, secrets, !api_key.is_empty());
    let ca_cert = ca_cert(&mut table);
    refuse_later_keys(&mut table);
    table.finish();
    let name = name?;
    Some(Model {
        upstream_model: upstream_model.unwrap_or_else(|| name.clone()),
        name,
        endpoint: Endpoint { api_base: url?, api_key },
        protocol: protocol?,
        mode,
        auto_temperature: temperature.auto,
        temperature: temperature.own,
        max_temperature: temperature.max,
        send_temperature,
        structured_output: structured_output.map_or(StructuredOutput::Schema, Spanned::into_inner),
        vision,
        tools,
        context_tokens: context_tokens.map_or(default_context, Spanned::into_inner),
        max_concurrency: max_concurrency.filter(|limit| *limit > 0),
        price,
        headers,
        ca_cert,
    })
}

fn refuse_later_keys(table: &mut Table<'_, '_>) {
    table.refuse("endpoint", "write one `api_base` and `api_key` in the [[model]] itself");
    table.refuse("api_version", "take it out");
    for key in ["balance", "sticky", "hedge_after_ms", "warm_up"] {
        table.refuse(key, "take it out");
    }
}

fn base_url(value: &Spanned<String>, table: &Table<'_, '_>) -> Option<Url> {
    // The text is not quoted: a URL may hold a password or a key.
    let bad = |what: &str, remedy: &str| {
        let what = format!("{}: `api_base` {what}", table.label);
        table.report.problem(&value.span(), what, remedy);
        None
    };
    let example = "write it like \"https://api.example.com/v1\"";
    let mut url = match Url::parse(value.get_ref().trim()) {
        Ok(url) => url,
        Err(error) => return bad(&format!("is no URL ({error})"), example),
    };
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return bad("does not begin with http:// or https://", example);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return bad("holds a user name or password", "put the key in `api_key`");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return bad("has a query or fragment", "end it before the `?` or `#`");
    }
    let path = url.path().trim_end_matches('/').to_owned();
    for end in ["/chat/completions", "/completions", "/api/chat", "/api/generate"] {
        if path.ends_with(end) {
            let what = format!("ends with {end}, which Chorus adds itself");
            return bad(&what, "leave that ending out");
        }
    }
    url.set_path(&path);
    Some(url)
}

/// Ollama's own API lives at `/api`, which some write into the base.
fn without_api(mut url: Url) -> Url {
    if let Some(path) = url.path().strip_suffix("/api").map(ToOwned::to_owned) {
        url.set_path(&path);
    }
    url
}

fn key(table: &mut Table<'_, '_>, url: Option<&Url>, secrets: &Secrets<'_, '_>) -> ApiKey {
    let what = format!("{}: `api_key`", table.label);
    let guarded = url.is_none_or(|url| !is_loopback(url));
    let key = table.string("api_key").and_then(|key| secrets.resolve(&key, &what, guarded));
    key.map(ApiKey::new).unwrap_or_default()
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback() || address == Ipv4Addr::UNSPECIFIED,
        Some(Host::Ipv6(address)) => address.is_loopback() || address == Ipv6Addr::UNSPECIFIED,
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

/// A protocol this version speaks, or the name of one it does not.
type Spoken = Result<Protocol, &'static str>;

fn protocol(table: &mut Table<'_, '_>, base: Option<(&Spanned<String>, &Url)>) -> Option<Protocol> {
    let options = [("openai", Ok(Protocol::OpenAi)), ("ollama", Ok(Protocol::Ollama))];
    let (span, spoken): (Range<usize>, Spoken) = match (table.string("protocol"), base) {
        (Some(written), _) => match written.get_ref().as_str() {
            "anthropic" => (written.span(), Err("anthropic")),
            "gemini" => (written.span(), Err("gemini")),
            _ => (written.span(), table.pick("protocol", &written, &options)?.into_inner()),
        },
        (None, Some((text, url))) => (text.span(), inferred(url)),
        (None, None) => return None,
    };
    match spoken {
        Ok(protocol) => Some(protocol),
        Err(name) => {
            let what = format!("{}: the protocol `{name}` is not supported yet", table.label);
            let remedy = "write `protocol = \"openai\"` and the provider's OpenAI-compatible \
                          `api_base`";
            table.report.problem(&span, what, remedy);
            None
        }
    }
}

fn inferred(url: &Url) -> Spoken {
    let host = url.host_str().unwrap_or_default();
    let path = url.path().trim_end_matches('/');
    let named_ollama = host.split('.').next() == Some("ollama");
    if matches!(path, "" | "/api") && (url.port() == Some(11434) || named_ollama) {
        return Ok(Protocol::Ollama);
    }
    match host {
        "api.anthropic.com" => Err("anthropic"),
        "generativelanguage.googleapis.com" if !path.ends_with("/openai") => Err("gemini"),
        _ => Ok(Protocol::OpenAi),
    }
}

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

struct Temperature {
    own: Option<f32>,
    auto: Option<bool>,
    max: f32,
}

fn temperature(table: &mut Table<'_, '_>, url: Option<&Url>) -> Temperature {
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    let narrow = |value: Spanned<f64>| Spanned::new(value.span(), value.into_inner() as f32);
    let own = table.bounded("temperature", 0.0..=2.0).map(narrow);
    let auto = table.boolean("auto_temperature");
    let host = url.and_then(Url::host_str).unwrap_or_default();
    let known = MAX_TEMPERATURES.iter().find(|(name, _)| *name == host).map(|(_, max)| *max);
    let max = table.bounded("max_temperature", 0.0..=2.0).map(narrow);
    let max = max.map_or_else(|| known.unwrap_or(2.0), Spanned::into_inner);
    if let Some(own) = &own {
        let place = table.report.place(&own.span());
        if auto == Some(true) {
            let text = format!(
                "{}: both `temperature` and `auto_temperature = true`: the analyzer's value wins \
                 now, where earlier versions let `temperature` win",
                table.label
            );
            table.report.warn(place.clone(), text);
        }
        if *own.get_ref() > max {
            let text =
                format!("{}: `temperature` is more than it takes, {max} is sent", table.label);
            table.report.warn(place, text);
        }
    }
    Temperature { own: own.map(Spanned::into_inner), auto, max }
}

fn price(mut table: Table<'_, '_>) -> Option<Price> {
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

fn headers(table: &mut Table<'_, '_>, secrets: &Secrets<'_, '_>, has_key: bool) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let label = table.label.clone();
    let Some(written) = table.table("headers", &format!("{label}: `headers`")) else {
        return headers;
    };
    for (key, value) in written.named_strings() {
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

fn ca_cert(table: &mut Table<'_, '_>) -> Option<CaCert> {
    let written = table.string("ca_cert")?;
    let report: &Report<'_> = table.report;
    let path = report.resolve(written.get_ref());
    let bad = |what: String, remedy: &str| {
        report.problem(&written.span(), format!("{}: `ca_cert` {what}", table.label), remedy);
        None
    };
    let pem = match fs::read(&path) {
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
    Some(CaCert { path, pem: Arc::from(pem) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_lists_every_host_with_a_smaller_range() {
        let document = include_str!("../../../TEMPERATURE_CONFIG.md");
        for (host, max) in MAX_TEMPERATURES {
            let told = document.lines().any(|line| {
                line.contains(&format!("`{host}`")) && line.ends_with(&format!("| {max} |"))
            });
            assert!(told, "{host} {max}");
        }
    }
}
