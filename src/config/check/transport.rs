//! `[workflow.pool]`, and the proxy variables of the environment.

use std::time::Duration;

use url::Url;

use super::model::Models;
use crate::config::{Env, Proxies, Proxy, Transport, file::workflow::Pool, report::Report};

/// What a proxy may speak.
const SCHEMES: [&str; 6] = ["http", "https", "socks5", "socks5h", "socks4", "socks4a"];
/// First that is set and not empty.
const HTTP: [&str; 4] = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
const HTTPS: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
const BYPASS: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// `[workflow.pool]`, and the proxies.
pub(super) fn of(written: &Pool, proxies: Proxies) -> Transport {
    Transport {
        max_idle_per_host: written.max_idle_per_host,
        idle: Duration::from_secs_f64(written.idle_secs),
        proxies,
    }
}

/// Reads the proxies that some model would be reached through. A variable that none would use is
/// not looked at: a local setup starts whatever the shell around it says.
pub(super) fn proxies(models: &Models, env: Env<'_>, report: &Report<'_>) -> Proxies {
    let proxy = |scheme: &str, variables| {
        let model = models.first_beyond(scheme)?;
        let (variable, value) = first_set(variables, env)?;
        let url = address(&value);
        if url.is_none() {
            let what = format!(
                "the environment variable {variable} holds no proxy address, and model `{}` would \
                 be reached through it",
                model.escape_debug()
            );
            let remedy = "write it like http://proxy.example:3128 (https, socks5, socks5h, socks4 \
                          and socks4a are known too), or unset it";
            report.problem_at(report.whole_file(), what, remedy);
        }
        Some(Proxy { variable, url: url? })
    };
    let bypass = first_set(&BYPASS, env).map(|(_, value)| value).unwrap_or_default();
    Proxies { http: proxy("http", &HTTP), https: proxy("https", &HTTPS), bypass }
}

fn first_set(names: &[&'static str], env: Env<'_>) -> Option<(&'static str, String)> {
    names.iter().find_map(|name| {
        let value = env(name)?.trim().to_owned();
        (!value.is_empty()).then_some((*name, value))
    })
}

/// A bare `host:port` means `http`, as with curl.
fn address(text: &str) -> Option<Url> {
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&whole).ok()?;
    let host = url.host_str().is_some_and(|host| !host.is_empty());
    (host && SCHEMES.contains(&url.scheme())).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_proxies() {
        for (text, want) in [
            ("http://proxy.example:3128", Some("http://proxy.example:3128/")),
            ("proxy.example:3128", Some("http://proxy.example:3128/")),
            ("10.0.0.1:80", Some("http://10.0.0.1/")),
            ("[::1]:8080", Some("http://[::1]:8080/")),
            ("https://me:p%40ss@proxy.example", Some("https://me:p%40ss@proxy.example/")),
            ("socks5h://127.0.0.1:1080", Some("socks5h://127.0.0.1:1080")),
            ("ftp://proxy.example", None),
            ("http://", None),
            ("socks5://", None),
            ("http://proxy.example:port", None),
            ("http://two words", None),
            (":3128", None),
        ] {
            assert_eq!(address(text).as_ref().map(Url::as_str), want, "{text}");
        }
    }
}
