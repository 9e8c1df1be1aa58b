//! `[server]`.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;
use serde_json::json;
use url::Url;

use super::{Models, network::networks, tls};
use crate::config::{
    Env, Overrides, Server,
    error::{did_you_mean, other_name},
    file::{
        Address, Limits,
        server::{self as file, Size},
    },
    report::Report,
    schema::Rule,
    section::Section,
    versions::state_folder,
};

/// What the section means; `written` becomes what is in use.
pub(super) fn read(
    written: &mut file::Server,
    overrides: &Overrides,
    report: &Report<'_>,
    env: Env<'_>,
) -> Server {
    let at = Section::of(report, "server");
    former_defaults(written, &at);
    written.host = host(&written.host, overrides.host.as_deref(), &at);
    written.port = overrides.port.unwrap_or(written.port);
    let texts = |list: &Vec<Address>| list.iter().map(|one| one.0.clone()).collect::<Vec<_>>();
    let ui = written.ui_origins.as_ref().map(texts);
    let cors = texts(&written.cors_origins);
    Server {
        host: written.host.clone(),
        port: written.port,
        unix_socket: unix_socket(written.unix_socket.as_deref(), &at),
        unix_socket_mode: u32::from_str_radix(&written.unix_socket_mode, 8).unwrap_or(0o600),
        tls: written.tls.as_ref().and_then(|written| tls::read(written, report)),
        request_body_limit: size(&written.request_body_limit, &at),
        max_in_flight: written.max_in_flight,
        workers: written.workers,
        write_timeout: Duration::from_secs_f64(written.write_timeout_secs),
        min_body_rate: written.min_body_rate,
        shutdown_delay: Duration::from_secs_f64(written.shutdown_delay_secs),
        shutdown_grace: Duration::from_secs_f64(written.shutdown_grace_secs),
        header_hold: Duration::from_secs_f64(written.header_hold_secs),
        heartbeat: Duration::from_secs_f64(written.heartbeat_secs),
        unknown_model: written.unknown_model,
        plain_client_format: written.plain_client_format,
        progress: written.progress,
        metrics: written.metrics,
        usage: written.usage,
        reasoning_field: written.reasoning_field,
        task_model: written.task_model.clone(),
        ollama_version: version(&written.ollama_version, &at),
        allowed_hosts: names(
            &written.allowed_hosts,
            ("allowed_hosts", ALLOWED_HOST_REMEDY),
            allowed_host,
            &at,
        ),
        cors_origins: names(&cors, ("cors_origins", ORIGIN_REMEDY), origin, &at),
        ui_origins: ui.map(|ui| names(&ui, ("ui_origins", ORIGIN_REMEDY), origin, &at)),
        trusted_proxies: proxies(&written.trusted_proxies, &at),
        allowed_ips: networks(&written.allowed_ips, "allowed_ips", &at),
        data_dir: match &written.data_dir {
            Some(path) => Some(report.in_folder(path)),
            None => state_folder(env),
        },
        allow_unauthenticated: written.allow_unauthenticated,
    }
}

/// What can only be checked once the models are known.
pub(super) fn task_model(server: &Server, models: &Models, report: &Report<'_>) {
    let Some(name) = server.task_model.as_ref().filter(|name| !models.contains(name)) else {
        return;
    };
    let names: Vec<&str> = models.names().collect();
    let remedy = other_name(did_you_mean(name, names.iter().copied()), &names);
    let what = format!("`task_model`: there is no [[model]] named `{}`", name.escape_debug());
    Section::of(report, "server").problem("task_model", what, remedy);
}

/// Keys whose default is another one since 0.1.0, with what it was then.
const FORMER_DEFAULTS: [(&str, &str); 3] =
    [("unknown_model", "workflow"), ("usage", "total"), ("ollama_version", "0.13.5")];

/// Warns once of keys that write down what was the default once: whoever copied it may not mean it.
fn former_defaults(server: &file::Server, at: &Section<'_, '_>) {
    let values = serde_json::to_value(server).unwrap_or_default();
    let is_kept =
        |(key, former): &(&str, &str)| at.has(key) && values.get(key) == Some(&json!(former));
    let kept: Vec<_> = FORMER_DEFAULTS.into_iter().filter(is_kept).collect();
    let Some((first, _)) = kept.first() else { return };
    let listed = |value: &dyn Fn(&str, &str) -> String| {
        let all = kept.iter().map(|(key, former)| format!("`{key} = {}`", value(key, former)));
        all.collect::<Vec<_>>().join(", ")
    };
    let section = Rule::of_config().property("server");
    let default = |key: &str, _: &str| {
        let default = section.and_then(|rule| rule.property(key)?.get("default"));
        default.map(ToString::to_string).unwrap_or_default()
    };
    let what = format!(
        "{} was the default of 0.1.0; it is {} now",
        listed(&|_, former| format!("{former:?}")),
        listed(&default)
    );
    at.warn(first, what, "take it out to follow the default, or keep it on purpose");
}

/// What a Unix socket's path may have on every system (macOS: 104, with the zero at its end).
const LONGEST_SOCKET: usize = 103;
/// More bytes than any machine has.
const MOST_MEMORY: u64 = 1 << 50;
/// Below it VS Code does not talk to an Ollama.
const OLDEST_OLLAMA: [u16; 3] = [0, 6, 4];
const HOST_REMEDY: &str = "write an IP address or a host name, without port";
const ALLOWED_HOST_REMEDY: &str = "write host names, without scheme or port";
const ORIGIN_REMEDY: &str =
    "write whole origins such as \"https://chat.example\" (`*` would let any web page in)";

/// The host as written, or as the command line has it.
fn host(written: &str, option: Option<&str>, at: &Section<'_, '_>) -> String {
    let own = bare_host(written);
    if own.is_none() {
        at.problem("host", "`host` is no address", HOST_REMEDY);
    }
    let option = option.map(|option| {
        let host = bare_host(option);
        if host.is_none() {
            at.report.problem_at(at.report.whole_file(), "--host is no address", HOST_REMEDY);
        }
        host
    });
    option.flatten().or(own).unwrap_or_else(|| Ipv4Addr::LOCALHOST.to_string())
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
    written: &[String],
    (key, remedy): (&str, &str),
    check: fn(&str) -> Option<String>,
    at: &Section<'_, '_>,
) -> Vec<String> {
    let name = |(index, text): (usize, &String)| {
        let name = check(text);
        if name.is_none() {
            let what = format!("`{key}` holds an entry that cannot be used");
            at.problem(&format!("{key}[{index}]"), what, remedy);
        }
        name
    };
    written.iter().enumerate().filter_map(name).collect()
}

/// Two to four numbers: what .NET's `Version.Parse` and Open WebUI can read.
fn version(written: &str, at: &Section<'_, '_>) -> String {
    let key = "ollama_version";
    let parts: Vec<&str> = written.split('.').collect();
    let numeric = parts.iter().all(|part| part.parse::<u16>().is_ok() && !part.starts_with('+'));
    if !(2..=4).contains(&parts.len()) || !numeric {
        let what = "`ollama_version` is no version that clients can read";
        at.problem(key, what, "write digits and dots such as \"0.32.7\"");
    } else if parts.iter().filter_map(|part| part.parse::<u16>().ok()).lt(OLDEST_OLLAMA) {
        let what = "`ollama_version` is older than some clients take";
        let remedy = "write 0.6.4 or later (VS Code refuses an older one), or take it out";
        at.warn(key, what, remedy);
    }
    written.to_owned()
}

/// Those that are believed; anybody would be one who can be reached from everywhere.
fn proxies(written: &[String], at: &Section<'_, '_>) -> Vec<IpNet> {
    let found = networks(written, "trusted_proxies", at);
    if found.iter().any(|network| network.prefix_len() == 0) {
        let what = "`trusted_proxies` holds every address: anybody may say who they are";
        at.warn("trusted_proxies", what, "name the addresses of your proxies");
    }
    found
}

/// A size in bytes.
fn size(written: &Size, at: &Section<'_, '_>) -> usize {
    let text = match written {
        Size::Bytes(bytes) => return *bytes,
        Size::Text(text) => text,
    };
    let bytes = bytes(text, u32::MAX.into());
    if bytes.is_none() {
        let what = "`request_body_limit` is no size";
        at.problem("request_body_limit", what, "write a size such as \"64MiB\"");
    }
    bytes.unwrap_or_default()
}

/// `[limits] memory`, in bytes.
pub(super) fn memory(written: &Limits, body: usize, report: &Report<'_>) -> Option<usize> {
    let at = Section::of(report, "limits");
    let found = match written.memory.as_ref()? {
        Size::Bytes(bytes) => Some(*bytes),
        Size::Text(text) => bytes(text, MOST_MEMORY),
    };
    let Some(bytes) = found else {
        at.problem("memory", "`memory` is no size", "write a size such as \"2GiB\"");
        return None;
    };
    if bytes < body.saturating_mul(2) {
        let what = "`memory` is less than the largest request takes, twice its bytes";
        at.warn("memory", what, "write more, or lower `request_body_limit`");
    }
    Some(bytes)
}

/// Where the server listens beside its port.
fn unix_socket(written: Option<&str>, at: &Section<'_, '_>) -> Option<PathBuf> {
    let path = at.report.in_folder(written?);
    if cfg!(not(unix)) {
        let what = "`unix_socket`: this system has none that Chorus can listen on";
        at.problem("unix_socket", what, "take it out");
    }
    if path.as_os_str().len() > LONGEST_SOCKET {
        let what = format!(
            "`unix_socket` is longer than the {LONGEST_SOCKET} bytes that a socket's path may have"
        );
        at.problem("unix_socket", what, "choose a shorter path");
    }
    Some(path)
}

fn bytes(text: &str, most: u64) -> Option<usize> {
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
    (1..=most).contains(&bytes).then(|| usize::try_from(bytes).ok())?
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
            assert_eq!(bytes(text, u32::MAX.into()), want, "{text}");
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
