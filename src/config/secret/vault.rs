//! HashiCorp Vault: the secrets of a key-value store of version 2, read with a token that is given or
//! had for an application role, and kept alive as long as the process.

mod http;
mod settings;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::failure::Failure;
use crate::types::ApiKey;
use http::{Answer, Http};
use settings::Login;
pub(super) use settings::Settings;

/// When a renewal has failed, the next one follows so much later.
const AGAIN: Duration = Duration::from_secs(10);
/// A token that has less to live can as well be had anew.
const SHORTEST: Duration = Duration::from_secs(2);

/// The fields of one secret.
pub(in crate::config) type Fields = std::collections::HashMap<String, Field>;

/// A value that is no text is no key.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub(in crate::config) enum Field {
    Text(ApiKeyText),
    Other(serde::de::IgnoredAny),
}

/// A key as it comes.
#[derive(Clone)]
pub(in crate::config) struct ApiKeyText(pub(in crate::config) ApiKey);

impl<'de> Deserialize<'de> for ApiKeyText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(ApiKey::new(text)))
    }
}

/// A Vault, and the token for it.
#[derive(Debug)]
pub(super) struct Vault {
    pub(super) settings: Settings,
    http: Http,
    token: Option<Token>,
}

#[derive(Clone, Debug)]
struct Token {
    value: ApiKey,
    lease: Lease,
}

/// How long a token lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lease {
    /// Nobody has looked yet.
    Unknown,
    /// It does not end, or nothing can be done about it.
    Settled,
    /// It ends, and is to be renewed before.
    Until { ends: Instant, renew: Instant },
}

impl Lease {
    fn of(seconds: u64, is_renewable: bool, now: Instant) -> Self {
        let length = Duration::from_secs(seconds);
        let ends = now.checked_add(length).filter(|_| seconds > 0);
        let renew = now.checked_add(length.saturating_mul(2) / 3);
        match (ends, renew) {
            (Some(ends), Some(renew)) if is_renewable => Self::Until { ends, renew },
            (Some(ends), _) => Self::Until { ends, renew: ends },
            (None, _) => Self::Settled,
        }
    }
}

#[derive(Deserialize)]
struct Granted {
    auth: Auth,
}

/// What Vault says of a token that it gives or renews.
#[derive(Deserialize)]
struct Auth {
    client_token: Option<ApiKeyText>,
    #[serde(default)]
    lease_duration: u64,
    #[serde(default)]
    renewable: bool,
}

impl Vault {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// When no client can be built of the settings.
    pub(super) fn new(settings: Settings) -> Result<Self, Failure> {
        let http = Http::new(&settings)?;
        let token = match &settings.login {
            Login::Token(value) => Some(Token { value: value.clone(), lease: Lease::Unknown }),
            Login::Role { .. } => None,
        };
        Ok(Self { settings, http, token })
    }

    /// The fields of the secret at a path of Vault's interface.
    ///
    /// # Errors
    /// When Vault cannot be reached or gives none.
    pub(super) fn read(&mut self, path: &str) -> Result<Fields, Failure> {
        let is_new = self.token.is_none();
        let answer = self.fetch(path)?;
        let again = answer.status == StatusCode::FORBIDDEN
            && !is_new
            && matches!(self.settings.login, Login::Role { .. });
        // The token that was kept may have ended, or been taken back.
        let answer = match again {
            true => {
                self.token = None;
                self.fetch(path)?
            }
            false => answer,
        };
        fields(&answer)
    }

    fn fetch(&mut self, path: &str) -> Result<Answer, Failure> {
        let token = self.token()?;
        self.http.call(Method::GET, path, Some(&token), None)
    }

    /// The token in use; for a role one is had first.
    fn token(&mut self) -> Result<ApiKey, Failure> {
        if let Some(token) = &self.token {
            return Ok(token.value.clone());
        }
        let Login::Role { id, secret } = &self.settings.login else {
            return Err(Failure::new("Vault: there is no token", "set VAULT_TOKEN"));
        };
        let body = json!({ "role_id": id.expose(), "secret_id": secret.expose() });
        let answer = self.http.call(Method::POST, "auth/approle/login", None, Some(body))?;
        if !answer.status.is_success() {
            return Err(
                answer.failure("the role is refused", "see VAULT_ROLE_ID and VAULT_SECRET_ID")
            );
        }
        let Auth { client_token, lease_duration, renewable } = answer.json::<Granted>()?.auth;
        let value = client_token.ok_or_else(Answer::unreadable)?.0;
        let lease = Lease::of(lease_duration, renewable, Instant::now());
        self.token = Some(Token { value: value.clone(), lease });
        Ok(value)
    }

    /// Renews the token when it is time; to be called every second or so. May take as long as a request.
    ///
    /// # Errors
    /// When that failed; it is tried again later. Said once of a token that has ended.
    pub(super) fn keep(&mut self, now: Instant) -> Result<(), Failure> {
        let Some(Token { value, lease }) = &self.token else { return Ok(()) };
        let (value, lease) = (value.clone(), *lease);
        match lease {
            Lease::Settled => Ok(()),
            Lease::Unknown => self.look_up(&value, now),
            Lease::Until { ends, .. } if now.saturating_duration_since(ends) > Duration::ZERO => {
                self.ended()
            }
            Lease::Until { ends, renew } if now >= renew && renew < ends => {
                let renewed = self.renew(&value, now);
                if renewed.is_err() {
                    let renew = now.checked_add(AGAIN).unwrap_or(ends).min(ends);
                    self.set_lease(Lease::Until { ends, renew });
                }
                renewed
            }
            Lease::Until { .. } => Ok(()),
        }
    }

    fn look_up(&mut self, token: &ApiKey, now: Instant) -> Result<(), Failure> {
        // Tokens that may not look at themselves are left alone.
        self.set_lease(Lease::Settled);
        let answer = self.http.call(Method::GET, "auth/token/lookup-self", Some(token), None);
        let answer = answer.inspect_err(|_| self.set_lease(Lease::Unknown))?;
        if answer.status.is_success() {
            let data = answer.json::<Value>()?;
            let seconds = data.pointer("/data/ttl").and_then(Value::as_u64).unwrap_or_default();
            let renewable = data.pointer("/data/renewable").and_then(Value::as_bool);
            self.set_lease(Lease::of(seconds, renewable.unwrap_or(false), now));
        }
        Ok(())
    }

    fn renew(&mut self, token: &ApiKey, now: Instant) -> Result<(), Failure> {
        let answer =
            self.http.call(Method::POST, "auth/token/renew-self", Some(token), Some(json!({})))?;
        if !answer.status.is_success() {
            return Err(answer.failure("the token is not renewed", "see its policy and its period"));
        }
        let Auth { lease_duration, renewable, .. } = answer.json::<Granted>()?.auth;
        let is_worth_it = renewable && lease_duration > SHORTEST.as_secs();
        self.set_lease(Lease::of(lease_duration, is_worth_it, now));
        Ok(())
    }

    fn set_lease(&mut self, lease: Lease) {
        if let Some(token) = &mut self.token {
            token.lease = lease;
        }
    }

    /// A role gets another one when the config is loaded again.
    fn ended(&mut self) -> Result<(), Failure> {
        match self.settings.login {
            Login::Role { .. } => {
                self.token = None;
                Ok(())
            }
            Login::Token(_) => {
                self.set_lease(Lease::Settled);
                let remedy = "start Chorus with another VAULT_TOKEN, or with VAULT_ROLE_ID and \
                              VAULT_SECRET_ID; until then the config cannot be loaded again";
                Err(Failure::new("Vault: the token has ended", remedy))
            }
        }
    }
}

/// What a secret's answer holds.
fn fields(answer: &Answer) -> Result<Fields, Failure> {
    #[derive(Deserialize)]
    struct Outer {
        data: Inner,
    }
    #[derive(Deserialize)]
    struct Inner {
        data: Option<Fields>,
    }
    let none = || {
        let remedy = "correct the path behind vault: (as for `vault kv get`), or write the secret";
        Failure::new("Vault has no secret there", remedy)
    };
    match answer.status {
        StatusCode::OK => answer.json::<Outer>()?.data.data.ok_or_else(none),
        StatusCode::NOT_FOUND => Err(none()),
        StatusCode::FORBIDDEN => Err(answer.failure(
            "the token is not valid, or may not read this",
            "renew VAULT_TOKEN, or let its policy read the path with `data` in it",
        )),
        _ => Err(answer.failure("the secret is not given", "see Vault's own log")),
    }
}
