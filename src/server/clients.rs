//! The clients of a config: whose key came with a request, and whether it is good.

use std::sync::Arc;

use axum::http::HeaderMap;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::{
    client_addr::ClientAddr,
    error::AppError,
    keys::presented,
    limits::{Account, Accounts},
};
use crate::config::{self, ClientLimits, Config};

/// Every `[[client]]`.
#[derive(Debug, Default)]
pub(super) struct Clients(Vec<Arc<Client>>);

/// A `[[client]]`, and what it has used.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) name: Arc<str>,
    pub(super) config: config::Client,
    pub(super) limits: Arc<ClientLimits>,
    pub(super) account: Arc<Account>,
}

impl Client {
    fn of(config: &config::Client, accounts: &Accounts) -> Arc<Self> {
        Arc::new(Self {
            name: Arc::from(config.name.as_str()),
            limits: Arc::new(config.limits.clone()),
            account: accounts.of(&config.name),
            config: config.clone(),
        })
    }

    /// Whether its key is good now, and from there.
    ///
    /// # Errors
    /// 401 for a key that is good no longer, 403 for a wrong address.
    fn check(&self, from: Option<ClientAddr>, now: Timestamp) -> Result<(), AppError> {
        if !self.config.enabled {
            return Err(AppError::InvalidKey("this API key is switched off (`enabled = false`)"));
        }
        if self.config.expires.is_some_and(|expires| expires <= now) {
            return Err(AppError::InvalidKey("this API key has expired (`expires`)"));
        }
        let allowed = &self.config.allowed_ips;
        if from.map_or(allowed.is_empty(), |from| from.is_within(allowed)) {
            return Ok(());
        }
        Err(AppError::Forbidden("this API key may not be used from this address (`allowed_ips`)"))
    }
}

impl Clients {
    /// Those of a config, with the accounts they have.
    pub(super) fn of(config: &Config, accounts: &Accounts) -> Self {
        Self(config.clients.iter().map(|client| Client::of(client, accounts)).collect())
    }

    /// Every client, in the order of the file.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Client>> {
        self.0.iter()
    }

    /// Whose key came with a request; `None` where no key is needed. Of several keys the first good one
    /// counts.
    ///
    /// # Errors
    /// 401 without a good key, 403 for one that may not be used from there.
    pub(super) fn owner(
        &self,
        headers: &HeaderMap,
        from: Option<ClientAddr>,
    ) -> Result<Option<&Arc<Client>>, AppError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let mut refused = None;
        let mut any = false;
        for key in presented(headers) {
            any = true;
            let Some(client) = self.with_key(&key) else { continue };
            match client.check(from, Timestamp::now()) {
                Ok(()) => return Ok(Some(client)),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        Err(refused.unwrap_or(AppError::InvalidKey(match any {
            true => "this API key is not known; it must be that of a [[client]]",
            false => {
                "an API key is needed: send it as `Authorization: Bearer KEY` or `x-api-key: KEY`"
            }
        })))
    }

    /// Hashes have equal lengths and there is no early way out, so that time tells nothing of any key.
    fn with_key(&self, key: &[u8]) -> Option<&Arc<Client>> {
        let digest = Sha256::digest(key);
        let same = |client: &Arc<Client>| client.config.key_sha256.as_slice().ct_eq(&digest);
        let matches: Vec<Choice> = self.0.iter().map(same).collect();
        let found = self.0.iter().zip(matches).find(|(_, same)| bool::from(*same));
        found.map(|(client, _)| client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(change: impl Fn(&mut config::Client)) -> Clients {
        let accounts = Accounts::default();
        let client = |name: &str, key: &str| {
            let mut client = config::Client::with_key(name, Sha256::digest(key).into());
            if name == "b" {
                change(&mut client);
            }
            Client::of(&client, &accounts)
        };
        Clients(vec![client("a", "first"), client("b", "second")])
    }

    /// The owner's name, or the status.
    fn owner(clients: &Clients, sent: &[(&'static str, &str)], from: &str) -> Result<String, u16> {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(*name, value.parse().unwrap());
        }
        let from = from.parse::<std::net::IpAddr>().ok().map(ClientAddr::from);
        let found = clients.owner(&headers, from);
        found
            .map(|found| found.map_or("nobody", |client| &client.name).to_owned())
            .map_err(|error| error.status().as_u16())
    }

    #[test]
    fn a_key_is_compared_with_every_client() {
        let two = clients(|_| {});
        for (sent, want) in [
            (vec![("authorization", "Bearer first")], Ok("a")),
            (vec![("authorization", "bearer  second")], Ok("b")),
            (vec![("x-api-key", "second")], Ok("b")),
            (vec![("authorization", "Bearer third")], Err(401)),
            (vec![("authorization", "Bearer ")], Err(401)),
            (vec![("authorization", "first")], Err(401)),
            (vec![("x-api-key", "")], Err(401)),
            (vec![], Err(401)),
            // A good one wins over a bad one beside it.
            (vec![("authorization", "Bearer third"), ("x-api-key", "second")], Ok("b")),
            (vec![("authorization", "Bearer first"), ("x-api-key", "third")], Ok("a")),
            (vec![("authorization", "Bearer x"), ("authorization", "Bearer first")], Ok("a")),
        ] {
            let want = want.map(str::to_owned);
            assert_eq!(owner(&two, &sent, "127.0.0.1"), want, "{sent:?}");
        }
        assert_eq!(owner(&Clients::default(), &[], ""), Ok("nobody".to_owned()));
    }

    #[test]
    fn a_key_may_be_good_no_longer_or_elsewhere_only() {
        let (key, other) = (("x-api-key", "second"), ("api-key", "first"));
        let off = clients(|client| client.enabled = false);
        let hour = jiff::SignedDuration::from_hours(1);
        let past = clients(|client| client.expires = Some(Timestamp::now() - hour));
        let future = clients(|client| client.expires = Some(Timestamp::now() + hour));
        let near = clients(|client| client.allowed_ips = vec!["10.0.0.0/8".parse().unwrap()]);
        for (clients, from, want) in [
            (&off, "10.0.0.1", Err(401)),
            (&past, "10.0.0.1", Err(401)),
            (&future, "10.0.0.1", Ok("b".to_owned())),
            (&near, "10.0.0.1", Ok("b".to_owned())),
            (&near, "192.0.2.1", Err(403)),
            (&near, "", Err(403)),
        ] {
            assert_eq!(owner(clients, &[key], from), want, "{from}");
            let with_other = want.clone().or(Ok("a".to_owned()));
            assert_eq!(owner(clients, &[key, other], from), with_other, "{from}");
        }
    }
}
