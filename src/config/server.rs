//! The listener and what clients see: `[server]`.

use std::{
    fs,
    net::{IpAddr, UdpSocket},
    num::NonZeroUsize,
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;
use url::{Host, Url};

use super::{
    Tls,
    file::server::{PlainClientFormat, Progress, ReasoningField, UnknownModel, UsageScope},
    model::is_loopback,
};

/// `[server]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Address to listen on; default `127.0.0.1`.
    pub host: String,
    /// Port to listen on; default 11435, 0 = any free one.
    pub port: u16,
    /// The path of a Unix socket to listen on too.
    pub unix_socket: Option<PathBuf>,
    /// Its permissions; default 0600.
    pub unix_socket_mode: u32,
    /// TLS for address and port.
    pub tls: Option<Tls>,
    /// Largest request body in bytes; default 64 MiB.
    pub request_body_limit: usize,
    /// Requests in flight; more get 503 `overloaded`. Default 1024.
    pub max_in_flight: usize,
    /// Threads that answer requests; `None`: as many as there are cores.
    pub workers: Option<NonZeroUsize>,
    /// How long a client may leave unread what is there for it; default 30 s.
    pub write_timeout: Duration,
    /// Bytes a second that a request body must come with after 30 s; default 1024, 0 = any rate.
    pub min_body_rate: u64,
    /// How long a shutdown goes on answering while it is no longer ready; default none.
    pub shutdown_delay: Duration,
    /// How long a shutdown waits for streams; default 30 s.
    pub shutdown_grace: Duration,
    /// How long a stream's headers wait at most for the first answer delta or draft, while no stage
    /// ends; default 5 s.
    pub header_hold: Duration,
    /// Pause between heartbeats of a silent stream; default 10 s.
    pub heartbeat: Duration,
    /// What an unknown model name means; default 404.
    pub unknown_model: UnknownModel,
    /// Framing for clients of `/api/*` that state no preference.
    pub plain_client_format: PlainClientFormat,
    /// What workflow streams carry of their stages in the reasoning channel.
    pub progress: Progress,
    /// Requests and runs are counted.
    pub metrics: bool,
    /// Which calls the reported usage sums; default the answering one alone.
    pub usage: UsageScope,
    /// The chat chunk's field(s) for reasoning.
    pub reasoning_field: ReasoningField,
    /// The model that answers clients' background tasks (titles, tags, notes) instead of a workflow;
    /// `None`: they are questions like any other.
    pub task_model: Option<String>,
    /// What `/api/version` says; digits and dots.
    pub ollama_version: String,
    /// Extra `Host` names.
    pub allowed_hosts: Vec<String>,
    /// Extra origins.
    pub cors_origins: Vec<String>,
    /// Origins of this machine that need no key; `None`: all of them.
    pub ui_origins: Option<Vec<String>>,
    /// Proxies that are believed whom they ask for.
    pub trusted_proxies: Vec<IpNet>,
    /// The addresses that requests may come from; empty = any.
    pub allowed_ips: Vec<IpNet>,
    /// The folder of what outlives the process; `None`: nobody said, and there is no home folder.
    pub data_dir: Option<PathBuf>,
    /// May listen beyond loopback without clients.
    pub allow_unauthenticated: bool,
}

impl Server {
    /// Whether others than this machine could call without a key, and nobody said that they may;
    /// `open`: there is no `[[client]]`.
    #[must_use]
    pub fn is_exposed(&self, open: bool) -> bool {
        open && !self.allow_unauthenticated && !self.is_loopback()
    }

    /// How the port is spoken to.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Whether a URL leads back to the listener: its port, at an address that the listener has. Names
    /// are compared, never looked up; with port 0 nobody knows yet.
    #[must_use]
    pub fn is_own(&self, url: &Url) -> bool {
        if self.port == 0 || url.port_or_known_default() != Some(self.port) {
            return false;
        }
        let listens = self.host.trim_end_matches('.').to_lowercase();
        let address = listens.parse::<IpAddr>().ok().map(|address| address.to_canonical());
        let everywhere = address.is_some_and(|address| address.is_unspecified());
        if is_loopback(url) || url.host_str().is_some_and(names_this_machine) {
            return everywhere || self.is_loopback() || names_this_machine(&listens);
        }
        let host = match url.host() {
            Some(Host::Ipv4(host)) => IpAddr::V4(host),
            Some(Host::Ipv6(host)) => IpAddr::V6(host).to_canonical(),
            Some(Host::Domain(name)) => {
                return name.trim_end_matches('.').to_lowercase() == listens;
            }
            None => return false,
        };
        // Only an address of this machine can be bound to.
        address == Some(host) || (everywhere && UdpSocket::bind((host, 0)).is_ok())
    }

    /// Whether only this machine can reach the listener. A name other than `localhost` may resolve
    /// to anything, so it counts as beyond.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = self.host.to_lowercase();
        match host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => host == "localhost" || host.ends_with(".localhost"),
        }
    }
}

/// Whether a name is this machine's: one that hosts files give to loopback, or its own, with or
/// without a domain.
fn names_this_machine(name: &str) -> bool {
    const LOOPBACK: [&str; 6] = [
        "localhost.localdomain",
        "localhost4",
        "localhost6",
        "ip6-localhost",
        "ip6-loopback",
        "localhost6.localdomain6",
    ];
    let name = name.trim_end_matches('.').to_lowercase();
    let mut known = ["/proc/sys/kernel/hostname", "/etc/hostname"]
        .into_iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .chain(
            ["COMPUTERNAME", "HOSTNAME"].into_iter().filter_map(|name| std::env::var(name).ok()),
        );
    let is_own = |own: String| {
        let own = own.trim().trim_end_matches('.').to_lowercase();
        let short = own.split('.').next().unwrap_or_default();
        !short.is_empty() && (name == own || name == short || name == format!("{short}.local"))
    };
    LOOPBACK.contains(&name.as_str()) || known.any(is_own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        for (host, want) in [
            ("127.0.0.1", true),
            ("127.8.8.8", true),
            ("::1", true),
            ("LocalHost", true),
            ("chorus.localhost", true),
            ("0.0.0.0", false),
            ("::", false),
            ("192.168.1.5", false),
            ("example.org", false),
        ] {
            let server = Server { host: host.to_owned(), ..Server::default() };
            assert_eq!(server.is_loopback(), want, "{host}");
        }
    }

    #[test]
    fn every_spelling_of_the_own_address_is_known() {
        let named = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let named = named.trim();
        let own = if named.is_empty() { "localhost" } else { named };
        for (host, url, want) in [
            ("127.0.0.1", "http://127.0.0.1:11435", true),
            ("127.0.0.1", "http://127.0.0.1:11435/v1", true),
            ("127.0.0.1", "http://localhost:11435/ollama", true),
            ("127.0.0.1", "http://LOCALHOST.:11435", true),
            ("127.0.0.1", "http://127.9.9.9:11435", true),
            ("127.0.0.1", "http://127.1:11435", true),
            ("127.0.0.1", "http://2130706433:11435", true),
            ("127.0.0.1", "http://0x7f.0.0.1:11435", true),
            ("127.0.0.1", "http://127.0.0.1.:11435", true),
            ("127.0.0.1", "http://0.0.0.0:11435", true),
            ("127.0.0.1", "http://0:11435", true),
            ("127.0.0.1", "http://[::1]:11435", true),
            ("127.0.0.1", "http://[::]:11435", true),
            ("127.0.0.1", "http://[::ffff:127.0.0.1]:11435", true),
            ("127.0.0.1", "http://[::ffff:0.0.0.0]:11435", true),
            ("127.0.0.1", "https://chorus.localhost:11435", true),
            ("127.0.0.1", "http://ip6-localhost:11435", true),
            ("localhost", "http://127.0.0.1:11435", true),
            ("0.0.0.0", "http://127.0.0.1:11435", true),
            ("::", "http://localhost:11435", true),
            ("192.0.2.7", "http://192.0.2.7:11435/v1", true),
            ("chorus.lan", "http://Chorus.lan.:11435", true),
            ("127.0.0.1", "http://127.0.0.1:11434", false),
            ("127.0.0.1", "http://127.0.0.1", false),
            ("127.0.0.1", "http://192.0.2.7:11435", false),
            ("127.0.0.1", "http://localhost.example:11435", false),
            // Another server may have loopback there.
            ("192.0.2.7", "http://127.0.0.1:11435", false),
            ("0.0.0.0", "http://192.0.2.7:11435", false),
        ] {
            let server = Server { host: host.to_owned(), ..Server::default() };
            assert_eq!(server.is_own(&url.parse().unwrap()), want, "{host} {url}");
        }
        for url in [format!("http://{own}:11435"), format!("http://{own}.:11435/v1")] {
            assert!(Server::default().is_own(&url.parse().unwrap()), "{url}");
        }
        let (free, url) = (Server { port: 0, ..Server::default() }, "http://127.0.0.1");
        assert!(!free.is_own(&format!("{url}:0").parse().unwrap()));
        let web = Server { port: 80, ..Server::default() };
        assert!(web.is_own(&url.parse().unwrap()));
    }
}
