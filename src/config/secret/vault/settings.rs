//! Which Vault, and who asks: the variables that its own command line has.

use std::{path::Path, sync::Arc};

use url::Url;

use crate::{
    config::{CaCert, Env, model::is_loopback, read, secret::failure::Failure},
    types::ApiKey,
};

/// Where Vault is and how one gets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config::secret) struct Settings {
    /// `VAULT_ADDR`.
    pub(super) address: Url,
    /// `VAULT_NAMESPACE`.
    pub(super) namespace: Option<String>,
    /// `VAULT_CACERT`.
    pub(super) ca: Option<CaCert>,
    pub(super) login: Login,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Login {
    /// `VAULT_TOKEN`, which wins.
    Token(ApiKey),
    /// `VAULT_ROLE_ID` and `VAULT_SECRET_ID`.
    Role { id: ApiKey, secret: ApiKey },
}

impl Settings {
    /// Of the environment.
    ///
    /// # Errors
    /// When something is missing, or of no use.
    pub(in crate::config::secret) fn of(env: Env<'_>) -> Result<Self, Failure> {
        let set = |name: &str| {
            env(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        let login = match (set("VAULT_TOKEN"), set("VAULT_ROLE_ID"), set("VAULT_SECRET_ID")) {
            (Some(token), ..) => Login::Token(ApiKey::new(token)),
            (None, Some(id), Some(secret)) => {
                Login::Role { id: ApiKey::new(id), secret: ApiKey::new(secret) }
            }
            (None, ..) => {
                return Err(Failure::new(
                    "VAULT_TOKEN is not set, nor are both VAULT_ROLE_ID and VAULT_SECRET_ID",
                    "export what Vault's own command line wants",
                ));
            }
        };
        let ca = set("VAULT_CACERT").map(|path| authority(Path::new(&path))).transpose()?;
        Ok(Self {
            address: address(set("VAULT_ADDR"))?,
            namespace: set("VAULT_NAMESPACE"),
            ca,
            login,
        })
    }

    /// As it may be shown.
    pub(in crate::config::secret) fn shown(&self) -> String {
        self.address.origin().ascii_serialization()
    }
}

fn address(written: Option<String>) -> Result<Url, Failure> {
    let remedy = "export VAULT_ADDR=https://vault.example.com:8200";
    let written = written.ok_or_else(|| Failure::new("VAULT_ADDR is not set", remedy))?;
    let url = Url::parse(&written).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.username().is_empty()
    });
    let url = url.ok_or_else(|| Failure::new("VAULT_ADDR is no address", remedy))?;
    if url.scheme() == "http" && !is_loopback(&url) {
        let what = "VAULT_ADDR is http:// and leads to another machine: everybody on the way could \
                    read the token and the keys";
        return Err(Failure::new(what, "write https:// in VAULT_ADDR"));
    }
    Ok(url)
}

fn authority(path: &Path) -> Result<CaCert, Failure> {
    let pem = read::named(path).map_err(|error| {
        let what = format!("the file that VAULT_CACERT names cannot be read: {error}");
        Failure::new(what, "correct the path")
    })?;
    Ok(CaCert { path: path.to_owned(), pem: Arc::from(pem.as_slice()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Settings, Failure> {
        let find = |name: &str| variables.iter().find(|(own, _)| *own == name);
        Settings::of(&|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_environment_says_which_vault_and_who_asks() {
        let address = ("VAULT_ADDR", "https://vault.example:8200/");
        let role = [("VAULT_ROLE_ID", "r"), ("VAULT_SECRET_ID", "s")];
        let both = [&[address, ("VAULT_TOKEN", " t\n"), ("VAULT_NAMESPACE", "team")], &role[..]];
        let settings = of(&both.concat()).unwrap();
        assert_eq!(settings.login, Login::Token(ApiKey::new("t")));
        assert_eq!(settings.namespace.as_deref(), Some("team"));
        assert_eq!(settings.shown(), "https://vault.example:8200");
        let settings = of(&[&[address], &role[..]].concat()).unwrap();
        assert!(matches!(settings.login, Login::Role { .. }));
        assert!(of(&[("VAULT_ADDR", "http://127.0.0.1:8200"), ("VAULT_TOKEN", "t")]).is_ok());
    }

    #[test]
    fn what_is_missing_is_named_and_nothing_is_shown() {
        let token = ("VAULT_TOKEN", "s3cret");
        for (variables, want) in [
            (vec![token], "VAULT_ADDR is not set"),
            (vec![("VAULT_ADDR", "https://v"), ("VAULT_ROLE_ID", "s3cret")], "VAULT_TOKEN is not"),
            (vec![("VAULT_ADDR", "https://v"), ("VAULT_TOKEN", " ")], "VAULT_TOKEN is not set"),
            (vec![("VAULT_ADDR", "s3cret"), token], "VAULT_ADDR is no address"),
            (vec![("VAULT_ADDR", "https://me:s3cret@v"), token], "VAULT_ADDR is no address"),
            (vec![("VAULT_ADDR", "http://10.0.0.1:8200"), token], "VAULT_ADDR is http://"),
            (
                vec![("VAULT_ADDR", "https://v"), token, ("VAULT_CACERT", "/no/s3cret.pem")],
                "VAULT_CACERT names cannot be read",
            ),
        ] {
            let failure = of(&variables).unwrap_err();
            assert!(failure.what.contains(want), "{failure:?}");
            assert!(!format!("{failure:?}").contains("s3cret"), "{failure:?}");
        }
    }
}
