//! `[[client]]`.

use std::collections::HashMap;

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use sha2::{Digest, Sha256};
use wildmatch::WildMatch;

use super::{model::Models, network::networks, secret::Secrets};
use crate::config::{
    Budget, Client, ClientLimits, Server,
    file::{self, Secret},
    report::Report,
    section::Section,
};

/// Shorter keys are guessed over a network.
const SHORTEST_KEY: usize = 16;

pub(super) fn read(
    written: &[file::client::Client],
    server: &Server,
    secrets: &Secrets<'_, '_>,
) -> Vec<Client> {
    let mut clients: Vec<Client> = Vec::with_capacity(written.len());
    let mut names = HashMap::new();
    for (index, client) in written.iter().enumerate() {
        let (name, key) = (client.name.as_ref(), client.key.as_ref());
        let at = Section::entry(secrets.report, "client", index, name);
        if let Some(first) = name.and_then(|name| names.insert(name, at.place(""))) {
            let what = format!("the name is taken, see {}", secrets.report.shown(&first));
            at.problem("", what, "give every [[client]] its own name");
        }
        let key_sha256 = key.and_then(|key| digest(key, &at, server, secrets));
        let client = Client {
            models: client
                .models
                .iter()
                .flatten()
                .map(|name| WildMatch::new(name.trim()))
                .collect(),
            limits: limits(client, &at),
            allowed_ips: networks(
                client.allowed_ips.as_deref().unwrap_or_default(),
                "allowed_ips",
                &at,
            ),
            expires: client.expires.as_deref().and_then(|text| beginning_of(text, &at)),
            admin: client.admin,
            enabled: client.enabled,
            ..Client::with_key(name.cloned().unwrap_or_default(), key_sha256.unwrap_or_default())
        };
        if name.is_none() || key_sha256.is_none() {
            continue;
        }
        if let Some(other) = clients.iter().find(|one| Some(one.key_sha256) == key_sha256) {
            let what = format!("clients `{}` and `{}` have the same key", other.name, client.name);
            let remedy = "give each its own, so that they can be told apart";
            secrets.report.warn(at.place(""), what, remedy);
        }
        clients.push(client);
    }
    clients
}

/// Warns of models whose calls no budget in dollars can bound.
pub(super) fn unpriced(clients: &[Client], models: &Models, report: &Report<'_>) {
    let in_dollars =
        |client: &&Client| client.limits.budgets.iter().any(|budget| budget.picodollars.is_some());
    let Some(client) = clients.iter().find(in_dollars) else { return };
    let unpriced = models.without_price();
    if unpriced.is_empty() {
        return;
    }
    let what = format!(
        "client `{}` has a budget in dollars, and models have no price: {}; their calls count as free",
        client.name.escape_debug(),
        unpriced.join(", ")
    );
    let remedy = "write their `price`, leave them out of `models`, or bound `tokens` as well";
    let index = clients.iter().position(|one| one.name == client.name).unwrap_or_default();
    report.warn(Section::entry(report, "client", index, None).place("budget"), what, remedy);
}

fn limits(client: &file::client::Client, at: &Section<'_, '_>) -> ClientLimits {
    let budget = |(index, budget): (usize, &file::client::Budget)| {
        let file::client::Budget { per, usd, tokens, calls } = budget;
        if usd.is_none() && tokens.is_none() && calls.is_none() {
            let what = "`budget` bounds nothing";
            let remedy = "write `usd`, `tokens` or `calls`, such as { usd = 5, per = \"day\" }";
            at.problem(&format!("budget[{index}]"), what, remedy);
        }
        let picodollars = usd.map(Budget::picodollars_of);
        per.map(|per| Budget { per, picodollars, tokens: *tokens, calls: *calls })
    };
    ClientLimits {
        requests_per_minute: client.requests_per_minute,
        tokens_per_minute: client.tokens_per_minute,
        max_in_flight: client.max_in_flight,
        budgets: client.budget.iter().enumerate().filter_map(budget).collect(),
    }
}

/// The beginning of a day, UTC.
fn beginning_of(text: &str, at: &Section<'_, '_>) -> Option<Timestamp> {
    let day: Option<Date> = text.trim().parse().ok();
    let begins = day.and_then(|day| day.to_zoned(TimeZone::UTC).ok());
    if begins.is_none() {
        at.problem("expires", "`expires` is no date", "write a date such as \"2027-01-01\"");
    }
    begins.map(|begins| begins.timestamp())
}

fn digest(
    key: &Secret,
    at: &Section<'_, '_>,
    server: &Server,
    secrets: &Secrets<'_, '_>,
) -> Option<[u8; 32]> {
    let what = format!("{}: `key`", at.label);
    let Some(hex) = key.expose().strip_prefix("sha256:") else {
        let key = secrets.resolve(key, &at.place("key"), &what, true)?;
        if key.len() < SHORTEST_KEY && !server.is_loopback() {
            let what = format!(
                "`key` has less than {SHORTEST_KEY} characters, and others than this machine can try keys"
            );
            at.problem("key", what, "take the one that `chorus client new NAME` makes");
        }
        return Some(Sha256::digest(key.as_bytes()).into());
    };
    let digest = from_hex(hex.trim());
    if digest.is_none() {
        let remedy = "write the output of `printf %s \"$KEY\" | sha256sum`";
        let what = "`key`: sha256: is not followed by 64 hexadecimal digits";
        at.problem("key", what, remedy);
    }
    digest
}
fn from_hex(text: &str) -> Option<[u8; 32]> {
    let nibble = |digit: u8| u8::try_from(char::from(digit).to_digit(16)?).ok();
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes: Option<Vec<u8>> =
        pairs.iter().map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?)).collect();
    if rest.is_empty() { bytes?.try_into().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_digests() {
        let digits = "00ff".repeat(16);
        let want: Vec<u8> = [0, 255].repeat(16);
        assert_eq!(from_hex(&digits).map(Vec::from), Some(want.clone()));
        assert_eq!(from_hex(&digits.to_uppercase()).map(Vec::from), Some(want));
        for text in ["", "00", "zz", &format!("{digits}0"), &format!("{digits}00"), "键"] {
            assert_eq!(from_hex(text), None, "{text}");
        }
    }
}
