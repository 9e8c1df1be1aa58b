//! Decides who may call at all: the Host and Origin checks that keep web pages out, and client keys.

mod origin;
pub(super) mod wrong_keys;

use std::{net::IpAddr, str::FromStr, sync::Arc, time::Duration};

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, Uri, header, uri::Authority},
    response::{IntoResponse, Response},
};
use ipnet::IpNet;
use tokio::time::Instant;

use super::{
    caller::{Caller, Welcome},
    client_addr::ClientAddr,
    clients::{Client, Clients},
    cors,
    error::AppError,
    keys::presented,
    limits::Accounts,
    paths,
};
use crate::config::Config;
use origin::{Page, matches_pattern, page};
use wrong_keys::WrongKeys;

/// Whether the listener can be reached from this machine only.
#[derive(Clone, Copy, Debug)]
pub(super) struct OnLoopback(pub(super) bool);

/// An extension of every request that came with a key that nobody has.
#[derive(Clone, Copy, Debug)]
struct WrongKey;

/// What the door makes of a caller.
pub(super) enum Checked {
    /// The client, where one is known, may go on.
    LetIn(Option<Arc<Client>>),
    /// The request goes no further.
    Answered(Response),
}

/// The door every request passes before anything runs: the rules of a config.
#[derive(Debug)]
pub(super) struct Door {
    /// Extra Host names.
    hosts: Vec<String>,
    origins: Vec<String>,
    ui_origins: Option<Vec<String>>,
    trusted_proxies: Vec<IpNet>,
    allowed_ips: Vec<IpNet>,
    pub(super) clients: Clients,
}

impl Door {
    /// The rules of a config, whose clients have these accounts.
    pub(super) fn new(config: &Config, accounts: &Accounts) -> Self {
        let extra = config.server.allowed_hosts.iter().cloned();
        Self {
            hosts: extra.chain(machine_name()).map(|name| name.to_ascii_lowercase()).collect(),
            origins: config.server.cors_origins.clone(),
            ui_origins: config.server.ui_origins.clone(),
            trusted_proxies: config.server.trusted_proxies.clone(),
            allowed_ips: config.server.allowed_ips.clone(),
            clients: Clients::of(config, accounts),
        }
    }
}

impl Door {
    /// Notes in a request which address it comes from.
    pub(super) fn locate(&self, request: &mut Request) {
        ClientAddr::note(request, &self.trusted_proxies);
    }

    /// Whether a request may come in from where it comes: the `Origin` that may read the answer, if
    /// a page sent it. Host is checked only on a loopback listener, as Ollama does: against a name
    /// that an attacker points at 127.0.0.1 (DNS rebinding). Beyond loopback a key is needed, and the
    /// names by which a machine is reached there are not ours to know.
    ///
    /// # Errors
    /// 403 for an address, Host or Origin that is not allowed.
    pub(super) fn check_place(
        &self,
        OnLoopback(on_loopback): OnLoopback,
        request: &Request,
    ) -> Result<Option<HeaderValue>, AppError> {
        self.check_address(request)?;
        if on_loopback {
            self.check_host(request.uri(), request.headers())?;
        }
        self.check_origin(request)?;
        Ok(request.headers().get(header::ORIGIN).cloned())
    }

    /// Notes in the request who sends it; returns the answer when it goes no further. A browser
    /// asks without a key whether it may ask with one.
    pub(super) fn check_caller(&self, request: &mut Request) -> Checked {
        if request.method() == Method::OPTIONS {
            return Checked::Answered(cors::preflight(request.headers()));
        }
        let from = request.extensions().get::<ClientAddr>().copied();
        match self.clients.owner(request.headers(), from) {
            Err(error) => {
                let is_wrong = matches!(error, AppError::InvalidKey(_));
                if is_wrong && presented(request.headers()).next().is_some() {
                    request.extensions_mut().insert(WrongKey);
                }
                if paths::is_open(request.uri()) {
                    Checked::LetIn(None)
                } else {
                    Checked::Answered(error.into_response())
                }
            }
            Ok(client) => {
                let client = client.cloned();
                let extensions = request.extensions_mut();
                extensions.insert(Welcome);
                if let Some(caller) = extensions.get_mut::<Caller>() {
                    caller.log.client(client.as_ref().map(|client| &client.name));
                    caller.client.clone_from(&client);
                }
                Checked::LetIn(client)
            }
        }
    }

    /// How long the answer has to wait: a wrong key's, where its address has sent many.
    pub(super) fn wait(&self, request: &Request, wrong_keys: &WrongKeys) -> Option<Duration> {
        request.extensions().get::<WrongKey>()?;
        let from = request.extensions().get::<ClientAddr>()?;
        let waits = from.each().map(|addr| wrong_keys.count(addr, Instant::now()));
        waits.max().filter(|wait| !wait.is_zero())
    }

    fn check_address(&self, request: &Request) -> Result<(), AppError> {
        let from = request.extensions().get::<ClientAddr>();
        if from.map_or(self.allowed_ips.is_empty(), |from| from.is_within(&self.allowed_ips)) {
            return Ok(());
        }
        Err(AppError::Forbidden(
            "requests from this address are not allowed; add it to [server] allowed_ips if it is yours",
        ))
    }

    fn check_host(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), AppError> {
        let named = headers.get_all(header::HOST).iter().map(|host| host.to_str().ok());
        // An absolute request target counts like a Host.
        let target = uri.authority().map(|authority| Some(authority.as_str()));
        let allowed =
            named.chain(target).all(|host| host.is_some_and(|h| host_allowed(h, &self.hosts)));
        if allowed {
            return Ok(());
        }
        Err(AppError::Forbidden(
            "this Host is not allowed on a loopback listener; \
             add it to [server] allowed_hosts if it is yours",
        ))
    }

    /// Any web page can post to a loopback port, and CORS headers only keep it from reading the
    /// answer; what it would spend is spent. Programs send no Origin.
    fn check_origin(&self, request: &Request) -> Result<(), AppError> {
        for origin in request.headers().get_all(header::ORIGIN) {
            match origin.to_str().map_or(Page::Foreign, |origin| page(origin, &self.origins)) {
                Page::Allowed => {}
                _ if self.is_own_page(origin, request) => {}
                Page::Local(origin) if self.may_ask(&origin, request) => {}
                Page::Local(_) => {
                    return Err(AppError::Forbidden(
                        "pages of this machine need a key, or their Origin in [server] ui_origins",
                    ));
                }
                Page::Foreign => {
                    return Err(AppError::Forbidden(
                        "this Origin is not allowed; add it to [server] cors_origins if it is yours",
                    ));
                }
            }
        }
        Ok(())
    }

    /// Whether the page is the one that this server serves: it asks where it came from. A name that
    /// anybody can point here (DNS rebinding) is no proof of that, and then needs a key.
    fn is_own_page(&self, origin: &HeaderValue, request: &Request) -> bool {
        let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        let Some((_, authority)) = authority else { return false };
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        let host = host.or_else(|| request.uri().authority().map(Authority::as_str));
        host.is_some_and(|host| host.eq_ignore_ascii_case(authority))
            && (host_allowed(authority, &self.hosts) || self.has_key(request))
    }

    fn has_key(&self, request: &Request) -> bool {
        let from = request.extensions().get::<ClientAddr>().copied();
        self.clients.owner(request.headers(), from).is_ok_and(|it| it.is_some())
    }

    /// Whether a page of this machine may ask; a browser asks beforehand without its key.
    fn may_ask(&self, origin: &str, request: &Request) -> bool {
        let Some(pages) = &self.ui_origins else { return true };
        request.method() == Method::OPTIONS
            || pages.iter().any(|pattern| matches_pattern(origin, pattern))
            || self.has_key(request)
    }
}

/// Accepts the hosts that Ollama does: an IP, `localhost`, the machine's name,
/// `*.localhost|.local|.internal`, or one of the `extra` names, all in lower case.
fn host_allowed(host: &str, extra: &[String]) -> bool {
    let host = host.to_ascii_lowercase();
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name),
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let local = [".localhost", ".local", ".internal"].iter().any(|end| name.ends_with(end));
    name.is_empty()
        || name == "localhost"
        || local
        || IpAddr::from_str(name).is_ok()
        || extra.iter().any(|known| known == name || *known == host)
}

fn machine_name() -> Option<String> {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = kernel.or_else(|| std::env::var("HOSTNAME").ok()).or_else(|| {
        // Windows.
        std::env::var("COMPUTERNAME").ok()
    })?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_this_machine_are_allowed_and_others_are_not() {
        let extra = ["chorus.lan".to_owned(), "box".to_owned()];
        for (host, want) in [
            ("localhost", true),
            ("LocalHost:11435", true),
            ("127.0.0.1:11435", true),
            ("192.168.1.5", true),
            ("[::1]:11435", true),
            ("[::1]", true),
            ("", true),
            ("a.localhost:1", true),
            ("nas.local", true),
            ("host.docker.internal:11435", true),
            ("chorus.lan:11435", true),
            ("box", true),
            ("localhost.", true),
            ("evil.example", false),
            ("localhost.evil.example:11435", false),
            ("127.0.0.1.evil.example", false),
            ("notlocalhost", false),
            ("[evil.example]", false),
        ] {
            assert_eq!(host_allowed(host, &extra), want, "{host}");
        }
    }

    #[test]
    fn the_page_of_this_server_may_ask_it() {
        let text = "[server]\nui_origins = []\nallowed_hosts = [\"chorus.lan\"]\n\
            [[client]]\nname = \"a\"\nkey = \"a key of its own\"\n[[model]]\nname = \"m\"\n\
            api_base = \"http://127.0.0.1:9/v1\"\n[workflow-integration]\n\
            json = '{\"workers\": [\"m\"], \"selector\": \"m\"}'\n";
        let door = Door::new(&Config::parse(text, None, &|_| None).unwrap(), &Accounts::default());
        for (origin, host, key, want) in [
            ("http://127.0.0.1:11435", "127.0.0.1:11435", None, true),
            ("http://localhost:11435", "localhost:11435", None, true),
            ("http://LOCALHOST:11435", "localhost:11435", None, true),
            ("http://192.168.1.5:11435", "192.168.1.5:11435", None, true),
            ("http://[::1]:11435", "[::1]:11435", None, true),
            ("https://chorus.lan", "chorus.lan", None, true),
            // Another port is another page.
            ("http://127.0.0.1:3000", "127.0.0.1:11435", None, false),
            ("http://localhost:11435", "127.0.0.1:11435", None, false),
            // Whoever owns the name can point it here, but has no key.
            ("http://evil.example:11435", "evil.example:11435", None, false),
            ("http://evil.example:11435", "evil.example:11435", Some("guessed"), false),
            ("https://chorus.example", "chorus.example", Some("a key of its own"), true),
            ("https://evil.example", "chorus.example", Some("a key of its own"), false),
            ("null", "null", None, false),
        ] {
            let mut request = Request::get("/").header("origin", origin).header("host", host);
            if let Some(key) = key {
                request = request.header("x-api-key", key);
            }
            let request = request.body(Default::default()).unwrap();
            assert_eq!(door.check_origin(&request).is_ok(), want, "{origin} {host} {key:?}");
        }
    }

    #[test]
    fn pages_of_this_machine_may_need_a_key() {
        let door = |keys: &str| {
            let text = format!(
                "[server]\n{keys}[[model]]\nname = \"m\"\napi_base = \"http://127.0.0.1:9/v1\"\n\
                 [workflow-integration]\njson = '{{\"workers\": [\"m\"], \"selector\": \"m\"}}'\n"
            );
            Door::new(&Config::parse(&text, None, &|_| None).unwrap(), &Accounts::default())
        };
        let pages = "ui_origins = [\"http://localhost:3000\"]\n";
        let client = "[[client]]\nname = \"a\"\nkey = \"a key of its own\"\n";
        let one = door(&format!("{pages}{client}"));
        let (any, open) = (door(client), door("ui_origins = []\n"));
        for (origin, method, key, want) in [
            ("http://localhost:3000", "POST", None, true),
            ("http://localhost:5173", "POST", None, false),
            ("http://127.0.0.1:3000", "POST", None, false),
            ("http://localhost:5173", "POST", Some("a key of its own"), true),
            ("http://localhost:5173", "POST", Some("guessed"), false),
            ("http://localhost:5173", "OPTIONS", None, true),
            ("http://tauri.localhost", "POST", None, true),
            ("app://obsidian.md", "POST", None, true),
        ] {
            let mut request = Request::builder().method(method).header(header::ORIGIN, origin);
            if let Some(key) = key {
                request = request.header("x-api-key", key);
            }
            let request = request.body(Default::default()).unwrap();
            assert_eq!(one.check_origin(&request).is_ok(), want, "{origin} {key:?}");
            assert!(any.check_origin(&request).is_ok(), "{origin} {key:?}");
            let needs_none = method == "OPTIONS" || !origin.contains("localhost:");
            let needs_none = needs_none && !origin.contains("127.0.0.1");
            assert_eq!(
                open.check_origin(&request).is_ok(),
                needs_none,
                "{origin}: nobody has a key"
            );
        }
    }
}
