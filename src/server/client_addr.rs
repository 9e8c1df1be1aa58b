//! The origin of a request: the other end of its connection, or, where that is a proxy that is
//! trusted, whom the proxy says it asks for.
//!
//! A header is read from its end, which the nearest proxy wrote, as long as whoever wrote it is
//! trusted. So the address is the last one that somebody trusted vouches for, whatever a client
//! wrote into the header before. What is no address (`unknown`, `_hidden`) ends the way there.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, header::FORWARDED},
};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The other end of a connection; an extension of each request that came over one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// The origin of a request; an extension of each that came over a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClientAddr {
    addr: IpAddr,
    /// What `Forwarded` says, where it is another address than that of `X-Forwarded-For`. A proxy
    /// writes one of the two and lets the other pass as it came, and nobody knows which.
    other: Option<IpAddr>,
}

impl ClientAddr {
    /// Notes in a request where it comes from; `trusted`: the proxies that are believed.
    pub(super) fn note(request: &mut Request, trusted: &[IpNet]) {
        if let Some(Peer(peer)) = request.extensions().get().copied() {
            let addr = Self::of(peer, request.headers(), trusted);
            request.extensions_mut().insert(addr);
        }
    }

    fn of(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Self {
        let peer = peer.to_canonical();
        if !contains(trusted, peer) {
            return Self { addr: peer, other: None };
        }
        let said = |name: &HeaderName, read: fn(&str) -> Option<IpAddr>| {
            let lines = headers.get_all(name).iter().rev();
            let hops = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
            let hops = hops.map(|hop| str::from_utf8(hop).ok().and_then(read));
            headers.contains_key(name).then(|| vouched(peer, hops, trusted))
        };
        let addr = said(&X_FORWARDED_FOR, node);
        let other = said(&FORWARDED, forwarded_for);
        match (addr, other) {
            (Some(addr), other) => Self { addr, other: other.filter(|other| *other != addr) },
            (None, other) => Self { addr: other.unwrap_or(peer), other: None },
        }
    }

    /// Each address that it may be: one, as a rule.
    pub(super) fn each(self) -> impl Iterator<Item = IpAddr> {
        [Some(self.addr), self.other].into_iter().flatten()
    }

    /// Whether it lies in one of these networks, whichever address it is; none at all: anywhere.
    pub(super) fn is_within(self, networks: &[IpNet]) -> bool {
        networks.is_empty() || self.each().all(|addr| contains(networks, addr))
    }

    /// Whether it is this machine.
    pub(super) fn is_loopback(self) -> bool {
        self.each().all(|addr| addr.is_loopback())
    }
}

#[cfg(test)]
impl From<IpAddr> for ClientAddr {
    fn from(addr: IpAddr) -> Self {
        Self { addr: addr.to_canonical(), other: None }
    }
}

/// The form of the log.
impl fmt::Display for ClientAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.addr.fmt(f)?;
        self.other.map_or(Ok(()), |other| write!(f, " or {other}"))
    }
}

/// The last address on the way back that a trusted proxy named; `hops` from the nearest on.
fn vouched(peer: IpAddr, hops: impl Iterator<Item = Option<IpAddr>>, trusted: &[IpNet]) -> IpAddr {
    let mut last = peer;
    for hop in hops {
        let Some(hop) = hop else { break };
        last = hop;
        if !contains(trusted, last) {
            break;
        }
    }
    last
}

fn contains(networks: &[IpNet], addr: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&addr))
}

/// The `for` of one element of `Forwarded` (RFC 7239), whose other parameters hold no comma.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        name.eq_ignore_ascii_case("for").then(|| node(value.trim().trim_matches('"')))?
    })
}

/// An address, with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`,
/// `[2001:db8::1]:80`.
fn node(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let with_port = || text.parse::<SocketAddr>().ok().map(|addr| addr.ip());
    bare.parse().ok().or_else(with_port).map(|addr: IpAddr| addr.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn networks(list: &[&str]) -> Vec<IpNet> {
        list.iter().map(|one| one.parse().unwrap()).collect()
    }

    /// Header lines, in their order.
    fn of(peer: &str, lines: &[(&'static str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        let trusted = networks(&["10.0.0.0/8", "127.0.0.1/32", "2001:db8:1::/48"]);
        ClientAddr::of(ip(peer), &headers, &trusted).to_string()
    }

    #[test]
    fn the_last_address_that_a_trusted_proxy_vouches_for_counts() {
        const XFF: &str = "x-forwarded-for";
        for (peer, lines, want) in [
            ("192.0.2.9", &[][..], "192.0.2.9"),
            ("::ffff:192.0.2.9", &[], "192.0.2.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
            // Not from a proxy that is trusted.
            ("192.0.2.9", &[(XFF, "198.51.100.1"), ("forwarded", "for=198.51.100.2")], "192.0.2.9"),
            ("10.0.0.1", &[(XFF, "198.51.100.1")], "198.51.100.1"),
            ("::ffff:10.0.0.1", &[(XFF, "198.51.100.1")], "198.51.100.1"),
            // What the client wrote stands before what the proxy adds, on the same line or above it.
            ("10.0.0.1", &[(XFF, "127.0.0.1, 198.51.100.1")], "198.51.100.1"),
            ("10.0.0.1", &[(XFF, "127.0.0.1"), (XFF, "198.51.100.1")], "198.51.100.1"),
            ("10.0.0.1", &[(XFF, "192.0.2.1,198.51.100.1 , 10.0.0.2")], "198.51.100.1"),
            ("10.0.0.1", &[(XFF, "10.0.0.3, 10.0.0.2")], "10.0.0.3"),
            ("127.0.0.1", &[(XFF, "198.51.100.1:4711")], "198.51.100.1"),
            ("127.0.0.1", &[(XFF, "[2001:db8::1]:4711")], "2001:db8::1"),
            ("127.0.0.1", &[(XFF, "2001:db8::1")], "2001:db8::1"),
            ("2001:db8:1::5", &[(XFF, "::ffff:198.51.100.1")], "198.51.100.1"),
            // What is no address ends the way.
            ("10.0.0.1", &[(XFF, "198.51.100.1, unknown")], "10.0.0.1"),
            ("10.0.0.1", &[(XFF, "198.51.100.1, nonsense, 10.0.0.2")], "10.0.0.2"),
            ("10.0.0.1", &[(XFF, "")], "10.0.0.1"),
            ("10.0.0.1", &[(XFF, "198.51.100.1,")], "10.0.0.1"),
            (
                "10.0.0.1",
                &[("forwarded", "for=198.51.100.1;proto=https;by=10.0.0.1")],
                "198.51.100.1",
            ),
            ("10.0.0.1", &[("forwarded", "proto=http; For=\"[2001:db8::1]:80\"")], "2001:db8::1"),
            (
                "10.0.0.1",
                &[("forwarded", "for=1.1.1.1, for=198.51.100.1, for=10.0.0.2")],
                "198.51.100.1",
            ),
            ("10.0.0.1", &[("forwarded", "for=\"x, for=198.51.100.1")], "198.51.100.1"),
            ("10.0.0.1", &[("forwarded", "for=198.51.100.1, for=_hidden")], "10.0.0.1"),
            ("10.0.0.1", &[("forwarded", "proto=https")], "10.0.0.1"),
            // One of both is the client's own word.
            (
                "10.0.0.1",
                &[(XFF, "198.51.100.1"), ("forwarded", "for=198.51.100.1")],
                "198.51.100.1",
            ),
            (
                "10.0.0.1",
                &[("forwarded", "for=127.0.0.1"), (XFF, "198.51.100.1")],
                "198.51.100.1 or 127.0.0.1",
            ),
        ] {
            assert_eq!(of(peer, lines), want, "{peer} {lines:?}");
        }
    }

    #[test]
    fn whichever_address_it_may_be_has_to_be_allowed() {
        let allowed = networks(&["192.0.2.0/24", "2001:db8::/32"]);
        let both = |addr: &str, other: &str| ClientAddr { addr: ip(addr), other: Some(ip(other)) };
        for (addr, want) in [
            (ClientAddr::from(ip("192.0.2.7")), true),
            (ClientAddr::from(ip("::ffff:192.0.2.7")), true),
            (ClientAddr::from(ip("2001:db8::7")), true),
            (ClientAddr::from(ip("198.51.100.7")), false),
            (both("192.0.2.7", "192.0.2.8"), true),
            (both("192.0.2.7", "127.0.0.1"), false),
            (both("127.0.0.1", "192.0.2.7"), false),
        ] {
            assert_eq!(addr.is_within(&allowed), want, "{addr}");
            assert!(addr.is_within(&[]), "{addr}");
        }
        assert!(ClientAddr::from(ip("127.0.0.1")).is_loopback());
        assert!(!both("127.0.0.1", "192.0.2.7").is_loopback());
    }
}
