//! Addresses and networks.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::section::Section;

/// The networks that a list names, an address being one of its own; what is none is a problem.
pub(super) fn networks(written: &[String], key: &str, at: &Section<'_, '_>) -> Vec<IpNet> {
    let network = |(index, text): (usize, &String)| {
        let network = network(text);
        if network.is_none() {
            let what = format!("`{key}` holds an entry that is neither an address nor a network");
            let remedy =
                "write an address such as \"192.168.1.7\", or a network such as \"10.0.0.0/8\"";
            at.problem(&format!("{key}[{index}]"), what, remedy);
        }
        network
    };
    written.iter().enumerate().filter_map(network).collect()
}

fn network(text: &str) -> Option<IpNet> {
    let text = text.trim();
    let address = || text.parse::<IpAddr>().ok().map(|address| address.to_canonical().into());
    text.parse::<IpNet>().ok().map(|network| network.trunc()).or_else(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_networks() {
        for (text, want) in [
            ("127.0.0.1", Some("127.0.0.1/32")),
            (" ::1 ", Some("::1/128")),
            ("::ffff:192.0.2.1", Some("192.0.2.1/32")),
            ("10.1.2.3/8", Some("10.0.0.0/8")),
            ("2001:db8::/32", Some("2001:db8::/32")),
            ("0.0.0.0/0", Some("0.0.0.0/0")),
            ("10.0.0.0/33", None),
            ("10.0.0", None),
            ("", None),
            ("gpu.lan", None),
            ("10.0.0.1:80", None),
        ] {
            let found = network(text).map(|network| network.to_string());
            assert_eq!(found.as_deref(), want, "{text}");
        }
    }
}
