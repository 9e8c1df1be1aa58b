//! `[server]`.

use std::{net::Ipv6Addr, ops::Range, time::Duration};

use toml::Spanned;
use url::Url;

use super::Models;
use crate::config::{
    Overrides, PlainClientFormat, Progress, ReasoningField, Server, UnknownModel, UsageScope,
    error::did_you_mean,
    raw::Table,
    report::{Place, Report},
};

pub(super) fn read(
    table: Option<Table<'_, '_>>,
    overrides: &Overrides,
    report: &Report<'_>,
) -> Read {
    let Read { mut server, task_model } =
        table.map_or_else(|| Read { server: Server::default(), task_model: None }, section);
    if let Some(host) = &overrides.host {
        match bare_host(host) {
            Some(host) => server.host = host,
            None => report.problem_at(report.whole_file(), "--host is no address", HOST_REMEDY),
        }
    }
    if let Some(port) = overrides.port {
        server.port = port;
    }
    Read { server, task_model }
}

/// `[server]`, and what can only be checked once the models are known.
pub(super) struct Read {
    pub(super) server: Server,
    task_model: Option<Place>,
}

impl Read {
    /// The section, after a look at the models it names.
    pub(super) fn with(self, models: &Models, report: &Report<'_>) -> Server {
        if let (Some(name), Some(place)) = (&self.server.task_model, self.task_model)
            && !models.contains(name)
        {
            let remedy = match did_you_mean(name, models.names()) {
                Some(near) => format!("did you mean `{}`?", near.escape_debug()),
                None => "name a [[model]], a small one".to_owned(),
            };
            let what = format!(
                "[server]: `task_model`: there is no [[model]] named `{}`",
                name.escape_debug()
            );
            report.problem_at(place, what, remedy);
        }
        self.server
    }
}

/// Keys whose default is another one since 0.1.0, with what it was then.
const FORMER_DEFAULTS: [(&str, &str); 3] =
    [("unknown_model", "workflow"), ("usage", "total"), ("ollama_version", "0.13.5")];

/// Warns once of keys that write down what was the default once: whoever copied it may not mean it.
fn former_defaults(table: &Table<'_, '_>, default: &Server) {
    let now = |key: &str| match key {
        "unknown_model" => match default.unknown_model {
            UnknownModel::Workflow => "workflow",
            UnknownModel::Reject => "reject",
        },
        "usage" => match default.usage {
            UsageScope::Total => "total",
            UsageScope::Answer => "answer",
        },
        _ => default.ollama_version.as_str(),
    };
    let (mut written, mut instead, mut place) = (Vec::new(), Vec::new(), None);
    for (key, former) in FORMER_DEFAULTS {
        let found = table.text_of(key).filter(|text| *text.get_ref() == former);
        if let Some(found) = found.filter(|_| now(key) != former) {
            written.push(format!("`{key} = \"{former}\"`"));
            instead.push(format!("`{key} = \"{}\"`", now(key)));
            place.get_or_insert(table.report.place(&found.span()));
        }
    }
    if let Some(place) = place {
        let what = format!(
            "[server]: {} was the default of 0.1.0; it is {} now",
            written.join(", "),
            instead.join(", ")
        );
        table.report.warn(place, what, "take it out to follow the default, or keep it on purpose");
    }
}

fn section(mut table: Table<'_, '_>) -> Read {
    let default = Server::default();
    former_defaults(&table, &default);
    let table_ref = &mut table;
    let task_model = table_ref.string("task_model");
    let place = task_model.as_ref().map(|name| table_ref.report.place(&name.span()));
    let server = Server {
        host: host(table_ref).unwrap_or(default.host),
        port: whole(table_ref, "port", 0..=65_535).unwrap_or(default.port),
        request_body_limit: size(table_ref, "request_body_limit")
            .unwrap_or(default.request_body_limit),
        max_in_flight: whole(table_ref, "max_in_flight", 1..=1_000_000)
            .unwrap_or(default.max_in_flight),
        shutdown_grace: secs(table_ref, "shutdown_grace_secs", 0.0)
            .unwrap_or(default.shutdown_grace),
        header_hold: secs(table_ref, "header_hold_secs", 0.0).unwrap_or(default.header_hold),
        heartbeat: secs(table_ref, "heartbeat_secs", 0.1).unwrap_or(default.heartbeat),
        unknown_model: table_ref
            .choice(
                "unknown_model",
                &[("workflow", UnknownModel::Workflow), ("reject", UnknownModel::Reject)],
            )
            .map_or(default.unknown_model, Spanned::into_inner),
        plain_client_format: table_ref
            .choice(
                "plain_client_format",
                &[
                    ("auto", PlainClientFormat::Auto),
                    ("sse", PlainClientFormat::Sse),
                    ("ndjson", PlainClientFormat::Ndjson),
                ],
            )
            .map_or(default.plain_client_format, Spanned::into_inner),
        progress: table_ref
            .choice(
                "progress",
                &[("auto", Progress::Stages), ("off", Progress::Off), ("drafts", Progress::Drafts)],
            )
            .map_or(default.progress, Spanned::into_inner),
        usage: table_ref
            .choice("usage", &[("total", UsageScope::Total), ("answer", UsageScope::Answer)])
            .map_or(default.usage, Spanned::into_inner),
        reasoning_field: table_ref
            .choice(
                "reasoning_field",
                &[
                    ("reasoning_content", ReasoningField::ReasoningContent),
                    ("reasoning", ReasoningField::Reasoning),
                    ("both", ReasoningField::Both),
                ],
            )
            .map_or(default.reasoning_field, Spanned::into_inner),
        task_model: task_model.map(Spanned::into_inner),
        ollama_version: version(table_ref).unwrap_or(default.ollama_version),
        allowed_hosts: names(table_ref, "allowed_hosts", allowed_host, ALLOWED_HOST_REMEDY),
        cors_origins: names(table_ref, "cors_origins", origin, ORIGIN_REMEDY),
        allow_unauthenticated: table_ref
            .boolean("allow_unauthenticated")
            .unwrap_or(default.allow_unauthenticated),
    };
    table.refuse("tls", "put a reverse proxy with TLS in front");
    table.finish();
    Read { server, task_model: place }
}

/// Below it VS Code does not talk to an Ollama.
const OLDEST_OLLAMA: &[u16] = &[0, 6, 4];
const HOST_REMEDY: &str = "write an IP address or a host name, without port";
const ALLOWED_HOST_REMEDY: &str = "write host names, without scheme or port";
const ORIGIN_REMEDY: &str =
    "write whole origins such as \"https://chat.example\" (`*` would let any web page in)";

fn host(table: &mut Table<'_, '_>) -> Option<String> {
    let value = table.string("host")?;
    let host = bare_host(value.get_ref());
    if host.is_none() {
        bad(table, &value.span(), "host", "is no address", HOST_REMEDY);
    }
    host
}

/// The host as the socket wants it: an IPv6 address without brackets.
fn bare_host(text: &str) -> Option<String> {
    let text = text.trim();
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if inner.parse::<Ipv6Addr>().is_ok() {
        return Some(inner.to_owned());
    }
    allowed_host(text).is_some().then(|| text.to_owned())
}

fn allowed_host(text: &str) -> Option<String> {
    let text = text.trim().trim_end_matches('.').to_lowercase();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (!text.is_empty() && text.bytes().all(fits)).then_some(text)
}

fn origin(text: &str) -> Option<String> {
    let text = text.trim().trim_end_matches('/').to_lowercase();
    let url = Url::parse(&text).ok()?;
    let plain = matches!(url.path(), "" | "/") && url.query().is_none() && url.username() == "";
    (url.has_host() && plain && url.fragment().is_none()).then_some(text)
}

fn names(
    table: &mut Table<'_, '_>,
    key: &'static str,
    check: fn(&str) -> Option<String>,
    remedy: &str,
) -> Vec<String> {
    let mut names = Vec::new();
    for value in table.strings(key).unwrap_or_default() {
        match check(value.get_ref()) {
            Some(name) => names.push(name),
            None => bad(table, &value.span(), key, "holds an entry that cannot be used", remedy),
        }
    }
    names
}

/// Two to four numbers: what .NET's `Version.Parse` and Open WebUI can read.
fn version(table: &mut Table<'_, '_>) -> Option<String> {
    let value = table.string("ollama_version")?;
    let parts: Vec<&str> = value.get_ref().split('.').collect();
    let numeric = parts.iter().all(|part| part.parse::<u16>().is_ok() && !part.starts_with('+'));
    if (2..=4).contains(&parts.len()) && numeric {
        let numbers: Vec<u16> = parts.iter().filter_map(|part| part.parse().ok()).collect();
        if numbers.as_slice() < OLDEST_OLLAMA {
            let what = format!("{}: `ollama_version` is older than some clients take", table.label);
            let remedy = "write 0.6.4 or later (VS Code refuses an older one), or take it out";
            table.report.warn(table.report.place(&value.span()), what, remedy);
        }
        return Some(value.into_inner());
    }
    let remedy = "write digits and dots such as \"0.32.7\"";
    bad(table, &value.span(), "ollama_version", "is no version that clients can read", remedy);
    None
}

fn whole<T: TryFrom<i128>>(
    table: &mut Table<'_, '_>,
    key: &'static str,
    range: std::ops::RangeInclusive<i128>,
) -> Option<T> {
    table.whole(key, range).map(Spanned::into_inner)
}

fn secs(table: &mut Table<'_, '_>, key: &'static str, least: f64) -> Option<Duration> {
    let value = table.bounded(key, least..=86_400.0)?;
    Duration::try_from_secs_f64(value.into_inner()).ok()
}

/// `"64MiB"`, or a number of bytes.
fn size(table: &mut Table<'_, '_>, key: &'static str) -> Option<usize> {
    if table.is_integer(key) {
        return whole(table, key, 1..=i128::from(u32::MAX));
    }
    let value = table.string(key)?;
    let bytes = bytes(value.get_ref());
    if bytes.is_none() {
        bad(table, &value.span(), key, "is no size", "write a size such as \"64MiB\"");
    }
    bytes
}

fn bytes(text: &str) -> Option<usize> {
    let text = text.trim();
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let unit: u64 = match unit.trim().to_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "kib" | "k" => 1 << 10,
        "mb" => 1_000_000,
        "mib" | "m" => 1 << 20,
        "gb" => 1_000_000_000,
        "gib" | "g" => 1 << 30,
        _ => return None,
    };
    let bytes = number.parse::<u64>().ok()?.checked_mul(unit)?;
    (1..=u64::from(u32::MAX)).contains(&bytes).then(|| usize::try_from(bytes).ok())?
}

fn bad(table: &Table<'_, '_>, span: &Range<usize>, key: &str, what: &str, remedy: &str) {
    table.report.problem(span, format!("{}: `{key}` {what}", table.label), remedy);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, want) in [
            ("64MiB", Some(64 << 20)),
            ("64 mib", Some(64 << 20)),
            ("1024", Some(1024)),
            ("2KB", Some(2000)),
            ("1GiB", Some(1 << 30)),
            ("0", None),
            ("-1", None),
            ("", None),
            ("MiB", None),
            ("64 parsecs", None),
            ("99999999999GiB", None),
        ] {
            assert_eq!(bytes(text), want, "{text}");
        }
    }

    #[test]
    fn hosts_and_origins() {
        for (text, want) in [
            ("[::1]", Some("::1")),
            ("::", Some("::")),
            ("0.0.0.0", Some("0.0.0.0")),
            ("my-host.local", Some("my-host.local")),
            ("127.0.0.1:80", None),
            ("http://a", None),
            ("", None),
        ] {
            assert_eq!(bare_host(text).as_deref(), want, "{text}");
        }
        for (text, want) in [
            ("https://Chat.example/", Some("https://chat.example")),
            ("http://10.0.0.1:3000", Some("http://10.0.0.1:3000")),
            ("app://obsidian.md", Some("app://obsidian.md")),
            ("*", None),
            ("chat.example", None),
            ("https://chat.example/path", None),
            ("https://user@chat.example", None),
        ] {
            assert_eq!(origin(text).as_deref(), want, "{text}");
        }
    }
}
